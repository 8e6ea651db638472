//! The databases, as the operator itself reads them. No network.

use super::{Database, GOODS, World};
use alembic_operator::db::{
    Catalog, Endpoint, NoAnswer, ProbeError, Prober, Schema, Sizes, Snapshot, TableSize, VersionRows, VersionTable,
};
use futures::future::BoxFuture;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
/// Reads the simulated databases as the operator reads real ones.
pub(super) struct Simulated(pub(super) Arc<Mutex<World>>);

/// Where an endpoint leads, and the name of the database there.
fn named(endpoint: &Endpoint) -> (String, String) {
    let place = endpoint.place();
    let name = place.rsplit('/').next().unwrap_or_default().to_owned();
    (place, name)
}

impl Prober for Simulated {
    fn probe<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _table: &'a VersionTable,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Snapshot, ProbeError>> {
        let (place, name) = named(endpoint);
        let passwords: Vec<String> =
            endpoint.secret_texts().iter().map(|s| secrecy::ExposeSecret::expose_secret(s).to_owned()).collect();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match world.databases.get(&name) {
                Some(database) if database.down => Err(ProbeError::Unreachable { place, why: NoAnswer::Refused }),
                None => Err(ProbeError::NoSuchDatabase { place }),
                Some(database) if !passwords.contains(&database.password) => Err(ProbeError::AuthFailed { place }),
                Some(database) => Ok(Snapshot {
                    dialect: "postgresql".to_owned(),
                    server_version: "15.1".to_owned(),
                    rows: database.rows.clone().map_or(VersionRows::NoTable, VersionRows::Rows),
                    tables: database.tables.clone(),
                    column: None,
                    identity: database.identity.clone(),
                    read_only: false,
                }),
            }
        })
    }

    fn schema<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _table: &'a VersionTable,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Schema, ProbeError>> {
        let (place, name) = named(endpoint);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match world.databases.get(&name) {
                Some(database) if !database.down => Ok(Self::schema_of(database)),
                _ => Err(ProbeError::Unreachable { place, why: NoAnswer::Refused }),
            }
        })
    }

    fn sizes<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _table: &'a VersionTable,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Sizes, ProbeError>> {
        let (place, name) = named(endpoint);
        Box::pin(async move {
            let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match world.databases.get(&name) {
                Some(database) if !database.down => {
                    let one = || TableSize { rows: 1, ..TableSize::default() };
                    let there = std::iter::once(GOODS.to_owned()).chain(database.tables.iter().cloned());
                    Ok(there.map(|table| (table, one())).collect())
                }
                _ => Err(ProbeError::Unreachable { place, why: NoAnswer::Refused }),
            }
        })
    }
}

impl Simulated {
    /// As many objects as it takes to tell two schemas apart.
    pub(super) fn schema_of(database: &Database) -> Schema {
        let rows = database.rows.clone().unwrap_or_default();
        let of_revisions = rows.iter().map(|row| format!("of_{row}"));
        // What a revision may drop is there.
        let names = of_revisions.chain(database.tables.iter().cloned()).chain(std::iter::once(GOODS.to_owned()));
        let objects = names.map(|name| ("table".to_owned(), name, String::new()));
        Schema { catalog: Catalog::new("postgresql 15".to_owned(), objects), rows, migrating: database.working > 0 }
    }
}

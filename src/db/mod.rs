//! The operator's own look at a database: one short read-only connection, closed again; does network I/O.

mod baseline;
mod budget;
mod endpoint;
mod engines;
mod error;
mod fingerprint;
pub mod fleet;
mod fleet_mysql;
mod hosts;
mod parameters;
mod relay;
mod rows;
mod url;

pub use baseline::{Baseline, TooLarge, fingerprint};
pub use endpoint::{CA_FILE, Dialect, Endpoint, TlsMode};
pub use engines::{catalog_queries, has_catalog};
pub use error::{NoAnswer, ProbeError, UrlError};
pub use fingerprint::{ALGORITHM, Catalog, Definition, Exclude, Fingerprint, Incomparable, Objects, compare};
pub use hosts::{AllowedHosts, Entry as AllowedHost};
pub use rows::RowFault;
pub use url::{dialect_name, dialect_of, scheme_of, secret_texts};

use futures::future::BoxFuture;
use relay::Way;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Where the version rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTable {
    /// `None` for whatever schema the connection finds the table in, as Alembic does.
    pub schema: Option<String>,
    pub name: String,
    /// Whether the width of its column matters.
    pub measure: bool,
}

/// Alembic makes its column as wide as this (`version_num VARCHAR(32)`); only a longer id makes its width matter.
pub const ALEMBICS_WIDTH: usize = 32;

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// SQLAlchemy's name of the dialect.
    pub dialect: String,
    /// The server's version; text from outside.
    pub server_version: String,
    pub rows: VersionRows,
    /// Some other tables that are there; looked for only where there are no rows.
    pub tables: Vec<String>,
    /// How many characters a row of the version table can have; looked for only where an id may be too long.
    pub column: Option<u32>,
    /// The server's own name for this database, where it tells one that lasts. A database that was put in this one's place
    /// under the same host, port and name has another.
    pub identity: Option<String>,
    /// Whether the server takes no writes now: a replica, or one that was set so.
    pub read_only: bool,
}

/// The content of the version table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionRows {
    NoTable,
    /// The rows as a set: Alembic gives them no order. Empty means base.
    Rows(BTreeSet<String>),
}

impl VersionRows {
    /// Whether no revision is recorded.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::NoTable => true,
            Self::Rows(rows) => rows.is_empty(),
        }
    }

    /// The revisions that are recorded.
    pub fn into_set(self) -> BTreeSet<String> {
        match self {
            Self::NoTable => BTreeSet::new(),
            Self::Rows(rows) => rows,
        }
    }
}

/// A schema, with what was so at the same moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub catalog: Catalog,
    /// The version rows; none where there is no table.
    pub rows: BTreeSet<String>,
    /// Whether somebody migrates it right now, and the schema may be in between.
    pub migrating: bool,
}

/// What a lock on a table may cost, by the tables' names.
pub type Sizes = HashMap<String, TableSize>;

/// What is known of a table before a plan changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    /// About how many rows it has.
    pub rows: u64,
    /// Its indexes that no query uses, as PostgreSQL calls invalid: what a failed CREATE INDEX CONCURRENTLY leaves.
    pub invalid_indexes: Vec<String>,
}

/// Who reads the version rows: [`Network`], or what a test puts in its place.
pub trait Prober: Send + Sync {
    /// Reads the version rows, in `timeout` at the most.
    fn probe<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        table: &'a VersionTable,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Snapshot, ProbeError>>;

    /// Reads the schema, in `timeout` at the most.
    fn schema<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        table: &'a VersionTable,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Schema, ProbeError>>;

    /// Reads how large tables are, in `timeout` at the most.
    fn sizes<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        table: &'a VersionTable,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Sizes, ProbeError>>;
}

/// Looks at real databases.
pub struct Network;

impl Prober for Network {
    fn probe<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        table: &'a VersionTable,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Snapshot, ProbeError>> {
        Box::pin(probe(endpoint, table, timeout))
    }

    fn schema<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        table: &'a VersionTable,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Schema, ProbeError>> {
        Box::pin(schema(endpoint, table, timeout))
    }

    fn sizes<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        table: &'a VersionTable,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Sizes, ProbeError>> {
        Box::pin(sizes(endpoint, table, timeout))
    }
}

/// Reads the version rows. The whole look takes `timeout` at the most, and the server gives up by itself soon after
/// the client does. The connection is never used again, least of all after a timeout.
pub async fn probe(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Snapshot, ProbeError> {
    in_time(endpoint, timeout, engines::probe(endpoint, table, timeout)).await
}

/// Reads every object of the schema, in `timeout` at the most; the version table is none of them.
pub async fn schema(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Schema, ProbeError> {
    in_time(endpoint, timeout, engines::schema(endpoint, table, timeout)).await
}

/// Reads about how many rows each table has, in `timeout` at the most.
async fn sizes(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Sizes, ProbeError> {
    in_time(endpoint, timeout, engines::sizes(endpoint, table, timeout)).await
}

/// What `work` finds on a connection, which is never used again.
async fn on<C: sqlx::Connection, T>(
    mut connection: C,
    work: impl AsyncFnOnce(&mut C) -> Result<T, error::Failure>,
) -> Result<T, error::Failure> {
    let found = work(&mut connection).await?;
    // The answer is there; a goodbye that fails changes nothing.
    let _ = connection.close().await;
    Ok(found)
}

/// Name, rows and invalid indexes of a table, as the catalogs tell them.
type TableRow = (String, i64, Vec<String>);

fn counted(tables: Vec<TableRow>) -> Sizes {
    let size = |rows, invalid_indexes| TableSize { rows: u64::try_from(rows).unwrap_or(0), invalid_indexes };
    tables.into_iter().map(|(table, rows, invalid)| (table, size(rows, invalid))).collect()
}

/// What `connect` makes of the first server with which it succeeds. One that does not answer takes no more than its part
/// of the time.
async fn first_of<'a, T>(
    endpoint: &'a Endpoint,
    timeout: Duration,
    connect: impl Fn(&'a endpoint::Server, Way) -> BoxFuture<'a, Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    let parts = u32::try_from(endpoint.servers.len()).unwrap_or(u32::MAX).max(1);
    let mut failed = None;
    for server in &endpoint.servers {
        let connected = async {
            let way = match &endpoint.allowed {
                Some(hosts) => {
                    let place = endpoint.place();
                    let addresses = hosts.addresses(&endpoint.address(server), server.port, &place).await?;
                    Way::to(endpoint.dialect, &addresses, &place).await?
                }
                None => Way::default(),
            };
            connect(server, way).await
        };
        match in_time(endpoint, timeout / parts, connected).await {
            Err(error) if error.is_of_one_server() => failed = Some(error),
            result => return result,
        }
    }
    Err(failed.unwrap_or_else(|| ProbeError::Unreachable { place: endpoint.place(), why: NoAnswer::UnknownName }))
}

async fn in_time<T>(
    endpoint: &Endpoint,
    timeout: Duration,
    look: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    match tokio::time::timeout(timeout, look).await {
        Ok(answer) => answer,
        Err(_) => Err(ProbeError::Timeout { place: endpoint.place(), seconds: timeout.as_secs() }),
    }
}

/// The version table, fit to be shown.
fn shown(table: &VersionTable) -> String {
    let name = match &table.schema {
        Some(schema) => format!("{schema}.{}", table.name),
        None => table.name.clone(),
    };
    crate::text::clean(&name, 128)
}

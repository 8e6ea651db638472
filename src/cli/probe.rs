//! `alembic-operator probe`: prints what the operator reads of a database at each look; does network I/O.

use super::print;
use crate::{
    db::{self, Endpoint, Network, Prober, Schema, Sizes, Snapshot, VersionRows, VersionTable},
    reconcile::Before,
};
use anyhow::Context as _;
use clap::Args;
use secrecy::SecretString;
use serde_json::json;
use std::{process::ExitCode, time::Duration};

/// Which database, and how long it may take.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Name of the environment variable that holds the database's URL.
    #[arg(long, value_name = "VARIABLE")]
    url_env: String,
    /// Name of the version table, which is no part of the schema.
    #[arg(long, default_value = "alembic_version")]
    version_table: String,
    /// Seconds that the whole look may take.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

impl Place {
    /// The database, its version table, and the time.
    pub(super) fn read(self) -> anyhow::Result<(Endpoint, VersionTable, Duration)> {
        let url = std::env::var(&self.url_env).with_context(|| format!("the variable {} is not set", self.url_env))?;
        let endpoint = Endpoint::parse(&SecretString::from(url))?;
        let table = VersionTable { schema: None, name: self.version_table, measure: true };
        Ok((endpoint, table, Duration::from_secs(self.timeout)))
    }
}

/// What the linter is told of a live database.
pub(super) struct Live {
    snapshot: Snapshot,
    pub(super) sizes: Sizes,
    schema: Schema,
}

impl Live {
    pub(super) fn before(&self) -> Before<'_> {
        Before { snapshot: Some(&self.snapshot), sizes: Some(&self.sizes), schema: Some(&self.schema.catalog) }
    }
}

/// Reads a live database's tables.
pub(super) fn live(url_env: &str, version_table: &str) -> anyhow::Result<Live> {
    let place = Place { url_env: url_env.to_owned(), version_table: version_table.to_owned(), timeout: 30 };
    let (endpoint, table, timeout) = place.read()?;
    let look = async {
        let snapshot = Network.probe(&endpoint, &table, timeout).await?;
        let sizes = Network.sizes(&endpoint, &table, timeout).await?;
        let schema = Network.schema(&endpoint, &table, timeout).await?;
        anyhow::Ok(Live { snapshot, sizes, schema })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // On a thread of its own: whoever calls may have a runtime already.
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(look)).join())
        .map_err(|_| anyhow::anyhow!("the look at the database failed"))?
}

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    place: Place,
}

pub(super) fn execute(args: ProbeArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(probe(args))
}

async fn probe(args: ProbeArgs) -> anyhow::Result<ExitCode> {
    let (endpoint, table, timeout) = args.place.read()?;
    let found = db::probe(&endpoint, &table, timeout).await?;
    let rows = match found.rows {
        VersionRows::NoTable => None,
        VersionRows::Rows(rows) => Some(rows),
    };
    let shown = json!({
        "dialect": found.dialect,
        "serverVersion": found.server_version,
        "identity": found.identity,
        "readOnly": found.read_only,
        "rows": rows,
        "columnWidth": found.column,
        "otherTables": found.tables,
    });
    print(&(serde_json::to_string_pretty(&shown)? + "\n"))
}

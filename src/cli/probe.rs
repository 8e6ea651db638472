//! `alembic-operator probe`: prints what the operator reads of a database at each look; does network I/O.

use super::print;
use crate::db::{self, Endpoint, VersionRows, VersionTable};
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

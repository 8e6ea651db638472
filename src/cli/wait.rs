//! `alembic-operator wait`: the gate for images without Alembic; waits until a database has a revision; does network I/O.

use crate::{
    db::{self, Endpoint, VersionRows, VersionTable},
    jobs::{GRAPH_FILE, GateGraph, STATE_FILE},
};
use anyhow::Context as _;
use clap::Args;
use secrecy::SecretString;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Between two looks at the database.
const INTERVAL: Duration = Duration::from_secs(1);
/// A look that takes longer is given up, and a new one begun.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// Name of the environment variable that holds the database's URL.
    #[arg(long, value_name = "VARIABLE")]
    url_env: String,
    /// The revision that the database must have, or have passed; a full id, and several are separated by commas.
    #[arg(long, value_name = "ID", required = true, value_delimiter = ',')]
    revision: Vec<String>,
    /// Folder where the ConfigMap NAME-gate is mounted: its graph tells which revisions come after which.
    #[arg(long, default_value = "/gate")]
    gate: PathBuf,
    /// Fail after so many seconds; 0 waits for ever.
    #[arg(long, default_value_t = 0)]
    timeout: u64,
    /// Name of the version table; by default as the operator found it, else alembic_version.
    #[arg(long)]
    version_table: Option<String>,
    /// Schema of the version table; by default as the operator found it.
    #[arg(long)]
    version_table_schema: Option<String>,
}

pub(super) fn execute(args: WaitArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut asked = super::Asked::new()?;
        tokio::select! {
            code = wait(args) => code,
            stopped = asked.wait() => stopped.map(|()| ExitCode::FAILURE).map_err(Into::into),
        }
    })
}

async fn wait(args: WaitArgs) -> anyhow::Result<ExitCode> {
    let url = std::env::var(&args.url_env).with_context(|| format!("the variable {} is not set", args.url_env))?;
    let endpoint = Endpoint::parse(&SecretString::from(url))?;
    let begun = Instant::now();
    let mut said = String::new();
    loop {
        let (open, line) = match look(&args, &endpoint).await {
            Ok((open, line)) => (open, line),
            Err(error) => (false, format!("waits: the database cannot be read: {error}{}", present(&args.gate))),
        };
        if line != said {
            writeln!(std::io::stdout(), "{line}")?;
            said = line;
        }
        if open {
            return Ok(ExitCode::SUCCESS);
        }
        if args.timeout > 0 && begun.elapsed() >= Duration::from_secs(args.timeout) {
            writeln!(std::io::stdout(), "gave up: {said}")?;
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn look(args: &WaitArgs, endpoint: &Endpoint) -> Result<(bool, String), db::ProbeError> {
    let graph = graph(&args.gate);
    let table = VersionTable {
        schema: args.version_table_schema.clone().or_else(|| graph.version_table_schema.clone()),
        name: args
            .version_table
            .clone()
            .or_else(|| graph.version_table.clone())
            .unwrap_or_else(|| "alembic_version".to_owned()),
        measure: false,
    };
    let rows = match db::probe(endpoint, &table, PATIENCE).await?.rows {
        VersionRows::NoTable => BTreeSet::new(),
        VersionRows::Rows(rows) => rows,
    };
    let (open, line) = verdict(&graph, &args.revision, &rows);
    Ok((open, if open { line } else { line + &present(&args.gate) }))
}

/// Whether every wanted revision is among the rows or their ancestors.
fn verdict(graph: &GateGraph, wanted: &[String], rows: &BTreeSet<String>) -> (bool, String) {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&String> = rows.iter().collect();
    while let Some(revision) = todo.pop() {
        if reached.insert(revision) {
            todo.extend(graph.parents.get(revision).into_iter().flatten());
        }
    }
    let there = if rows.is_empty() { "base".to_owned() } else { listed(rows) };
    let missing: BTreeSet<String> = wanted.iter().filter(|id| !reached.contains(id)).cloned().collect();
    if missing.is_empty() {
        return (true, format!("open: the database is at {there}"));
    }
    let unknown: BTreeSet<String> = rows.iter().filter(|row| !graph.parents.contains_key(*row)).cloned().collect();
    let unknown = match unknown.is_empty() {
        true => String::new(),
        false => format!("; the operator does not know {}", listed(&unknown)),
    };
    (false, format!("waits: the database is at {there}, and {} is needed{unknown}", listed(&missing)))
}

fn listed(ids: &BTreeSet<String>) -> String {
    ids.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
}

/// What the operator keeps; empty where nothing can be read, and then only the rows themselves count.
fn graph(folder: &Path) -> GateGraph {
    std::fs::read(folder.join(GRAPH_FILE)).ok().and_then(|packed| GateGraph::unpack(&packed)).unwrap_or_default()
}

/// What the operator last said of the DatabaseMigration; it comes a minute late.
fn present(folder: &Path) -> String {
    let state =
        std::fs::read(folder.join(STATE_FILE)).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let text = |key: &str| state.as_ref().and_then(|state| state[key].as_str());
    match (text("object"), text("reason"), text("message")) {
        (Some(object), Some(reason), Some(message)) => format!("; {object} was last {reason}: {message}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn opens(wanted: &[&str], rows: &[&str]) -> bool {
        let parents = [("a", &[][..]), ("b", &["a"]), ("c", &["a"]), ("m", &["b", "c"])];
        let parents = parents.iter().map(|(id, down)| ((*id).to_owned(), ids(down))).collect();
        let graph = GateGraph { parents, ..GateGraph::default() };
        verdict(&graph, &ids(wanted), &ids(rows).into_iter().collect()).0
    }

    #[test]
    fn a_database_with_the_revision_or_past_it_opens_the_gate() {
        assert!(opens(&["b"], &["b"]) && opens(&["b"], &["m"]) && opens(&["b", "c"], &["b", "c"]));
        assert!(!opens(&["b"], &[]) && !opens(&["b"], &["c"]) && !opens(&["b", "c"], &["b"]));
    }

    #[test]
    fn a_row_that_nobody_knows_keeps_it_shut() {
        assert!(!opens(&["b"], &["z"]));
        assert!(opens(&["z"], &["z"]));
    }
}

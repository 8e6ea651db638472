//! `alembic-operator fingerprint`: prints the hashes of a schema's objects, or how they differ from earlier ones; does network
//! I/O.

use super::print;
use crate::db::{self, Endpoint, Exclude, Fingerprint, VersionTable};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

#[derive(Debug, Args)]
pub(super) struct FingerprintArgs {
    /// Name of the environment variable that holds the database's URL.
    #[arg(long, value_name = "VARIABLE")]
    url_env: String,
    /// Name of the version table, which is no part of the schema.
    #[arg(long, default_value = "alembic_version")]
    version_table: String,
    /// An object that is left out, as in spec.drift.exclude; may be given several times.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// A fingerprint in JSON, as an earlier call has printed it.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Seconds that the whole look may take.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The exit code for a schema that is not as it was.
const DIFFERENT: u8 = 3;

pub(super) fn execute(args: FingerprintArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(fingerprint(args))
}

async fn fingerprint(args: FingerprintArgs) -> anyhow::Result<ExitCode> {
    let url = std::env::var(&args.url_env).with_context(|| format!("the variable {} is not set", args.url_env))?;
    let endpoint = Endpoint::parse(&SecretString::from(url))?;
    let expected = args.compare.as_deref().map(read_fingerprint).transpose()?;
    let table = VersionTable { schema: None, name: args.version_table, measure: false };
    let schema = db::schema(&endpoint, &table, Duration::from_secs(args.timeout)).await?;
    if schema.migrating {
        writeln!(std::io::stderr(), "a migration of this database is running: its schema may be in between")?;
    }
    let found = schema.catalog;
    let exclude = Exclude::new(&args.exclude);
    let Some(expected) = expected else {
        let found = Fingerprint::of(&found, &exclude);
        let lines = found.objects.iter().map(|(object, hash)| format!("{hash} {object}\n"));
        let text = match args.format {
            Format::Json => serde_json::to_string_pretty(&found)? + "\n",
            Format::Text => lines.collect::<String>() + &format!("{} {}\n", found.fingerprint, found.engine),
        };
        return print(&text);
    };
    let differences = expected.compare(&found, &exclude)?;
    let lines = differences.iter().map(|d| format!("{} {}\n", d.change.as_str(), d.object));
    print(&match args.format {
        Format::Json => serde_json::to_string_pretty(&differences)? + "\n",
        Format::Text => lines.collect(),
    })?;
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn read_fingerprint(file: &Path) -> anyhow::Result<Fingerprint> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--compare {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a fingerprint in JSON", file.display()))
}

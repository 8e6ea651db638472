//! `alembic-operator fingerprint`: prints the hashes of a schema's objects, or how they differ from earlier ones; does network
//! I/O.

use super::{print, probe::Place};
use crate::db::{self, Catalog, Exclude, Fingerprint};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub struct FingerprintArgs {
    #[command(flatten)]
    place: Place,
    /// An object that is left out, as in spec.drift.exclude; may be given several times.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// A fingerprint in JSON, as an earlier call has printed it.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The exit code for a schema that is not as it was.
const DIFFERENT: u8 = 3;

pub(super) fn execute(args: FingerprintArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(fingerprint(args)).map(ExitCode::from)
}

/// Prints it, and returns the exit code.
pub async fn fingerprint(args: FingerprintArgs) -> anyhow::Result<u8> {
    let (endpoint, table, timeout) = args.place.read()?;
    let expected = args.compare.as_deref().map(read_fingerprint).transpose()?;
    let schema = db::schema(&endpoint, &table, timeout).await?;
    if schema.migrating {
        writeln!(std::io::stderr(), "a migration of this database is running: its schema may be in between")?;
    }
    let found = schema.catalog;
    let exclude = Exclude::new(&args.exclude);
    let Some(expected) = expected else {
        return match args.format {
            Format::Json => {
                print(&(serde_json::to_string_pretty(&Fingerprint::of(&found, &exclude))? + "\n"))?;
                Ok(0)
            }
            Format::Text => lines(&found, &exclude),
        };
    };
    let differences = expected.compare(&found, &exclude)?;
    let lines = differences.iter().map(|d| format!("{} {}\n", d.change.as_str(), d.object));
    print(&match args.format {
        Format::Json => serde_json::to_string_pretty(&differences)? + "\n",
        Format::Text => lines.collect(),
    })?;
    Ok(if differences.is_empty() { 0 } else { DIFFERENT })
}

/// Line by line: a large schema is not in memory once more as a text.
fn lines(found: &Catalog, exclude: &Exclude) -> anyhow::Result<u8> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let whole = Fingerprint::over(found, exclude, |object, hash| {
        if written.is_ok() {
            written = writeln!(out, "{hash} {object}");
        }
    });
    written?;
    writeln!(out, "{whole} {}", found.engine)?;
    out.flush()?;
    Ok(0)
}

fn read_fingerprint(file: &Path) -> anyhow::Result<Fingerprint> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--compare {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a fingerprint in JSON", file.display()))
}

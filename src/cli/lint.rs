//! `alembic-operator lint`: reads a file or standard input and prints what the linter finds; no network.

use crate::lint::{Allow, Dialect, Input, Severity, lint, output};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::{
    fs,
    io::{self, Read, Write},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// A file with SQL; `-` reads standard input.
    file: String,
    /// Whose SQL it is.
    #[arg(long, value_enum)]
    dialect: Dialect,
    /// How the findings are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The exit code is 1 when a finding is at least this bad.
    #[arg(long, value_enum, default_value = "high")]
    fail_on: FailOn,
    /// Alembic's version table; what happens to its rows is no hazard.
    #[arg(long, value_name = "NAME", default_value = "alembic_version")]
    version_table: String,
    /// A hazard that is meant: CODE[:REVISION]=REASON. May be given several times.
    #[arg(long, value_name = "ALLOW")]
    allow: Vec<Allow>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    Never,
}

impl FailOn {
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Never => None,
        }
    }
}

/// Found something at or above the threshold.
const FOUND: u8 = 1;
/// As clap does for a wrong command line.
const UNUSABLE: u8 = 2;

pub(super) fn execute(args: &LintArgs) -> anyhow::Result<ExitCode> {
    let sql = match read(&args.file) {
        Ok(sql) => sql,
        Err(error) => {
            writeln!(io::stderr(), "Error: {error:#}")?;
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    let mut input = Input::file(args.dialect, sql);
    input.version_table.clone_from(&args.version_table);
    input.allows.clone_from(&args.allow);
    let report = lint(&input)?;
    let name = if args.file == "-" { "stdin" } else { &args.file };
    let shown = match args.format {
        Format::Text => output::text(&report, name),
        Format::Json => format!("{:#}\n", output::json(&report)),
        Format::Sarif => format!("{:#}\n", output::sarif(&report, name)),
    };
    io::stdout().write_all(shown.as_bytes())?;
    let fails = args.fail_on.severity().is_some_and(|threshold| report.worst() >= Some(threshold));
    Ok(if fails { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// The SQL. Bytes that are no UTF-8 stand in strings and comments only, and are shown as such.
fn read(file: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if file == "-" {
        io::stdin().read_to_end(&mut bytes).context("standard input can't be read")?;
    } else {
        bytes = fs::read(file).with_context(|| format!("{file} can't be read"))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

//! `alembic-operator lint`: reads a file or standard input and prints what the linter finds; no network.

use crate::lint::{Allow, Catalog, Dialect, Input, Severity, lint, output};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::{
    fs,
    io::{self, Read, Write},
};

#[derive(Debug, Args)]
pub struct LintArgs {
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
    /// A file with what the database has, as JSON: tables by name, each with columns (name, type, nullable, default),
    /// constraints and indexes.
    #[arg(long, value_name = "FILE")]
    catalog: Option<String>,
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

/// Prints what is found, and returns the exit code.
pub fn execute(args: &LintArgs) -> anyhow::Result<u8> {
    let known = args.catalog.as_deref().map(catalog).transpose();
    let (sql, catalog) = match read(&args.file).and_then(|sql| Ok((sql, known?))) {
        Ok(read) => read,
        Err(error) => {
            writeln!(io::stderr(), "Error: {error:#}")?;
            return Ok(UNUSABLE);
        }
    };
    let mut input = Input::file(args.dialect, sql);
    input.catalog = catalog.unwrap_or_default();
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
    Ok(if fails { FOUND } else { 0 })
}

/// What the database has.
fn catalog(file: &str) -> anyhow::Result<Catalog> {
    let text = fs::read(file).with_context(|| format!("{file} can't be read"))?;
    serde_json::from_slice(&text).with_context(|| format!("{file} is no catalog"))
}

/// The SQL.
fn read(file: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if file == "-" {
        io::stdin().read_to_end(&mut bytes).context("standard input can't be read")?;
    } else {
        bytes = fs::read(file).with_context(|| format!("{file} can't be read"))?;
    }
    decoded(&bytes).with_context(|| format!("{file} is no text in UTF-8 or in UTF-16 with a byte order mark"))
}

/// A text by its byte order mark: PowerShell writes UTF-16. Other bytes that are no UTF-8 stand in strings and comments
/// only, and are shown as such; but a NUL tells of an encoding in which no word would be found.
fn decoded(bytes: &[u8]) -> Option<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks(2).map(|pair| unit([pair[0], pair.get(1).copied().unwrap_or_default()]));
        char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    let text: String = match bytes {
        [0xff, 0xfe, text @ ..] => wide(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => wide(text, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    (!text.contains('\0')).then_some(text)
}

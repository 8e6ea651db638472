//! `alembic-operator lint`: reads a file, standard input or a project and prints what the linter finds; no network, unless
//! a live database is asked what its columns are.

mod project;

use super::probe::{Live, live};
use crate::{
    api::AllowedHazard,
    jobs::Revision,
    lint::{
        Allow, Catalog, Dialect, Input, Report, Severity, lint,
        output::{self, Places},
    },
    reconcile::{between, judge},
    revisions::Target,
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug, Args)]
pub struct LintArgs {
    /// A file with SQL; `-` reads standard input.
    #[arg(required_unless_present = "project")]
    file: Option<String>,
    /// Whose SQL it is. A project tells it by itself.
    #[arg(long, value_enum, required_unless_present = "project")]
    dialect: Option<Dialect>,
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
    /// Name of the environment variable that holds the URL of a live database: its tables tell what a change of them does.
    /// It is only read.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "catalog")]
    url_env: Option<String>,
    #[command(flatten)]
    project: project::ProjectArgs,
    /// A hazard that is intended: CODE[:REVISION]=REASON. May be given several times.
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
    let judged = match &args.project.project {
        Some(folder) => of_project(args, folder),
        None => of_file(args),
    };
    let (report, places) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            writeln!(io::stderr(), "Error: {error:#}")?;
            return Ok(UNUSABLE);
        }
    };
    let shown = match args.format {
        Format::Text => output::text(&report, &places),
        Format::Json => format!("{:#}\n", output::json(&report, &places)),
        Format::Sarif => format!("{:#}\n", output::sarif(&report, &places)),
    };
    io::stdout().write_all(shown.as_bytes())?;
    let fails = args.fail_on.severity().is_some_and(|threshold| report.worst() >= Some(threshold));
    Ok(if fails { FOUND } else { 0 })
}

fn of_file(args: &LintArgs) -> anyhow::Result<(Report, Places)> {
    let (Some(file), Some(dialect)) = (&args.file, args.dialect) else { anyhow::bail!("there is no file") };
    let sql = read(file)?;
    let live = args.url_env.as_deref().map(|name| live(name, &args.version_table)).transpose()?;
    let mut input = Input::file(dialect, sql);
    if let Some(live) = &live {
        let sql = input.sections.iter().map(|section| section.sql.as_str());
        input.catalog = live.before().catalog(dialect, sql, &args.version_table);
        input.rows = live.sizes.iter().map(|(table, size)| (table.clone(), size.rows)).collect();
    }
    if let Some(file) = &args.catalog {
        input.catalog = catalog(file)?;
    }
    input.version_table.clone_from(&args.version_table);
    input.allows.clone_from(&args.allow);
    let name = if file == "-" { "stdin" } else { file };
    Ok((lint(&input)?, Places::file(name)))
}

/// A project's revisions, judged as the operator does it.
fn of_project(args: &LintArgs, folder: &Path) -> anyhow::Result<(Report, Places)> {
    let (from, to) = args.project.range.split_once(':').context("--range is FROM:TO, such as base:heads")?;
    let image = Arc::new(project::inspected(&args.project, folder, args.url_env.as_deref())?);
    let graph = image.graph.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let rows: BTreeSet<String> = match from.trim() {
        "" | "base" => BTreeSet::new(),
        from => graph.resolve(from)?.into_iter().collect(),
    };
    let target = Target::parse(if to.trim().is_empty() { "heads" } else { to }).context("--range")?;
    let chosen = between(&image, &rows, &target).map_err(|problem| anyhow::anyhow!(problem.message))?;
    // SQLite's file is its own; it is not asked.
    let server = args.url_env.as_deref().filter(|_| image.inspection.dialect != "sqlite");
    let live = server.map(|name| live(name, &image.inspection.version_table)).transpose()?;
    let before = live.as_ref().map(Live::before).unwrap_or_default();
    let allowed: Vec<AllowedHazard> = args.allow.iter().map(allowed).collect();
    let scripts = chosen.revisions().next().map(|revision| scripts_of(folder, &revision.file)).unwrap_or_default();
    let file = |revision: &Revision| (revision.id.clone(), from_here(&scripts, &revision.file));
    let places = Places { name: folder.display().to_string(), revisions: chosen.revisions().map(file).collect() };
    Ok((judge(&chosen, &allowed, &before, false, None).report, places))
}

/// A revision's file, as one would open it from here: its name is relative to the script directory.
fn from_here(scripts: &Path, file: &str) -> String {
    let path = scripts.join(file);
    let here = env::current_dir().ok();
    let near = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(&path);
    near.display().to_string()
}

/// The script directory, as far as it can be found: the nearest folder that has this file.
fn scripts_of(folder: &Path, file: &str) -> PathBuf {
    let mut level = vec![folder.to_path_buf()];
    for _ in 0..DEEP {
        if let Some(found) = level.iter().find(|folder| folder.join(file).is_file()) {
            return found.clone();
        }
        let inside = level.iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
        level = inside.filter(|path| path.is_dir()).collect();
    }
    folder.to_path_buf()
}

/// Levels of folders that are searched, as `app/db/migrations`.
const DEEP: usize = 4;

fn allowed(allow: &Allow) -> AllowedHazard {
    AllowedHazard {
        code: allow.code.as_str().to_owned(),
        revision: allow.revision.clone(),
        reason: allow.reason.clone(),
    }
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

//! A project's own SQL, rendered by the runner as an inspection does it, for the command line; starts Python, and env.py
//! may connect to a database. Nothing is run.

use crate::jobs::{Inspected, Inspection, Joiner, Report, runner_files};
use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A project, and how it is loaded.
#[derive(Debug, Args)]
pub(super) struct ProjectArgs {
    /// An Alembic project instead of a file: its folder, in which the runner renders the SQL of the range. env.py
    /// connects as it always does.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "catalog"])]
    pub(super) project: Option<PathBuf>,
    /// From which revision to which, as FROM:TO; from a newer one to an older one it is a downgrade.
    #[arg(long, value_name = "FROM:TO", default_value = "base:heads", requires = "project")]
    pub(super) range: String,
    /// The Python that has the project's packages.
    #[arg(long, value_name = "PROGRAM", default_value = "python3", requires = "project")]
    python: String,
    /// Alembic's configuration file, where it is not alembic.ini.
    #[arg(long, value_name = "FILE", requires = "project")]
    config: Option<String>,
    /// An argument for env.py, as `alembic -x` has it. May be given several times.
    #[arg(short = 'x', long = "argument", value_name = "KEY=VALUE", requires = "project")]
    arguments: Vec<String>,
}

/// What the runner calls the lack of Alembic.
const MISSING: &str = "AlembicMissing";

/// A program that is named by a path is meant from here, and not from the project's folder.
fn from_here(program: &str) -> anyhow::Result<PathBuf> {
    match program.contains(std::path::MAIN_SEPARATOR) {
        true => std::path::absolute(program).with_context(|| format!("{program} is no path")),
        false => Ok(PathBuf::from(program)),
    }
}

/// Renders the revisions of a project. `url_env` is the variable that carries the database's URL to env.py.
pub(super) fn inspected(args: &ProjectArgs, folder: &Path, url_env: Option<&str>) -> anyhow::Result<Inspected> {
    let place = std::env::temp_dir().join(format!("alembic-operator-{}", std::process::id()));
    ensure!(folder.is_dir(), "{} is no folder; --project is the one with alembic.ini", folder.display());
    let rendered = rendered(args, folder, url_env, &place);
    // What can't be cleared away is a few files.
    let _ = fs::remove_dir_all(&place);
    Ok(Inspected::new(folder.display().to_string(), None, rendered?))
}

fn rendered(args: &ProjectArgs, folder: &Path, url_env: Option<&str>, place: &Path) -> anyhow::Result<Inspection> {
    for (path, text) in runner_files() {
        let file = place.join("runner").join(path);
        fs::create_dir_all(file.parent().unwrap_or(place))?;
        fs::write(file, text)?;
    }
    let (message, python) = (place.join("message"), from_here(&args.python)?);
    let task = json!({
        "protocol": 1, "action": "inspect", "object": null, "config": args.config, "section": "alembic", "x": args.arguments,
        "url_env": url_env.into_iter().collect::<Vec<_>>(), "driver": null, "connection": null,
        "version_table": null, "version_table_schema": null,
    });
    let output = Command::new(&python)
        .arg(place.join("runner"))
        .current_dir(folder)
        .env("ALEMBIC_OPERATOR_TASK", task.to_string())
        .env("ALEMBIC_OPERATOR_TERMINATION_LOG", &message)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} can't be started; --python names another", args.python))?;
    let report = fs::read_to_string(message).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow!(
            "the runner left no report; the last that it said: {}",
            said.trim_end().lines().last().unwrap_or("nothing")
        )
    })?;
    let report = Report::parse(&report)?;
    match report.error {
        Some(error) if error.class == MISSING => {
            bail!("{} has no Alembic: --python names the one that has the project's packages", args.python)
        }
        Some(error) => bail!("{}: {}", error.class, error.message),
        None => {}
    }
    ensure!(output.status.success(), "the runner ended with {}", output.status);
    let frames = report.frames.context("the runner reported nothing")?;
    let mut joiner = Joiner::new(&frames)?;
    joiner.feed(&output.stdout);
    let payload = joiner.finish()?;
    Ok(Inspection::parse(&payload)?.masked())
}

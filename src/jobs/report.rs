//! Reading of what the runner reports in its termination message. Everything in it is untrusted, since the application's code
//! runs in the same process. No I/O.

use super::{Ended, Frames};
use crate::{
    api::{DriftedObject, Problem, Reason},
    text::{clean, clean_end},
};
use serde::Deserialize;

/// Longest error text that a report may bring into the status.
const MAX_MESSAGE: usize = 900;
/// Objects that a report of differences names.
const MAX_DIFFERENCES: usize = 10;
/// Longest part of a traceback, from its end.
const MAX_DETAIL: usize = 500;

/// The runner's termination message.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report {
    /// Where the runner was when it wrote this.
    pub state: RunState,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<Failure>,
    /// Steps that were completed.
    #[serde(default)]
    pub steps_done: u32,
    /// The step that was being run.
    #[serde(default)]
    pub running: Option<String>,
    /// Whether a step may have begun to change anything.
    #[serde(default)]
    pub started: bool,
    /// Whether all of a failed run is rolled back, by what the connection is.
    #[serde(default)]
    pub transactional: Option<bool>,
    /// Whether something of the running step stood, or would have, without its version row, as far as the runner had come.
    #[serde(default)]
    pub committed: Option<bool>,
    /// Probe only: what was read.
    #[serde(default)]
    pub look: Option<Look>,
    /// Comparison with the models only: how the database differs.
    #[serde(default)]
    pub drift: Option<Differences>,
    /// How to find and check the payload in the log, where there is one.
    #[serde(flatten)]
    pub frames: Option<Frames>,
}

/// What a probe by Job read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Look {
    pub dialect: String,
    pub version: String,
    /// Whether the version table is there.
    pub table: bool,
    pub rows: Vec<String>,
    /// Some other tables, where there are no rows.
    pub tables: Vec<String>,
    /// How many characters a row can have, where the column says so.
    #[serde(default)]
    pub column: Option<u32>,
    /// Why the schema could not be read, where that was asked for.
    #[serde(default)]
    pub catalog_error: Option<String>,
}

/// The schema as a Job read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CatalogReport {
    pub engine: String,
    pub rows: Vec<String>,
    /// Kind, name and definition of each object.
    pub objects: Vec<(String, String, String)>,
}

/// How a database differs from what it should be, by the number of objects and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Differences {
    pub missing: u32,
    pub unexpected: u32,
    pub modified: u32,
    pub objects: Vec<DriftedObject>,
}

/// Where the runner was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Starting,
    Waiting,
    Running,
    Done,
    Refused,
    Failed,
}

/// An error as the runner classifies it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// The runner's class; the reason of the same name.
    pub class: String,
    /// One or two sentences.
    pub message: String,
    /// The revision whose step failed.
    #[serde(default)]
    pub revision: Option<String>,
    /// Last lines of the traceback.
    #[serde(default)]
    pub detail: Option<String>,
    /// Whether the step may have changed something before it failed.
    #[serde(default = "yes")]
    pub changed: bool,
    /// Whether something of a failed run stays in the database without its version row, as the runner saw it; `None`
    /// where it did not come so far, or could not tell.
    #[serde(default)]
    pub committed: Option<bool>,
    /// Address of the session that holds a lock, where the server knows no better name for it.
    #[serde(default)]
    pub holder: Option<String>,
}

fn yes() -> bool {
    true
}

/// Why a report can't be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ReportError {
    #[error("the container ended without a report")]
    Empty,
    #[error("the container's termination message is not the runner's: {0}")]
    Malformed(String),
}

impl Report {
    /// Reads a termination message; texts in it are cut to a length and cleared of control characters.
    pub fn parse(message: &str) -> Result<Self, ReportError> {
        if message.trim().is_empty() {
            return Err(ReportError::Empty);
        }
        let mut report: Self =
            serde_json::from_str(message).map_err(|e| ReportError::Malformed(clean(&e.to_string(), 200)))?;
        if let Some(failure) = &mut report.error {
            failure.class = clean(&failure.class, 64);
            failure.message = clean(failure.message.trim(), MAX_MESSAGE);
            failure.revision = failure.revision.as_deref().map(|r| clean(r, 128));
            failure.detail = failure.detail.as_deref().map(|d| clean_end(d, MAX_DETAIL));
        }
        if let Some(drift) = &mut report.drift {
            drift.objects.truncate(MAX_DIFFERENCES);
            drift.objects.iter_mut().for_each(|difference| difference.object = clean(&difference.object, 200));
        }
        report.running = report.running.as_deref().map(|r| clean(r, 128));
        Ok(report)
    }
}

/// What a Job reported, or why it reported nothing.
pub fn reported(ended: &Ended) -> Result<Report, Problem> {
    let report = ended.report().map_err(|error| no_report(ended, &error))?;
    match report.error {
        Some(failure) => Err(Problem::new(reason_of_class(&failure.class), failure.message)),
        None if report.state == RunState::Done => Ok(report),
        None => Err(cut_short(ended, "before it had read anything")),
    }
}

/// Why a Job that only reads was ended before it had anything to say.
pub(super) fn cut_short(ended: &Ended, when: &str) -> Problem {
    let why = ended.reason.as_deref().filter(|why| !why.is_empty()).unwrap_or("without a word");
    let code = ended.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    Problem::new(Reason::PodFailed, format!("the pod ended ({why}{code}) {when}{}", of_memory(why)))
}

/// What helps where the kubelet's word is that a container took too much memory.
pub(super) fn of_memory(why: &str) -> &'static str {
    if why == "OOMKilled" { "; spec.resources.limits.memory is what it may take" } else { "" }
}

/// Why a Job that only reads left no report.
pub(super) fn no_report(ended: &Ended, error: &ReportError) -> Problem {
    let why = ended.reason.as_deref().unwrap_or_default();
    if let Some(problem) = ended.failed_before() {
        return problem;
    }
    if ended.timed_out {
        let cause = ended.stuck.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
        let message = format!("the pod did not start, or did not end, within its time ({why}){cause}");
        return Problem::new(Reason::PodStuck, message);
    }
    match ended.exit_code {
        Some(code) => {
            Problem::new(Reason::PodFailed, pod_failed(ended.ran, code, why, error, ended.message.as_deref()))
        }
        None => Problem::new(Reason::RunInterrupted, format!("the pod ended early ({why})")),
    }
}

/// The reason that stands for an error class of the runner.
pub fn reason_of_class(class: &str) -> Reason {
    match class {
        "RowsChanged" => Reason::PlanOutdated,
        "StepsChanged" => Reason::ImageChanged,
        "LockTimeout" => Reason::DatabaseLocked,
        other => Reason::parse(other).unwrap_or(Reason::PodFailed),
    }
}

/// What to say of a container that ended without a report.
pub fn pod_failed(ran: bool, code: i32, why: &str, error: &ReportError, message: Option<&str>) -> String {
    let detail = message.map(|m| clean(m, 400)).filter(|m| !m.is_empty());
    match (ran, detail) {
        (false, Some(detail)) => {
            format!("the container could not be started: {detail}; check spec.alembic.command and workingDir")
        }
        (false, None) => {
            format!("the container could not be started ({why}); check spec.alembic.command and workingDir")
        }
        (true, _) => {
            format!("the container ended with exit code {code} ({why}): {error}; see the Job's log{}", of_memory(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_a_killed_runner_says_which_step_ran() {
        let report = Report::parse(
            r#"{"protocol":1,"action":"run","nonce":"ab","state":"running","error":null,"steps_done":1,"last_done":"a","running":"b","started":true,"transactional":true,"rows":null}"#,
        )
        .unwrap();
        assert_eq!((report.state, report.running.as_deref(), report.started), (RunState::Running, Some("b"), true));
        assert_eq!(report.frames, None);
    }

    #[test]
    fn a_job_that_is_ended_while_it_reads_says_why() {
        let of = |why: &str, code: i32, message: &str| {
            let (reason, message) = (Some(why.to_owned()), Some(message.to_owned()));
            reported(&Ended { message, ran: true, exit_code: Some(code), reason, ..Ended::default() }).unwrap_err()
        };
        let told = of("OOMKilled", 137, r#"{"state":"starting"}"#).message;
        assert!(told.starts_with("the pod ended (OOMKilled, exit code 137) before"), "{told}");
        assert!(told.ends_with("spec.resources.limits.memory is what it may take"), "{told}");
        let told = of("OOMKilled", 137, "").message;
        assert!(told.contains("exit code 137 (OOMKilled)") && told.contains("limits.memory"), "{told}");
        assert!(!of("Error", 2, "").message.contains("memory"));
    }

    #[test]
    fn texts_are_cleaned() {
        let report = Report::parse(
            r#"{"state":"failed","error":{"class":"EnvPyFailed","message":"a\u001b[31mb\u0000","detail":null}}"#,
        )
        .unwrap();
        assert_eq!(report.error.unwrap().message, "a[31mb");
    }

    #[test]
    fn anything_else_is_an_error() {
        assert_eq!(Report::parse(" \n"), Err(ReportError::Empty));
        assert!(matches!(Report::parse("Traceback…"), Err(ReportError::Malformed(_))));
        assert!(matches!(Report::parse("[]"), Err(ReportError::Malformed(_))));
    }
}

//! The Job of a run, and how it ended: from what its pod left behind and what the database says now; no I/O.

use super::{
    Ended, JobInput, JobRecord, ReportError, Request, Run,
    job::runner_job,
    pod_template::PodTemplateError,
    report::{Failure, Report, RunState, of_memory, pod_failed, reason_of_class},
    task::Action,
};
use crate::{
    api::{DatabaseMigration, DurationField, Problem, Reason, RunRecord, RunResult, RunStatus},
    text::rows_in_line,
};
use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use std::collections::BTreeSet;

/// A run that may start: only a plan that passed every gate becomes one.
#[derive(Clone, Debug)]
pub struct RunRequest {
    pub record: JobRecord,
    pub run: Run,
}

impl RunRequest {
    pub fn new(object: &DatabaseMigration, record: RunRecord, run: Run) -> Self {
        Self { record: job_record(object, record), run }
    }

    /// The run as the status remembers it.
    pub fn run_record(&self) -> RunRecord {
        match &self.record.request {
            Request::Run { run } => (**run).clone(),
            _ => RunRecord::default(),
        }
    }
}

fn job_record(object: &DatabaseMigration, record: RunRecord) -> JobRecord {
    let (number, plan) = (record.number, record.plan_hash.clone());
    JobRecord::new(object, Request::Run { run: Box::new(record) }, number, plan)
}

/// Name of the Job of a run. It follows from the object, the run's number and its plan.
pub fn run_name(object: &DatabaseMigration, record: &RunRecord) -> String {
    job_record(object, record.clone()).name(object)
}

/// The Job.
pub fn run_job(input: JobInput, request: &RunRequest) -> Result<Job, PodTemplateError> {
    let deadline = DurationField::Run.of(&input.object.spec).and_then(|limit| i64::try_from(limit.as_secs()).ok());
    runner_job(input, &request.record, Action::Run(request.run.clone()), deadline)
}

struct Verdict {
    result: RunResult,
    reason: Option<Reason>,
    revision: Option<String>,
    message: Option<String>,
}

/// A run whose pod has ended, or whose Job is gone.
#[derive(Clone, Copy, Debug)]
pub struct EndedRun<'a> {
    pub record: &'a RunRecord,
    pub job: &'a str,
    /// When its Job was created, where that is known.
    pub created: Option<Timestamp>,
    pub ended: &'a Ended,
    /// Whose run the holder of the lock is that it waited for.
    pub holder: Option<&'a str>,
}

impl EndedRun<'_> {
    /// How it ended. `rows` are the live version rows, where they could be read: what they say counts more than any report.
    pub fn status(&self, rows: Option<&BTreeSet<String>>) -> RunStatus {
        let mut verdict = verdict(self.record, self.ended, rows);
        if let (Some(Reason::DatabaseLocked), Some(message), Some(holder)) =
            (verdict.reason, &mut verdict.message, self.holder)
        {
            *message = format!("{message}, of {holder}");
        }
        RunStatus {
            record: self.record.clone(),
            job: self.job.to_owned(),
            result: verdict.result,
            revision: verdict.revision,
            reason: verdict.reason.map(|r| r.to_string()),
            message: verdict.message,
            started_at: self.created.map(Time),
            finished_at: self.ended.finished_at.or(self.created).map(Time),
        }
    }
}

fn verdict(record: &RunRecord, ended: &Ended, rows: Option<&BTreeSet<String>>) -> Verdict {
    let arrived = rows.map(|rows| rows.iter().eq(record.to.iter().collect::<BTreeSet<_>>()));
    let report = ended.report();
    match report {
        Ok(report) if report.state == RunState::Done => done(arrived, rows),
        Ok(report) => match report.error {
            // The runner was asked to end before its first step, as by a node that is drained.
            Some(failure) if report.state == RunState::Refused && failure.class == "MigrationFailed" => {
                interrupted(failure.message)
            }
            Some(failure) => failed(record, report.state, report.started, failure),
            None => killed(record, &report, ended, arrived),
        },
        Err(_) if arrived == Some(true) => succeeded(),
        Err(error) => match never_began(ended) {
            Some(problem) => refused(problem),
            None => without_report(ended, &error),
        },
    }
}

fn succeeded() -> Verdict {
    Verdict { result: RunResult::Succeeded, reason: None, revision: None, message: None }
}

/// The runner read the rows on a connection of its own; that the operator reads others means that it looks elsewhere.
fn done(arrived: Option<bool>, rows: Option<&BTreeSet<String>>) -> Verdict {
    if arrived != Some(false) {
        return succeeded();
    }
    let rows = rows.map(rows_in_line).unwrap_or_default();
    Verdict {
        result: RunResult::Failed,
        reason: Some(Reason::RolledBack),
        revision: None,
        message: Some(format!(
            "the run ended well, but the operator reads {rows} in the version table: env.py works with another schema, search_path or role than the URL alone gives, or the rows were changed right after the run"
        )),
    }
}

fn failed(record: &RunRecord, state: RunState, started: bool, failure: Failure) -> Verdict {
    let result = if state == RunState::Refused || !started { RunResult::Refused } else { RunResult::Failed };
    let reason = reason_of_class(&failure.class);
    let in_a_step = matches!(
        reason,
        Reason::MigrationFailed | Reason::TableLocked | Reason::StatementTimeout | Reason::DatabaseReadOnly
    );
    // A statement that only waited for a lock did nothing; if it was the step's first, neither did the step.
    let rolled_back = failure.committed.map_or(record.transactional, |committed| !committed);
    let taken_back = rolled_back || reason == Reason::TableLocked && !failure.changed;
    // It is tried again, as whatever was refused before it began.
    let result = if reason == Reason::DatabaseReadOnly && taken_back { RunResult::Refused } else { result };
    let partial = result == RunResult::Failed && in_a_step && !taken_back;
    let left = if partial { PARTIAL } else { "" };
    Verdict {
        result,
        reason: Some(if partial { Reason::PartiallyApplied } else { reason }),
        message: Some(match &failure.revision {
            Some(revision) => format!("revision {revision}: {}{left}", failure.message),
            None => failure.message + left,
        }),
        revision: failure.revision,
    }
}

/// Said where a failed step was not rolled back as a whole.
const PARTIAL: &str = "; what it did before stays, as this database (or an autocommit block) can't take it back";

fn killed(record: &RunRecord, report: &Report, ended: &Ended, arrived: Option<bool>) -> Verdict {
    let why = ended.reason.clone().unwrap_or_else(|| "without a word".to_owned());
    if !report.started {
        return interrupted(format!("the pod ended ({why}) before it began anything{}", of_memory(&why)));
    }
    if arrived == Some(true) {
        return succeeded();
    }
    // What the connection was seen to do counts more than what the files say.
    let rolled_back = match (report.transactional, report.committed) {
        (Some(true), Some(committed)) => !committed,
        _ => record.transactional,
    };
    let step = report.running.as_deref().map_or_else(|| "its last step".to_owned(), |r| format!("revision {r}"));
    Verdict {
        result: RunResult::Failed,
        reason: Some(if rolled_back { Reason::MigrationFailed } else { Reason::PartiallyApplied }),
        revision: report.running.clone(),
        message: Some(format!(
            "the pod was ended ({why}) while {step} was running{}; its statement may still run in the database: see that it has stopped and what it left, then ask for a retry with the annotation alembic-operator.dev/requestedAt",
            of_memory(&why)
        )),
    }
}

fn interrupted(message: String) -> Verdict {
    refused(Problem::new(Reason::RunInterrupted, message))
}

fn refused(problem: Problem) -> Verdict {
    Verdict { result: RunResult::Refused, reason: Some(problem.reason), revision: None, message: Some(problem.message) }
}

/// Why the container of a run never started, where that is certain.
pub(super) fn never_began(ended: &Ended) -> Option<Problem> {
    let given_up = |words: &String| Problem::new(Reason::PodStuck, words.clone());
    ended.failed_before().or_else(|| ended.stuck.as_ref().filter(|_| !ended.ran).map(given_up))
}

fn without_report(ended: &Ended, error: &ReportError) -> Verdict {
    let why = ended.reason.clone().unwrap_or_default();
    let cause = ended.stuck.as_deref().map(|words| format!("; {words}")).unwrap_or_default();
    match (ended.ran, ended.exit_code) {
        (false, None) => interrupted(format!("the pod ended before its container ran ({why})")),
        (ran, Some(code)) => Verdict {
            // The runner reports before it touches anything, so without a report nothing was begun.
            result: RunResult::Failed,
            reason: Some(Reason::PodFailed),
            revision: None,
            message: Some(pod_failed(ran, code, &why, error, ended.message.as_deref()) + &cause),
        },
        (true, None) => Verdict {
            result: RunResult::Lost,
            reason: Some(Reason::RunLost),
            revision: None,
            message: Some(format!("{why}: what the run did is not known")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn status(message: Option<&str>, ran: bool, code: Option<i32>, rows: Option<&[&str]>) -> RunStatus {
        let record = RunRecord {
            number: 2,
            to: vec!["b".into()],
            from: vec!["a".into()],
            transactional: true,
            ..RunRecord::default()
        };
        let ended = Ended {
            message: message.map(Into::into),
            ran,
            exit_code: code,
            reason: Some("OOMKilled".into()),
            ..Ended::default()
        };
        let rows = rows.map(|r| r.iter().map(|r| (*r).to_owned()).collect());
        EndedRun { record: &record, job: "j", created: None, ended: &ended, holder: None }.status(rows.as_ref())
    }

    const DONE: &str = r#"{"state":"done","steps_done":1,"started":true}"#;

    #[test]
    fn an_exit_code_or_a_report_is_not_enough() {
        assert_eq!(status(Some(DONE), true, Some(0), Some(&["b"])).result, RunResult::Succeeded);
        let elsewhere = status(Some(DONE), true, Some(0), Some(&["a"]));
        assert_eq!((elsewhere.result, elsewhere.reason.as_deref()), (RunResult::Failed, Some("RolledBack")));
        assert_eq!(status(Some(""), true, Some(0), Some(&["a"])).reason.as_deref(), Some("PodFailed"));
    }

    #[test]
    fn a_failed_step_is_named() {
        let failed = status(
            Some(
                r#"{"state":"failed","started":true,"running":"b","error":{"class":"MigrationFailed","message":"column exists","revision":"b"}}"#,
            ),
            true,
            Some(1),
            Some(&["a"]),
        );
        assert_eq!((failed.result, failed.revision.as_deref()), (RunResult::Failed, Some("b")));
        assert_eq!(failed.message.as_deref(), Some("revision b: column exists"));
    }

    #[test]
    fn a_kill_is_judged_by_how_far_it_was() {
        let early = status(Some(r#"{"state":"waiting","started":false}"#), true, Some(137), Some(&["a"]));
        assert_eq!((early.result, early.reason.as_deref()), (RunResult::Refused, Some("RunInterrupted")));
        let late = status(Some(r#"{"state":"running","started":true,"running":"b"}"#), true, Some(137), Some(&["a"]));
        assert_eq!((late.result, late.reason.as_deref()), (RunResult::Failed, Some("MigrationFailed")));
        let autocommit = r#"{"state":"running","started":true,"running":"b","transactional":true,"committed":true}"#;
        let measured = status(Some(autocommit), true, Some(137), Some(&["a"]));
        assert_eq!(measured.reason.as_deref(), Some("PartiallyApplied"), "what was seen on the connection counts");
        let committed =
            status(Some(r#"{"state":"running","started":true,"running":"b"}"#), true, Some(137), Some(&["b"]));
        assert_eq!(committed.result, RunResult::Succeeded);
    }

    #[test]
    fn a_runner_that_was_stopped_before_its_first_step_is_started_again() {
        let message = r#"{"state":"refused","error":{"class":"MigrationFailed","message":"stopped by SIGTERM"}}"#;
        let stopped = status(Some(message), true, Some(3), Some(&["a"]));
        assert_eq!((stopped.result, stopped.reason.as_deref()), (RunResult::Refused, Some("RunInterrupted")));
    }

    #[test]
    fn a_pod_that_never_ran_is_tried_again() {
        let evicted = status(None, false, None, Some(&["a"]));
        assert_eq!((evicted.result, evicted.reason.as_deref()), (RunResult::Refused, Some("RunInterrupted")));
        let no_such_command = status(Some("exec: \"uv\": not found"), false, Some(128), Some(&["a"]));
        assert_eq!(no_such_command.reason.as_deref(), Some("PodFailed"));
        assert!(no_such_command.message.unwrap().contains("uv"));
    }

    #[test]
    fn classes_of_the_runner_become_reasons() {
        assert_eq!(reason_of_class("StepsChanged"), Reason::ImageChanged);
        assert_eq!(reason_of_class("ExternalTransaction"), Reason::ExternalTransaction);
        assert_eq!(reason_of_class("<script>"), Reason::PodFailed);
    }
}

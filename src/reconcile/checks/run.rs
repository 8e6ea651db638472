//! How a run ended, from what its pod left behind and what the database says now; no I/O.

use crate::{
    api::{Reason, RunResult, RunStatus},
    jobs::{Ended, Failure, PodState, Report, ReportError, RunRecord, RunState},
    reconcile::observed::RunView,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeSet;

struct Verdict {
    result: RunResult,
    reason: Option<Reason>,
    revision: Option<String>,
    message: Option<String>,
}

/// The record of a run whose pod has ended; `None` while it has not. `rows` are the live version rows, where they
/// could be read: what they say counts more than any report.
pub fn run_status(run: &RunView, rows: Option<&BTreeSet<String>>) -> Option<RunStatus> {
    let PodState::Ended(ended) = &run.job.state else { return None };
    let mut verdict = verdict(&run.record, ended, rows);
    if let (Some(Reason::DatabaseLocked), Some(message), Some(holder)) =
        (verdict.reason, &mut verdict.message, &run.holder)
    {
        *message = format!("{message}, of DatabaseMigration {holder}");
    }
    let record = run.record.clone();
    Some(RunStatus {
        number: record.number,
        job: run.job.name.clone(),
        direction: record.direction,
        from: record.from,
        to: record.to,
        image: record.image,
        plan_hash: record.plan_hash,
        result: verdict.result,
        revision: verdict.revision,
        reason: verdict.reason.map(|r| r.to_string()),
        message: verdict.message,
        attempts: record.attempts,
        generation: record.generation,
        requested_at: record.requested_at,
        took_back: record.took_back,
        started_at: run.job.created.map(Time),
        finished_at: ended.finished_at.or(run.job.created).map(Time),
    })
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
        Err(error) => without_report(ended, &error),
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
    let rows = rows.map(super::drift::describe).unwrap_or_default();
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
    let in_a_step = matches!(reason, Reason::MigrationFailed | Reason::TableLocked | Reason::StatementTimeout);
    // A statement that only waited for a lock did nothing; if it was the step's first, neither did the step.
    let rolled_back = failure.committed.map_or(record.transactional, |committed| !committed);
    let taken_back = rolled_back || reason == Reason::TableLocked && !failure.changed;
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

/// Said where a failed step was not taken back as a whole.
const PARTIAL: &str = "; what it did before stays, as this database (or an autocommit block) can't take it back";

/// The reason that stands for an error class of the runner.
pub fn reason_of_class(class: &str) -> Reason {
    match class {
        "RowsChanged" => Reason::PlanOutdated,
        "StepsChanged" => Reason::ImageChanged,
        "LockTimeout" => Reason::DatabaseLocked,
        other => Reason::parse(other).unwrap_or(Reason::PodFailed),
    }
}

fn killed(record: &RunRecord, report: &Report, ended: &Ended, arrived: Option<bool>) -> Verdict {
    let why = ended.reason.clone().unwrap_or_else(|| "without a word".to_owned());
    if !report.started {
        return interrupted(format!("the pod ended ({why}) before it began anything"));
    }
    if arrived == Some(true) {
        return succeeded();
    }
    let step = report.running.as_deref().map_or_else(|| "its last step".to_owned(), |r| format!("revision {r}"));
    Verdict {
        result: RunResult::Failed,
        reason: Some(if record.transactional { Reason::MigrationFailed } else { Reason::PartiallyApplied }),
        revision: report.running.clone(),
        message: Some(format!(
            "the pod was ended ({why}) while {step} was running; its statement may still run in the database: see that it has stopped and what it left, then ask for a retry with the annotation alembic-operator.dev/requestedAt"
        )),
    }
}

fn interrupted(message: String) -> Verdict {
    Verdict { result: RunResult::Refused, reason: Some(Reason::RunInterrupted), revision: None, message: Some(message) }
}

fn without_report(ended: &Ended, error: &ReportError) -> Verdict {
    let why = ended.reason.clone().unwrap_or_default();
    match (ended.ran, ended.exit_code) {
        (false, None) => interrupted(format!("the pod ended before its container ran ({why})")),
        (ran, Some(code)) => Verdict {
            // The runner reports before it touches anything, so without a report nothing was begun.
            result: RunResult::Failed,
            reason: Some(Reason::PodFailed),
            revision: None,
            message: Some(pod_failed(ran, code, &why, error, ended.message.as_deref())),
        },
        (true, None) => Verdict {
            result: RunResult::Lost,
            reason: Some(Reason::RunLost),
            revision: None,
            message: Some(format!("{why}: what the run did is not known")),
        },
    }
}

/// What to say of a container that ended without a report.
pub fn pod_failed(ran: bool, code: i32, why: &str, error: &ReportError, message: Option<&str>) -> String {
    let detail = message.map(|m| crate::text::clean(m, 400)).filter(|m| !m.is_empty());
    match (ran, detail) {
        (false, Some(detail)) => {
            format!("the container could not be started: {detail}; check spec.alembic.command and workingDir")
        }
        (false, None) => {
            format!("the container could not be started ({why}); check spec.alembic.command and workingDir")
        }
        (true, _) => format!("the container ended with exit code {code} ({why}): {error}; see the Job's log"),
    }
}

/// A run in one line.
pub fn summary_of_run(record: &RunRecord, job: &str) -> String {
    let rows = |rows: &[String]| super::drift::describe(&rows.iter().cloned().collect());
    format!("{} from {} to {} by Job {job} in {}", record.direction, rows(&record.from), rows(&record.to), record.image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::observed::JobView;

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
        let job = JobView { name: "j".into(), created: None, state: PodState::Ended(ended) };
        let rows = rows.map(|r| r.iter().map(|r| (*r).to_owned()).collect());
        run_status(&RunView { job, record, holder: None }, rows.as_ref()).unwrap()
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

//! The part of a decision that is about the active run; pure.

use crate::{
    api::{DatabaseMigration, LockKind, Problem, Reason, RunRecord, RunResult, RunStatus},
    jobs::{PodState, START_DEADLINE, Trouble, overdue},
    reconcile::{
        checks::requested_at,
        effects::{Effect, Next, Note, Step, unstarted},
        facts::ActiveRun,
        pauses::{WHILE_ACTIVE, WITHOUT_POD},
    },
    text::{rows_in_line, short_image},
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// A pod that has not started after this time gives way to something else that is asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run that has not ended, or whose Job has just been deleted. Its Lease is kept, whatever it waits for.
pub(super) fn running(object: &DatabaseMigration, run: &ActiveRun, now: Timestamp) -> Step {
    let step = progress(object, run, now);
    let leased = object.spec.database.lock == LockKind::Lease && run.job.as_ref().is_some_and(|job| !job.suspended);
    if leased { step.after(Effect::KeepLease(run.name.clone())) } else { step }
}

fn progress(object: &DatabaseMigration, run: &ActiveRun, now: Timestamp) -> Step {
    let message = summary_of(&run.record, &run.name);
    let reason = match run.record.direction.as_str() {
        "downgrade" => Reason::Downgrading,
        "stamp" => Reason::Adopting,
        _ => Reason::Migrating,
    };
    let suspended = run.job.as_ref().is_some_and(|job| job.suspended);
    match &run.state {
        // It has begun after all.
        PodState::Running | PodState::Ended(_) => {
            Step::stop(reason, message, Next::After(WHILE_ACTIVE)).note(Note::Cancelled(None))
        }
        // A pod may be at its start; one that has taken a while is as good as blocked.
        PodState::Waiting if !suspended && !lasts(run, PATIENCE, now) => {
            Step::stop(reason, message, Next::After(run.pause()))
        }
        PodState::Waiting | PodState::Blocked(_) if superseded(object, &run.record) => give_up(run, superseded_run()),
        PodState::Waiting | PodState::Blocked(Trouble::Stuck(_)) if !suspended && lasts(run, START_DEADLINE, now) => {
            give_up(run, stuck(run))
        }
        PodState::Waiting if !suspended => Step::stop(reason, message, Next::After(run.pause())),
        // A crash came between the status and this.
        PodState::Waiting => {
            Step::stop(reason, message, Next::After(WITHOUT_POD)).after(Effect::Release(run.name.clone()))
        }
        PodState::Blocked(trouble) => {
            let Problem { reason, message } = trouble.problem(&run.name);
            Step::stop(reason, message, Next::After(WHILE_ACTIVE))
        }
    }
}

/// A pod that can't begin holds nothing up once something else is wanted.
fn superseded(object: &DatabaseMigration, record: &RunRecord) -> bool {
    object.metadata.deletion_timestamp.is_some()
        || Some(record.generation) != object.metadata.generation
        || record.requested_at.as_deref() != requested_at(object)
}

/// Whether its Job is that old.
fn lasts(run: &ActiveRun, limit: Duration, now: Timestamp) -> bool {
    overdue(run.job.as_ref().and_then(|job| job.created), limit, now)
}

fn superseded_run() -> Problem {
    let message = "the pod of a run that could not start is deleted, since something else is asked for";
    Problem::new(Reason::RunInterrupted, message)
}

/// Another pod may have more luck, on another node or with what is there by now.
fn stuck(run: &ActiveRun) -> Problem {
    let words = match &run.state {
        PodState::Blocked(trouble) => format!(": {}", trouble.words()),
        _ => String::new(),
    };
    let minutes = START_DEADLINE.as_secs() / 60;
    Problem::new(Reason::PodStuck, format!("the pod of Job {} did not start within {minutes} min{words}", run.name))
}

/// The status says so first: a pass that finds the Job gone then knows that the run never began.
fn give_up(run: &ActiveRun, why: Problem) -> Step {
    let Problem { reason, message } = why.clone();
    let step = Step::stop(reason, message, Next::After(Duration::ZERO)).note(Note::Cancelled(Some(why)));
    match &run.job {
        Some(job) => step.after(Effect::Cancel(Box::new(unstarted(job)))),
        None => step,
    }
}

/// A run in one line.
fn summary_of(record: &RunRecord, job: &str) -> String {
    let rows = |rows: &[String]| rows_in_line(&rows.iter().cloned().collect());
    format!(
        "{} from {} to {} by Job {job} in {}",
        record.direction,
        rows(&record.from),
        rows(&record.to),
        short_image(&record.image)
    )
}

/// The event of a run's end; a refusal shows in Ready alone.
pub(super) fn told(run: &RunStatus) -> Step {
    let rows = |rows: &[String]| rows_in_line(&rows.iter().cloned().collect());
    let job = Some(run.job.clone());
    match run.result {
        RunResult::Succeeded => {
            let RunRecord { direction, from, to, image, .. } = &run.record;
            let note = format!("{direction} from {} to {} in {}", rows(from), rows(to), short_image(image));
            Step::default().event(false, "MigrationSucceeded", &note, job)
        }
        RunResult::Failed | RunResult::Lost => {
            Step::default().event(true, "MigrationFailed", run.message.as_deref().unwrap_or_default(), job)
        }
        RunResult::Refused => Step::default(),
    }
}

//! Whether the run that led to the live rows has to be verified, and what follows when that fails; no I/O.

use super::{
    drift::describe,
    plan::{Chosen, identified, usable_graph},
    stage::{Progress, progress},
};
use crate::{
    api::{
        DatabaseMigration, DatabaseMigrationStatus, DowngradePolicy, Reason, RunResult, RunStatus, VerifyResult,
        parse_duration,
    },
    jobs::{Implementation, Inspected, StageRecord, short_hash, verify_name},
    reconcile::observed::{Problem, StageView},
    revisions::{Direction, Target, decide},
    text,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// A verification that must have passed before the object is Ready.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyAsk {
    /// Of the Job; another name is another verification.
    pub name: String,
    pub record: StageRecord,
    pub image: String,
    pub timeout: Duration,
    /// The run that it is about.
    pub run: RunStatus,
}

/// The run that led to the live rows: the newest that succeeded, if these are the rows that it ended with. Rows that
/// somebody else wrote are not ours to verify.
pub fn led_here<'a>(status: &'a DatabaseMigrationStatus, rows: &BTreeSet<String>) -> Option<&'a RunStatus> {
    let newest = status.runs().find(|run| run.result == RunResult::Succeeded)?;
    newest.to.iter().collect::<BTreeSet<_>>().into_iter().eq(rows).then_some(newest)
}

/// The verification that the live rows need, whether it was made or not. What went back by itself needs none.
///
/// One that passed stands as long as spec.verify is what it was; one that failed, until something is asked anew: another
/// spec.verify, another spec.image, another request.
pub fn verify_ask(
    object: &DatabaseMigration,
    status: &DatabaseMigrationStatus,
    rows: &BTreeSet<String>,
    image: &Inspected,
    requested_at: Option<&str>,
) -> Option<VerifyAsk> {
    let verify = object.spec.verify.as_ref()?;
    let run = led_here(status, rows).filter(|run| run.took_back.is_none())?;
    let hash = short_hash(&[&serde_json::json!(verify).to_string()], 12);
    let asked = short_hash(&[&hash, &object.spec.image, requested_at.unwrap_or_default()], 12);
    let passed = |known: &&crate::api::VerifyStatus| {
        (known.run, &known.hash, known.result) == (run.number, &hash, VerifyResult::Passed)
    };
    let name = match status.verify.as_ref().filter(passed) {
        Some(known) => known.job.clone(),
        None => verify_name(object, run.number, &asked),
    };
    // After an upgrade that is the image that ran, unless another one was deployed since.
    let ours = if run.direction == "downgrade" { &run.image } else { &image.image };
    Some(VerifyAsk {
        name,
        record: StageRecord { uid: object.uid().unwrap_or_default(), run: run.number, hash, ..StageRecord::default() },
        image: verify.image.clone().unwrap_or_else(|| ours.clone()),
        timeout: verify.timeout.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_TIMEOUT),
        run: run.clone(),
    })
}

/// How far a verification is. What is recorded of its end stands, whatever has become of its Job.
pub fn verify_progress(
    ask: &VerifyAsk,
    status: &DatabaseMigrationStatus,
    jobs: &[StageView],
    now: Timestamp,
) -> Progress {
    let recorded = status.verify.as_ref().filter(|known| known.job == ask.name);
    match recorded.map(|known| (known, known.result)) {
        Some((known, VerifyResult::Passed)) => Progress::Passed { at: known.finished_at.as_ref().map(|time| time.0) },
        Some((known, VerifyResult::Failed)) => Progress::Failed {
            message: known.message.clone().unwrap_or_default(),
            at: known.finished_at.as_ref().map(|time| time.0),
        },
        _ => progress(jobs.iter().map(|stage| &stage.job).find(|job| job.name == ask.name), ask.timeout, now),
    }
}

/// The way back to the rows from before a run, where it is known to be clean; else why it is not.
pub fn way_back(
    object: &DatabaseMigration,
    run: &RunStatus,
    rows: &BTreeSet<String>,
    image: &Arc<Inspected>,
) -> Result<Chosen, String> {
    if run.direction != "upgrade" {
        return Err(format!("run {} was no upgrade", run.number));
    }
    if object.spec.policy.downgrade != DowngradePolicy::Allow {
        return Err("spec.policy.downgrade is Deny".to_owned());
    }
    let graph = usable_graph(image).map_err(|problem| problem.message)?;
    let target = Target::revisions(run.from.clone());
    let plan = decide(graph, rows, &target).map_err(|error| format!("{}: {error}", image.image))?;
    let before: BTreeSet<String> = run.from.iter().cloned().collect();
    if plan.direction != Direction::Downgrade || plan.end != before {
        return Err(format!("no downgrade ends with {}", describe(&before)));
    }
    if let Some(step) = plan.steps.iter().find(|step| !undoes(image, step)) {
        return Err(format!(
            "downgrade() of revision {} does not take back what upgrade() did",
            text::clean(step, 128)
        ));
    }
    let pending = plan.steps.clone();
    identified(plan, pending, image, run.number).map_err(|problem| problem.message)
}

/// A merge of branches does nothing either way, and so leaves nothing.
fn undoes(image: &Inspected, step: &str) -> bool {
    image.revision(step).is_some_and(|revision| match revision.downgrade {
        Implementation::Present => true,
        Implementation::Empty => revision.upgrade == Implementation::Empty,
        Implementation::Missing | Implementation::Raises => false,
    })
}

/// Why a database that went back does not go up again by itself: the next run would end as the one before.
pub fn gone_back(status: &DatabaseMigrationStatus, generation: i64, requested_at: Option<&str>) -> Option<Problem> {
    let last = status.last_run.as_ref().filter(|run| run.result == RunResult::Succeeded)?;
    let taken_back = last.took_back?;
    if last.generation != generation || last.requested_at.as_deref() != requested_at {
        return None;
    }
    let failed = status.verify.as_ref().filter(|verify| verify.run == taken_back);
    let why = failed.and_then(|verify| verify.message.clone()).unwrap_or_default();
    let to = describe(&last.to.iter().cloned().collect());
    Some(Problem::new(
        Reason::VerifyFailed,
        format!("gone back to {to}, since run {taken_back} was not verified: {why}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rows: &[&str]) -> BTreeSet<String> {
        rows.iter().map(|row| (*row).to_owned()).collect()
    }

    fn run(number: i64, to: &str, result: RunResult) -> RunStatus {
        RunStatus { number, to: vec![to.into()], result, direction: "upgrade".into(), ..RunStatus::default() }
    }

    #[test]
    fn rows_of_somebody_else_are_not_verified() {
        let succeeded = run(1, "b", RunResult::Succeeded);
        let status = |last: RunStatus, before: Vec<RunStatus>| DatabaseMigrationStatus {
            last_run: Some(last),
            history: before,
            ..Default::default()
        };
        let number =
            |status: &DatabaseMigrationStatus, rows: &[&str]| led_here(status, &set(rows)).map(|run| run.number);
        let alone = status(succeeded.clone(), vec![]);
        assert_eq!((number(&alone, &["b"]), number(&alone, &["c"])), (Some(1), None));
        let refused = status(run(2, "a", RunResult::Refused), vec![succeeded.clone()]);
        assert_eq!(number(&refused, &["b"]), Some(1), "a way back that was refused leaves it as it is");
        let later = status(run(2, "c", RunResult::Succeeded), vec![succeeded]);
        assert_eq!(number(&later, &["b"]), None, "somebody else went back to where run 1 ended");
    }

    #[test]
    fn what_went_back_stays_until_something_is_asked_anew() {
        let back = RunStatus { took_back: Some(1), generation: 3, ..run(2, "a", RunResult::Succeeded) };
        let status = DatabaseMigrationStatus { last_run: Some(back), ..Default::default() };
        let held = gone_back(&status, 3, None).unwrap();
        assert!(held.reason == Reason::VerifyFailed && held.message.starts_with("gone back to a"), "{held:?}");
        assert_eq!((gone_back(&status, 4, None), gone_back(&status, 3, Some("now"))), (None, None));
    }
}

//! Whether the run that led to the live rows has to be verified, and what follows when that fails; no I/O.

use super::plan::{Chosen, identified, usable_graph};
use crate::{
    api::{
        DatabaseMigration, DatabaseMigrationStatus, DowngradePolicy, DurationField, Problem, Reason, StageResult,
        SucceededRun,
    },
    jobs::{Implementation, Inspected, JobRecord, Request, VerifyRequest, short_hash},
    reconcile::{facts::Facts, situation::World},
    revisions::{Direction, Target, decide},
    text::{self, rows_in_line},
};
use std::collections::BTreeSet;

/// A verification that must have passed before the object is Ready.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// Of the Job; another name is another verification.
    pub name: String,
    pub request: VerifyRequest,
    /// Hash of spec.verify.
    pub hash: String,
    /// The run that it is about.
    pub run: SucceededRun,
}

/// The verification that the live rows need, whether it was made or not. What was rolled back by itself needs none.
///
/// One that passed stands as long as spec.verify is what it was; one that failed, until something is requested again: another
/// spec.verify, another spec.image, another request.
pub fn verification(
    object: &DatabaseMigration,
    status: &DatabaseMigrationStatus,
    rows: &BTreeSet<String>,
    image: &Inspected,
    requested_at: Option<&str>,
) -> Option<Verification> {
    let verify = &object.spec.stages.verify;
    let run = status.runs.led_to(rows).filter(|success| success.run.rolls_back.is_none())?;
    if !verify.when.applies(run.run.hazardous) {
        return None;
    }
    let number = run.run.number;
    let hash = short_hash(&[&serde_json::json!(verify).to_string()], 12);
    let asked = short_hash(&[&hash, &object.spec.image, requested_at.unwrap_or_default()], 12);
    let record = JobRecord::new(object, Request::Verify { hash: hash.clone() }, number, asked);
    let passed = |known: &&crate::api::VerifyStatus| {
        (known.run, &known.hash, known.stage.result) == (number, &hash, StageResult::Succeeded)
    };
    let name = match status.stages.verify.as_ref().filter(passed) {
        Some(known) => known.stage.job.clone(),
        None => record.name(object),
    };
    // After an upgrade that is the image that ran, unless another one was deployed since.
    let ours = if run.run.direction == "downgrade" { &run.run.image } else { &image.image };
    let image = verify.image.clone().unwrap_or_else(|| ours.clone());
    let timeout = DurationField::Verify.or_default(&object.spec);
    Some(Verification { name, request: VerifyRequest { record, image, timeout }, hash, run: run.clone() })
}

/// The downgrade to the rows from before the release that a run completed, where it is known to undo it; else why it is not.
pub fn rollback_plan(
    object: &DatabaseMigration,
    run: &SucceededRun,
    world: &World,
    facts: &Facts,
) -> Result<Chosen, String> {
    let (number, image) = (run.run.number, &world.image);
    if run.run.direction != "upgrade" {
        return Err(format!("run {number} was no upgrade"));
    }
    if object.spec.policy.downgrade != DowngradePolicy::Allow {
        return Err("spec.policy.downgrade is Deny".to_owned());
    }
    let graph = usable_graph(image).map_err(|problem| problem.message)?;
    let target = Target::revisions(run.run.release_from().to_vec());
    let plan = decide(graph, &world.rows, &target)
        .map_err(|error| format!("{error} ({})", crate::text::short_image(&image.image)))?;
    let before: BTreeSet<String> = run.run.release_from().iter().cloned().collect();
    if plan.direction != Direction::Downgrade || plan.end != before {
        return Err(format!("no downgrade ends with {}", rows_in_line(&before)));
    }
    if let Some(step) = plan.steps.iter().find(|step| !undoes(image, step)) {
        let step = text::clean(step, 128);
        return Err(format!("downgrade() of revision {step} does not undo what upgrade() did"));
    }
    let pending = plan.steps.clone();
    identified(plan, pending, image, facts.database_id(), number).map_err(|problem| problem.message)
}

/// A merge of branches does nothing either way, and so leaves nothing.
fn undoes(image: &Inspected, step: &str) -> bool {
    image.revision(step).is_some_and(|revision| match revision.downgrade {
        Implementation::Present => true,
        Implementation::Empty => revision.upgrade == Implementation::Empty,
        Implementation::Missing | Implementation::Raises => false,
    })
}

/// Why a database that was rolled back does not go up again by itself: the next run would end as the one before.
pub fn rolled_back(status: &DatabaseMigrationStatus, generation: i64, requested_at: Option<&str>) -> Option<Problem> {
    let last = &status.runs.last_success.as_ref()?.run;
    let failed_run = last.rolls_back?;
    if last.generation != generation || last.requested_at.as_deref() != requested_at {
        return None;
    }
    let failed = status.stages.verify.as_ref().filter(|verify| verify.run == failed_run);
    let why = failed.and_then(|verify| verify.stage.message.clone()).unwrap_or_default();
    let to = rows_in_line(&last.to.iter().cloned().collect());
    let message = format!("rolled back to {to}, since the verification of run {failed_run} failed: {why}");
    Some(Problem::new(Reason::VerifyFailed, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RunRecord, RunsStatus};

    fn set(rows: &[&str]) -> BTreeSet<String> {
        rows.iter().map(|row| (*row).to_owned()).collect()
    }

    fn after(run: RunRecord) -> DatabaseMigrationStatus {
        let last_success = Some(SucceededRun { run, ..SucceededRun::default() });
        DatabaseMigrationStatus { runs: RunsStatus { last_success, ..RunsStatus::default() }, ..Default::default() }
    }

    fn run(number: i64, to: &str) -> RunRecord {
        RunRecord { number, to: vec![to.into()], direction: "upgrade".into(), ..RunRecord::default() }
    }

    #[test]
    fn rows_of_somebody_else_are_not_verified() {
        let status = after(run(1, "b"));
        let number = |rows: &[&str]| status.runs.led_to(&set(rows)).map(|success| success.run.number);
        assert_eq!((number(&["b"]), number(&["c"])), (Some(1), None));
    }

    #[test]
    fn what_was_rolled_back_stays_until_something_is_asked_anew() {
        let status = after(RunRecord { rolls_back: Some(1), generation: 3, ..run(2, "a") });
        let held = rolled_back(&status, 3, None).unwrap();
        assert!(held.reason == Reason::VerifyFailed && held.message.starts_with("rolled back to a"), "{held:?}");
        assert_eq!((rolled_back(&status, 4, None), rolled_back(&status, 3, Some("now"))), (None, None));
    }
}

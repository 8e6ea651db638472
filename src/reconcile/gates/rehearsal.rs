//! The gate of rehearsal: the plan ran on a scratch database before anybody is asked to approve it; no I/O.

use super::{Ctx, hold};
use crate::{
    api::{
        DatabaseMigration, DatabaseMigrationStatus, Problem, Reason, RehearsalStatus, StageChange, StageResult,
        StageStatus,
    },
    jobs::{Kind, Progress, Rehearsal},
    reconcile::{
        checks::{
            WantedRehearsal, executed_sql, rehearsal_json, rehearsal_progress, rehearsal_status, wanted_rehearsal,
        },
        effects::{Next, Note, RehearsalShown, Step},
        facts::Facts,
        pauses::{WHILE_ACTIVE, WITHOUT_POD},
    },
};

pub(super) fn rehearsed(ctx: &Ctx) -> Step {
    // What rolls back after a failed verification came that way before.
    let asked = match ctx.rolls_back {
        Some(_) => None,
        None => wanted_rehearsal(ctx.object, ctx.plan, ctx.facts, ctx.requested_at()),
    };
    let ask = match asked {
        None => return Step::default(),
        Some(Err(problem)) => return hold(ctx.object, problem),
        Some(Ok(ask)) => ask,
    };
    let message = format!("Job {} rehearses plan {} on a scratch database", ask.name, ctx.plan.hash);
    let stage = running(&ask, ctx);
    let begun = || note(RehearsalStatus { stage: stage.clone(), ..RehearsalStatus::default() });
    match rehearsal_progress(&ask, ctx.memory.stages.rehearsal.as_ref(), &ctx.facts.rehearsals) {
        Progress::Absent => Step::default().note(begun()).create(ask.request.clone()).stopped(
            Reason::Rehearsing,
            message,
            Next::After(WITHOUT_POD),
        ),
        Progress::Waiting | Progress::Running => {
            Step::default().note(begun()).stopped(Reason::Rehearsing, message, Next::After(WHILE_ACTIVE))
        }
        Progress::Blocked(trouble) => {
            let problem = trouble.problem(&ask.name);
            Step::default().note(begun()).stopped(problem.reason, problem.message, Next::After(WHILE_ACTIVE))
        }
        Progress::Done(outcome, _) => {
            let step = if is_recorded(ctx.memory, &ask) { Step::default() } else { ended(ctx, &ask, stage, &outcome) };
            match outcome {
                Ok(()) => step,
                Err(why) => step.then(not_rehearsed(ctx.object, &ask, &why)),
            }
        }
    }
}

fn note(status: RehearsalStatus) -> Note {
    Note::stage(StageChange::Rehearsal(status))
}

fn is_recorded(memory: &DatabaseMigrationStatus, ask: &WantedRehearsal) -> bool {
    let stage = memory.stages.rehearsal.as_ref().map(|rehearsal| &rehearsal.stage);
    stage.is_some_and(|stage| stage.job == ask.name && stage.result != StageResult::Running)
}

/// It has just ended: what it found goes into the status, and beside the plan.
fn ended(ctx: &Ctx, ask: &WantedRehearsal, running: StageStatus, outcome: &Result<(), String>) -> Step {
    let view = ctx.facts.rehearsals.iter().find(|view| view.job.name == ask.name);
    let found: Option<&Rehearsal> = view.and_then(|view| view.end.as_ref()).and_then(|end| end.found.as_ref());
    let executed = ctx.plan.judged.executed.clone();
    let status = rehearsal_status(running, found, outcome, executed, ctx.now);
    let mut step = Step::default().note(note(status));
    step.rehearsal = Some(found.map(|found| RehearsalShown {
        json: rehearsal_json(found),
        sql: Some(executed_sql(found, ctx.plan)).filter(|sql| !sql.is_empty()),
    }));
    match outcome {
        Ok(()) => step.event(false, "RehearsalSucceeded", &format!("plan {}", ctx.plan.hash), Some(ask.name.clone())),
        Err(_) => step,
    }
}

fn not_rehearsed(object: &DatabaseMigration, ask: &WantedRehearsal, why: &str) -> Step {
    let message = format!(
        "nothing was run, since the rehearsal by Job {} failed: {why}; to try again, change the spec or the annotation alembic-operator.dev/requestedAt",
        ask.name
    );
    hold(object, Problem::new(Reason::RehearsalFailed, message))
}

fn running(ask: &WantedRehearsal, ctx: &Ctx) -> StageStatus {
    let before = ctx.memory.stages.rehearsal.as_ref().map(|rehearsal| &rehearsal.stage);
    let same = before.filter(|stage| stage.job == ask.name);
    StageStatus::running(&ask.name, &ctx.plan.hash, same, ctx.now)
}

/// The Jobs of other plans, and of one that nobody waits for any more; the newest is kept for its log.
pub fn old_rehearsals(status: &DatabaseMigrationStatus, facts: &Facts) -> Vec<String> {
    let newest = status.stages.rehearsal.as_ref().map(|rehearsal| rehearsal.stage.job.as_str());
    facts.of(Kind::Rehearse).filter(|job| Some(job.name.as_str()) != newest).map(|job| job.name.clone()).collect()
}

//! The decision: from what was observed to the effects, the next status and the time of the next pass. Pure and total:
//! no I/O, no clock, no failure.

#[cfg(test)]
mod approval_tests;
mod clean_up;
#[cfg(test)]
mod executed_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod history_tests;
mod image;
#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rollback_tests;
mod run;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;

use super::{
    checks::{heads_condition, usable_graph},
    drift::drift_of,
    effects::{Decision, Effect, Next, Note, Step, Stop, event},
    facts::{DatabaseView, Facts, JobView},
    gates::{Ctx, at_target, hold, interval, no_backup, shown, towards},
    pauses::{WHILE_ACTIVE, WITHOUT_POD},
    plan::{plan_config_map, shows_plan},
    situation::{Situation, World, known_image, live_rows},
    status::{next_status, recorded},
};
use crate::{
    api::{
        ConditionType, DatabaseMigration, DatabaseMigrationStatus, Problem, Reason, ReasonKind, RunResult, RunStatus,
    },
    jobs::{Ended, EndedRun, PodGate, PodState},
    revisions::Target,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest pause between two checks of a fault: somebody may have corrected it and be waiting.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Of a run that was taken away before its pod started.
const NEVER_BEGAN: &str = "it could not start, and something else was asked for";

/// Decides on one object.
pub fn decide(object: &DatabaseMigration, facts: &Facts, now: Timestamp) -> Decision {
    let ended = ended_run(object, facts);
    let memory = recorded(object.status.clone().unwrap_or_default(), ended.as_ref());
    let situation = Situation::of(object, facts, &memory, ended.is_some());
    let told = ended.as_ref().map_or_else(Step::default, run::told);
    let step =
        told.then(at_work(facts)).then(seen(object, facts)).then(follows(object, facts, &memory, situation, now));
    finished(object, facts, &memory, step, now)
}

/// What to say of an object when the API server refuses what it needs.
pub fn rejected(object: &DatabaseMigration, problem: &Problem, now: Timestamp) -> Decision {
    let mut step = Step::stop(problem.reason, &problem.message, Next::BackOff);
    if problem.reason == Reason::BackupFailed {
        step = step.note(Note::condition(ConditionType::BackedUp, "False", "Failed", &problem.message));
    }
    let status = next_status(object, &object.status.clone().unwrap_or_default(), &step, now);
    let after = transition(object, &status).into_iter().collect();
    Decision { gate: None, effects: Vec::new(), status, after, next: Next::BackOff }
}

/// How the active run ended, if it has and can be judged. Without a report, the rows alone show what it did.
fn ended_run(object: &DatabaseMigration, facts: &Facts) -> Option<RunStatus> {
    let run = facts.active.as_ref()?;
    let cancelled = object.status.as_ref().and_then(|status| status.runs.cancelled.as_ref());
    let never_began = cancelled.filter(|_| run.job.is_none()).map(|why| Ended {
        reason: Some(NEVER_BEGAN.to_owned()),
        stuck: Some(why.message.clone()).filter(|_| why.reason == Reason::PodStuck.as_str()),
        ..Ended::default()
    });
    let ended = match &never_began {
        Some(ended) => ended,
        None => run.ended()?,
    };
    if matches!(facts.database, DatabaseView::Busy) {
        return None;
    }
    let silent = matches!(&facts.database, DatabaseView::Failed(p) if p.reason == Reason::DatabaseUnreachable);
    if silent && ended.report().is_err() {
        return None;
    }
    let job = run.job.as_ref();
    let end = EndedRun {
        record: &run.record,
        job: &run.name,
        created: job.and_then(|job| job.created),
        ended,
        holder: run.holder.as_deref(),
    };
    let status = end.status(live_rows(object, facts).as_ref());
    // Somebody deleted its Job in the middle: whatever its pod could still say, nobody watched it to its end.
    Some(match status.result {
        RunResult::Failed if job.is_none() => RunStatus {
            result: RunResult::Lost,
            reason: Some(Reason::RunLost.to_string()),
            message: status.message.map(|said| format!("its Job was deleted in the middle: {said}")),
            ..status
        },
        _ => status,
    })
}

fn at_work(facts: &Facts) -> Step {
    let active = facts.active.iter().map(|run| &run.state);
    let works = active.chain(facts.jobs.iter().map(|job| &job.state)).any(|state| *state == PodState::Running);
    if works { Step::default().note(Note::AtWork) } else { Step::default() }
}

/// What the status says of the database and the image, whatever follows.
fn seen(object: &DatabaseMigration, facts: &Facts) -> Step {
    let mut step = Step::default();
    if let Some(request) = &facts.next_probe {
        step = step.create(request.clone());
    }
    if let (DatabaseView::Seen(snapshot), Some(rows)) = (&facts.database, live_rows(object, facts)) {
        step = step.note(Note::Database(Box::new(snapshot.clone()), rows));
    }
    step
}

fn follows(
    object: &DatabaseMigration,
    facts: &Facts,
    memory: &DatabaseMigrationStatus,
    situation: Situation,
    now: Timestamp,
) -> Step {
    let ctx = |world, plan, drifted| Ctx { object, facts, memory, world, plan, drifted, rolls_back: None, now };
    match situation {
        Situation::Running(active) => run::running(object, active, now),
        Situation::Unjudged(problem) => hold(object, problem.clone()),
        Situation::Deleting => {
            Step { stop: Some(Stop { ready: None, next: Next::Interval(interval(object)) }), ..Step::default() }
        }
        Situation::Invalid(problem) => hold(object, problem),
        Situation::Unreadable(problem) => hold(object, problem.clone()),
        Situation::NotLooked => {
            Step { stop: Some(Stop { ready: None, next: Next::After(WHILE_ACTIVE) }), ..Step::default() }
        }
        Situation::NoImage => image::without(object, facts, now),
        Situation::Probing(job) => image::known(facts).then(probing(job)),
        Situation::Unplannable(world, problem) => {
            let drift = drift_of(object, facts, memory, &world, false);
            image::known(facts)
                .then(graph(object, &world))
                .then(drift.step)
                .note(Note::Unplanned(problem.clone()))
                .then(hold(object, problem))
        }
        Situation::AtTarget(world, plan) => {
            let drift = drift_of(object, facts, memory, &world, true);
            let gates = at_target(&ctx(&world, &plan, &drift.condition));
            // A rollback may wait for a backup of its own.
            let backup = match gates.backs_up() {
                true => Step::default(),
                false => no_backup(object, memory, facts, &plan, true),
            };
            image::known(facts)
                .then(graph(object, &world))
                .then(shows_plan(object, &plan))
                .then(backup)
                .then(drift.step)
                .then(gates)
        }
        Situation::Away(world, plan) => {
            let drift = drift_of(object, facts, memory, &world, false);
            let ctx = ctx(&world, &plan, &drift.condition);
            image::known(facts)
                .then(graph(object, &world))
                .then(shows_plan(object, &plan))
                .then(no_backup(object, memory, facts, &plan, false))
                .then(drift.step)
                .then(shown(&ctx))
                .then(towards(&ctx))
        }
    }
}

/// A Job has to read the version rows before anything can be said.
fn probing(job: Option<&JobView>) -> Step {
    match job.map(|job| (job, &job.state)) {
        Some((job, PodState::Blocked(trouble))) => {
            let problem = trouble.problem(&job.name);
            Step::stop(problem.reason, problem.message, Next::After(WHILE_ACTIVE))
        }
        _ => {
            let next = Next::After(if job.is_some() { WHILE_ACTIVE } else { WITHOUT_POD });
            Step::stop(Reason::Probing, "a Job reads the version table", next)
        }
    }
}

/// The heads of the image, and what the target means in it.
fn graph(object: &DatabaseMigration, world: &World) -> Step {
    let Ok(graph) = usable_graph(&world.image) else { return Step::default() };
    let (single, reason, message) = heads_condition(graph, &object.spec.target_revision);
    let target = Target::parse(&object.spec.target_revision).ok();
    let target = target.and_then(|target| graph.resolve_target(&target).ok());
    Step::default()
        .note(Note::condition(ConditionType::SingleHead, if single { "True" } else { "False" }, reason, message))
        .note(Note::Graph { heads: graph.heads(), target })
}

fn finished(
    object: &DatabaseMigration,
    facts: &Facts,
    memory: &DatabaseMigrationStatus,
    step: Step,
    now: Timestamp,
) -> Decision {
    let status = next_status(object, memory, &step, now);
    let shows = show_plan(object, facts, &status, &step);
    let cleared = clean_up::clean_up(object, facts, &status, &step);
    let Step { before, after, stop, .. } = step;
    let effects = before.into_iter().chain(shows).collect();
    let after = after.into_iter().chain(cleared).chain(transition(object, &status)).collect();
    let next = stop.map_or(Next::Interval(interval(object)), |stop| stop.next);
    let next = patient(object, &status, next, now);
    let gate = pod_gate(object, facts, &status);
    Decision { gate, effects, status, after, next }
}

/// What has been wrong for long is checked less often: a thousand such objects would hold up others.
fn patient(object: &DatabaseMigration, status: &DatabaseMigrationStatus, next: Next, now: Timestamp) -> Next {
    let stalled = status.condition(ConditionType::Stalled).filter(|stalled| stalled.status == "True");
    let (Next::Interval(pause), Some(stalled)) = (next, stalled) else { return next };
    let lasts = Duration::try_from(now.duration_since(stalled.last_transition_time.0)).unwrap_or_default();
    Next::Interval((lasts / 8).min(interval(object)).min(LONGEST_PAUSE).max(pause))
}

/// Shows the plan in its ConfigMap where that shows another one, or none; and what a rehearsal found, where that is news.
fn show_plan(
    object: &DatabaseMigration,
    facts: &Facts,
    status: &DatabaseMigrationStatus,
    step: &Step,
) -> Option<Effect> {
    let shown = status.plan.as_ref().filter(|plan| plan.config_map.is_some())?;
    let plan = step.notes.iter().rev().find_map(|note| match note {
        Note::Plan(plan, _) => Some(plan),
        _ => None,
    })?;
    let there = facts.shown_plan.as_ref();
    let same_plan = there.is_some_and(|there| there.hash == plan.hash);
    let before = object.status.as_ref().and_then(|status| status.plan.as_ref());
    if same_plan && before == Some(shown) && step.rehearsal.is_none() {
        return None;
    }
    let mut map = Box::new(plan_config_map(object, plan));
    match &step.rehearsal {
        Some(found) => {
            map["data"]["rehearsal.json"] = json!(found.as_ref().map(|found| &found.json));
            map["data"]["rehearsal.sql"] = json!(found.as_ref().and_then(|found| found.sql.as_ref()));
        }
        // What stands there is about the plan before.
        None if !same_plan => {
            map["data"]["rehearsal.json"] = Value::Null;
            map["data"]["rehearsal.sql"] = Value::Null;
        }
        None => {}
    }
    Some(Effect::ShowPlan { map, over: there.map(|there| there.version.clone()) })
}

/// What pods of the application wait by: kept for as long as the object is there.
fn pod_gate(object: &DatabaseMigration, facts: &Facts, status: &DatabaseMigrationStatus) -> Option<PodGate> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ready = status.condition(ConditionType::Ready)?;
    PodGate::new(object, known_image(facts), &ready.reason, &ready.message)
}

/// An event for each change of the Ready reason that the run's own events do not show.
fn transition(object: &DatabaseMigration, status: &DatabaseMigrationStatus) -> Option<Effect> {
    let reason = |status: &DatabaseMigrationStatus| status.condition(ConditionType::Ready).map(|c| c.reason.clone());
    let before = object.status.as_ref().and_then(reason);
    let ready = status.condition(ConditionType::Ready)?;
    let reason = Reason::parse(&ready.reason)?;
    let told = match reason {
        Reason::Inspecting | Reason::Probing | Reason::Rehearsing | Reason::BackingUp | Reason::Verifying => true,
        Reason::Migrating | Reason::Adopting | Reason::Downgrading | Reason::MigrationFailed => true,
        Reason::VerifyFailed => true,
        _ => before.as_deref() == Some(reason.as_str()),
    };
    if told {
        return None;
    }
    let calm = matches!(reason.kind(), ReasonKind::Ready | ReasonKind::Held) || reason == Reason::AwaitingApproval;
    Some(event(!calm, &ready.reason, &ready.message, None))
}

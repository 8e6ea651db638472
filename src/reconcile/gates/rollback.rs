//! An object at its target: the gates before Ready, and the downgrade by which a failed verification is rolled back; no I/O.

use super::{Ctx, hold, interval, shown, towards, verify::verified};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, OnFailure, Problem, Reason, ReasonKind, SucceededRun},
    reconcile::{
        checks::{Chosen, VerifyAsk, rollback_plan, rolled_back},
        decide::shows_plan,
        drift::{Drifted, blocking_drift},
        effects::{Next, Step},
        facts::Facts,
        situation::{World, judged},
    },
    text::rows_in_line,
};
use k8s_openapi::jiff::Timestamp;

/// What the gates before Ready may look at.
#[derive(Clone, Copy)]
pub struct AtTarget<'a> {
    pub object: &'a DatabaseMigration,
    pub facts: &'a Facts,
    pub memory: &'a DatabaseMigrationStatus,
    pub world: &'a World,
    pub plan: &'a Chosen,
    pub drifted: &'a Drifted,
    pub now: Timestamp,
}

/// A gate before Ready.
type Gate = fn(&AtTarget) -> Step;

/// What must hold before an object at its target is Ready, in this order.
const BEFORE_READY: [(&str, Gate); 2] = [("drift allows it", drift_allows_it), ("verified", verified)];

/// Leads an object at its target through the gates.
pub fn at_target(at: &AtTarget) -> Step {
    let mut passed = Step::default();
    for (_, gate) in BEFORE_READY {
        passed = passed.then(gate(at));
        if passed.stop.is_some() {
            return passed;
        }
    }
    let message = format!("the version rows are {}", rows_in_line(&at.plan.plan.end));
    passed.stopped(Reason::AtTarget, message, Next::Interval(interval(at.object)))
}

fn drift_allows_it(at: &AtTarget) -> Step {
    match blocking_drift(at.object, at.drifted) {
        Some(problem) => hold(at.object, problem),
        None => Step::default(),
    }
}

/// A verification failed: hold, or roll the run back.
pub(super) fn not_verified(at: &AtTarget, ask: &VerifyAsk, why: &str) -> Step {
    let failed = format!("the verification of run {} failed (Job {}): {why}", ask.run.run.number, ask.name);
    let held = |message: String| hold(at.object, Problem::new(Reason::VerifyFailed, message));
    match at.object.spec.on_failure {
        OnFailure::Hold => held(failed),
        OnFailure::Downgrade => match rollback_plan(at.object, &ask.run, at.world, at.facts) {
            Ok(plan) => roll_back(at, &ask.run, plan, &failed),
            Err(why) => held(format!("{failed}; no automatic downgrade, since {why}")),
        },
    }
}

/// A downgrade like any other. While something keeps it from starting, Ready says so and what it is for.
fn roll_back(at: &AtTarget, run: &SucceededRun, plan: Chosen, failed: &str) -> Step {
    let plan = judged(at.object, at.facts, plan);
    let ctx = Ctx {
        object: at.object,
        facts: at.facts,
        memory: at.memory,
        world: at.world,
        plan: &plan,
        drifted: at.drifted,
        rolls_back: Some(run.run.number),
        now: at.now,
    };
    let shown = shows_plan(at.object, &plan).then(shown(&ctx));
    shown.then(held_rollback(towards(&ctx), at.memory.recorded_runs() > run.run.number, failed))
}

/// What keeps a rollback from starting, beside what it is for. One that has begun and failed speaks for itself.
fn held_rollback(mut step: Step, begun: bool, failed: &str) -> Step {
    let Some(ready) = step.stop.as_mut().and_then(|stop| stop.ready.as_mut()).filter(|_| !begun) else { return step };
    match ready.reason.kind() {
        ReasonKind::Stalled => {
            let message = format!("{failed}; no automatic downgrade, since {}: {}", ready.reason, ready.message);
            *ready = Problem::new(Reason::VerifyFailed, message);
        }
        ReasonKind::Working | ReasonKind::Held => ready.message = format!("{failed}; rolling back: {}", ready.message),
        ReasonKind::Ready => {}
    }
    step
}

/// A database that was rolled back does not go up again by itself: the next run would end as the one before.
pub(super) fn not_rolled_back(ctx: &Ctx) -> Step {
    let problem = rolled_back(ctx.memory, ctx.generation(), ctx.requested_at());
    problem.map_or_else(Step::default, |problem| hold(ctx.object, problem))
}

//! The downgrade by which a failed verification is rolled back, and the gate that keeps what was rolled back; no I/O.

use super::{Ctx, hold, hold_over, shown, towards};
use crate::{
    api::{OnFailure, Problem, Reason, ReasonKind, SucceededRun},
    reconcile::{
        checks::{Chosen, Verification, rollback_plan, rolled_back},
        effects::Step,
        plan::shows_plan,
        situation::judged,
    },
};

/// A verification failed: hold, or roll the run back.
pub(super) fn not_verified(at: &Ctx, ask: &Verification, why: &str) -> Step {
    let failed = format!("the verification of run {} failed (Job {}): {why}", ask.run.run.number, ask.name);
    let held = |message: String| hold(at.object, Problem::new(Reason::VerifyFailed, message));
    match at.object.spec.stages.verify.on_failure {
        OnFailure::Hold => held(failed),
        OnFailure::Downgrade => match rollback_plan(at.object, &ask.run, at.world, at.facts) {
            Ok(plan) => roll_back(at, &ask.run, plan, &failed),
            Err(why) => held(format!("{failed}; no automatic downgrade, since {why}")),
        },
    }
}

/// A downgrade like any other. While something keeps it from starting, Ready says so and what it is for.
fn roll_back(at: &Ctx, run: &SucceededRun, plan: Chosen, failed: &str) -> Step {
    let plan = judged(at.object, at.facts, plan);
    let ctx = Ctx { plan: &plan, rolls_back: Some(run.run.number), ..*at };
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
        ReasonKind::Working | ReasonKind::Late | ReasonKind::Held => {
            ready.message = format!("{failed}; rolling back: {}", ready.message);
        }
        ReasonKind::Ready => {}
    }
    step
}

/// A database that was rolled back does not go up again by itself: the next run would end as the one before.
pub(super) fn not_rolled_back(ctx: &Ctx) -> Step {
    hold_over(ctx, rolled_back(ctx.memory, ctx.generation(), ctx.requested_at()))
}

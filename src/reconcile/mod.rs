//! One pass over one object: observe → decide → act → status. Only `observe` and `act` touch the network.

mod act;
mod checks;
mod cnpg;
mod context;
mod database_lock;
mod decide;
mod drift;
mod drift_schedule;
mod due;
mod effects;
mod facts;
mod gates;
mod inspections;
mod line;
mod log;
mod observe;
mod orphans;
mod pauses;
mod payloads;
mod plan;
mod pod_gate;
mod schema;
mod servers;
mod situation;
mod size;
mod status;
mod unreadable;
mod unused;

pub(crate) use act::as_manager;
pub(crate) use checks::requested_at;
pub(crate) use checks::{Approval, Chosen, Route, approval_of, choose, direction_name, plan_problem, spec_problem};
pub use checks::{Before, between, judge};
pub use context::{Context, Process, Stores};
pub use decide::{decide, rejected};
pub use drift_schedule::DriftSchedule;
pub use effects::{Decision, Effect, Next};
pub(crate) use facts::{DatabaseId, Facts as ObjectFacts, ImageView};
pub(crate) use gates::limits;
pub use inspections::InspectionCache;
pub use line::{Limits, Line, Room};
pub(crate) use observe::{database, image, jobs};
pub use orphans::{EVERY as ORPHANS_EVERY, clear_job_of, clear_orphans};
pub use payloads::Payloads;
pub(crate) use plan::{hazard_summary, plan_texts};
pub use servers::Servers;
pub(crate) use servers::Turn;
pub(crate) use size::MOST as MOST_OF_A_STATUS;

use self::{
    checks::refused,
    facts::{Facts, SchemaView},
    line::Asking,
};
use crate::{
    api::{ConditionType, DatabaseMigration, DatabaseMigrationStatus, Reason, Watched},
    error::{Class, Error},
};
use kube::{Resource, ResourceExt, core::error_boundary::InvalidObject, runtime::controller::Action};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One pass.
pub async fn reconcile(object: &DatabaseMigration, context: &Context) -> Result<Action, Error> {
    context.stores.filled().await;
    match pass(object, context).await {
        Err(error) => match refused(&error) {
            Some(problem) if object.metadata.deletion_timestamp.is_none() => {
                tracing::warn!(object = object.name_any(), %error, "refused");
                let rejected = decide::rejected(object, &problem, context.now());
                let version = act::write_status(object, None, &rejected.status, context).await?;
                told(object, &rejected.status, context);
                act::act(object, version, &rejected.after, context).await?;
                Ok(next_look(object, rejected.next, context))
            }
            _ => Err(error),
        },
        next => next,
    }
}

async fn pass(object: &DatabaseMigration, context: &Context) -> Result<Action, Error> {
    let begun = Instant::now();
    let facts = observe::observe(object, context).await?;
    let decision = decide(object, &facts, context.now());
    line_up(object, &facts, &decision, context);
    // First of all: an application of before must find what it needs once a run begins.
    if let Some(gate) = &decision.gate {
        pod_gate::keep(object, gate, context).await?;
    }
    let version = act::act(object, None, &decision.effects, context).await?;
    let version = act::write_status(object, version, &decision.status, context).await?;
    told(object, &decision.status, context);
    act::act(object, version, &decision.after, context).await?;
    let check = match facts.schema {
        SchemaView::Seen(seen) => Some((seen.check, context.now())),
        SchemaView::CountsAsSeen { check, at } => Some((check, at)),
        SchemaView::Failed(_) | SchemaView::NotLooked => None,
    };
    if let Some((check, at)) = check {
        context.process.checks.done(&object.uid().unwrap_or_default(), check, at);
    }
    context.process.metrics.passed(begun.elapsed());
    Ok(next_look(object, decision.next, context))
}

/// Who waits for a place stands in the line, and nobody else does. One that starts leaves it by taking the place.
fn line_up(object: &DatabaseMigration, facts: &Facts, decision: &Decision, context: &Context) {
    let line = &context.process.line;
    if decision.status.has_reason(ConditionType::Ready, Reason::Queued) {
        line.wait(&Asking::new(object, facts.server.as_deref()), context.now());
    } else if !decision.effects.iter().any(|effect| matches!(effect, Effect::Start(_))) {
        line.leave(&object.uid().unwrap_or_default());
    }
}

/// A status was written: the log, the counters and the webhook hear of what has changed.
fn told(object: &DatabaseMigration, status: &DatabaseMigrationStatus, context: &Context) {
    log::tell(object, status, &context.process.metrics);
    context.process.notifier.changed(object, status, context.now());
}

/// One pass over an object that can't be read.
pub async fn unreadable(object: &Watched, error: &InvalidObject, context: &Context) -> Result<Action, Error> {
    context.stores.filled().await;
    match &object.meta().deletion_timestamp {
        Some(_) => unreadable::let_go(object, context).await?,
        None => unreadable::tell(object, &error.error, context).await?,
    }
    Ok(Action::await_change())
}

fn next_look(object: &DatabaseMigration, next: Next, context: &Context) -> Action {
    let uid = object.uid().unwrap_or_default();
    let pause = match next {
        Next::BackOff => return Action::requeue(context.process.back_off.failed(&uid)),
        Next::After(pause) => pause,
        Next::Interval(interval) => {
            context.process.back_off.spread(&uid, interval, context.now().as_nanosecond() as i64)
        }
    };
    context.process.back_off.succeeded(&uid);
    Action::requeue(pause)
}

/// What to do after a pass that failed.
pub fn failed(object: Arc<Watched>, error: &Error, context: Arc<Context>) -> Action {
    context.process.metrics.failed(error.class());
    match error.class() {
        // A moment for the watch to bring what has changed.
        Class::Stale => Action::requeue(Duration::from_millis(100)),
        Class::Transient | Class::Permanent => {
            Action::requeue(context.process.back_off.failed(&object.uid().unwrap_or_default()))
        }
    }
}

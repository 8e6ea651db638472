//! What must hold before a run starts, and before an object at its target is Ready, as ordered lists of gates; no I/O. The
//! first gate that does not pass decides.

mod approval;
mod backup;
mod cleared;
mod rehearsal;
mod retry;
mod rollback;
mod start;
mod verify;

pub use approval::shown;
pub use backup::{no_backup, surplus_stages};
pub use cleared::Start;
pub use rehearsal::old_rehearsals;
pub use retry::repeats_by_itself;
pub use start::limits;

use super::{
    checks::{Chosen, plan_problem, requested_at},
    drift::{Drifted, blocking_drift, unseen_drift},
    effects::{Next, Step},
    facts::{DatabaseView, Facts},
    line::{By, Place, Taken},
    pauses::SOON,
    situation::World,
    size::rows_fit,
    status::summary,
};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, DurationField, Problem, Reason, ReasonKind},
    text::rows_in_line,
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// How long an object is left alone.
pub fn interval(object: &DatabaseMigration) -> Duration {
    let spec = &object.spec;
    let looks = DurationField::ProbeInterval.or_default(spec);
    let checks = spec.drift.mode.by_catalog().then(|| DurationField::DriftInterval.or_default(spec));
    checks.map_or(looks, |checks| checks.min(looks))
}

/// A problem, and when to see whether it has gone.
pub fn hold(object: &DatabaseMigration, problem: Problem) -> Step {
    let interval = interval(object);
    let next = match problem.reason {
        Reason::DatabaseUnreachable => Next::BackOff,
        // Another run that is at work, or a server that is slow, passes.
        Reason::DriftUnknown => Next::Interval(interval.min(SOON)),
        reason if matches!(reason.kind(), ReasonKind::Late | ReasonKind::Stalled) => Next::Interval(interval.min(SOON)),
        _ => Next::Interval(interval),
    };
    Step::stop(problem.reason, problem.message, next)
}

/// Holds where there is a problem, and passes else.
fn hold_over(ctx: &Ctx, problem: Option<Problem>) -> Step {
    problem.map_or_else(Step::default, |problem| hold(ctx.object, problem))
}

/// What a gate may read.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    pub object: &'a DatabaseMigration,
    pub facts: &'a Facts,
    /// The status as it stands, a run that has just ended recorded.
    pub memory: &'a DatabaseMigrationStatus,
    pub world: &'a World,
    pub plan: &'a Chosen,
    /// The condition Drifted as it is now: its status, reason and message.
    pub drifted: &'a Drifted,
    /// The run that this plan rolls back.
    pub rolls_back: Option<i64>,
    pub now: Timestamp,
}

impl Ctx<'_> {
    fn generation(&self) -> i64 {
        self.object.metadata.generation.unwrap_or_default()
    }

    fn requested_at(&self) -> Option<&str> {
        requested_at(self.object)
    }

    /// The number that the next run would have.
    fn next_run(&self) -> i64 {
        self.memory.runs.started.max(self.memory.recorded_runs()).saturating_add(1)
    }
}

/// A gate: it passes when it does not stop.
type Gate = fn(&Ctx) -> Step;

/// What must hold before a run, in this order.
const BEFORE_A_RUN: [(&str, Gate); 9] = [
    ("the plan can run", plan_can_run),
    ("drift allows it", drift_allows_it),
    ("not suspended", not_suspended),
    ("not rolled back before", rollback::not_rolled_back),
    ("may be tried", retry::may_be_tried),
    ("rehearsed", rehearsal::rehearsed),
    ("approved", approval::approved),
    ("backed up", backup::backed_up),
    ("has a place", has_a_place),
];

/// What must hold before an object at its target is Ready, in this order.
const BEFORE_READY: [(&str, Gate); 2] = [("no drift blocks", no_drift_blocks), ("verified", verify::verified)];

/// A plan that passed every gate. Nothing else can be started.
pub struct Cleared<'a> {
    ctx: Ctx<'a>,
}

/// Leads a plan through the gates, and starts it if all of them pass.
pub fn towards(ctx: &Ctx) -> Step {
    let passed = pass_all(ctx, &BEFORE_A_RUN);
    match passed.stop {
        Some(_) => passed,
        None => passed.then(start::start(&Cleared { ctx: *ctx })),
    }
}

/// Leads an object at its target through the gates before Ready.
pub fn at_target(ctx: &Ctx) -> Step {
    let passed = pass_all(ctx, &BEFORE_READY);
    if passed.stop.is_some() {
        return passed;
    }
    let message = format!("the version rows are {}", rows_in_line(&ctx.plan.plan.end));
    passed.stopped(Reason::AtTarget, message, Next::Interval(interval(ctx.object)))
}

/// Runs gates in their order up to the first that does not pass.
fn pass_all(ctx: &Ctx, gates: &[(&str, Gate)]) -> Step {
    let mut passed = Step::default();
    for (_, gate) in gates {
        passed = passed.then(gate(ctx));
        if passed.stop.is_some() {
            break;
        }
    }
    passed
}

fn plan_can_run(ctx: &Ctx) -> Step {
    let column = match &ctx.facts.database {
        DatabaseView::Seen(snapshot) => snapshot.column,
        _ => None,
    };
    let problem = plan_problem(ctx.plan, ctx.object.spec.policy.downgrade, column);
    hold_over(ctx, problem.or_else(|| too_many_rows(ctx)))
}

/// A run is remembered with its version rows, and the status has room for so many.
fn too_many_rows(ctx: &Ctx) -> Option<Problem> {
    let plan = &ctx.plan.plan;
    let message = "there are more version rows than a run can be remembered with; merge branches (`alembic merge`)";
    let fit = rows_fit(&plan.from) && rows_fit(&plan.end);
    (!fit).then(|| Problem::new(Reason::InvalidVersionRows, message))
}

fn drift_allows_it(ctx: &Ctx) -> Step {
    let known = blocking_drift(ctx.object, ctx.drifted);
    hold_over(ctx, known.or_else(|| unseen_drift(ctx.object, ctx.facts, &ctx.world.rows)))
}

fn no_drift_blocks(ctx: &Ctx) -> Step {
    hold_over(ctx, blocking_drift(ctx.object, ctx.drifted))
}

fn not_suspended(ctx: &Ctx) -> Step {
    let Some(by) = ctx.object.suspended_by() else { return Step::default() };
    let next = Next::Interval(interval(ctx.object));
    Step::stop(Reason::Suspended, format!("suspended by {by}; {} waits", summary(ctx.plan)), next)
}

/// Who waits is called once a place is free, so that nobody has to ask.
fn has_a_place(ctx: &Ctx) -> Step {
    let Place::Taken(Taken { place, waiting, by }) = &ctx.facts.turn else { return Step::default() };
    let who = match by {
        By::All(limit) => format!("{limit} runs are at work, as many as may be"),
        By::Server(limit) => format!("{limit} runs are at work on its database server, as many as may be"),
        By::Earlier => "those before it are next".to_owned(),
    };
    let message = format!("{} waits, as number {place} of {waiting} in the line: {who}", summary(ctx.plan));
    Step::stop(Reason::Queued, message, Next::Interval(interval(ctx.object)))
}

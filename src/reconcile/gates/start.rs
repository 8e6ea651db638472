//! What starts a run: the record that the status remembers, and what the runner is asked to do; no I/O.

use super::{Cleared, Ctx, cleared::Start, retry};
use crate::{
    api::{AdoptVerify, DatabaseMigrationSpec, DurationField, LockKind, Reason, RunRecord},
    jobs::{Limit, Run, RunRequest, hex, run_name},
    reconcile::{
        checks::{approver, direction_name},
        effects::{Effect, Next, Step},
        pauses::WITHOUT_POD,
        status::summary,
    },
    revisions::Direction,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, time::Duration};

const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(30);
/// Everybody else who wants the table waits behind the statement that waits.
const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(3);
const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Creates the Job, lets the status say so, and then lets the Job begin.
pub(super) fn start(cleared: &Cleared) -> Step {
    let ctx = &cleared.ctx;
    let record = record(ctx);
    let name = run_name(ctx.object, &record);
    let what = format!("{} in {}", summary(ctx.plan), crate::text::short_image(&record.image));
    let reason = match ctx.plan.plan.direction {
        Direction::Downgrade => Reason::Downgrading,
        Direction::Stamp => Reason::Adopting,
        Direction::Upgrade | Direction::None => Reason::Migrating,
    };
    let run = asked(ctx, record.transactional);
    let start = Start::new(RunRequest::new(ctx.object, record, run), lease(ctx), ctx.facts.server.clone());
    Step::default()
        .before(Effect::Start(Box::new(start)))
        .after(Effect::Release(name.clone()))
        .event(false, "MigrationStarted", &what, Some(name))
        .stopped(reason, what, Next::After(WITHOUT_POD))
}

/// The Lease of the database and its version table, named by a hash: a Lease's name must not show where a database is.
fn lease(ctx: &Ctx) -> Option<String> {
    let spec = &ctx.object.spec.database;
    let inspection = &ctx.plan.image.inspection;
    let database = ctx.facts.database_id();
    let table = (&inspection.version_table_schema, &inspection.version_table);
    let identity = serde_json::json!([inspection.dialect, database.place, database.identity, table]).to_string();
    let digest = hex(&Sha256::digest(identity.as_bytes()));
    (spec.lock == LockKind::Lease).then(|| format!("alembic-operator-{}", &digest[..32]))
}

fn record(ctx: &Ctx) -> RunRecord {
    let plan = &ctx.plan.plan;
    let list = |rows: &BTreeSet<String>| rows.iter().cloned().collect::<Vec<_>>();
    let from = list(&plan.from);
    let (attempts, locked_out) = retry::attempts(ctx);
    RunRecord {
        number: ctx.next_run(),
        plan_hash: ctx.plan.hash.clone(),
        direction: direction_name(plan.direction).to_owned(),
        release_from: release_from(ctx).filter(|before| *before != from),
        from,
        to: list(&plan.end),
        image: ctx.plan.image.image.clone(),
        generation: ctx.generation(),
        requested_at: ctx.requested_at().map(str::to_owned),
        attempts,
        locked_out,
        hazardous: ctx.plan.dangerous(),
        // What leaves the transaction is done for good, whatever the database.
        transactional: ctx.plan.image.inspection.transactional_ddl
            && !plan.steps.iter().any(|s| ctx.plan.image.revision(s).is_some_and(|r| r.autocommit)),
        rolls_back: ctx.rolls_back,
        approval: approver(ctx.object, ctx.plan),
    }
}

/// Where the release began that this run goes on with, one step after the other.
fn release_from(ctx: &Ctx) -> Option<Vec<String>> {
    let before = &ctx.memory.runs.led_to(&ctx.plan.plan.from)?.run;
    let same = before.generation == ctx.generation() && before.requested_at.as_deref() == ctx.requested_at();
    (same && before.rolls_back.is_none() && before.direction == "upgrade").then(|| before.release_from().to_vec())
}

fn asked(ctx: &Ctx, transactional: bool) -> Run {
    let models = ctx.plan.plan.direction == Direction::Stamp
        && ctx.object.spec.adopt.as_ref().is_some_and(|a| a.verify == AdoptVerify::Models);
    let (lock_wait, lock_timeout, statement_timeout) = limits(&ctx.object.spec, transactional);
    ctx.plan.run(lock_wait, lock_timeout, statement_timeout, models)
}

/// How long a run waits for another migration, for the lock of a table, and for a statement.
pub fn limits(spec: &DatabaseMigrationSpec, transactional: bool) -> (Duration, Limit, Option<Limit>) {
    let lock = DurationField::Lock.of(spec);
    let statement = DurationField::Statement.of(spec);
    // Stopped in the middle, the rest of what can't be rolled back would have to be done by hand.
    let limited = statement.is_some() || transactional;
    let lock_timeout = Limit::new(lock, DEFAULT_LOCK_TIMEOUT);
    let statement_timeout = limited.then(|| Limit::new(statement, DEFAULT_STATEMENT_TIMEOUT));
    (lock.unwrap_or(DEFAULT_LOCK_WAIT), lock_timeout, statement_timeout)
}

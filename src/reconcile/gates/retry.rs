//! The gate of retries: whether a run may start after the one before it; no I/O.

use super::{Ctx, hold};
use crate::{
    api::{ConditionType, Problem, Reason, ReasonKind, RunResult, RunStatus},
    jobs::short_hash,
    reconcile::effects::{Next, Step, Stop},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::time::Duration;

const FIRST_PAUSE: u64 = 5;
const LONGEST_PAUSE: u64 = 300;
const DEFAULT_ATTEMPTS: i32 = 10;

pub(super) fn may_be_tried(ctx: &Ctx) -> Step {
    match retry(ctx) {
        Retry::Open { .. } => Step::default(),
        Retry::Closed(problem) => hold(ctx.object, problem),
        Retry::Wait { pause, problem } => {
            let message = format!("{}; tried again in {} s", problem.message, pause.as_secs().max(1));
            // With seconds in it, every pass would write another status.
            let status = ctx.object.status.as_ref();
            let known = status.is_some_and(|s| s.has_reason(ConditionType::Ready, problem.reason));
            let says = (!known || ctx.facts.active.is_some()).then(|| Problem::new(problem.reason, message));
            Step { stop: Some(Stop { ready: says, next: Next::After(pause) }), ..Step::default() }
        }
    }
}

/// Which attempt at the same thing the next run is, and how many runs before it were stopped by a locked table.
pub(super) fn attempts(ctx: &Ctx) -> (i32, i32) {
    match retry(ctx) {
        Retry::Open { attempts, locked_out } => (attempts, locked_out),
        Retry::Wait { .. } | Retry::Closed(_) => (1, 0),
    }
}

fn retry(ctx: &Ctx) -> Retry {
    let limit = ctx.object.spec.retry.limit.unwrap_or(DEFAULT_ATTEMPTS);
    after(ctx.memory.last_run.as_ref(), ctx.generation(), ctx.requested_at(), limit, ctx.now)
}

/// Whether a run may start.
#[derive(Clone, Debug, PartialEq)]
enum Retry {
    /// It may; it is the n-th in a row that tries the same thing.
    Open { attempts: i32, locked_out: i32 },
    /// Not before this time has passed.
    Wait { pause: Duration, problem: Problem },
    /// Not before the spec or the request changes.
    Closed(Problem),
}

/// Judges by the last run. A failed run is never repeated by itself: the spec, and with it the image, or the
/// requestedAt annotation must have changed since. A run that was refused before it began anything is; so is one that
/// was rolled back because a table was locked, up to `limit` of them.
fn after(last: Option<&RunStatus>, generation: i64, requested_at: Option<&str>, limit: i32, now: Timestamp) -> Retry {
    let first = Retry::Open { attempts: 1, locked_out: 0 };
    let Some(last) = last else { return first };
    let asked_anew = last.record.generation != generation || last.record.requested_at.as_deref() != requested_at;
    if last.result == RunResult::Succeeded || asked_anew {
        return first;
    }
    let reason = last.reason.as_deref().and_then(Reason::parse).unwrap_or(Reason::RunLost);
    let problem = Problem::new(reason, last.message.clone().unwrap_or_default());
    let locked = last.result == RunResult::Failed && reason == Reason::TableLocked;
    let locked_out = last.record.locked_out.saturating_add(i32::from(locked));
    if locked && locked_out >= limit {
        let message = format!("given up after {locked_out} attempts: {}", problem.message);
        return Retry::Closed(Problem::new(Reason::MigrationFailed, message));
    }
    if !locked && (last.result != RunResult::Refused || !repeats_by_itself(reason)) {
        return Retry::Closed(problem);
    }
    match remaining(last, now) {
        Some(pause) => Retry::Wait { pause, problem },
        None => Retry::Open { attempts: last.record.attempts.saturating_add(1), locked_out },
    }
}

/// Refusals that pass.
pub fn repeats_by_itself(reason: Reason) -> bool {
    reason.kind() == ReasonKind::Late
        || matches!(
            reason,
            Reason::PlanOutdated
                | Reason::ImageChanged
                | Reason::DatabaseLocked
                | Reason::RunInterrupted
                | Reason::ConnectFailed
                | Reason::DatabaseReadOnly
        )
}

fn remaining(last: &RunStatus, now: Timestamp) -> Option<Duration> {
    let ended = last.finished_at.as_ref().or(last.started_at.as_ref())?.0;
    let doublings = u32::try_from(last.record.attempts.saturating_sub(1).clamp(0, 16)).unwrap_or(0);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    let pause = Duration::from_secs(pause).mul_f64(jitter(last));
    let left = SignedDuration::try_from(pause).ok()? - now.duration_since(ended);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// 0.8 to 1.2, another one for each run, so that many that were stopped by one lock do not all come back at once. It follows
/// from the run's name: another pass must not move it.
fn jitter(last: &RunStatus) -> f64 {
    let digits = short_hash(&[&last.job, &last.record.number.to_string()], 4);
    0.8 + 0.4 * f64::from(u16::from_str_radix(&digits, 16).unwrap_or_default()) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RunRecord;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn run(result: RunResult, reason: Reason, attempts: i32) -> RunStatus {
        RunStatus {
            result,
            reason: Some(reason.to_string()),
            record: RunRecord { attempts, generation: 3, ..RunRecord::default() },
            finished_at: Some(Time(at(0))),
            ..RunStatus::default()
        }
    }

    #[test]
    fn a_failure_is_not_repeated_until_something_is_asked_anew() {
        let failed = run(RunResult::Failed, Reason::MigrationFailed, 1);
        assert!(
            matches!(after(Some(&failed), 3, None, 10, at(9999)), Retry::Closed(p) if p.reason == Reason::MigrationFailed)
        );
        assert_eq!(after(Some(&failed), 4, None, 10, at(1)), Retry::Open { attempts: 1, locked_out: 0 });
        assert_eq!(after(Some(&failed), 3, Some("now"), 10, at(1)), Retry::Open { attempts: 1, locked_out: 0 });
    }

    #[test]
    fn a_refusal_is_repeated_with_growing_pauses() {
        let refused = run(RunResult::Refused, Reason::DatabaseLocked, 3);
        assert!(
            matches!(after(Some(&refused), 3, None, 10, at(5)), Retry::Wait { pause, .. } if (11..=19).contains(&pause.as_secs()))
        );
        assert_eq!(after(Some(&refused), 3, None, 10, at(24)), Retry::Open { attempts: 4, locked_out: 0 });
        let many = run(RunResult::Refused, Reason::PlanOutdated, i32::MAX);
        assert!(
            matches!(after(Some(&many), 3, None, 10, at(0)), Retry::Wait { pause, .. } if (240..=360).contains(&pause.as_secs()))
        );
        let waits = |job: &str| jitter(&RunStatus { job: job.to_owned(), ..RunStatus::default() });
        assert!((0..100).map(|n| waits(&n.to_string())).all(|j| (0.8..=1.2).contains(&j)) && waits("a") != waits("b"));
        let final_ = run(RunResult::Refused, Reason::ExternalTransaction, 1);
        assert!(matches!(after(Some(&final_), 3, None, 10, at(9999)), Retry::Closed(_)));
    }

    #[test]
    fn a_run_that_met_a_locked_table_is_repeated_up_to_the_limit() {
        // Refusals between them do not count.
        let locked = |times| {
            let mut last = run(RunResult::Failed, Reason::TableLocked, 8);
            last.record.locked_out = times - 1;
            last
        };
        assert!(matches!(after(Some(&locked(1)), 3, None, 2, at(1)), Retry::Wait { .. }));
        assert_eq!(after(Some(&locked(1)), 3, None, 2, at(600)), Retry::Open { attempts: 9, locked_out: 1 });
        let given_up = after(Some(&locked(2)), 3, None, 2, at(9999));
        assert!(
            matches!(given_up, Retry::Closed(p) if p.reason == Reason::MigrationFailed && p.message.contains("2 attempts"))
        );
        assert_eq!(after(Some(&locked(2)), 4, None, 2, at(1)), Retry::Open { attempts: 1, locked_out: 0 });
    }
}

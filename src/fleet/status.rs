//! The next status of a set: its conditions, counts and first failures; no I/O.

use super::{
    member::{Member, State},
    waves::number_of,
};
use crate::{
    api::{DatabaseMigrationSet, DatabaseMigrationSetStatus, Problem, Reason, ReasonKind, TargetCounts, TargetFailure},
    reconcile::MOST_OF_A_STATUS,
    text::{clean, fit},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Failures that the status names; the pages have all of them.
const FAILURES: usize = 20;
const MAX_MESSAGE: usize = 1024;
/// Revisions of a rollout's end that the status names.
pub const MOST_REVISIONS: usize = 50;

type Cut = fn(&mut DatabaseMigrationSetStatus);

/// What goes where there is no room, in this order. The pages have every failure, and a ConfigMap the plans.
const CUTS: [Cut; 5] = [short_failures, few_images, short_plans, few_revisions, few_failures];

/// A status that is no larger than it may be.
pub fn fitted(mut status: DatabaseMigrationSetStatus) -> DatabaseMigrationSetStatus {
    let bytes = |status: &DatabaseMigrationSetStatus| serde_json::to_string(status).map_or(0, |text| text.len());
    for cut in CUTS {
        if bytes(&status) <= MOST_OF_A_STATUS {
            break;
        }
        cut(&mut status);
    }
    status
}

fn short_failures(status: &mut DatabaseMigrationSetStatus) {
    status.failures.iter_mut().for_each(|failure| failure.message = fit(&failure.message, 200));
}

fn few_images(status: &mut DatabaseMigrationSetStatus) {
    status.images.truncate(3);
}

fn short_plans(status: &mut DatabaseMigrationSetStatus) {
    for plan in status.rollout.iter_mut().flat_map(|rollout| &mut rollout.plans) {
        plan.from.truncate(2);
        plan.message = plan.message.as_deref().map(|message| fit(message, 300));
    }
}

fn few_revisions(status: &mut DatabaseMigrationSetStatus) {
    let settled = status.settled.iter_mut().map(|settled| &mut settled.revisions);
    settled
        .chain(status.rollout.iter_mut().map(|rollout| &mut rollout.to))
        .for_each(|revisions| revisions.truncate(10));
}

fn few_failures(status: &mut DatabaseMigrationSetStatus) {
    status.failures.truncate(5);
}

/// What the condition Ready says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub problem: Problem,
}

impl Ready {
    pub fn of(problem: Problem) -> Self {
        Self { problem }
    }
}

/// Counts the targets, and names the first that are held.
pub fn count(status: &mut DatabaseMigrationSetStatus, members: &[Member], states: &[State]) {
    let count = |wanted: fn(&State) -> bool| number_of(states.iter().filter(|state| wanted(state)).count());
    status.targets = TargetCounts {
        total: number_of(states.len()),
        at_target: count(|state| *state == State::AtTarget),
        pending: count(|state| *state == State::Pending),
        running: count(|state| *state == State::Running),
        failed: count(|state| matches!(state, State::Held(_))),
    };
    let failure = |(member, state): (&Member, &State)| match state {
        State::Held(problem) => Some(TargetFailure {
            target: clean(&member.target.name, 64),
            reason: problem.reason.to_string(),
            revision: member.memory.revision.as_deref().map(|revision| clean(revision, 64)),
            attempts: member.memory.attempts,
            message: clean(&problem.message, 300),
        }),
        _ => None,
    };
    status.failures = members.iter().zip(states).filter_map(failure).take(FAILURES).collect();
}

/// The status of a set that says this alone; for the tests of what others make of it.
pub fn told(set: &DatabaseMigrationSet, problem: &Problem, now: Timestamp) -> DatabaseMigrationSetStatus {
    next_status(set, set.status.clone().unwrap_or_default(), &Ready::of(problem.clone()), now)
}

/// The status with its conditions.
pub fn next_status(
    set: &DatabaseMigrationSet,
    mut status: DatabaseMigrationSetStatus,
    ready: &Ready,
    now: Timestamp,
) -> DatabaseMigrationSetStatus {
    let Problem { reason, message } = &ready.problem;
    status.observed_generation = set.metadata.generation;
    let (is_ready, reconciling, stalled) = match reason.kind() {
        ReasonKind::Ready => ("True", "False", "False"),
        ReasonKind::Working | ReasonKind::Late => ("False", "True", "False"),
        ReasonKind::Stalled => ("False", "False", "True"),
        ReasonKind::Held => ("False", "False", "False"),
    };
    let generation = set.metadata.generation;
    for (type_, value) in [("Ready", is_ready), ("Reconciling", reconciling), ("Stalled", stalled)] {
        condition(&mut status, type_, value, *reason, message, generation, now);
    }
    status
}

fn condition(
    status: &mut DatabaseMigrationSetStatus,
    type_: &str,
    value: &str,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let known = status.conditions.iter().position(|condition| condition.type_ == type_);
    let since = known.and_then(|place| status.conditions.get(place)).filter(|condition| condition.status == value);
    let next = Condition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: reason.to_string(),
        message: fit(&clean(message, MAX_MESSAGE), MAX_MESSAGE),
        observed_generation: generation,
        last_transition_time: since.map_or(Time(now), |condition| condition.last_transition_time.clone()),
    };
    match known.and_then(|place| status.conditions.get_mut(place)) {
        Some(there) => *there = next,
        None => status.conditions.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RolloutStatus, SetPlan, Settled};

    #[test]
    fn the_longest_status_is_cut_and_keeps_the_hash_of_every_plan() {
        let text = |count: usize| "é".repeat(count);
        let plan = SetPlan {
            hash: "h".repeat(64),
            from: vec![text(64); 8],
            message: Some(text(500)),
            hazard_summary: "C2 H3".into(),
            ..SetPlan::default()
        };
        let failure = TargetFailure { target: text(64), message: text(300), ..TargetFailure::default() };
        let to = vec![text(64); MOST_REVISIONS];
        let status = DatabaseMigrationSetStatus {
            failures: vec![failure; FAILURES],
            images: vec!["i".repeat(1024); 10],
            settled: Some(Settled { revisions: to.clone(), image: "i".repeat(1024) }),
            rollout: Some(RolloutStatus { plans: vec![plan; 8], to, ..RolloutStatus::default() }),
            ..DatabaseMigrationSetStatus::default()
        };
        let cut = fitted(status.clone());
        assert!(serde_json::to_string(&status).unwrap().len() > MOST_OF_A_STATUS);
        assert!(serde_json::to_string(&cut).unwrap().len() <= MOST_OF_A_STATUS);
        assert_eq!((cut.failures.len(), cut.images.len()), (FAILURES, 3));
        let plans = cut.rollout.clone().unwrap().plans;
        assert!(plans.len() == 8 && plans.iter().all(|plan| plan.hash.len() == 64));
        assert_eq!(fitted(cut.clone()), cut);
    }
}

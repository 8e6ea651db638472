//! What the condition Ready says of a set, the first thing that holds; no I/O.

use super::{
    cohorts::{RESOURCE, Way},
    decide::{Decider, Look, SOON, WHILE_ACTIVE},
    facts::BatchView,
    member::State,
    status::Ready,
    waves,
};
use crate::{
    api::{ANNOTATION_PROMOTE, BatchStatus, Problem, Reason, RolloutStatus, TO_PROMOTE, WaveState, WaveStatus},
    jobs::PodState,
    text::rows_in_line,
};
use kube::ResourceExt;
use std::time::Duration;

impl Decider<'_> {
    /// What the set is at, the first thing that holds.
    pub(super) fn ready(&mut self, look: &Look, rollout: &RolloutStatus, superseded: bool) -> Ready {
        let count = |wanted: fn(&State) -> bool| look.states.iter().filter(|state| wanted(state)).count();
        let done = count(|state| *state == State::AtTarget);
        let failed = count(|state| matches!(state, State::Held(_)));
        let total = look.states.len();
        let current = waves::current(&rollout.waves);
        let wave = current.map(|(number, wave)| {
            format!(", wave {} ({} of {})", wave.name, number.saturating_add(1), rollout.waves.len())
        });
        let progress = format!("{done}/{total}{}{}", wave.unwrap_or_default(), failures(failed));
        self.decision.status.progress = Some(progress.clone());
        self.decision.status.wave = current.map(|(_, wave)| wave.name.clone());
        let to = rows_in_line(&rollout.to.iter().cloned().collect());
        let first = look.members.iter().zip(look.states).find_map(|(member, state)| match state {
            State::Held(problem) => Some(format!("{}: {}: {}", member.target.name, problem.reason, problem.message)),
            _ => None,
        });
        let first = first.unwrap_or_default();
        let say = |reason, message: String| Ready::of(Problem::new(reason, message));
        if !rollout.batches.is_empty() {
            self.decision.next = WHILE_ACTIVE;
            let said: Vec<String> = rollout.batches.iter().map(said_of).collect();
            let why = if superseded { ", and ends before something else begins" } else { "" };
            return say(Reason::Migrating, format!("{}{why}; {progress}", said.join("; ")));
        }
        let pending = count(|state| *state == State::Pending);
        if let Some((_, WaveStatus { name, total, failed, state: WaveState::Paused, .. })) = current {
            let may = waves::budget(&self.set.spec.rollout, usize::try_from(*total).unwrap_or(0));
            return say(Reason::WaveFailed, format!("wave {name}: {failed} of {total} failed, and {may} may; {first}"));
        }
        if let (Some(by), true) = (self.set.suspended_by(), pending > 0) {
            return say(Reason::Suspended, format!("suspended by {by}; {progress}"));
        }
        if let Some((_, wave)) = current
            && matches!(wave.state, WaveState::Soaking | WaveState::AwaitingPromotion)
        {
            return self.between(wave, rollout.number, &progress);
        }
        if pending > 0 {
            return self.waiting(look, &progress);
        }
        match (failed, total) {
            (0, 0) => say(Reason::AtTarget, "there is no target".to_owned()),
            (0, _) => say(Reason::AtTarget, format!("all {total} targets are at {to}")),
            _ => say(Reason::TargetsFailed, format!("{done} of {total} targets are at {to}, {failed} failed; {first}")),
        }
    }

    fn between(&mut self, wave: &WaveStatus, number: i64, progress: &str) -> Ready {
        self.decision.next = self.decision.next.min(SOON);
        if wave.state == WaveState::Soaking {
            return Ready::of(Problem::new(Reason::Soaking, format!("wave {} soaks; {progress}", wave.name)));
        }
        let message = format!(
            "wave {} is done{TO_PROMOTE}kubectl annotate --overwrite -n {} {} {} {ANNOTATION_PROMOTE}={number}/{}",
            wave.name,
            self.set.namespace().unwrap_or_default(),
            RESOURCE,
            self.set.name_any(),
            wave.name
        );
        Ready::of(Problem::new(Reason::AwaitingPromotion, message))
    }

    /// Something is pending and nothing begins: it waits for an approval, or for its next try.
    fn waiting(&mut self, look: &Look, progress: &str) -> Ready {
        let is_pending = |place: &usize| look.states.get(*place) == Some(&State::Pending);
        let unapproved = look.cohorts.iter().filter(|cohort| cohort.members.iter().any(is_pending));
        let held = unapproved.filter_map(|cohort| match &cohort.way {
            Way::Planned(planned) => planned.approval.problem.clone(),
            _ => None,
        });
        let pauses = look
            .members
            .iter()
            .zip(look.states)
            .filter(|(_, state)| **state == State::Pending)
            .filter_map(|(member, _)| Some((member.memory.pause(self.now)?, member)));
        match (pauses.min_by_key(|(pause, _)| *pause), held.into_iter().next()) {
            (Some((pause, member)), None) => {
                self.decision.next = pause.saturating_add(Duration::from_millis(500));
                let reason = Reason::parse(&member.memory.reason).unwrap_or(Reason::TableLocked);
                let message = format!("{}: {}", member.target.name, member.memory.message);
                Ready::of(Problem::new(reason, format!("{message}; it is tried again; {progress}")))
            }
            (_, Some(problem)) => Ready::of(problem),
            (None, None) => {
                self.decision.next = self.decision.next.min(SOON);
                Ready::of(Problem::new(Reason::Migrating, format!("waits for its turn; {progress}")))
            }
        }
    }

    /// While batches are at work nothing is looked at.
    pub(super) fn working(&self) -> Ready {
        let batches = self.facts.batches.iter().filter(|batch| !batch.has_ended());
        let said: Vec<String> = batches.map(said).collect();
        let blocked = self.facts.batches.iter().find_map(|batch| match &batch.state {
            PodState::Blocked(trouble) => Some(trouble.problem(&batch.status.job)),
            _ => None,
        });
        Ready::of(blocked.unwrap_or_else(|| Problem::new(Reason::Migrating, self.with_progress(&said.join("; ")))))
    }

    fn with_progress(&self, what: &str) -> String {
        match &self.decision.status.progress {
            Some(progress) => format!("{what}; {progress}"),
            None => what.to_owned(),
        }
    }
}

fn said(batch: &BatchView) -> String {
    said_of(&batch.status)
}

fn said_of(batch: &BatchStatus) -> String {
    format!("Job {} migrates {} targets on {}", batch.job, batch.targets, batch.server)
}

fn failures(failed: usize) -> String {
    if failed == 0 { String::new() } else { format!(", {failed} failed") }
}

//! The part of a decision that comes last: what to clear away, and what to tell; pure.

use super::{Effect, Pass};
use crate::{
    api::{ConditionType, DatabaseMigration, DatabaseMigrationStatus, FINALIZER, Kind, Reason, RunResult, RunStatus},
    jobs::PodState,
};
use kube::ResourceExt;

const DEFAULT_HISTORY: usize = 3;

impl Pass<'_> {
    /// Removes what is no longer needed, whatever was decided.
    pub(super) fn clean_up(&mut self) {
        let ended = self.observed.run.as_ref().is_none_or(|run| matches!(run.job.state, PodState::Ended(_)));
        let starting = self.effects.iter().chain(&self.after).any(|e| matches!(e, Effect::Run(_)));
        let gave_up = self.effects.iter().any(|e| matches!(e, Effect::DeleteJob(_)));
        if (ended || gave_up) && !starting && self.object.finalizers().iter().any(|f| f == FINALIZER) {
            // With the object its Jobs go, and their pods.
            self.after.extend([self.no_run_since(), Effect::RemoveFinalizer]);
        }
        let limit = self.object.spec.history_limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(DEFAULT_HISTORY);
        let mut runs = self.observed.old_runs.clone();
        runs.sort_by_key(|run| std::cmp::Reverse(run.number));
        let just_ended = usize::from(self.observed.run.is_some() && ended);
        let surplus = runs.into_iter().skip(limit.saturating_sub(just_ended)).map(|run| Effect::DeleteJob(run.job));
        let old = self.observed.old_jobs.iter().cloned().map(Effect::DeleteJob);
        self.after.extend(surplus.chain(old));
        self.after.extend(self.surplus_stages(limit).into_iter().map(Effect::DeleteJob));
        let rehearsals = self.old_rehearsals();
        self.after.extend(rehearsals.into_iter().map(Effect::DeleteRehearsal));
    }

    pub(super) fn tell(&mut self, warning: bool, reason: &str, note: &str, job: Option<String>) {
        self.after.push(event(warning, reason, note, job));
    }

    pub(super) fn tell_end(&mut self, run: &RunStatus) {
        let (from, to) = (run.from.join(","), run.to.join(","));
        match run.result {
            RunResult::Succeeded => {
                let note = format!("{} from {} to {} in {}", run.direction, or_base(&from), or_base(&to), run.image);
                self.tell(false, "MigrationSucceeded", &note, Some(run.job.clone()));
            }
            RunResult::Failed | RunResult::Lost => {
                let note = run.message.clone().unwrap_or_default();
                self.tell(true, "MigrationFailed", &note, Some(run.job.clone()));
            }
            // The verdict tells a refusal.
            RunResult::Refused => {}
        }
    }
}

/// An event for each change of the Ready reason that the run's own events do not tell.
pub(super) fn transition(object: &DatabaseMigration, status: &DatabaseMigrationStatus) -> Option<Effect> {
    let reason = |status: &DatabaseMigrationStatus| status.condition(ConditionType::Ready).map(|c| c.reason.clone());
    let before = object.status.as_ref().and_then(reason);
    let ready = status.condition(ConditionType::Ready)?;
    let reason = Reason::parse(&ready.reason)?;
    let told = match reason {
        Reason::Inspecting | Reason::Probing | Reason::Rehearsing | Reason::BackingUp | Reason::Verifying => true,
        Reason::Migrating | Reason::Adopting | Reason::Downgrading | Reason::MigrationFailed => true,
        _ => before.as_deref() == Some(reason.as_str()),
    };
    if told {
        return None;
    }
    let calm = matches!(reason.kind(), Kind::Ready | Kind::Held) || reason == Reason::AwaitingApproval;
    Some(event(!calm, &ready.reason, &ready.message, None))
}

fn event(warning: bool, reason: &str, note: &str, job: Option<String>) -> Effect {
    Effect::Event { warning, reason: reason.to_owned(), note: crate::text::clean(note, 900), job }
}

fn or_base(rows: &str) -> &str {
    if rows.is_empty() { "base" } else { rows }
}

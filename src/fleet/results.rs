//! What came of the batches that have ended, as it is remembered of each target; no I/O.

use super::{
    facts::{BatchView, Facts},
    member::{MESSAGE, Member, Memory},
};
use crate::{
    api::{Reason, RolloutStatus},
    jobs::{MemberEnd, MemberResult, PodState},
    text,
};
use k8s_openapi::jiff::Timestamp;
use std::collections::HashMap;

const DEFAULT_ATTEMPTS: i32 = 10;

/// Records every batch that has ended, and takes it out of the rollout.
pub fn record(members: &mut [Member], rollout: &mut RolloutStatus, facts: &Facts, limit: Option<i32>, now: Timestamp) {
    for batch in facts.batches.iter().filter(|batch| batch.has_ended()) {
        let number = batch.status.number;
        let results = by_key(batch);
        for member in members.iter_mut().filter(|member| member.memory.batch == number) {
            let result = results.get(&member.target.key()).cloned().unwrap_or_default();
            member.memory = after(&member.memory, result, batch.status.transactional, limit, now);
        }
        let changed = results.values().any(|result| result.reason == Some(Reason::ImageChanged));
        rollout.image_changed = if changed { Some(number) } else { rollout.image_changed };
        rollout.batches.retain(|known| known.number != number);
    }
    // A mark of a batch that the status never named: it was never let begin.
    for member in members.iter_mut() {
        if !rollout.batches.iter().any(|known| known.number == member.memory.batch) {
            member.memory.batch = 0;
        }
    }
}

/// The results by the keys of the targets. A batch that left no word leaves every one of its targets unknown.
fn by_key(batch: &BatchView) -> HashMap<String, MemberResult> {
    let unknown = || MemberResult { end: MemberEnd::Unknown, message: silence(batch), ..MemberResult::default() };
    let result = |place: usize| match &batch.report {
        Some(report) => report.members.get(place).cloned().unwrap_or_else(unknown),
        None => unknown(),
    };
    batch.members.iter().enumerate().map(|(place, key)| (key.clone(), result(place))).collect()
}

fn silence(batch: &BatchView) -> String {
    match &batch.state {
        PodState::Ended(ended) => {
            let why = ended.reason.as_deref().unwrap_or("without a word");
            format!("the pod of Job {} ended ({why})", batch.status.job)
        }
        _ => format!("Job {} was deleted", batch.status.job),
    }
}

/// What is remembered of a target after its batch; whether it is done is not asked here, since its rows tell.
fn after(before: &Memory, result: MemberResult, transactional: bool, limit: Option<i32>, now: Timestamp) -> Memory {
    let attempts = before.attempts.saturating_add(1);
    let tried = |held: bool, reason: Reason| Memory {
        rollout: before.rollout,
        batch: 0,
        attempts,
        held,
        reason: reason.to_string(),
        revision: result.revision.clone(),
        message: text::clean(&result.message, MESSAGE),
        since: now.as_second(),
    };
    match result.end {
        MemberEnd::Done => Memory::default(),
        MemberEnd::NotBegun => Memory { batch: 0, ..before.clone() },
        MemberEnd::Failed => {
            let reason = result.reason.unwrap_or(Reason::MigrationFailed);
            let in_a_step = matches!(
                reason,
                Reason::MigrationFailed | Reason::TableLocked | Reason::StatementTimeout | Reason::DatabaseReadOnly
            );
            let stays = result.started && in_a_step && result.committed.unwrap_or(!transactional);
            tried(true, if stays { Reason::PartiallyApplied } else { reason })
        }
        MemberEnd::Later => match result.reason {
            // Somebody else was there, or the files are others: it is planned anew.
            Some(Reason::PlanOutdated | Reason::ImageChanged) => Memory::default(),
            reason => tried(attempts >= limit.unwrap_or(DEFAULT_ATTEMPTS), reason.unwrap_or(Reason::RunInterrupted)),
        },
        // Where all of it is rolled back, the rows tell whether it is done; nothing else can be left.
        MemberEnd::Unknown if transactional => {
            tried(attempts >= limit.unwrap_or(DEFAULT_ATTEMPTS), Reason::RunInterrupted)
        }
        MemberEnd::Unknown => tried(true, Reason::RunLost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(end: MemberEnd, reason: Option<Reason>, transactional: bool) -> Memory {
        let before = Memory { rollout: 2, batch: 7, attempts: 1, ..Memory::default() };
        let result = MemberResult { end, reason, ..MemberResult::default() };
        after(&before, result, transactional, Some(3), Timestamp::from_second(100).unwrap())
    }

    #[test]
    fn what_is_remembered_of_each_end() {
        assert_eq!(end(MemberEnd::Done, None, true), Memory::default());
        assert_eq!(end(MemberEnd::NotBegun, None, true).attempts, 1);
        let failed = end(MemberEnd::Failed, Some(Reason::MigrationFailed), true);
        assert_eq!((failed.held, failed.batch, failed.attempts, failed.since), (true, 0, 2, 100));
        let begun = |committed| {
            let result = MemberResult {
                end: MemberEnd::Failed,
                reason: Some(Reason::MigrationFailed),
                started: true,
                committed,
                ..MemberResult::default()
            };
            after(&Memory::default(), result, false, None, Timestamp::from_second(100).unwrap()).reason
        };
        assert_eq!((begun(None).as_str(), begun(Some(false)).as_str()), ("PartiallyApplied", "MigrationFailed"));
        let later = end(MemberEnd::Later, Some(Reason::TableLocked), true);
        assert_eq!((later.held, later.attempts, later.reason.as_str()), (false, 2, "TableLocked"));
        assert_eq!(end(MemberEnd::Later, Some(Reason::PlanOutdated), true), Memory::default());
        assert!(!end(MemberEnd::Unknown, None, true).held);
        let lost = end(MemberEnd::Unknown, None, false);
        assert_eq!((lost.held, lost.reason.as_str()), (true, "RunLost"));
    }
}

//! What came of the batches that have ended, as it is remembered of each target; no I/O.

use super::{
    facts::{BatchView, Facts},
    member::{MESSAGE, Member, Memory},
};
use crate::{
    api::{Reason, RolloutStatus},
    jobs::{MemberEnd, MemberResult, PodState, nothing_begun},
    text,
};
use k8s_openapi::jiff::Timestamp;
use std::collections::HashMap;

const DEFAULT_ATTEMPTS: i32 = 10;

/// Records every batch that has ended, and takes it out of the rollout.
pub fn record(members: &mut [Member], rollout: &mut RolloutStatus, facts: &Facts, limit: Option<i32>, now: Timestamp) {
    for batch in facts.batches.iter().filter(|batch| batch.has_ended()) {
        let number = batch.status.number;
        let (results, untold) = (by_key(batch), untold(batch));
        for member in members.iter_mut().filter(|member| member.memory.batch == number) {
            let result = results.get(&member.target.key()).unwrap_or(&untold).clone();
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

/// The results that were reported, by the keys of the targets.
fn by_key(batch: &BatchView) -> HashMap<String, MemberResult> {
    let told = batch.report.iter().flat_map(|report| &report.members);
    batch.members.iter().cloned().zip(told.cloned()).collect()
}

/// What is known of a target of which its batch has left no word: nothing, unless it is certain that none was begun.
fn untold(batch: &BatchView) -> MemberResult {
    let unknown = |message| MemberResult { end: MemberEnd::Unknown, message, ..MemberResult::default() };
    if batch.withdrawn.is_some() {
        return MemberResult::default();
    }
    let PodState::Ended(ended) = &batch.state else {
        return unknown(format!("Job {} was deleted", batch.status.job));
    };
    let certain = if batch.report.is_none() { nothing_begun(ended) } else { None };
    certain.unwrap_or_else(|| {
        let why = ended.reason.as_deref().unwrap_or("without a word");
        unknown(format!("the pod of Job {} ended ({why})", batch.status.job))
    })
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
        // It is planned anew where somebody else was there, or the files are others. Where that is so again and again, the operator
        // does not see what env.py does.
        MemberEnd::Later => {
            tried(attempts >= limit.unwrap_or(DEFAULT_ATTEMPTS), result.reason.unwrap_or(Reason::RunInterrupted))
        }
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
    use crate::{
        api::BatchStatus,
        fleet::{
            facts::Withdrawn,
            member::{Seen, Target},
        },
        jobs::Ended,
    };

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
        let outdated = end(MemberEnd::Later, Some(Reason::PlanOutdated), true);
        assert_eq!((outdated.held, outdated.attempts), (false, 2), "it is no endless loop");
        assert!(!end(MemberEnd::Unknown, None, true).held);
        let lost = end(MemberEnd::Unknown, None, false);
        assert_eq!((lost.held, lost.reason.as_str()), (true, "RunLost"));
    }
    fn recorded(batch: BatchView) -> Memory {
        let target = Target { name: "a".into(), server: "main".into(), ..Target::default() };
        let memory = Memory { rollout: 2, batch: 7, ..Memory::default() };
        let mut members = [Member { target, seen: Seen::Rows(Default::default()), memory }];
        let status = BatchStatus { job: "app-batch-7".into(), number: 7, ..batch.status };
        let mut rollout = RolloutStatus { batches: vec![status.clone()], ..RolloutStatus::default() };
        let facts = Facts { batches: vec![BatchView { status, ..batch }], ..Facts::default() };
        record(&mut members, &mut rollout, &facts, None, Timestamp::from_second(100).unwrap());
        assert!(rollout.batches.is_empty());
        members[0].memory.clone()
    }

    #[test]
    fn a_batch_whose_job_was_deleted_may_have_begun() {
        let gone = recorded(BatchView::default());
        assert_eq!((gone.held, gone.reason.as_str()), (true, "RunLost"));
        assert_eq!((gone.batch, gone.message.as_str()), (0, "Job app-batch-7 was deleted"));
        let status = BatchStatus { transactional: true, ..BatchStatus::default() };
        let gone = recorded(BatchView { status, ..BatchView::default() });
        assert_eq!((gone.held, gone.attempts, gone.reason.as_str()), (false, 1, "RunInterrupted"));
    }

    #[test]
    fn a_batch_that_began_nothing_holds_nobody_as_lost() {
        let view = |ended| BatchView { there: true, state: PodState::Ended(ended), ..BatchView::default() };
        let evicted = recorded(view(Ended { reason: Some("Evicted".into()), ..Ended::default() }));
        assert_eq!((evicted.held, evicted.attempts, evicted.reason.as_str()), (false, 1, "RunInterrupted"));
        let message = r#"{"state":"refused","error":{"class":"AlembicMissing","message":"there is no Alembic"}}"#;
        let refused = recorded(view(Ended { message: Some(message.into()), ran: true, ..Ended::default() }));
        assert_eq!((refused.held, refused.reason.as_str()), (true, "AlembicMissing"));
        assert_eq!(refused.message, "there is no Alembic");
        let withdrawn = Some(Withdrawn::default());
        let withdrawn = recorded(BatchView { there: true, suspended: true, withdrawn, ..BatchView::default() });
        assert_eq!(withdrawn, Memory { rollout: 2, ..Memory::default() });
    }
}

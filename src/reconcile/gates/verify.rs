//! The gate of the verification, after a run and before Ready; no I/O.

use super::{Ctx, backup::give_up, interval, rollback::not_verified};
use crate::{
    api::{Reason, StageChange, StageResult, StageStatus, VerifyStatus},
    jobs::{Kind, Progress, Trouble},
    reconcile::{
        checks::{Verification, stage_progress, verification},
        effects::{Next, Note, Step},
        pauses::{WHILE_ACTIVE, WITHOUT_POD},
    },
};

pub(super) fn verified(at: &Ctx) -> Step {
    let (object, memory, world) = (at.object, at.memory, at.world);
    let ask = verification(object, memory, &world.rows, &world.image, at.requested_at());
    let step = give_up(at.facts, Kind::Verify, ask.as_ref().map(|ask| ask.name.as_str()));
    let Some(ask) = ask else { return step };
    let known = memory.stages.verify.as_ref().map(|verify| &verify.stage).filter(|stage| stage.job == ask.name);
    let running = StageStatus::running(&ask.name, &ask.run.run.plan_hash, known, at.now);
    let progress = stage_progress(known, Kind::Verify, &ask.name, ask.request.timeout, at.facts, at.now);
    let known = known.map(|stage| stage.result);
    let waits = |trouble: Option<&Trouble>, pause| waits(&ask, running.clone(), trouble, pause);
    step.then(match progress {
        Progress::Absent if object.suspended_by().is_some() => {
            let message = format!("suspended; the verification of run {} waits", ask.run.run.number);
            Step::stop(Reason::Suspended, message, Next::Interval(interval(object)))
        }
        Progress::Absent => waits(None, WITHOUT_POD).create(ask.request.clone()),
        Progress::Waiting | Progress::Running => waits(None, WHILE_ACTIVE),
        Progress::Blocked(trouble) => waits(Some(&trouble), WHILE_ACTIVE),
        Progress::Done(Ok(()), _) if known == Some(StageResult::Succeeded) => Step::default(),
        Progress::Done(Ok(()), ended) => {
            Step::default().note(note(&ask, running.clone().ended(&Ok(()), ended.unwrap_or(at.now))))
        }
        Progress::Done(Err(why), ended) => {
            let step = give_up(at.facts, Kind::Verify, None);
            let step =
                match known {
                    Some(StageResult::Failed) => step,
                    _ => step
                        .note(note(&ask, running.clone().ended(&Err(why.clone()), ended.unwrap_or(at.now))))
                        .event(true, "VerifyFailed", &why, Some(ask.name.clone())),
                };
            step.then(not_verified(at, &ask, &why))
        }
    })
}

fn waits(ask: &Verification, running: StageStatus, trouble: Option<&Trouble>, pause: std::time::Duration) -> Step {
    let step = Step::default().note(note(ask, running));
    match trouble.map(|trouble| trouble.problem(&ask.name)) {
        Some(problem) => step.stopped(problem.reason, problem.message, Next::After(pause)),
        None => {
            let message = format!(
                "Job {} verifies run {} in {}",
                ask.name,
                ask.run.run.number,
                crate::text::short_image(&ask.request.image)
            );
            step.stopped(Reason::Verifying, message, Next::After(pause))
        }
    }
}

fn note(ask: &Verification, stage: StageStatus) -> Note {
    Note::stage(StageChange::Verify(VerifyStatus { stage, run: ask.run.run.number, hash: ask.hash.clone() }))
}

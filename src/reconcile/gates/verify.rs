//! The gate of the verification, after a run and before Ready; no I/O.

use super::{Ctx, WHILE_ACTIVE, WITHOUT_POD, backup::give_up, interval, rollback::not_verified};
use crate::{
    api::{Reason, VerifyResult, VerifyStatus},
    jobs::{Kind, Progress, Trouble},
    reconcile::{
        checks::{VerifyAsk, verify_ask, verify_progress},
        effects::{Effect, Next, Note, Step},
    },
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

pub(super) fn verified(at: &Ctx) -> Step {
    let (object, memory, world) = (at.object, at.memory, at.world);
    let ask = verify_ask(object, memory, &world.rows, &world.image, at.requested_at());
    let step = give_up(at.facts, Kind::Verify, ask.as_ref().map(|ask| ask.name.as_str()));
    let Some(ask) = ask else { return step };
    let known = memory.verify.as_ref().filter(|known| known.job == ask.name).map(|known| known.result);
    step.then(match verify_progress(&ask, memory, at.facts, at.now) {
        Progress::Absent if object.spec.suspend => {
            let message = format!("suspended; the verification of run {} waits", ask.run.run.number);
            Step::stop(Reason::Suspended, message, Next::Interval(interval(object)))
        }
        Progress::Absent => waits(&ask, None, WITHOUT_POD).before(Effect::Verify(Box::new(ask.request.clone()))),
        Progress::Waiting | Progress::Running => waits(&ask, None, WHILE_ACTIVE),
        Progress::Blocked(trouble) => waits(&ask, Some(&trouble), WHILE_ACTIVE),
        Progress::Done(Ok(()), _) if known == Some(VerifyResult::Passed) => Step::default(),
        Progress::Done(Ok(()), ended) => {
            Step::default().note(note(&ask, VerifyResult::Passed, None, Some(ended.unwrap_or(at.now))))
        }
        Progress::Done(Err(why), ended) => {
            let step = give_up(at.facts, Kind::Verify, None);
            let step = match known {
                Some(VerifyResult::Failed) => step,
                _ => step.note(note(&ask, VerifyResult::Failed, Some(&why), Some(ended.unwrap_or(at.now)))).event(
                    true,
                    "VerifyFailed",
                    &why,
                    Some(ask.name.clone()),
                ),
            };
            step.then(not_verified(at, &ask, &why))
        }
    })
}

fn waits(ask: &VerifyAsk, trouble: Option<&Trouble>, pause: std::time::Duration) -> Step {
    let step = Step::default().note(note(ask, VerifyResult::Running, None, None));
    match trouble.map(|trouble| trouble.problem(&ask.name)) {
        Some(problem) => step.stopped(problem.reason, problem.message, Next::After(pause)),
        None => {
            let message = format!("Job {} verifies run {} in {}", ask.name, ask.run.run.number, ask.request.image);
            step.stopped(Reason::Verifying, message, Next::After(pause))
        }
    }
}

fn note(ask: &VerifyAsk, result: VerifyResult, message: Option<&str>, at: Option<Timestamp>) -> Note {
    Note::Verify(VerifyStatus {
        run: ask.run.run.number,
        job: ask.name.clone(),
        hash: ask.hash.clone(),
        result,
        message: message.map(str::to_owned),
        finished_at: at.map(Time),
    })
}

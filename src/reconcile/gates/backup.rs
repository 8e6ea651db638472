//! The gate of the backup, which must be complete before a run, and the condition BackedUp; no I/O.

use super::{Ctx, hold};
use crate::{
    api::{
        BackupMethod, BackupStatus, ConditionType, DatabaseMigration, DatabaseMigrationStatus, Problem, Reason,
        StageChange, StageResult, StageStatus, When,
    },
    jobs::{BackupRequest, Kind, Progress, Trouble},
    reconcile::{
        checks::{Chosen, backup_progress, backup_request, not_required},
        effects::{Effect, Next, Note, Step},
        facts::{Facts, JobView},
        pauses::{WHILE_ACTIVE, WITHOUT_POD},
    },
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// How soon to check a Backup of CloudNativePG again: its kind may not be there, so it is not watched.
const POLLED: Duration = Duration::from_secs(5);

pub(super) fn backed_up(ctx: &Ctx) -> Step {
    let tried = i64::from(super::retry::attempts(ctx).0.max(1) - 1);
    let first = ctx.next_run().saturating_sub(tried);
    let request = backup_request(ctx.object, ctx.plan, first, ctx.requested_at());
    let wanted = request.as_ref().map(|request| request.name.as_str());
    // What the run changes is not to be verified meanwhile.
    let step = give_up(ctx.facts, Kind::Backup, wanted).then(give_up(ctx.facts, Kind::Verify, None));
    let Some(request) = request else { return step };
    let known = ctx.memory.stages.backup.as_ref().map(|backup| &backup.stage).filter(|stage| stage.job == request.name);
    let stage = Stage { known, request, ctx };
    step.then(match backup_progress(&stage.request, ctx.memory.stages.backup.as_ref(), ctx.facts, ctx.now) {
        Progress::Absent => stage.begin(),
        Progress::Waiting | Progress::Running => stage.wait(None),
        Progress::Blocked(trouble) => stage.wait(Some(&trouble)),
        Progress::Done(Ok(()), at) => stage.complete(at),
        Progress::Done(Err(why), at) => stage.failed(&why, at),
    })
}

/// A backup that a plan needs.
struct Stage<'a> {
    request: BackupRequest,
    /// What is recorded of it.
    known: Option<&'a StageStatus>,
    ctx: &'a Ctx<'a>,
}

impl Stage<'_> {
    fn what(&self) -> String {
        format!("{} {}", self.request.method.kind(), self.request.name)
    }

    fn making(&self) -> String {
        format!("{} makes a backup for plan {}", self.what(), self.ctx.plan.hash)
    }

    /// Events name a Job; a Backup is named in their text.
    fn job(&self) -> Option<String> {
        (self.request.method == BackupMethod::Job).then(|| self.request.name.clone())
    }

    fn stage(&self) -> StageStatus {
        StageStatus::running(&self.request.name, &self.ctx.plan.hash, self.known, self.ctx.now)
    }

    fn note(&self, stage: StageStatus) -> Note {
        Note::stage(StageChange::Backup(BackupStatus { stage, method: self.request.method }))
    }

    fn running(&self) -> Step {
        Step::default().note(self.note(self.stage())).note(Note::condition(
            ConditionType::BackedUp,
            "False",
            "Running",
            self.making(),
        ))
    }

    fn begin(&self) -> Step {
        let job = self.request.method == BackupMethod::Job;
        let next = Next::After(if job { WITHOUT_POD } else { POLLED });
        let step = match self.request.method {
            BackupMethod::Job => self.running().create(self.request.clone()),
            BackupMethod::Cnpg => self.running().before(Effect::CreateBackup(Box::new(self.request.clone()))),
        };
        let step = match self.known {
            None => step.event(false, "BackupStarted", &self.making(), self.job()),
            Some(_) => step,
        };
        step.stopped(Reason::BackingUp, self.making(), next)
    }

    fn wait(&self, trouble: Option<&Trouble>) -> Step {
        let job = self.request.method == BackupMethod::Job;
        let next = Next::After(if job { WHILE_ACTIVE } else { POLLED });
        match trouble.map(|trouble| trouble.problem(&self.request.name)) {
            Some(problem) => self.running().stopped(problem.reason, problem.message, next),
            None => self.running().stopped(Reason::BackingUp, self.making(), next),
        }
    }

    fn complete(&self, at: Option<Timestamp>) -> Step {
        let message = format!("{} for plan {}", self.what(), self.ctx.plan.hash);
        let step = Step::default().note(Note::condition(ConditionType::BackedUp, "True", "Succeeded", &message));
        if self.known.is_some_and(|known| known.result == StageResult::Succeeded) {
            return step;
        }
        let ended = self.stage().ended(&Ok(()), at.unwrap_or(self.ctx.now));
        step.note(self.note(ended)).event(false, "BackupSucceeded", &message, self.job())
    }

    fn failed(&self, why: &str, at: Option<Timestamp>) -> Step {
        let is_news = self.known.is_none_or(|known| known.result != StageResult::Failed);
        let mut step = give_up(self.ctx.facts, Kind::Backup, None);
        if is_news {
            step = step.note(self.note(self.stage().ended(&Err(why.to_owned()), at.unwrap_or(self.ctx.now))));
            if self.ctx.rolls_back.is_some() {
                // Elsewhere the Ready condition says it.
                step = step.event(true, "BackupFailed", &format!("{}: {why}", self.what()), self.job());
            }
        }
        let message = format!(
            "nothing was run, since {} failed: {why}; to try again, change the spec or the annotation alembic-operator.dev/requestedAt",
            self.what()
        );
        step.note(Note::condition(ConditionType::BackedUp, "False", "Failed", &message))
            .then(hold(self.ctx.object, Problem::new(Reason::BackupFailed, message)))
    }
}

/// What the condition BackedUp says where no backup is made in this pass.
pub fn no_backup(
    object: &DatabaseMigration,
    memory: &DatabaseMigrationStatus,
    facts: &Facts,
    plan: &Chosen,
    at_target: bool,
) -> Step {
    let said = |status, reason: &str, message: &str| {
        Step::default().note(Note::condition(ConditionType::BackedUp, status, reason, message))
    };
    let last = memory.stages.backup.as_ref().map(|backup| &backup.stage);
    let succeeded = last.is_some_and(|last| last.result == StageResult::Succeeded);
    let of_this_plan = last.is_some_and(|last| last.plan_hash == plan.hash);
    let why = not_required(object.spec.stages.backup.when, plan);
    let step = match why {
        // What was made before the run that led here is still of interest.
        None if at_target && succeeded => Step::default(),
        _ if at_target => {
            let why = why.filter(|_| object.spec.stages.backup.when == When::Never);
            said("False", "NotRequired", why.unwrap_or("nothing is pending"))
        }
        Some(why) => said("False", "NotRequired", why),
        None if of_this_plan => Step::default(),
        None => said("Unknown", "NotChecked", "made right before the run"),
    };
    if at_target { step.then(give_up(facts, Kind::Backup, None)) } else { step }
}

/// Takes away Jobs that nobody waits for any more and that still work.
pub(super) fn give_up(facts: &Facts, kind: Kind, wanted: Option<&str>) -> Step {
    let unwanted = facts.of(kind).filter(|job| Some(job.name.as_str()) != wanted && job.ended().is_none());
    unwanted.fold(Step::default(), |step, job| step.after(Effect::DeleteJob(job.name.clone())))
}

/// Finished Jobs over a limit, the newest and those that the status names left out.
pub fn surplus_stages(status: &DatabaseMigrationStatus, facts: &Facts, limit: usize) -> Vec<String> {
    let surplus = |kind| {
        let of_status = |job: &&JobView| status.stages.all().any(|stage| stage.job == job.name);
        let kept = facts.of(kind).filter(of_status).count();
        let mut old: Vec<_> = facts.of(kind).filter(|job| job.ended().is_some() && !of_status(job)).collect();
        old.sort_by_key(|job| std::cmp::Reverse((job.record.number, job.created, job.name.clone())));
        old.into_iter().skip(limit.saturating_sub(kept)).map(|job| job.name.clone()).collect::<Vec<_>>()
    };
    Kind::ALL.into_iter().filter(|kind| kind.traits().in_history).flat_map(surplus).collect()
}

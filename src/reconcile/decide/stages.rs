//! The part of a decision that is about what surrounds a run: the backup before it, the verification after it, and the way
//! back when that fails; pure.

use super::{Effect, Next, Pass, WHILE_ACTIVE, WITHOUT_POD, image::problem_of};
use crate::{
    api::{
        BackupMethod, BackupResult, BackupStatus, ConditionType, Kind, OnFailure, Reason, RunStatus, VerifyResult,
        VerifyStatus,
    },
    jobs::{Inspected, PodState},
    reconcile::{
        checks::{
            BackupAsk, Chosen, Progress, VerifyAsk, backup_ask, backup_progress, not_required, requested_at,
            verify_ask, verify_progress, way_back,
        },
        observed::{Problem, StageView},
    },
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How soon to look again at a Backup of CloudNativePG: its kind may not be there, so it is not watched.
const POLLED: Duration = Duration::from_secs(5);

impl Pass<'_> {
    /// Whether the backup before a run is complete. `Err` says when to look again.
    pub(super) fn back_up(&mut self, chosen: &Chosen, attempts: i32) -> Result<(), Next> {
        let tried = i64::from(attempts.max(1) - 1);
        let first = self.draft.status.recorded_runs().saturating_add(1).saturating_sub(tried);
        let ask = backup_ask(self.object, chosen, first, requested_at(self.object));
        self.give_up_stages(&self.observed.stages.backups, ask.as_ref().map(|ask| ask.name.as_str()));
        // What the run changes is not to be verified meanwhile.
        self.give_up_stages(&self.observed.stages.verifications, None);
        let Some(ask) = ask else { return Ok(()) };
        self.backs_up = true;
        let progress = backup_progress(&ask, self.draft.status.backup.as_ref(), &self.observed.stages, self.now);
        let known = self.draft.status.backup.clone().filter(|known| known.reference == ask.name);
        let what = format!("{} {}", ask.method.kind(), ask.name);
        match progress {
            Progress::Absent => Err(self.begin_backup(&ask, known.as_ref(), &what)),
            Progress::Working(trouble) => {
                let message = format!("{what} makes a backup for plan {}", ask.record.hash);
                self.note_backup(&ask, known.as_ref(), BackupResult::Running, None, None);
                self.draft.set(ConditionType::BackedUp, "False", "Running", &message);
                match trouble {
                    Some(trouble) => self.draft.problem(&problem_of(&trouble, &ask.name)),
                    None => self.draft.verdict(Reason::BackingUp, &message),
                }
                Err(Next::After(if ask.method == BackupMethod::Cnpg { POLLED } else { WHILE_ACTIVE }))
            }
            Progress::Passed { at } => {
                let message = format!("{what} for plan {}", ask.record.hash);
                if known.as_ref().is_none_or(|known| known.result != BackupResult::Completed) {
                    self.note_backup(&ask, known.as_ref(), BackupResult::Completed, None, at);
                    self.tell(false, "BackupCompleted", &message, job_of(&ask));
                    // Its end must be stored before the run starts that relies on it.
                    self.news_first = true;
                }
                self.draft.set(ConditionType::BackedUp, "True", "Completed", &message);
                Ok(())
            }
            Progress::Failed { message, at } => Err(self.backup_failed(&ask, known.as_ref(), &what, &message, at)),
        }
    }

    fn begin_backup(&mut self, ask: &BackupAsk, known: Option<&BackupStatus>, what: &str) -> Next {
        let message = format!("{what} makes a backup for plan {}", ask.record.hash);
        if known.is_none() {
            self.tell(false, "BackupStarted", &message, job_of(ask));
        }
        self.note_backup(ask, known, BackupResult::Running, None, None);
        self.draft.set(ConditionType::BackedUp, "False", "Running", &message);
        self.draft.verdict(Reason::BackingUp, &message);
        self.effects.extend([self.no_run_since(), Effect::BackUp(Box::new(ask.clone()))]);
        Next::After(if ask.method == BackupMethod::Cnpg { POLLED } else { WITHOUT_POD })
    }

    fn backup_failed(
        &mut self,
        ask: &BackupAsk,
        known: Option<&BackupStatus>,
        what: &str,
        message: &str,
        at: Option<Timestamp>,
    ) -> Next {
        if known.is_none_or(|known| known.result != BackupResult::Failed) {
            self.note_backup(ask, known, BackupResult::Failed, Some(message), at.or(Some(self.now)));
            if self.takes_back.is_some() {
                // Elsewhere the Ready condition tells it.
                self.tell(true, "BackupFailed", &format!("{what}: {message}"), job_of(ask));
            }
        }
        self.give_up_stages(&self.observed.stages.backups, None);
        let message = format!(
            "nothing was run, since {what} failed: {message}; to try again, change the spec or the annotation alembic-operator.dev/requestedAt"
        );
        self.draft.set(ConditionType::BackedUp, "False", "Failed", &message);
        self.stop(&Problem::new(Reason::BackupFailed, message))
    }

    fn note_backup(
        &mut self,
        ask: &BackupAsk,
        known: Option<&BackupStatus>,
        result: BackupResult,
        message: Option<&str>,
        at: Option<Timestamp>,
    ) {
        let ended = result != BackupResult::Running;
        self.draft.status.backup = Some(BackupStatus {
            plan_hash: ask.record.hash.clone(),
            method: ask.method,
            reference: ask.name.clone(),
            result,
            message: message.map(str::to_owned),
            started_at: known.and_then(|known| known.started_at.clone()).or(Some(Time(self.now))),
            completed_at: ended.then(|| Time(at.unwrap_or(self.now))),
        });
    }

    /// What the condition BackedUp says where no backup is made in this pass.
    pub(super) fn note_no_backup(&mut self, chosen: &Chosen, at_target: bool) {
        if self.backs_up {
            return;
        }
        let last = self.draft.status.backup.as_ref();
        let completed = last.is_some_and(|last| last.result == BackupResult::Completed);
        let of_this_plan = last.is_some_and(|last| last.plan_hash == chosen.hash);
        let why = not_required(self.object.spec.backup.when, chosen);
        match why {
            // What was made before the run that led here is still of interest.
            None if at_target && completed => {}
            _ if at_target => {
                let why = why.filter(|_| self.object.spec.backup.when == crate::api::BackupWhen::Never);
                self.draft.set(ConditionType::BackedUp, "True", "NotRequired", why.unwrap_or("nothing is pending"));
            }
            Some(why) => self.draft.set(ConditionType::BackedUp, "True", "NotRequired", why),
            None if of_this_plan => {}
            None => self.draft.set(ConditionType::BackedUp, "Unknown", "NotChecked", "made right before the run"),
        }
        if at_target {
            self.give_up_stages(&self.observed.stages.backups, None);
        }
    }

    /// Whether the live rows are verified, where that is asked for. `Err` says when to look again.
    pub(super) fn verified(&mut self, image: &Arc<Inspected>, rows: &BTreeSet<String>) -> Result<(), Next> {
        let ask = verify_ask(self.object, &self.draft.status, rows, image, requested_at(self.object));
        self.give_up_stages(&self.observed.stages.verifications, ask.as_ref().map(|ask| ask.name.as_str()));
        let Some(ask) = ask else { return Ok(()) };
        let known = self.draft.status.verify.clone().filter(|known| known.job == ask.name);
        let message = format!("Job {} verifies run {} in {}", ask.name, ask.run.number, ask.image);
        match verify_progress(&ask, &self.draft.status, &self.observed.stages.verifications, self.now) {
            Progress::Absent if self.object.spec.suspend => {
                let message = format!("suspended; the verification of run {} waits", ask.run.number);
                self.draft.verdict(Reason::Suspended, &message);
                Err(self.interval())
            }
            Progress::Absent => {
                self.note_verification(&ask, VerifyResult::Running, None, None);
                self.draft.verdict(Reason::Verifying, &message);
                self.effects.extend([self.no_run_since(), Effect::Verify(Box::new(ask))]);
                Err(Next::After(WITHOUT_POD))
            }
            Progress::Working(trouble) => {
                self.note_verification(&ask, VerifyResult::Running, None, None);
                match trouble {
                    Some(trouble) => self.draft.problem(&problem_of(&trouble, &ask.name)),
                    None => self.draft.verdict(Reason::Verifying, &message),
                }
                Err(Next::After(WHILE_ACTIVE))
            }
            Progress::Passed { at } => {
                if known.is_none_or(|known| known.result != VerifyResult::Passed) {
                    self.note_verification(&ask, VerifyResult::Passed, None, at);
                }
                Ok(())
            }
            Progress::Failed { message, at } => {
                if known.is_none_or(|known| known.result != VerifyResult::Failed) {
                    self.note_verification(&ask, VerifyResult::Failed, Some(&message), at);
                }
                self.give_up_stages(&self.observed.stages.verifications, None);
                Err(self.not_verified(&ask.run, &ask.name, &message, rows, image))
            }
        }
    }

    fn note_verification(
        &mut self,
        ask: &VerifyAsk,
        result: VerifyResult,
        message: Option<&str>,
        at: Option<Timestamp>,
    ) {
        let ended = result != VerifyResult::Running;
        self.draft.status.verify = Some(VerifyStatus {
            run: ask.run.number,
            job: ask.name.clone(),
            hash: ask.record.hash.clone(),
            result,
            message: message.map(str::to_owned),
            finished_at: ended.then(|| Time(at.unwrap_or(self.now))),
        });
    }

    fn not_verified(
        &mut self,
        run: &RunStatus,
        job: &str,
        message: &str,
        rows: &BTreeSet<String>,
        image: &Arc<Inspected>,
    ) -> Next {
        let failed = format!("run {} was not verified by Job {job}: {message}", run.number);
        let why = match self.object.spec.on_failure {
            OnFailure::Hold => return self.stop(&Problem::new(Reason::VerifyFailed, failed)),
            OnFailure::Downgrade => match way_back(self.object, run, rows, image) {
                Ok(chosen) => return self.go_back(run, chosen, &failed),
                Err(why) => why,
            },
        };
        self.stop(&Problem::new(Reason::VerifyFailed, format!("{failed}; it was not gone back, since {why}")))
    }

    /// As any other run. What keeps it from its beginning is told beside what it is for; what became of it, by itself.
    fn go_back(&mut self, run: &RunStatus, chosen: Chosen, failed: &str) -> Next {
        let chosen = self.judged(chosen);
        self.takes_back = Some(run.number);
        let next = self.towards(&chosen);
        let begun = self.draft.status.recorded_runs() > run.number;
        let told = self.draft.status.condition(ConditionType::Ready).cloned();
        let held = told.filter(|told| Reason::parse(&told.reason).is_some_and(|r| r.kind() == Kind::Stalled));
        if let (Some(held), false) = (held, begun) {
            let message = format!("{failed}; it was not gone back, since {}: {}", held.reason, held.message);
            self.draft.verdict(Reason::VerifyFailed, &message);
        }
        next
    }

    /// Takes away Jobs that nobody waits for any more and that still work.
    fn give_up_stages(&mut self, stages: &[StageView], wanted: Option<&str>) {
        let working = |stage: &&StageView| !matches!(stage.job.state, PodState::Ended(_));
        let unwanted = stages.iter().filter(|stage| Some(stage.job.name.as_str()) != wanted).filter(working);
        self.after.extend(unwanted.map(|stage| Effect::DeleteJob(stage.job.name.clone())));
    }

    /// Finished Jobs over a limit, the newest and those that the status names left out.
    pub(super) fn surplus_stages(&self, limit: usize) -> Vec<String> {
        let status = &self.draft.status;
        let named = [
            status.backup.as_ref().map(|backup| backup.reference.as_str()),
            status.verify.as_ref().map(|verify| verify.job.as_str()),
        ];
        let surplus = |stages: &[StageView]| {
            let ended = |stage: &&StageView| matches!(stage.job.state, PodState::Ended(_));
            let of_status = |stage: &&StageView| named.contains(&Some(stage.job.name.as_str()));
            let kept = stages.iter().filter(of_status).count();
            let mut old: Vec<_> = stages.iter().filter(ended).filter(|stage| !of_status(stage)).collect();
            old.sort_by_key(|stage| std::cmp::Reverse((stage.record.run, stage.job.created, stage.job.name.clone())));
            let surplus = old.into_iter().skip(limit.saturating_sub(kept));
            surplus.map(|stage| stage.job.name.clone()).collect::<Vec<_>>()
        };
        let stages = &self.observed.stages;
        [surplus(&stages.backups), surplus(&stages.verifications)].concat()
    }
}

/// Events name a Job; a Backup is named in their text.
fn job_of(ask: &BackupAsk) -> Option<String> {
    (ask.method == BackupMethod::Job).then(|| ask.name.clone())
}

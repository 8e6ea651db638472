//! The part of a decision that is about runs: one that is active, and whether a new one may start; pure.

use super::{Effect, Next, Pass, WHILE_ACTIVE, WITHOUT_POD, image::problem_of};
use crate::{
    api::{AdoptVerify, ConditionType, Reason, parse_duration},
    jobs::{Ended, Limit, PodState, RunRecord, run_name},
    reconcile::{
        checks::{
            Approval, Chosen, Gate, approval, direction_name, gate, gone_back, plan_problem, requested_at, run_status,
            summary_of_run,
        },
        observed::{JobView, RunView},
        plan::plan_config_map,
        status::summary,
    },
    revisions::Direction,
};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(30);
/// Everybody else who wants the table waits behind the statement that waits.
const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(3);
const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const DEFAULT_ATTEMPTS: i32 = 10;

impl Pass<'_> {
    /// A run that has not ended. `None` when it was given up because it could not begin.
    pub(super) fn active(&mut self, run: &RunView) -> Option<Next> {
        let note = summary_of_run(&run.record, &run.job.name);
        let reason = if run.record.direction == "downgrade" { Reason::Downgrading } else { Reason::Migrating };
        let next = match &run.job.state {
            PodState::Running | PodState::Ended(_) => {
                self.draft.verdict(reason, &note);
                Next::After(WHILE_ACTIVE)
            }
            PodState::Waiting => {
                self.draft.verdict(reason, &note);
                Next::After(WITHOUT_POD)
            }
            PodState::Blocked(_) if self.superseded(run) => {
                self.give_up(run);
                return None;
            }
            PodState::Blocked(trouble) => {
                self.draft.problem(&problem_of(trouble, &run.job.name));
                Next::After(WHILE_ACTIVE)
            }
        };
        Some(next)
    }

    /// A pod that can't begin holds nothing up once something else is wanted.
    pub(super) fn superseded(&self, run: &RunView) -> bool {
        self.deleting()
            || Some(run.record.generation) != self.object.metadata.generation
            || run.record.requested_at.as_deref() != requested_at(self.object)
    }

    pub(super) fn give_up(&mut self, run: &RunView) {
        let job = JobView { state: PodState::Ended(Ended::default()), ..run.job.clone() };
        if let Some(mut status) = run_status(&RunView { job, ..run.clone() }, None) {
            status.message = Some("its pod could not start, and something else was asked for meanwhile".to_owned());
            self.draft.record(status);
        }
        self.effects.push(Effect::DeleteJob(run.job.name.clone()));
        self.draft.verdict(Reason::RunInterrupted, "the pod of a run that could not start is taken away");
    }

    pub(super) fn towards(&mut self, chosen: &Chosen) -> Next {
        let spec = &self.object.spec;
        let approval = self.show(chosen);
        if let Some(problem) = plan_problem(chosen, spec.policy.downgrade, self.column()) {
            return self.stop(&problem);
        }
        if let Some(problem) = self.blocked_run() {
            return self.stop(&problem);
        }
        if spec.suspend {
            self.draft.verdict(Reason::Suspended, &format!("suspended; {} waits", summary(chosen)));
            return self.interval();
        }
        let generation = self.object.metadata.generation.unwrap_or_default();
        let requested = requested_at(self.object).map(str::to_owned);
        if let Some(problem) = gone_back(&self.draft.status, generation, requested.as_deref()) {
            return self.stop(&problem);
        }
        let limit = spec.retry.limit.unwrap_or(DEFAULT_ATTEMPTS);
        match gate(self.draft.status.last_run.as_ref(), generation, requested.as_deref(), limit, self.now) {
            Gate::Open { attempts } => {
                let ready = self.rehearsed(chosen).and_then(|()| match approval.problem {
                    Some(problem) => Err(self.stop(&problem)),
                    None => self.back_up(chosen, attempts),
                });
                match ready {
                    Ok(()) => self.start(chosen, generation, requested, attempts),
                    Err(next) => next,
                }
            }
            Gate::Closed(problem) => self.stop(&problem),
            Gate::Wait { pause, problem } => {
                let message = format!("{}; tried again in {} s", problem.message, pause.as_secs().max(1));
                // The seconds would make every look another status.
                let known =
                    self.object.status.as_ref().is_some_and(|s| s.has_reason(ConditionType::Ready, problem.reason));
                if !known || self.observed.run.is_some() {
                    self.draft.verdict(problem.reason, &message);
                }
                Next::After(pause)
            }
        }
    }

    /// Shows the plan and says whether it may run; a plan that is shown already costs nothing.
    fn show(&mut self, chosen: &Chosen) -> Approval {
        let before = self.object.status.as_ref();
        let shown = &self.draft.status.plan;
        if shown.as_ref().is_some_and(|plan| plan.config_map.is_some())
            && before.map(|status| &status.plan) != Some(shown)
        {
            let mut map = Box::new(plan_config_map(self.object, chosen));
            let hash = before.and_then(|status| status.plan.as_ref()).map(|plan| &plan.hash);
            if hash != Some(&chosen.hash) {
                // It is about the plan before.
                map["data"]["rehearsal.json"] = Value::Null;
            }
            self.effects.push(Effect::ShowPlan { map, over: self.observed.shown_plan.clone() });
        }
        let approval = approval(self.object, chosen);
        let told = before.is_some_and(|status| {
            status
                .condition(ConditionType::Approved)
                .is_some_and(|c| c.reason == "Stale" && c.message == approval.message)
        });
        if approval.reason == "Stale" && !told {
            self.tell(true, "ApprovalStale", &approval.message, None);
        }
        self.draft.approval(&approval);
        approval
    }

    pub(super) fn start(
        &mut self,
        chosen: &Chosen,
        generation: i64,
        requested_at: Option<String>,
        attempts: i32,
    ) -> Next {
        let plan = &chosen.plan;
        let list = |rows: &BTreeSet<String>| rows.iter().cloned().collect::<Vec<_>>();
        let record = RunRecord {
            number: self.draft.status.recorded_runs().saturating_add(1),
            plan_hash: chosen.hash.clone(),
            direction: direction_name(plan.direction).to_owned(),
            from: list(&plan.from),
            to: list(&plan.end),
            image: chosen.image.image.clone(),
            generation,
            requested_at,
            attempts,
            // What leaves the transaction is done for good, whatever the database.
            transactional: chosen.image.inspection.transactional_ddl
                && !plan.steps.iter().any(|s| chosen.image.revision(s).is_some_and(|r| r.autocommit)),
            took_back: self.takes_back,
        };
        let timeouts = &self.object.spec.timeouts;
        let lock = timeouts.lock.as_deref().and_then(parse_duration);
        let statement = timeouts.statement.as_deref().and_then(parse_duration);
        // Stopped in the middle, the rest of what can't be taken back would have to be done by hand.
        let limited = statement.is_some() || record.transactional;
        let lock_timeout = Limit::new(lock, DEFAULT_LOCK_TIMEOUT);
        let statement_timeout = limited.then(|| Limit::new(statement, DEFAULT_STATEMENT_TIMEOUT));
        let models = plan.direction == Direction::Stamp
            && self.object.spec.adopt.as_ref().is_some_and(|a| a.verify == AdoptVerify::Models);
        let run = chosen.run(lock.unwrap_or(DEFAULT_LOCK_WAIT), lock_timeout, statement_timeout, models);
        let reason = match plan.direction {
            Direction::Downgrade => Reason::Downgrading,
            Direction::Stamp => Reason::Adopting,
            Direction::Upgrade | Direction::None => Reason::Migrating,
        };
        self.draft.verdict(reason, &format!("{} in {}", summary(chosen), record.image));
        let job = run_name(self.object, record.number);
        self.tell(false, "MigrationStarted", &format!("{} in {}", summary(chosen), record.image), Some(job));
        // The record of a run, and of a backup, must be stored before the next one starts, or a crash in between would lose it.
        let order = if self.news_first { &mut self.after } else { &mut self.effects };
        order.push(Effect::Run(Box::new((record, run))));
        Next::After(WITHOUT_POD)
    }
}

//! The part of a decision that is about the rehearsal of a plan, which must have passed before anybody is asked to approve
//! it; pure.

use super::{Effect, Next, Pass, WHILE_ACTIVE, WITHOUT_POD, image::problem_of};
use crate::{
    api::{Reason, RehearsalResult, RehearsalStatus},
    jobs::{PodState, Rehearsal},
    reconcile::{
        checks::{
            Chosen, RehearsalAsk, RehearsalProgress, rehearsal_ask, rehearsal_json, rehearsal_progress,
            rehearsal_status, requested_at,
        },
        observed::Problem,
        plan::plan_config_map,
    },
};
use serde_json::json;

impl Pass<'_> {
    /// Whether the plan was rehearsed, where that is asked for. `Err` says when to look again.
    pub(super) fn rehearsed(&mut self, chosen: &Chosen) -> Result<(), Next> {
        let observed = self.observed;
        // What goes back after a failed verification was gone before.
        let asked = match self.takes_back {
            Some(_) => None,
            None => rehearsal_ask(self.object, chosen, &observed.stages, requested_at(self.object)),
        };
        let ask = match asked {
            None => return Ok(()),
            Some(Err(problem)) => return Err(self.stop(&problem)),
            Some(Ok(ask)) => ask,
        };
        let message = format!("Job {} rehearses plan {} on a scratch database", ask.name, chosen.hash);
        match rehearsal_progress(&ask, self.draft.status.rehearsal.as_ref(), &observed.stages.rehearsals) {
            RehearsalProgress::Absent => {
                self.draft.status.rehearsal = Some(begun(&ask, chosen));
                self.draft.verdict(Reason::Rehearsing, &message);
                self.effects.extend([self.no_run_since(), Effect::Rehearse(Box::new(ask))]);
                Err(Next::After(WITHOUT_POD))
            }
            RehearsalProgress::Working(job) => {
                self.draft.status.rehearsal = Some(begun(&ask, chosen));
                match &job.state {
                    PodState::Blocked(trouble) => self.draft.problem(&problem_of(trouble, &ask.name)),
                    _ => self.draft.verdict(Reason::Rehearsing, &message),
                }
                Err(Next::After(WHILE_ACTIVE))
            }
            RehearsalProgress::Ended(found, verdict) => self.rehearsal_ended(&ask, chosen, found, &verdict),
            RehearsalProgress::Passed => Ok(()),
            RehearsalProgress::Failed(why) => Err(self.not_rehearsed(&ask, &why)),
        }
    }

    fn rehearsal_ended(
        &mut self,
        ask: &RehearsalAsk,
        chosen: &Chosen,
        found: Option<&Rehearsal>,
        verdict: &Result<(), String>,
    ) -> Result<(), Next> {
        self.draft.status.rehearsal = Some(rehearsal_status(ask, &chosen.hash, found, verdict, self.now));
        self.show_rehearsal(chosen, found.map(rehearsal_json));
        match verdict {
            Ok(()) => {
                self.tell(false, "RehearsalPassed", &format!("plan {}", chosen.hash), Some(ask.name.clone()));
                // Its end must be stored before the run starts that relies on it.
                self.news_first = true;
                Ok(())
            }
            Err(why) => Err(self.not_rehearsed(ask, why)),
        }
    }

    fn not_rehearsed(&mut self, ask: &RehearsalAsk, why: &str) -> Next {
        let message = format!(
            "nothing was run, since the rehearsal by Job {} failed: {why}; to try again, change the spec or the annotation alembic-operator.dev/requestedAt",
            ask.name
        );
        self.stop(&Problem::new(Reason::RehearsalFailed, message))
    }

    /// Beside the plan, in the same ConfigMap; what an earlier one found goes.
    fn show_rehearsal(&mut self, chosen: &Chosen, found: Option<String>) {
        let shows = self.effects.iter_mut().find_map(|effect| match effect {
            Effect::ShowPlan { map, .. } => Some(map),
            _ => None,
        });
        match shows {
            Some(map) => map["data"]["rehearsal.json"] = json!(found),
            None => {
                let mut map = Box::new(plan_config_map(self.object, chosen));
                map["data"]["rehearsal.json"] = json!(found);
                self.effects.push(Effect::ShowPlan { map, over: self.observed.shown_plan.clone() });
            }
        }
    }

    /// The Jobs of other plans, and of one that nobody waits for any more; the newest is kept for its log.
    pub(super) fn old_rehearsals(&mut self) -> Vec<String> {
        let status = &mut self.draft.status;
        let waits = self.object.spec.rehearse && status.plan.is_some();
        status.rehearsal.take_if(|rehearsal| !waits && rehearsal.result == RehearsalResult::Running);
        let newest = self.draft.status.rehearsal.as_ref().map(|rehearsal| rehearsal.job.as_str());
        let names = self.observed.stages.rehearsals.iter().map(|view| &view.job.name);
        names.filter(|name| Some(name.as_str()) != newest).cloned().collect()
    }
}

fn begun(ask: &RehearsalAsk, chosen: &Chosen) -> RehearsalStatus {
    RehearsalStatus {
        plan_hash: chosen.hash.clone(),
        job: ask.name.clone(),
        result: RehearsalResult::Running,
        ..RehearsalStatus::default()
    }
}

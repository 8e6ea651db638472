//! The decision: from what was observed to the effects, the next status and the time of the next look. Pure and total:
//! no I/O, no clock, no failure.

#[cfg(test)]
mod approval_tests;
mod drift;
mod image;
#[cfg(test)]
mod properties;
mod rehearsal;
mod run;
#[cfg(test)]
mod stage_tests;
mod stages;
mod tell;
#[cfg(test)]
mod tests;

use self::{image::problem_of, tell::transition};
use super::{
    checks::{
        BackupAsk, Chosen, Drift, RehearsalAsk, Unmanaged, VerifyAsk, adoption, choose, describe, drift,
        heads_condition, judge, run_status, spec_problem, unmanaged, usable_graph,
    },
    observed::{DatabaseView, ImageView, JobView, Observed, Problem, ReplayJob, Wanted},
    plan::plan_status,
    schema::SchemaRecord,
    status::Draft,
};
use crate::{
    api::{ConditionType, DatabaseMigration, DatabaseMigrationStatus, Kind, Reason, parse_duration},
    jobs::{Inspected, LookRecord, PodState, Run, RunRecord},
    revisions::{Direction, Target},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
/// How soon to look again where a mended Secret, image or database would let things go on.
const SOON: Duration = Duration::from_secs(30);
/// How soon to look again while a pod works; its end is watched, this is for a lost watch event.
const WHILE_ACTIVE: Duration = Duration::from_secs(15);
/// How soon to look again at a Job without a pod: the API server's refusal is an event that is not watched.
const WITHOUT_POD: Duration = Duration::from_secs(2);

/// Something to do to the world. Each is idempotent: a repeated pass may do it again.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Create the Job that inspects the spec's image.
    Inspect(Wanted),
    /// Create the Job that runs the history on a scratch database.
    Replay(Box<ReplayJob>),
    /// Keep what an inspect Job reported in a ConfigMap.
    KeepInspection { key: String, image: Arc<Inspected> },
    /// Own a stored inspection together with the other objects that use it.
    ShareInspection { key: String, image: Arc<Inspected> },
    /// Create the Job or Backup that makes a backup.
    BackUp(Box<BackupAsk>),
    /// Create the Job that verifies a run.
    Verify(Box<VerifyAsk>),
    /// Create the Job that rehearses a plan.
    Rehearse(Box<RehearsalAsk>),
    /// Delete one, unless it has become the newest.
    DeleteRehearsal(String),
    /// Create the Job of a run, with everything that it needs around it.
    Run(Box<(RunRecord, Run)>),
    /// End the pass if there is the Job of a run of a higher number than this: what follows does not know of it.
    NoRunSince(i64),
    /// Let a deletion go through.
    RemoveFinalizer,
    /// Create the Job that reads the version rows.
    Look(LookRecord),
    /// Create the Job that compares the tables with the models of an image.
    Compare { record: LookRecord, image: String },
    /// Keep what the schema should be, and how it differs.
    KeepSchema(Box<SchemaRecord>),
    /// Show a plan with all of its SQL in a ConfigMap.
    ShowPlan { map: Box<Value>, over: Option<String> },
    /// Delete a Job and its pod.
    DeleteJob(String),
    /// Tell people; about a run with the name of its Job.
    Event { warning: bool, reason: String, note: String, job: Option<String> },
}

/// When to look again, unless something that is watched changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    After(Duration),
    /// At the probe interval, with a jitter.
    Interval(Duration),
    /// After a pause that grows as long as this goes on.
    BackOff,
}

/// What to do now.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Done before the status is written.
    pub effects: Vec<Effect>,
    pub status: DatabaseMigrationStatus,
    /// Done after it: what relies on the status being stored.
    pub after: Vec<Effect>,
    pub next: Next,
}

/// Decides on one object.
pub fn decide(object: &DatabaseMigration, observed: &Observed, now: Timestamp) -> Decision {
    let mut pass = Pass {
        object,
        observed,
        now,
        draft: Draft::new(object, now),
        effects: Vec::new(),
        after: Vec::new(),
        news_first: false,
        backs_up: false,
        takes_back: None,
    };
    let next = pass.decide();
    pass.clean_up();
    pass.after.extend(transition(object, &pass.draft.status));
    Decision { effects: pass.effects, status: pass.draft.status, after: pass.after, next }
}

/// What to say of an object when the API server refuses what it needs.
pub fn told(object: &DatabaseMigration, problem: &Problem, now: Timestamp) -> Decision {
    let mut draft = Draft::new(object, now);
    draft.problem(problem);
    if problem.reason == Reason::BackupFailed {
        draft.set(ConditionType::BackedUp, "False", "Failed", &problem.message);
    }
    let after = transition(object, &draft.status).into_iter().collect();
    Decision { effects: Vec::new(), status: draft.status, after, next: Next::BackOff }
}

struct Pass<'a> {
    object: &'a DatabaseMigration,
    observed: &'a Observed,
    now: Timestamp,
    draft: Draft,
    effects: Vec<Effect>,
    after: Vec<Effect>,
    /// Whether the status has to be stored before a run starts.
    news_first: bool,
    /// Whether the condition BackedUp is about the run of this pass.
    backs_up: bool,
    /// The run that the next one takes back.
    takes_back: Option<i64>,
}

impl Pass<'_> {
    fn decide(&mut self) -> Next {
        let rows = self.rows();
        let mut ours = false;
        if let Some(run) = &self.observed.run {
            match run_status(run, rows.as_ref()) {
                Some(status) => {
                    self.tell_end(&status);
                    self.draft.record(status);
                    self.news_first = true;
                    ours = true;
                }
                None => match self.active(run) {
                    Some(next) => return next,
                    None => return Next::After(Duration::ZERO),
                },
            }
        }
        if self.deleting() {
            return Next::Interval(DEFAULT_INTERVAL);
        }
        if let Some(problem) = spec_problem(&self.object.spec) {
            return self.stop(&problem);
        }
        if let Some(look) = self.observed.next_look.clone() {
            self.effects.push(Effect::Look(look));
        }
        self.handle_database(rows, ours)
    }

    /// Tables beside the version table, looked for where that has no rows.
    fn tables(&self) -> &[String] {
        match &self.observed.database {
            DatabaseView::Seen(snapshot) => &snapshot.tables,
            _ => &[],
        }
    }

    /// How many characters the version table's column holds, where it was looked for.
    fn column(&self) -> Option<u32> {
        match &self.observed.database {
            DatabaseView::Seen(snapshot) => snapshot.column,
            _ => None,
        }
    }

    fn server_version(&self) -> &str {
        match &self.observed.database {
            DatabaseView::Seen(snapshot) => &snapshot.server_version,
            _ => "",
        }
    }

    fn no_run_since(&self) -> Effect {
        Effect::NoRunSince(self.draft.status.recorded_runs())
    }

    fn deleting(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    fn rows(&self) -> Option<BTreeSet<String>> {
        match &self.observed.database {
            DatabaseView::Seen(snapshot) if self.table_is_known() => Some(snapshot.rows.clone().into_set()),
            _ => None,
        }
    }

    /// Before the image was inspected nobody knows which table env.py uses, so what was read means nothing.
    fn table_is_known(&self) -> bool {
        self.image().is_some() || self.object.spec.database.version_table.is_some()
    }

    fn image(&self) -> Option<&Arc<Inspected>> {
        match &self.observed.image {
            ImageView::Stored(image) | ImageView::Reported { image, .. } => Some(image),
            _ => None,
        }
    }

    fn handle_database(&mut self, rows: Option<BTreeSet<String>>, ours: bool) -> Next {
        let snapshot = match &self.observed.database {
            DatabaseView::Failed(problem) => return self.stop(&problem.clone()),
            DatabaseView::NotLooked => return Next::After(WHILE_ACTIVE),
            DatabaseView::Looking(job) => return self.looking(job.as_ref()),
            DatabaseView::Seen(snapshot) => snapshot,
        };
        let before = self.object.status.clone().unwrap_or_default();
        if let Some(rows) = &rows {
            self.draft.database(snapshot, rows);
        }
        let Some(image) = self.inspection() else { return self.without_image() };
        let rows = rows.unwrap_or_default();
        let foreign = matches!(drift(&before, &rows, false, ours), Drift::Changed { .. } | Drift::StillChanged);
        let chosen = self.plan(&image, &rows, foreign);
        let at_target = chosen.as_ref().is_ok_and(|c| c.plan.direction == Direction::None);
        self.note_drift(&drift(&before, &rows, at_target, ours), &rows, at_target, &image);
        match chosen {
            Err(problem) => {
                self.draft.unplanned(problem.reason.as_str(), &problem.message);
                self.stop(&problem)
            }
            Ok(chosen) => {
                let next = if at_target { self.at_target(&chosen, &image, &rows) } else { self.towards(&chosen) };
                self.note_no_backup(&chosen, at_target);
                next
            }
        }
    }

    /// A Job has to read the version rows before anything can be said.
    fn looking(&mut self, job: Option<&JobView>) -> Next {
        if self.inspection().is_none() {
            return self.without_image();
        }
        match job.map(|job| (job, &job.state)) {
            Some((job, PodState::Blocked(trouble))) => {
                self.draft.problem(&problem_of(trouble, &job.name));
                Next::After(WHILE_ACTIVE)
            }
            _ => {
                self.draft.verdict(Reason::Probing, "a Job reads the version table");
                Next::After(if job.is_some() { WHILE_ACTIVE } else { WITHOUT_POD })
            }
        }
    }

    fn plan(&mut self, image: &Arc<Inspected>, rows: &BTreeSet<String>, foreign: bool) -> Result<Chosen, Problem> {
        let graph = usable_graph(image)?;
        let (single, reason, message) = heads_condition(graph, &self.object.spec.target_revision);
        self.draft.set(ConditionType::SingleHead, if single { "True" } else { "False" }, reason, &message);
        let target = Target::parse(&self.object.spec.target_revision)
            .map_err(|e| Problem::new(Reason::InvalidTarget, format!("spec.targetRevision: {e}")))?;
        let resolved = graph.resolve_target(&target).ok();
        self.draft.graph(&graph.heads(), resolved.as_deref());
        let spec = &self.object.spec;
        let status = self.draft.status.clone();
        let chosen = match unmanaged(rows, self.tables(), &status, spec.adopt.as_ref()) {
            Unmanaged::No => choose(image, &self.observed.remembered, &status, &target, rows, spec.strategy, foreign)?,
            Unmanaged::Adopt(adopt) => adoption(image, adopt, &status)?,
            Unmanaged::Unsaid(problem) => return Err(problem),
        };
        Ok(self.judged(chosen))
    }

    /// A plan with its hazards, as the status tells it.
    fn judged(&mut self, chosen: Chosen) -> Chosen {
        let allowed = &self.object.spec.policy.hazards.allow;
        let judged = judge(&chosen, allowed, &self.observed.sizes, self.server_version());
        let chosen = Chosen { judged, ..chosen };
        self.draft.plan(&chosen, plan_status(self.object, &chosen));
        chosen
    }

    fn at_target(&mut self, chosen: &Chosen, image: &Arc<Inspected>, rows: &BTreeSet<String>) -> Next {
        if let Some(problem) = self.blocking_drift() {
            return self.stop(&problem);
        }
        if let Err(next) = self.verified(image, rows) {
            return next;
        }
        self.draft.verdict(Reason::AtTarget, &format!("the version rows are {}", describe(&chosen.plan.end)));
        self.interval()
    }

    /// A problem, and when to see whether it has gone.
    fn stop(&mut self, problem: &Problem) -> Next {
        self.draft.problem(problem);
        match problem.reason {
            Reason::DatabaseUnreachable => Next::BackOff,
            reason if reason.kind() == Kind::Stalled => match self.interval() {
                Next::Interval(interval) => Next::Interval(interval.min(SOON)),
                other => other,
            },
            _ => self.interval(),
        }
    }

    fn interval(&self) -> Next {
        let spec = &self.object.spec;
        let interval = |text: &Option<String>| text.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_INTERVAL);
        let looks = interval(&spec.database.probe.interval);
        let checks = spec.drift.mode.by_catalog().then(|| interval(&spec.drift.interval));
        Next::Interval(checks.map_or(looks, |checks| checks.min(looks)))
    }
}

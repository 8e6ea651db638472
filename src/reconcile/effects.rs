//! What a decision consists of: things to do to the world, things to say in the status, and when the next pass is; types only.

use super::{
    checks::Chosen,
    facts::{JobView, PodRef},
    gates::Start,
    schema::SchemaRecord,
};
use crate::{
    api::{ConditionType, DatabaseMigrationStatus, DriftStatus, PlanStatus, Problem, Reason, StageChange},
    db::Snapshot,
    jobs::{BackupRequest, Inspected, JobRequest, PodGate},
    text,
};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Something to do to the world. Each is idempotent: a repeated pass may do it again.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Create a Job of any kind but a run.
    Create(Arc<dyn JobRequest>),
    /// Create a Backup of CloudNativePG.
    CreateBackup(Box<BackupRequest>),
    /// Create the suspended Job of a run, with everything that it needs around it.
    Start(Box<Start>),
    /// Let the Job of a run begin, once the status says that it was started.
    Release(String),
    /// Give another sign of the Lease of a run that works.
    KeepLease(String),
    /// Delete the Job of a run that can't begin, unless it has begun meanwhile.
    Cancel(Box<Unstarted>),
    /// Let the Job of an ended run go with its object, and its Lease to others.
    OwnJob(String),
    /// Delete a Job and its pod.
    DeleteJob(String),
    /// Delete a rehearsal, unless it has become the newest.
    DeleteRehearsal(String),
    /// Let a deletion go through.
    RemoveFinalizer,
    /// Keep what an inspect Job reported in a ConfigMap.
    KeepInspection { key: String, image: Arc<Inspected> },
    /// Own a stored inspection together with the other objects that use it.
    ShareInspection { key: String, image: Arc<Inspected> },
    /// Keep what the schema should be, and how it differs.
    KeepSchema(Box<SchemaRecord>),
    /// Show a plan with all of its SQL in a ConfigMap.
    ShowPlan { map: Box<Value>, over: Option<String> },
    /// Publish an event; one about a run with the name of its Job.
    Event { warning: bool, reason: String, note: String, job: Option<String> },
}

/// A Job whose pod has not started, as it was seen: it is deleted only as long as that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstarted {
    pub name: String,
    pub uid: String,
    pub version: String,
    pub pod: Option<PodRef>,
}

/// A Job as it was seen.
pub fn unstarted(job: &JobView) -> Unstarted {
    Unstarted { name: job.name.clone(), uid: job.uid.clone(), version: job.version.clone(), pod: job.pod.clone() }
}

/// Something to say in the status.
#[derive(Clone, Debug)]
pub enum Note {
    /// What the database answered, and its version rows.
    Database(Box<Snapshot>, BTreeSet<String>),
    /// The image as it was inspected, and which inspection this is.
    Image {
        id: String,
        image: Arc<Inspected>,
    },
    /// The heads of the image, and the revisions that the target means in it.
    Graph {
        heads: Vec<String>,
        target: Option<Vec<String>>,
    },
    /// The way to the target, as it is and as it is shown.
    Plan(Box<Chosen>, Box<PlanStatus>),
    /// No way to the target is known.
    Unplanned(Problem),
    /// Why the active run is given up, since it can't begin.
    Cancelled(Option<Problem>),
    /// A pod of the object's works: nothing holds it up.
    AtWork,
    /// A condition: status, reason and message.
    Condition(ConditionType, &'static str, String, String),
    /// What has become of a rehearsal, a backup or a verification.
    Stage(Box<StageChange>),
    Drift(Option<DriftStatus>),
    /// The run after which the stored baseline was taken.
    Baseline(i64),
}

impl Note {
    pub fn stage(change: StageChange) -> Self {
        Self::Stage(Box::new(change))
    }

    pub fn condition(type_: ConditionType, status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self::Condition(type_, status, reason.to_owned(), message.into())
    }
}

/// When the next pass is, unless something that is watched changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    After(Duration),
    /// At the probe interval, with a jitter.
    Interval(Duration),
    /// After a pause that grows as long as this goes on.
    BackOff,
}

/// What the plan's ConfigMap says of a rehearsal.
#[derive(Clone, Debug)]
pub struct RehearsalShown {
    pub json: String,
    /// What opaque steps executed.
    pub sql: Option<String>,
}

/// What one part of a decision adds to it.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub notes: Vec<Note>,
    /// Done before the status is written.
    pub before: Vec<Effect>,
    /// Done after it: what relies on the status being stored.
    pub after: Vec<Effect>,
    /// What the plan's ConfigMap is to say of a rehearsal, where that is news.
    pub rehearsal: Option<Option<RehearsalShown>>,
    /// Why nothing follows on this.
    pub stop: Option<Stop>,
}

/// The Ready condition, and when the next pass is. Without one the condition stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    pub ready: Option<Problem>,
    pub next: Next,
}

impl Step {
    pub fn stop(reason: Reason, message: impl Into<String>, next: Next) -> Self {
        Self::default().stopped(reason, message, next)
    }

    pub fn stopped(mut self, reason: Reason, message: impl Into<String>, next: Next) -> Self {
        self.stop = Some(Stop { ready: Some(Problem::new(reason, message)), next });
        self
    }

    pub fn note(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }

    pub fn event(mut self, warning: bool, reason: &str, note: &str, job: Option<String>) -> Self {
        self.after.push(event(warning, reason, note, job));
        self
    }

    /// Asks for a Job of any kind but a run.
    pub fn create(self, request: impl JobRequest) -> Self {
        self.before(Effect::Create(Arc::new(request)))
    }

    pub fn before(mut self, effect: Effect) -> Self {
        self.before.push(effect);
        self
    }

    pub fn after(mut self, effect: Effect) -> Self {
        self.after.push(effect);
        self
    }

    /// Whether it says something of a backup.
    pub fn backs_up(&self) -> bool {
        self.notes.iter().any(|note| matches!(note, Note::Condition(ConditionType::BackedUp, ..)))
    }

    /// This and what comes after it.
    pub fn then(mut self, later: Self) -> Self {
        let Self { notes, before, after, rehearsal, stop } = later;
        self.notes.extend(notes);
        self.before.extend(before);
        self.after.extend(after);
        self.rehearsal = rehearsal.or(self.rehearsal);
        self.stop = stop.or(self.stop);
        self
    }
}

/// What to do now.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What pods of the application wait by; kept before anything else is done.
    pub gate: Option<PodGate>,
    /// Done before the status is written.
    pub effects: Vec<Effect>,
    pub status: DatabaseMigrationStatus,
    /// Done after it: what relies on the status being stored.
    pub after: Vec<Effect>,
    pub next: Next,
}

/// Bytes of a note that the API server takes.
const MAX_NOTE: usize = 1024;

/// An event as it is published.
pub fn event(warning: bool, reason: &str, note: &str, job: Option<String>) -> Effect {
    Effect::Event { warning, reason: reason.to_owned(), note: text::fit(&text::clean(note, MAX_NOTE), MAX_NOTE), job }
}

//! What one look at the world found: the input of `decide`; types only.

use crate::{
    api::Reason,
    db::{Baseline, Catalog, Schema, Sizes, Snapshot},
    jobs::{Differences, Inspected, LookRecord, PodState, Rehearsal, Run, RunRecord, Scratch, StageRecord},
};
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;

/// Something that keeps an object from its target, in the words of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub reason: Reason,
    pub message: String,
}

impl Problem {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// A Job of this object.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    pub name: String,
    pub created: Option<Timestamp>,
    /// How far its pod has come; a Job without one is `Waiting`, or `Blocked` when the API server refuses the pod.
    pub state: PodState,
}

/// A run whose end is not in the status yet.
#[derive(Clone, Debug, PartialEq)]
pub struct RunView {
    pub job: JobView,
    pub record: RunRecord,
    /// Whose run the holder of the lock is that it waited for, where a pod has the address.
    pub holder: Option<String>,
}

/// A finished run Job whose end is in the status: kept for its log.
#[derive(Clone, Debug, PartialEq)]
pub struct OldRun {
    pub job: String,
    pub number: i64,
}

/// A Job that backs up or verifies.
#[derive(Clone, Debug, PartialEq)]
pub struct StageView {
    pub record: StageRecord,
    pub job: JobView,
}

/// A Backup of CloudNativePG that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CnpgView {
    Working {
        name: String,
    },
    Completed {
        name: String,
    },
    Failed {
        name: String,
        message: String,
    },
    /// Somebody deleted it.
    Gone {
        name: String,
    },
}

/// What backs up before runs and verifies after them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages {
    pub backups: Vec<StageView>,
    pub verifications: Vec<StageView>,
    pub cnpg: Option<CnpgView>,
    pub rehearsals: Vec<RehearsalView>,
    /// The first part of the database's URL, which a scratch database has to have too.
    pub scheme: String,
    /// Host, port and name of the database, where the operator looks by itself.
    pub place: String,
}

/// A Job that rehearses a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct RehearsalView {
    pub job: JobView,
    /// What came of it; read only until it is recorded.
    pub end: Option<RehearsalEnd>,
}

/// What came of a rehearsal.
#[derive(Clone, Debug, PartialEq)]
pub struct RehearsalEnd {
    /// As far as it came.
    pub found: Option<Rehearsal>,
    /// Whether all went well, or what did not.
    pub verdict: Result<(), String>,
}

/// Which inspection the object needs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Under which key it is stored.
    pub key: String,
    /// What `status.image` records once it is there: the key, and why it was made anew.
    pub id: String,
    /// Name of the Job that makes it.
    pub job: String,
}

/// The image that the spec names, as far as it is known.
#[derive(Clone, Debug)]
pub enum ImageView {
    /// It is in a ConfigMap.
    Stored(Arc<Inspected>),
    /// A Job has just reported it; to be stored.
    Reported { job: String, image: Arc<Inspected> },
    /// A Job of this object is at it.
    InProgress(JobView),
    /// A Job of this object could not.
    Failed { job: JobView, problem: Problem },
    /// A Job of another object is at it.
    InProgressElsewhere,
    /// Nobody has begun.
    Absent,
    /// Not looked for, since what it depends on failed.
    NotLooked,
}

/// The database as it was seen.
#[derive(Clone, Debug)]
pub enum DatabaseView {
    Seen(Snapshot),
    Failed(Problem),
    /// A Job is at it, or has to be made first.
    Looking(Option<JobView>),
    /// A run is active, and only its end tells anything.
    NotLooked,
}

/// The tables against the models of the image.
#[derive(Clone, Debug)]
pub enum ModelsView {
    Compared(Differences),
    Failed(Problem),
    /// A Job is at it, or has to be made first.
    Comparing(Option<JobView>),
    /// Models are of the newest revision, and the database is not there.
    NotAtHeads,
    /// Nobody asked for it, or something else comes first.
    NotLooked,
}

/// The schema, and what it should be as far as that is kept.
#[derive(Clone, Debug)]
pub enum SchemaView {
    Seen(Box<SeenSchema>),
    Failed(Problem),
    /// Nobody asked for it, it is not due yet, or somebody migrates right now.
    NotLooked,
}

/// The schema as it was read.
#[derive(Clone, Debug)]
pub struct SeenSchema {
    pub schema: Schema,
    pub kept: Option<Kept>,
    /// What it was looked at for.
    pub check: String,
    pub replay: ReplayView,
}

/// What running the history again has come to.
#[derive(Clone, Debug)]
pub enum ReplayView {
    /// Nobody asked for it.
    NotWanted,
    /// It can't be done, or has failed.
    Failed {
        key: String,
        problem: Problem,
    },
    /// What is stored is of it.
    Stored {
        key: String,
    },
    Reported {
        key: String,
        catalog: Catalog,
    },
    /// A Job is at it.
    Working {
        key: String,
        job: JobView,
    },
    /// A Job has to be made.
    Next {
        key: String,
        job: Box<ReplayJob>,
    },
}

/// A Job that runs the history on a scratch database.
#[derive(Clone, Debug)]
pub struct ReplayJob {
    pub record: LookRecord,
    pub run: Run,
    pub image: String,
    pub scratch: Scratch,
}

/// A baseline as it is stored.
#[derive(Clone, Debug)]
pub struct Kept {
    /// `None` where what is stored can't be read.
    pub baseline: Option<Arc<Baseline>>,
    /// Of the ConfigMap: it is written only over what was read.
    pub version: String,
}

/// What one look at the world found.
#[derive(Clone, Debug)]
pub struct Observed {
    pub run: Option<RunView>,
    pub old_runs: Vec<OldRun>,
    pub stages: Stages,
    /// Other Jobs of this object that nobody waits for any more.
    pub old_jobs: Vec<String>,
    /// The look at the database that a Job has to make next.
    pub next_look: Option<LookRecord>,
    /// The comparison with the models that a Job has to make next.
    pub next_comparison: Option<LookRecord>,
    pub models: ModelsView,
    pub schema: SchemaView,
    pub wanted: Option<Wanted>,
    pub image: ImageView,
    pub database: DatabaseView,
    /// Whether the stored inspection has few owners, and this object is none of them.
    pub joins: bool,
    /// The inspections of the images that this object was inspected with, newest first.
    pub remembered: Vec<Arc<Inspected>>,
    /// How large the tables are, where something is pending.
    pub sizes: Sizes,
    /// Of the ConfigMap that shows the plan before, if there is one: it is written only over what was read.
    pub shown_plan: Option<String>,
}

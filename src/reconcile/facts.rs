//! What one pass has observed: the input of `decide`; types only.

use super::{
    line::Place,
    pauses::{WHILE_ACTIVE, WITHOUT_POD},
};
use crate::{
    api::{Problem, RunRecord},
    db::{Baseline, Catalog, Schema, Sizes, Snapshot},
    jobs::{
        CompareRequest, Differences, Ended, InspectRequest, Inspected, JobRecord, Kind, PodState, ProbeRequest,
        Rehearsal, ReplayRequest,
    },
};
use k8s_openapi::jiff::Timestamp;
use std::{sync::Arc, time::Duration};

/// A Job of this object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobView {
    pub name: String,
    pub uid: String,
    pub version: String,
    pub created: Option<Timestamp>,
    pub record: JobRecord,
    /// How far its pod has come; a Job without one is `Waiting`, or `Blocked` when the API server refuses the pod.
    pub state: PodState,
    /// Whether it may not start its pod yet.
    pub suspended: bool,
    /// Whether it goes with its object.
    pub owned: bool,
    pub pod: Option<PodRef>,
}

/// What a plan's hash names the database by: an approval, a backup or a rehearsal for one means nothing for another.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseId<'a> {
    /// Host, port and name.
    pub place: &'a str,
    /// The server's own, where it has one.
    pub identity: Option<&'a str>,
}

/// A pod as it was seen: what is deleted must not have started meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRef {
    pub name: String,
    pub uid: String,
    pub version: String,
}

/// How soon to check a Job again whose pod has not started. A pod is watched; that the API server refuses one is not.
fn until_started(state: &PodState, pod: Option<&PodRef>) -> Duration {
    if *state == PodState::Waiting && pod.is_none() { WITHOUT_POD } else { WHILE_ACTIVE }
}

impl JobView {
    /// How soon to check again.
    pub fn pause(&self) -> Duration {
        until_started(&self.state, self.pod.as_ref())
    }

    pub fn kind(&self) -> Kind {
        self.record.kind()
    }

    /// Whether its pod has ended.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            PodState::Ended(ended) => Some(ended),
            _ => None,
        }
    }
}

/// The run that the status says is active.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveRun {
    pub record: RunRecord,
    /// Name of its Job.
    pub name: String,
    /// `None` once somebody has deleted it.
    pub job: Option<JobView>,
    /// How far its pod has come, whatever has become of the Job.
    pub state: PodState,
    /// Whose run the holder of the lock is that it waited for, where a pod has the address.
    pub holder: Option<String>,
}

impl ActiveRun {
    /// How soon to check again.
    pub fn pause(&self) -> Duration {
        until_started(&self.state, self.job.as_ref().and_then(|job| job.pod.as_ref()))
    }

    /// How its pod ended, if it has.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            PodState::Ended(ended) => Some(ended),
            _ => None,
        }
    }
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

/// The image that the spec names, as far as it is known.
#[derive(Clone, Debug, Default)]
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
    #[default]
    NotLooked,
}

/// The database as it was seen.
#[derive(Clone, Debug, Default)]
#[allow(clippy::large_enum_variant, reason = "there is one for each pass")]
pub enum DatabaseView {
    Seen(Snapshot),
    Failed(Problem),
    /// A Job is at it, or has to be made first.
    Looking(Option<JobView>),
    /// Its server, or the namespace, has others to serve first.
    Busy,
    /// Not read while a run is active.
    #[default]
    NotLooked,
}

/// The tables against the models of the image.
#[derive(Clone, Debug, Default)]
#[allow(clippy::large_enum_variant, reason = "there is one for each pass")]
pub enum ModelsView {
    Compared(Differences),
    Failed(Problem),
    /// A Job is at it, or has to be made first.
    Comparing(Option<JobView>),
    /// Models are of the newest revision, and the database is not there.
    NotAtHeads,
    /// Nobody asked for it, or something else comes first.
    #[default]
    NotLooked,
}

/// The schema, and what it should be as far as that is kept.
#[derive(Clone, Debug, Default)]
pub enum SchemaView {
    Seen(Box<SeenSchema>),
    /// Not due after a start of the operator: the check counts as made at this time.
    CountsAsSeen {
        check: String,
        at: Timestamp,
    },
    Failed(Problem),
    /// Nobody asked for it, it is not due yet, or somebody migrates right now.
    #[default]
    NotLooked,
}

/// The schema as it was read.
#[derive(Clone, Debug)]
pub struct SeenSchema {
    pub schema: Schema,
    pub kept: Option<StoredBaseline>,
    /// What it was looked at for.
    pub check: String,
    pub replay: ReplayView,
}

/// What running the history again has come to.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each pass")]
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
        request: Box<ReplayRequest>,
    },
}

/// A baseline as it is stored.
#[derive(Clone, Debug)]
pub struct StoredBaseline {
    /// `None` where what is stored can't be read.
    pub baseline: Option<Arc<Baseline>>,
    /// Of the ConfigMap: it is written only over what was read.
    pub version: String,
}

/// What one pass has observed.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether only some may approve. Then a comment in a revision file allows nothing: somebody else may have written it.
    pub restricted: bool,
    /// The run whose end is not in the status yet.
    pub active: Option<ActiveRun>,
    /// The Jobs of this object, the active run's left out.
    pub jobs: Vec<JobView>,
    /// What the newest rehearsals found, where that is not recorded yet.
    pub rehearsals: Vec<RehearsalView>,
    pub cnpg: Option<CnpgView>,
    /// The first part of the database's URL, which a scratch database has to have too.
    pub scheme: String,
    /// Host, port and name of the database, without secrets.
    pub place: String,
    /// A hash of the database's server, where it has one.
    pub server: Option<String>,
    /// Whether a run may start now.
    pub turn: Place,
    /// Jobs that nobody waits for any more.
    pub obsolete: Vec<String>,
    /// The probe that a Job has to make next.
    pub next_probe: Option<ProbeRequest>,
    /// The comparison with the models that a Job has to make next.
    pub next_comparison: Option<CompareRequest>,
    pub models: ModelsView,
    pub schema: SchemaView,
    pub wanted: Option<InspectRequest>,
    pub image: ImageView,
    pub database: DatabaseView,
    /// Whether the stored inspection has few owners, and this object is none of them.
    pub lacks_owner: bool,
    /// The inspections of the images that this object was inspected with, newest first.
    pub remembered: Vec<Arc<Inspected>>,
    /// The inspection of the image of the newest run that succeeded, where it is another one than the spec's.
    pub ran: Option<Arc<Inspected>>,
    /// How large the tables are, where something is pending.
    pub sizes: Option<Sizes>,
    /// The objects of the schema, where something is pending and the check of `schema` has not read them.
    pub catalog: Option<Catalog>,
    /// The ConfigMap that shows the plan, if there is one.
    pub shown_plan: Option<ShownPlan>,
}

/// The ConfigMap of a plan as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownPlan {
    /// It is written only over what was read.
    pub version: String,
    /// Of the plan that it shows.
    pub hash: String,
}

impl Facts {
    /// What a plan's hash names the database by.
    pub fn database_id(&self) -> DatabaseId<'_> {
        let identity = match &self.database {
            DatabaseView::Seen(snapshot) => snapshot.identity.as_deref(),
            _ => None,
        };
        DatabaseId { place: &self.place, identity }
    }

    /// The Jobs of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &JobView> {
        self.jobs.iter().filter(move |job| job.kind() == kind)
    }
}

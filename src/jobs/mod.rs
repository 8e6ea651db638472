//! The Jobs that carry the runner and the user's commands into pods: their kinds, one file for each, and the reading of what
//! they report. A new kind is its file and what is said of it here. No I/O.

mod backup;
mod batch;
mod compare;
mod config_maps;
mod copy;
mod database_env;
#[cfg(test)]
mod fixtures;
mod frames;
mod inspect;
mod inspection;
mod job;
mod names;
mod pinned;
mod pod;
mod pod_gate;
mod pod_template;
mod probe;
mod program;
mod progress;
mod record;
mod rehearsal_report;
mod rehearse;
mod replay;
mod report;
mod revision;
mod run;
mod scratch;
mod stuck;
mod task;
mod users_pod;
mod verify;

pub use backup::{BACKUP_FIELD, BackupRequest, cnpg_backup, cnpg_object};
pub use batch::{
    BATCH, BatchRecord, BatchReport, BatchRequest, MemberEnd, MemberResult, as_of_the_set, batch_report, nothing_begun,
    set_inspection, set_labels,
};
pub use compare::{CompareRequest, compare_request, compared};
pub use config_maps::{
    inspected_digest, inspected_image, inspection_config_map, inspection_key_of, lacks_owner, program_config_map,
    read_inspection, shared_owner,
};
pub use copy::VersionTableName;
pub use frames::{FrameError, Frames, Joiner, MAX_PAYLOAD, hex};
pub use inspect::{DEADLINE as INSPECT_DEADLINE, InspectRequest, inspect_frames, inspection_key, wanted};
pub use inspection::{Implementation, Inspected, Inspection, InspectionError, Revision};
pub use job::{JobInput, JobRequest, has_begun, is_finished, is_made_here, job_condition, own_metadata};
pub use names::{label_value, own_name, short_hash};
pub use pinned::pinned;
pub use pod::{Ended, PodState, Trouble, has_ended, is_replaced, pod_state, state_of_pod};
pub use pod_gate::{GRAPH_FILE, GateGraph, GateWrite, PodGate, STATE_FILE};
pub use pod_template::{FIELD as POD_TEMPLATE_FIELD, PodTemplateError, check as check_pod_template};
pub use probe::{ProbeRequest, probe_request, probed};
pub use program::runner_files;
pub use progress::{Progress, overdue, progress};
pub use record::JobRecord;
pub use rehearsal_report::{
    FailedPhase, LockTaken, NoWayBack, Rehearsal, RehearsalError, RehearsedPhase, RehearsedStep,
};
pub use rehearse::{Origin, RehearseRequest, rehearsal_verdict};
pub use replay::ReplayRequest;
pub use report::{CatalogReport, Differences, Failure, Look, Report, ReportError, RunState, reported};
pub use revision::{
    AUTHOR_DEADLINE, Author, Authored, ByHand, Merge, NextRevision, ReviewNote, RevisionFile, author_job,
    author_program,
};
pub use run::{EndedRun, RunRequest, run_job, run_name};
pub use scratch::Scratch;
pub use stuck::{START_DEADLINE, initializing, is_slow, tells_why_stuck};
pub use task::{Action, ConnectionTask, History, Limit, Member, Reads, Run, Source, Task};
pub use users_pod::users_pod;
pub use verify::{VERIFY_FIELD, VerifyRequest};

use crate::api::RunRecord;
use serde::{Deserialize, Serialize};

/// The kinds of Jobs; the value of the label `alembic-operator.dev/action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads the image's revision files and what env.py configures.
    #[default]
    Inspect,
    /// Reads the version rows where the operator can't.
    Probe,
    /// Compares the tables with the models.
    Compare,
    /// Runs the history on a scratch database.
    Replay,
    /// Tries a plan on a scratch database.
    Rehearse,
    /// Makes a backup before a run.
    Backup,
    /// Changes the database.
    Run,
    /// Verifies a run after it.
    Verify,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Inspect,
        Self::Probe,
        Self::Compare,
        Self::Replay,
        Self::Rehearse,
        Self::Backup,
        Self::Run,
        Self::Verify,
    ];

    /// The label's value, and the middle of the Job's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Probe => "probe",
            Self::Compare => "compare",
            Self::Replay => "replay",
            Self::Rehearse => "rehearse",
            Self::Backup => "backup",
            Self::Run => "run",
            Self::Verify => "verify",
        }
    }

    /// What else is true of all Jobs of this kind.
    pub(crate) fn traits(self) -> Traits {
        match self {
            Self::Inspect | Self::Probe | Self::Compare | Self::Replay | Self::Run => Traits::default(),
            Self::Rehearse => Traits { replaces_disrupted: true, ..Traits::default() },
            Self::Backup => Traits { all_containers: true, ..Traits::USERS },
            Self::Verify => Traits::USERS,
        }
    }
}

/// How Jobs of one kind differ from those of another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    /// Whether a pod that was evicted, preempted or drained is replaced by its Job's controller. Not that of a run, which only
    /// the operator starts again; and not that of a Job which is made again by itself.
    pub replaces_disrupted: bool,
    /// Whether its command is the user's: exit code 0 is a success, whatever it says.
    pub users_command: bool,
    /// Whether the last ended ones are kept for their logs, as many as spec.historyLimit says.
    pub in_history: bool,
    /// Whether every container of its pod counts, and not the one named `alembic` alone.
    pub all_containers: bool,
}

impl Traits {
    const USERS: Self = Self { replaces_disrupted: true, users_command: true, in_history: true, all_containers: false };
}

/// What is asked of a Job of each kind, beside what its pod is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Request {
    /// The key under which the inspection is stored; other objects wait for the one that is at it.
    Inspect {
        inspection: String,
    },
    /// `catalog` is the dialect by whose queries the schema is read as well.
    Probe {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        catalog: Option<String>,
    },
    #[default]
    Compare,
    Replay {
        catalog: String,
    },
    Rehearse {
        catalog: String,
    },
    /// The plan that the backup comes before, and its version rows.
    Backup {
        plan_hash: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        from: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        to: Vec<String>,
    },
    Run {
        run: Box<RunRecord>,
    },
    /// Hash of the spec.verify that it was made with.
    Verify {
        hash: String,
    },
}

impl Request {
    /// One of each kind, in their order.
    #[cfg(test)]
    fn one_of_each() -> [Self; Kind::ALL.len()] {
        [
            Self::Inspect { inspection: "0123".into() },
            Self::Probe { catalog: None },
            Self::Compare,
            Self::Replay { catalog: "postgresql".into() },
            Self::Rehearse { catalog: "mysql".into() },
            Self::Backup { plan_hash: "0123".into(), from: vec![], to: vec!["a".into()] },
            Self::Run { run: Box::default() },
            Self::Verify { hash: "4567".into() },
        ]
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Inspect { .. } => Kind::Inspect,
            Self::Probe { .. } => Kind::Probe,
            Self::Compare => Kind::Compare,
            Self::Replay { .. } => Kind::Replay,
            Self::Rehearse { .. } => Kind::Rehearse,
            Self::Backup { .. } => Kind::Backup,
            Self::Run { .. } => Kind::Run,
            Self::Verify { .. } => Kind::Verify,
        }
    }

    /// The dialect by whose queries the Job reads a schema, if it does.
    pub fn catalog(&self) -> Option<&str> {
        match self {
            Self::Probe { catalog } => catalog.as_deref(),
            Self::Replay { catalog } | Self::Rehearse { catalog } => Some(catalog),
            _ => None,
        }
    }
}

/// Name of the container that runs Alembic; the one that `spec.podTemplate` merges into.
pub const CONTAINER: &str = "alembic";

//! The Jobs that carry the runner and the user's commands into pods, one file for each kind, and the reading of what they
//! report; no I/O.

mod backup;
mod compare;
mod config_maps;
mod copy;
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
mod run;
mod scratch;
mod stuck;
mod task;
mod verify;

pub use backup::{BACKUP_FIELD, BackupRequest, backup_job, cnpg_backup, cnpg_object};
pub use compare::{compare_job, compare_request, compared};
pub use config_maps::{
    inspected_digest, inspected_image, inspection_config_map, lacks_owner, program_config_map, read_inspection,
    shared_owner,
};
pub use copy::VersionTableName;
pub use frames::{FrameError, Frames, Joiner, MAX_PAYLOAD, hex};
pub use inspect::{InspectRequest, inspect_frames, inspect_job, inspection_key, wanted};
pub use inspection::{Implementation, Inspected, Inspection, InspectionError, Revision};
pub use job::{JobInput, is_finished, job_condition, own_metadata};
pub use names::{label_value, own_name, short_hash};
pub use pinned::pinned;
pub use pod::{Ended, PodState, Trouble, is_replaced, pod_state, whole_pod_state};
pub use pod_gate::{GRAPH_FILE, GateGraph, GateWrite, PodGate, STATE_FILE};
pub use pod_template::{FIELD as POD_TEMPLATE_FIELD, PodTemplateError, check as check_pod_template};
pub use probe::{probe_job, probe_request, probed};
pub use program::runner_files;
pub use progress::{Progress, overdue, progress};
pub use record::{JobRecord, Kind, Request};
pub use rehearsal_report::{
    FailedPhase, LockTaken, NoWayBack, Rehearsal, RehearsalError, RehearsedPhase, RehearsedStep,
};
pub use rehearse::{Origin, RehearseRequest, rehearsal_verdict, rehearse_job};
pub use replay::{ReplayRequest, replay_job};
pub use report::{CatalogReport, Differences, Failure, Look, Report, ReportError, RunState, reported};
pub use run::{EndedRun, RunRequest, run_job, run_name};
pub use scratch::Scratch;
pub use stuck::{START_DEADLINE, initializing, is_slow, tells_why_stuck};
pub use task::{Action, ConnectionTask, History, Limit, Reads, Run, Source, Task};
pub use verify::{VERIFY_FIELD, VerifyRequest, verify_job};

/// Name of the container that runs Alembic; the one that `spec.podTemplate` merges into.
pub const CONTAINER: &str = "alembic";

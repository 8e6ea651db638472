//! The Python program that runs in the user's image, the Jobs that carry it, and the reading of what it reports; no I/O.

mod config_maps;
mod copy;
mod inspection;
mod job;
mod names;
mod pinned;
mod pod;
mod pod_template;
mod program;
mod rehearse;
mod report;
mod scratch;
mod stage_job;
mod task;

pub use config_maps::{
    inspected_digest, inspected_image, inspection_config_map, lacks_owner, program_config_map, read_inspection,
    shared_owner,
};
pub use copy::VersionTableName;
pub use inspection::{Implementation, Inspected, Inspection, InspectionError, Revision};
pub use job::{
    JobInput, LookRecord, RunRecord, compare_job, inspect_job, inspection_key, look_epoch, look_job, own_metadata,
    replay_job, run_job, run_jobs,
};
pub use names::{again_name, inspection_name, own_name, run_name, short_hash};
pub use pinned::{is_pinned, pinned};
pub use pod::{Ended, PodState, Trouble, is_replaced, pod_state, rehearsal_pod_state, whole_pod_state};
pub use pod_template::{FIELD as POD_TEMPLATE_FIELD, PodTemplateError, check as check_pod_template};
pub use rehearse::{
    FailedPhase, LockTaken, NoWayBack, Origin, Rehearsal, RehearsalError, RehearsedPhase, RehearsedStep, rehearse_job,
};
pub use report::{CatalogReport, Differences, Failure, Frames, Look, Report, ReportError, RunState, hex, join_frames};
pub use scratch::Scratch;
pub use stage_job::{
    BACKUP_FIELD, StageRecord, VERIFY_FIELD, backup_job, backup_name, cnpg_backup, cnpg_object, verify_job, verify_name,
};
pub use task::{Action, ConnectionTask, History, Limit, Run, Source, Task};

/// Name of the container that runs Alembic; the one that `spec.podTemplate` merges into.
pub const CONTAINER: &str = "alembic";

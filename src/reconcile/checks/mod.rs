//! The judgements of `decide`, each a small pure function over what was observed; no I/O.

mod approval;
mod backup;
mod drift;
mod hazards;
mod image;
mod plan;
mod refusal;
mod rehearsal;
mod replay;
mod retry;
mod run;
mod schema;
mod spec;
mod stage;
mod verify;

pub use approval::{Approval, approval};
pub use backup::{BackupAsk, backup_ask, backup_progress, not_required};
pub use drift::{Drift, describe, drift};
pub use hazards::judge;
pub use image::{Wish, accepted_drift, heads_condition, requested_at, wanted};
pub use plan::{
    Chosen, Unmanaged, adoption, choose, direction_name, empty_downgrades, plan_problem, unmanaged, usable_graph,
};
pub use refusal::refused;
pub use rehearsal::{
    RehearsalAsk, RehearsalProgress, rehearsal_ask, rehearsal_json, rehearsal_progress, rehearsal_status,
};
pub use replay::replay;
pub use retry::{Gate, gate, repeats_by_itself};
pub use run::{pod_failed, reason_of_class, run_status, summary_of_run};
pub use schema::{Compared, Look, Replayed, Taken};
pub use spec::spec_problem;
pub use stage::Progress;
pub use verify::{VerifyAsk, gone_back, verify_ask, verify_progress, way_back};

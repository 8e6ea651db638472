//! The judgements of `decide`, each a small pure function over what was observed; no I/O.

mod adopt;
mod approval;
mod backup;
mod before;
mod drift;
mod executed;
mod hazards;
mod history;
mod image;
mod plan;
mod refusal;
mod rehearsal;
mod replaced;
mod replay;
mod schema;
mod spec;
mod stage;
mod verify;

pub use adopt::{Unmanaged, adoption, unmanaged};
pub use approval::{Approval, approval, approval_of, approver};
pub use backup::{backup_progress, backup_request, not_required};
pub use before::Before;
pub use drift::{Drift, drift};
pub use executed::{executed, executed_sql};
pub use hazards::judge;
pub use history::{may_be_stamped_over, restamp};
pub use image::{accepted_drift, heads_condition, requested_at};
pub use plan::{Chosen, Route, between, choose, direction_name, empty_downgrades, plan_problem, usable_graph};
pub use refusal::refused;
pub use rehearsal::{WantedRehearsal, rehearsal_json, rehearsal_progress, rehearsal_status, wanted_rehearsal};
pub use replaced::{Replaced, replaced, replaced_problem};
pub use replay::replay;
pub use schema::{BaselineOrigin, Compared, Look, NotCompared, Replayed};
pub use spec::spec_problem;
pub use stage::stage_progress;
pub use verify::{Verification, rollback_plan, rolled_back, verification};

//! The `DatabaseMigration` resource: its types, names and reasons; no I/O. The CRD in `crds/` is generated from here.

mod duration;
mod reasons;
mod spec;
mod stages;
mod status;

pub use duration::parse_duration;
pub use reasons::{Kind, Reason};
pub use spec::*;
pub use stages::*;
pub use status::*;

/// Value of `app.kubernetes.io/managed-by` on everything that the operator makes, and its field manager.
pub const MANAGER: &str = "alembic-operator";

/// Label on Jobs and pods: the name of the object they work for.
pub const LABEL_OBJECT: &str = "alembic-operator.dev/object";
/// Label on Jobs and pods: `inspect`, `probe`, `compare`, `replay`, `backup`, `run` or `verify`.
pub const LABEL_ACTION: &str = "alembic-operator.dev/action";
/// Label on the ConfigMaps that hold an inspected image.
pub const LABEL_INSPECTION: &str = "alembic-operator.dev/inspection";

/// A new value asks for a retry now; echoed in `status.lastHandledReconcileAt`.
pub const ANNOTATION_REQUESTED_AT: &str = "alembic-operator.dev/requestedAt";
/// The fingerprint of a schema that may stay as it is, as `spec.drift.acceptedFingerprint`.
pub const ANNOTATION_ACCEPT_DRIFT: &str = "alembic-operator.dev/accept-drift";
/// The hash of a plan that may run, as `spec.policy.approvedPlan`.
pub const ANNOTATION_APPROVE: &str = "alembic-operator.dev/approve";
/// On an inspect Job: the cache key of what it inspects. On a run Job: see [`ANNOTATION_RUN`].
pub const ANNOTATION_KEY: &str = "alembic-operator.dev/inspection-key";
/// On a run Job: what it was asked to do, as JSON (`jobs::RunRecord`).
pub const ANNOTATION_RUN: &str = "alembic-operator.dev/run";

/// On a backup or verify Job, and on a Backup: what it was made for, as JSON (`jobs::StageRecord`).
pub const ANNOTATION_STAGE: &str = "alembic-operator.dev/stage";
/// On a probe or compare Job: which look it is, as JSON (`jobs::LookRecord`).
pub const ANNOTATION_LOOK: &str = "alembic-operator.dev/probe";

/// Keeps the object until the pod of a run has ended; absent at all other times.
pub const FINALIZER: &str = "alembic-operator.dev/run-in-progress";

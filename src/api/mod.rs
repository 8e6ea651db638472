//! The `DatabaseMigration` and `DatabaseMigrationSet` resources: their types, names and reasons; no I/O. The CRDs in `crds/` are generated from here.

mod defaults;
mod duration;
mod effective;
mod people;
mod reasons;
mod schema;
mod set;
mod spec;
mod stages;
mod status;
mod watched;

pub use defaults::{Defaults, Enforce};
pub use duration::{DurationField, parse_duration};
pub use effective::{read, read_effective};
pub use people::RunApproval;
pub use reasons::{Problem, Reason, ReasonKind};
pub use set::*;
pub use spec::*;
pub use stages::*;
pub use status::*;
pub use watched::Watched;

/// What the names of the operator's labels and annotations begin with.
pub const ANNOTATION_PREFIX: &str = "alembic-operator.dev/";

/// On everything that the operator makes.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of that label, and the field manager of what the operator writes.
pub const MANAGER: &str = "alembic-operator";

/// Label on Jobs and pods: the name of the object they work for, cut to the length of a label. The annotation of the same
/// key has the whole name.
pub const LABEL_OBJECT: &str = "alembic-operator.dev/object";
/// Label on Jobs and pods: the kind of Job (`jobs::Kind`).
pub const LABEL_ACTION: &str = "alembic-operator.dev/action";
/// Label on the Job of a run: a hash of the database's server, by which the runs on one server are counted.
pub const LABEL_SERVER: &str = "alembic-operator.dev/server";
/// Label on an object: which operator works on it, as that one's `--shard` says.
pub const LABEL_SHARD: &str = "alembic-operator.dev/shard";
/// Label on the ConfigMaps that hold an inspected image.
pub const LABEL_INSPECTION: &str = "alembic-operator.dev/inspection";

/// Label on the Leases that stand for the lock of a database.
pub const LABEL_LOCK: &str = "alembic-operator.dev/lock";
/// Label on what is made for a set, beside its Jobs and pods the ConfigMaps with its targets: the set's name, cut to the length of a
/// label. The annotation of the same key has the whole name.
pub const LABEL_SET: &str = "alembic-operator.dev/set";
/// On a set: `NUMBER/WAVE`, the rollout and the wave after which the next one may begin.
pub const ANNOTATION_PROMOTE: &str = "alembic-operator.dev/promote";

/// A new value asks for a retry now; echoed in `status.lastHandledReconcileAt`.
pub const ANNOTATION_REQUESTED_AT: &str = "alembic-operator.dev/requestedAt";
/// The fingerprint of a schema that may stay as it is, as `spec.drift.acceptedFingerprint`.
pub const ANNOTATION_ACCEPT_DRIFT: &str = "alembic-operator.dev/accept-drift";
/// The hash of a plan that may run, as `spec.policy.approvedPlan`.
pub const ANNOTATION_APPROVE: &str = "alembic-operator.dev/approve";
/// What stands in the message of a plan that waits, before the command that approves it.
pub const TO_APPROVE: &str = "; to approve it: ";

/// What stands in the message of AwaitingPromotion before kubectl's command.
pub const TO_PROMOTE: &str = "; to let the next one begin: ";
/// The hash of a plan that must not run.
pub const ANNOTATION_REJECT: &str = "alembic-operator.dev/reject";
/// Why a plan was approved or rejected, in somebody's own words.
pub const ANNOTATION_REASON: &str = "alembic-operator.dev/reason";
/// `true` starts no new run, as `spec.suspend`, where GitOps would revert the spec.
pub const ANNOTATION_SUSPEND: &str = "alembic-operator.dev/suspend";
/// On a Job, and on a Backup: what it was made for, as JSON (`jobs::JobRecord`).
pub const ANNOTATION_RECORD: &str = "alembic-operator.dev/record";
/// On the Job of a batch that was let begin, whatever became of it since.
pub const ANNOTATION_RELEASED: &str = "alembic-operator.dev/released";
/// On the Job of a run: the Lease that it holds in place of a lock of the database.
pub const ANNOTATION_LEASE: &str = "alembic-operator.dev/lease";

/// On the ConfigMap that shows a plan: the plan's hash.
pub const ANNOTATION_PLAN: &str = "alembic-operator.dev/plan";

/// Keeps the object until the pod of a run has ended; absent at all other times.
pub const FINALIZER: &str = "alembic-operator.dev/run-in-progress";

//! What a user asks for: the spec of a `DatabaseMigration`. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

mod alembic;
pub(super) mod backup;
mod database;
mod drift;
mod durations;
pub(super) mod pod;
mod policy;
mod run;

pub use alembic::{Adopt, AdoptVerify, Alembic, WritesAtStart};
pub use backup::{BackupJob, BackupTemplate, CnpgBackup, CnpgMethod};
pub use database::{Connection, Database, Dialect, LockKind, Part, Probe, ProbeMode, SecretKey, Tls, ValueFrom};
pub use drift::{Drift, DriftMode, OnDrift};
pub use durations::duration_problem;
pub use pod::{ImagePullPolicy, PodMetadata, PodShorthands, PodTemplate};
pub use policy::{AllowedHazard, ApprovalMode, ApprovalPolicy, DowngradePolicy, HazardPolicy, Policy};
pub use run::{Retry, Strategy, Timeouts};

use super::{
    schema::is_default,
    stages::{Scratch, Stages},
};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// The schema state that one Alembic database should be in. The operator compares `targetRevision` with the rows of
/// the live version table and runs upgrades or downgrades in the application's own image.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "alembic-operator.dev",
    version = "v1alpha1",
    kind = "DatabaseMigration",
    plural = "databasemigrations",
    singular = "databasemigration",
    shortname = "dbmigrations",
    shortname = "dbmigration",
    shortname = "dbm",
    category = "migrations",
    namespaced,
    status = "crate::api::DatabaseMigrationStatus",
    doc = "A database whose schema follows an Alembic target revision.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True when the live version rows equal the target's"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not"
    ),
    printcolumn(
        name = "Current",
        type_ = "string",
        json_path = ".status.current",
        description = "Revisions in the live version table"
    ),
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".status.target",
        description = "Revisions that targetRevision means in this image"
    ),
    printcolumn(
        name = "Pending",
        type_ = "string",
        json_path = ".status.pending.steps",
        description = "Steps between current and target: +4 up, -4 down"
    ),
    printcolumn(
        name = "Drift",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Drifted\")].status",
        description = "True when something else changed the database"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Hazards",
        type_ = "string",
        json_path = ".status.plan.hazardSummary",
        priority = 1,
        description = "Hazards of the plan that nobody allowed: C critical, H high, M medium, L low"
    ),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.hash",
        priority = 1,
        description = "Hash of the plan"
    ),
    printcolumn(
        name = "Last Run",
        type_ = "date",
        json_path = ".status.lastRun.finishedAt",
        priority = 1,
        description = "When the last run ended"
    ),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image.name", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.verify) || !has(self.verify.onFailure) || self.verify.onFailure != 'Downgrade' || has(self.policy) && has(self.policy.downgrade) && self.policy.downgrade == 'Allow'")
        .message("verify.onFailure Downgrade needs policy.downgrade: Allow"),
    validation = Rule::new("!has(self.scratch) || has(self.rehearsal) || has(self.drift) && has(self.drift.mode) && self.drift.mode == 'Replay'")
        .message("scratch is for rehearsal and for drift.mode Replay alone"),
    validation = Rule::new("!has(self.drift) || !has(self.drift.timeout) || !has(self.database.probe) || !has(self.database.probe.mode) || self.database.probe.mode != 'Job'")
        .message("drift.timeout is for probe.mode InProcess: with Job the schema is read by the Job, which has a limit of its own")
)]
pub struct DatabaseMigrationSpec {
    /// The application's own image, as it is deployed: it holds Alembic and the revision files. A reference with a
    /// digest always means the same files; behind a tag the operator remembers the digest that it inspected.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,

    /// When the kubelet pulls the image (Always, IfNotPresent, Never). Default as for any pod: Always for the tag
    /// `latest`, IfNotPresent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Where the database should be: a revision id or a unique prefix of one, `head`, `heads`, `base`,
    /// `<branch label>@head`, a branch label, or several of these separated by commas. Relative forms such as `+1`
    /// or `-1` are refused: at each look at the database they would mean another revision.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("!self.matches('(^|,)\\\\s*([^@,]+@)?\\\\w*[+-][0-9]')")
            .message("targetRevision can't be relative (+1, -1, rev+1, branch@-1): it would mean another revision at each look at the database; write the revision's id, or head, heads, base or branch@head"),
        validation = Rule::new("!self.matches('(^|,)\\\\s*(,|$)')")
            .message("targetRevision has an empty part: write a revision's id, head, heads, base or branch@head, several separated by commas"),
        validation = Rule::new("!self.contains(':')")
            .message("targetRevision can't be a range (a:b): write only the revision to go to")
    )]
    pub target_revision: String,

    /// Which database, and how the application finds it.
    pub database: Database,

    /// How Alembic is started in the image. The defaults fit a project with alembic.ini in its working directory.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alembic: Alembic,

    /// What the operator may do without asking.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,

    /// What to do with a database that has tables and no version row, as create_all or a person by hand makes one.
    /// Without this nothing runs on such a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,

    /// The rehearsal, the backup and the verification around a run.
    #[serde(flatten)]
    pub stages: Stages,

    /// The scratch database of `rehearsal`, and of drift.mode Replay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scratch: Scratch,

    /// Whether all pending revisions go in one run (Together, the default), or each in a run of its own with the
    /// version rows read back in between (Stepwise).
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Strategy,

    /// Whether the schema is compared with what it should be, beside the version rows, which always are.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!has(self.onDrift) || self.onDrift != 'Block' || !has(self.mode) || self.mode != 'Disabled'")
        .message("drift.onDrift Block needs something to compare with: drift.mode Snapshot, Models or Replay"),
        validation = Rule::new("!has(self.mode) || self.mode in ['Snapshot', 'Replay'] || !(has(self.exclude) || has(self.timeout) || has(self.acceptedFingerprint))")
        .message("drift.exclude, drift.timeout and drift.acceptedFingerprint are for drift.mode Snapshot and Replay: with Models a Job compares by Alembic's rules, with Disabled nobody does"),
        validation = Rule::new("!has(self.interval) || !has(self.mode) || self.mode != 'Disabled'")
        .message("drift.interval is for a drift.mode that compares: with Disabled nobody does"))]
    pub drift: Drift,

    /// Time limits of a run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeouts: Timeouts,

    /// Which failed runs are tried again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,

    /// Starts no new run while true; one that is running is left to finish, and the status stays up to date.
    #[serde(default, skip_serializing_if = "is_default")]
    pub suspend: bool,

    /// How many finished run Jobs are kept, for their logs, and of those that back up and verify (default 3 of each).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub history_limit: Option<i32>,

    /// Variables, service account, pull secrets and resources of the Jobs' pods.
    #[serde(flatten)]
    pub pod: PodShorthands,

    /// Labels, annotations and pod spec fields to merge into the Jobs' pods, over the short forms beside it: volumes,
    /// node placement, security context, sidecars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

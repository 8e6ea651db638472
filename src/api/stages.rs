//! The stages around a run, a backup before it and a verification after it: what a user asks for, and what the status
//! says of them. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

use super::spec::{PodMetadata, PodTemplate, duration_schema, is_default};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A backup that must be complete before a run starts.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.job) && has(self.cnpg))")
        .message("set only one of backup.job and backup.cnpg"),
    validation = Rule::new("!has(self.when) || self.when == 'Never' || has(self.job) || has(self.cnpg)")
        .message("backup.when needs a method: set one of backup.job (a pod of yours) and backup.cnpg (CloudNativePG)")
)]
pub struct Backup {
    /// Before which runs: Never (the default); OnHazard, those whose plan has a high or critical hazard that nobody allowed;
    /// Always, every one. An adoption changes no data and needs none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub when: BackupWhen,
    /// A Job with a pod of yours, such as one that runs pg_dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<BackupJob>,
    /// A Backup of CloudNativePG. The operator needs the right to get and create them: the chart's value backup.cnpg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnpg: Option<CnpgBackup>,
    /// How long it may take before it has failed (default 1h).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub timeout: Option<String>,
}

/// Before which runs a backup is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupWhen {
    #[default]
    Never,
    OnHazard,
    Always,
}

/// A Job that makes a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupJob {
    /// Its pod. The backup is complete when all of its containers have ended with exit code 0. Each finds the variables
    /// ALEMBIC_OPERATOR_PLAN (the plan's hash, which fits into a file name), ALEMBIC_OPERATOR_FROM, ALEMBIC_OPERATOR_TO
    /// (version rows, separated by commas) and ALEMBIC_OPERATOR_OBJECT (namespace/name). The database's URL is yours to
    /// give, by an env entry with a secretKeyRef.
    pub template: BackupTemplate,
}

/// The pod that makes a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupTemplate {
    /// Labels and annotations of the pod.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metadata: PodMetadata,
    /// The pod spec (see kubectl explain pod.spec). Where it says nothing the pod fits the restricted Pod Security Standard
    /// and runs as user 65532.
    #[schemars(schema_with = "pod_spec_schema")]
    pub spec: Map<String, Value>,
}

/// A Backup of CloudNativePG.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.method) && self.method == 'plugin') == has(self.pluginName)")
    .message("backup.cnpg.pluginName goes with method plugin, and with no other"))]
pub struct CnpgBackup {
    /// Name of the Cluster in the object's namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub cluster: String,
    /// How CloudNativePG makes it (default barmanObjectStore).
    #[serde(default, skip_serializing_if = "is_default")]
    pub method: CnpgMethod,
    /// The plugin's name, such as barman-cloud.cloudnative-pg.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub plugin_name: Option<String>,
}

/// How CloudNativePG makes a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CnpgMethod {
    #[default]
    BarmanObjectStore,
    VolumeSnapshot,
    Plugin,
}

/// A Job that tells whether the application works with the database after a run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.command) || has(self.args)")
    .message("verify needs command or args: what the image starts by itself may never end"))]
pub struct Verify {
    /// The image (default: the one that ran).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// What it starts; exit code 0 is a success. It gets the URL in the variables of database.env as the Secret has it, and
    /// with database.connection its parts in ALEMBIC_OPERATOR_DB_DIALECT, _HOST, _PORT, _NAME, _USERNAME and _PASSWORD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 16384)))]
    pub command: Vec<String>,
    /// Arguments of the command, or of the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 16384)))]
    pub args: Vec<String>,
    /// How long it may take before it has failed (default 10m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub timeout: Option<String>,
    /// What to merge into its pod, as spec.podTemplate is merged into the others (default: spec.podTemplate itself).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// What follows when an upgrade is not verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    #[default]
    Hold,
    Downgrade,
}

/// How a plan is rehearsed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RehearsalSettings {
    /// An image with the server of the scratch database, as drift.replay.image: the official one of PostgreSQL, MySQL or
    /// MariaDB in the version of the database, or one that takes the same variables and arguments. SQLite needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Where its schema comes from. Dump (the default): from the live database, by the image's own pg_dump or mariadb-dump,
    /// without rows. History: the revisions are run from the first one on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: RehearsalSource,
}

/// Where the schema of a rehearsal comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RehearsalSource {
    #[default]
    Dump,
    History,
}

/// The newest rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalStatus {
    /// Hash of the plan that was rehearsed.
    pub plan_hash: String,
    /// Name of its Job.
    pub job: String,
    /// `Running`, `Passed` or `Failed`.
    pub result: RehearsalResult,
    /// What failed, secrets removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether every step can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversible: Option<bool>,
    /// The first ten steps as they ran there; rehearsal.json in the plan's ConfigMap has more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<RehearsalStep>,
    /// What the downgrade leaves behind, or does not bring back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<String>,
    /// When its end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// A step as it ran on the scratch database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RehearsalStep {
    /// `upgrade`, `downgrade`, or one of them with ` again`.
    pub phase: String,
    /// The revision.
    pub revision: String,
    /// How long it took, on tables without rows.
    pub milliseconds: i64,
    /// The strongest lock on each table that was there before: table, mode, and for how long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// Tables of which every row was written again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<String>,
    /// Whether statements of it committed by themselves, so that a short lock may have been missed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sampled: bool,
}

/// How a rehearsal ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RehearsalResult {
    #[default]
    Running,
    Passed,
    Failed,
}

/// The newest backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// Hash of the plan that it was made for.
    pub plan_hash: String,
    /// `Job` or `CloudNativePG`.
    pub method: BackupMethod,
    /// Name of the Job or Backup.
    #[serde(rename = "ref")]
    pub reference: String,
    /// `Running`, `Completed` or `Failed`.
    pub result: BackupResult,
    /// Why it failed, secrets removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
}

/// What makes a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupMethod {
    #[default]
    Job,
    #[serde(rename = "CloudNativePG")]
    Cnpg,
}

impl BackupMethod {
    /// The kind of object that makes it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Cnpg => "Backup",
        }
    }
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupResult {
    #[default]
    Running,
    Completed,
    Failed,
}

/// The newest verification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyStatus {
    /// Number of the run that it is about.
    pub run: i64,
    /// Name of its Job.
    pub job: String,
    /// Hash of the spec.verify that it was made with.
    pub hash: String,
    /// `Running`, `Passed` or `Failed`.
    pub result: VerifyResult,
    /// What was wrong, secrets removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerifyResult {
    #[default]
    Running,
    Passed,
    Failed,
}

/// As much of a pod spec as must be there; the API server knows the rest.
fn pod_spec_schema(_: &mut SchemaGenerator) -> Schema {
    let text = |description: &str| json_schema!({ "type": "string", "minLength": 1, "description": description });
    json_schema!({
        "type": "object",
        "description": "The pod spec (see kubectl explain pod.spec). Where it says nothing the pod fits the restricted Pod Security Standard and runs as user 65532.",
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["containers"],
        "properties": {
            "containers": {
                "type": "array",
                "description": "The containers; all of them must end with exit code 0.",
                "minItems": 1,
                "maxItems": 16,
                "items": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                    "required": ["name", "image"],
                    "properties": { "name": text("The container's name."), "image": text("The container's image.") },
                },
            },
        },
    })
}

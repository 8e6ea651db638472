//! The stages around a run: the rehearsal and the backup before it, the verification after it. The doc comments are what
//! `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

use super::{PodMetadata, PodTemplate, duration_schema, is_default};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// For which runs something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum When {
    #[default]
    Never,
    OnHazard,
    Always,
}

impl When {
    /// Whether it is for a plan. `hazard` says whether the plan has a high or critical hazard that nobody allowed.
    pub fn applies(self, hazard: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnHazard => hazard,
            Self::Always => true,
        }
    }
}

/// Which plans are rehearsed, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Which plans: Never, none; OnHazard, those with a high or critical hazard that nobody allowed; Always, every one. An
    /// adoption has nothing to rehearse.
    pub when: When,
    /// Where the schema comes from. Dump (the default): from the live database, by the image's own pg_dump or mariadb-dump,
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

/// The scratch database, which lives and dies with a Job's pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scratch {
    /// An image with the server: the official one of PostgreSQL, MySQL or MariaDB in the major version of the database (MariaDB:
    /// the minor version, too), or one that takes the same arguments and variables (POSTGRES_PASSWORD, PGDATA; MARIADB_ROOT_PASSWORD,
    /// MARIADB_DATABASE). It runs beside the Job's container, listens to nobody else, and must not need root. SQLite needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
}

/// A backup that must be complete before a run starts.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.job) && has(self.cnpg))")
        .message("set only one of backup.job and backup.cnpg"),
    validation = Rule::new("self.when == 'Never' || has(self.job) || has(self.cnpg)")
        .message("backup.when needs a method: set one of backup.job (a pod of yours) and backup.cnpg (CloudNativePG)")
)]
pub struct Backup {
    /// Before which runs: Never, none; OnHazard, those whose plan has a high or critical hazard that nobody allowed; Always,
    /// every one. An adoption changes no data and needs none.
    pub when: When,
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
#[x_kube(validation = Rule::new("self.when == 'Never' || has(self.command) || has(self.args)")
    .message("verify needs command or args: what the image starts by itself may never end"))]
pub struct Verify {
    /// After which runs: Never, none; OnHazard, those whose plan had a high or critical hazard that nobody allowed; Always,
    /// every one.
    pub when: When,
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
    /// What follows when the verification of an upgrade fails: Hold (the default), nothing; Downgrade, the database goes back to
    /// the version rows from before the run, where each of its revisions can be undone. It goes up again when the spec changes
    /// or the annotation alembic-operator.dev/requestedAt asks for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
}

/// What follows when an upgrade is not verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    #[default]
    Hold,
    Downgrade,
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

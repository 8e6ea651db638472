//! The `DatabaseMigrationSet` resource: many databases of one project. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

mod status;

pub use status::{
    BatchStatus, DatabaseMigrationSetStatus, RolloutStatus, SetPlan, Settled, TargetCounts, TargetFailure, WaveState,
    WaveStatus,
};

use super::{
    Alembic, ImagePullPolicy, PodShorthands, PodTemplate, Policy, Retry, Timeouts, Tls, ValueFrom, duration,
    schema::is_default,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema state that many databases of one Alembic project should be in: one for each tenant, as a schema or a database.
/// Targets at the same rows share one plan and one approval; they are migrated in waves, many by one pod.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "alembic-operator.dev",
    version = "v1alpha1",
    kind = "DatabaseMigrationSet",
    plural = "databasemigrationsets",
    singular = "databasemigrationset",
    shortname = "dbmsets",
    shortname = "dbmset",
    category = "migrations",
    namespaced,
    status = "DatabaseMigrationSetStatus",
    doc = "Many databases whose schemas follow one Alembic target revision.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True when the live version rows of every target equal the target revision's"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not"
    ),
    printcolumn(
        name = "Targets",
        type_ = "integer",
        json_path = ".status.targets.total",
        description = "Number of databases or schemas"
    ),
    printcolumn(
        name = "Done",
        type_ = "integer",
        json_path = ".status.targets.atTarget",
        description = "How many are at the target revision"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.targets.failed",
        description = "How many are held by a failure"
    ),
    printcolumn(
        name = "Wave",
        type_ = "string",
        json_path = ".status.wave",
        description = "The wave that is at work, or waits"
    ),
    printcolumn(
        name = "To",
        type_ = "string",
        json_path = ".status.to",
        description = "Revisions that targetRevision means in this image"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.rollout.plans[0].hash",
        priority = 1,
        description = "Hash of the plan for the most targets"
    ),
    printcolumn(
        name = "Hazards",
        type_ = "string",
        json_path = ".status.rollout.plans[0].hazardSummary",
        priority = 1,
        description = "Its hazards: C critical, H high, M medium, L low"
    ),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.rollout.image", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.targets.all(t, (has(t.schemas) ? self.servers.exists(s, s.name == t.schemas.server) : true) && (has(t.databases) ? self.servers.exists(s, s.name == t.databases.server) : true) && (has(t.query) ? self.servers.exists(s, s.name == t.query.server) : true))")
        .message("each entry of targets names one of spec.servers")
)]
pub struct DatabaseMigrationSetSpec {
    /// What is the same for all of them, in the words of a DatabaseMigration.
    pub template: SetTemplate,
    /// The database servers, each with one Secret for all targets on it.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub servers: Vec<SetServer>,
    /// Where the targets come from; together they are the set. A target that two entries name is one.
    #[schemars(length(min = 1, max = 16))]
    pub targets: Vec<TargetSource>,
    /// What differs from target to target.
    #[serde(default, skip_serializing_if = "is_default")]
    pub per_target: PerTarget,
    /// Names of targets to leave alone; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    pub exclude: Vec<String>,
    /// In which order the targets are migrated, and how many may fail.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
    /// Time between two looks at the targets where nothing else happens (default 15m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::probe_interval")]
    pub interval: Option<String>,
    /// Starts nothing more while true; a batch that is at work is left to finish.
    #[serde(default, skip_serializing_if = "is_default")]
    pub suspend: bool,
}

/// What is the same for all targets, in the words of a DatabaseMigration.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetTemplate {
    /// The application's own image, which holds Alembic and the revision files.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the kubelet pulls the image (Always, IfNotPresent, Never).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Where every target should be: a revision id, a unique prefix of one, `head`, `heads`, `base`, or `branch@head`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("!self.matches('(^|,)\\\\s*([^@,]+@)?\\\\w*[+-][0-9]')")
        .message("targetRevision can't be relative (+1, -1): it would mean another revision at each look at the databases"))]
    pub target_revision: String,
    /// How the application finds its database; which one it is follows from the target.
    #[serde(default, skip_serializing_if = "is_default")]
    pub database: SetDatabase,
    /// How Alembic is started in the image.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alembic: Alembic,
    /// What the operator may do without asking. An approval is given once for all targets that share a plan.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
    /// Time limits of each target's run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeouts: Timeouts,
    /// How often a target is tried again whose tables were locked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// Variables, service account, pull secrets and resources of the pods.
    #[serde(flatten)]
    pub pod: PodShorthands,
    /// Labels, annotations and pod spec fields to merge into the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// How the application finds its database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetDatabase {
    /// Names of the environment variables that carry the URL into the pod (default DATABASE_URL).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")))]
    pub url_env: Vec<String>,
    /// SQLAlchemy driver to put into the URL when it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[a-z0-9_]+$"))]
    pub driver: Option<String>,
    /// TLS to a server whose certificate the system does not trust by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Name of Alembic's version table. Read from env.py when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version_table: Option<String>,
}

/// A database server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetServer {
    /// What the targets call it.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A Secret with the SQLAlchemy URL of a database on it. A target's own database takes the place of the URL's.
    pub url_from: ValueFrom,
    /// How many targets on it are migrated at a time (default 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent: Option<i32>,
}

/// Where targets come from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.schemas), has(self.databases), has(self.query), has(self.list)].filter(x, x).size() == 1")
    .message("set exactly one of schemas, databases, query and list in each entry of targets"))]
pub struct TargetSource {
    /// The schemas of the server's database whose names match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemas: Option<Pattern>,
    /// The databases of the server whose names match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Pattern>,
    /// What a query finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<TargetQuery>,
    /// Targets by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub list: Vec<ListedTarget>,
}

/// Names on a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pattern {
    /// One of spec.servers.
    #[schemars(length(min = 1, max = 40))]
    pub server: String,
    /// A regular expression of PostgreSQL, such as ^tenant_.
    #[schemars(length(min = 1, max = 256))]
    pub matching: String,
}

/// A query that finds targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetQuery {
    /// One of spec.servers; the database of its URL is asked.
    #[schemars(length(min = 1, max = 40))]
    pub server: String,
    /// A SELECT with the column `name` and, where they are not the same for all, `schema`, `database` and `server`. Every other
    /// column is a label of the target. It runs read-only and for a limited time.
    #[schemars(length(min = 1, max = 4096))]
    pub sql: String,
}

/// A target by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedTarget {
    /// What it is called in the status, in logs and in messages.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// One of spec.servers (default: the first).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub server: Option<String>,
    /// Its database, in place of the URL's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub database: Option<String>,
    /// Its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub schema: Option<String>,
    /// What waves choose it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What differs from target to target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PerTarget {
    /// Arguments of `-x` in which $(name), $(schema) and $(database) stand for the target's, such as schema=$(schema).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub x: Vec<String>,
}

/// In which order the targets are migrated, and how many may fail.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The waves, one after the other. What no wave takes is the last one, named rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(validation = Rule::new("self.all(w, self.exists_one(v, v.name == w.name))").message("each wave has a name of its own"))]
    pub waves: Vec<Wave>,
    /// How many targets of a wave may fail, as a number or a percentage, before everything pauses (default 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_budget: Option<IntOrString>,
}

/// A part of the targets that is migrated before the next one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.match) != has(self.upTo)").message("a wave takes its targets by match or by upTo"))]
pub struct Wave {
    /// Its name; not rest, which the last one has.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self != 'rest'").message("rest is what no wave takes"))]
    pub name: String,
    /// The targets with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub r#match: Option<BTreeMap<String, String>>,
    /// About this part of all targets, such as 10%. Which these are stays the same from rollout to rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4), regex(pattern = r"^[1-9][0-9]?%$"))]
    pub up_to: Option<String>,
    /// What comes between it and the next wave.
    #[serde(default, skip_serializing_if = "is_default")]
    pub then: Then,
}

/// What comes between a wave and the next one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Then {
    /// How long to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::probe_interval")]
    pub soak: Option<String>,
    /// Whether a person has to let the next wave begin, by the annotation alembic-operator.dev/promote: NUMBER/WAVE.
    #[serde(default, skip_serializing_if = "is_default")]
    pub promotion: Promotion,
}

/// Whether a person has to let the next wave begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Promotion {
    #[default]
    Automatic,
    Required,
}

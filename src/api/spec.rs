//! What a user asks for: the spec of a `DatabaseMigration`. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

use super::stages::{Backup, OnFailure, RehearsalSettings, Verify};
use crate::lint::{Code, Severity};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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
        type_ = "integer",
        json_path = ".status.pending.count",
        description = "Steps between current and target"
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
    printcolumn(name = "Dialect", type_ = "string", json_path = ".status.database.dialect", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1),
    printcolumn(
        name = "Last",
        type_ = "date",
        json_path = ".status.lastRun.finishedAt",
        priority = 1,
        description = "When the last run ended"
    ),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.onFailure) || self.onFailure != 'Downgrade' || has(self.verify)")
        .message("onFailure Downgrade needs verify: without it no run fails that the database did not roll back"),
    validation = Rule::new("!has(self.onFailure) || self.onFailure != 'Downgrade' || has(self.policy) && has(self.policy.downgrade) && self.policy.downgrade == 'Allow'")
        .message("onFailure Downgrade needs policy.downgrade: Allow"),
    validation = Rule::new("!has(self.rehearsal) || has(self.rehearse) && self.rehearse")
        .message("rehearsal says how plans are rehearsed, and needs rehearse: true")
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

    /// Whether each plan first runs up, down and up again on a scratch database, before anybody is asked to approve it: what
    /// fails there never reaches the database. status.rehearsal has the locks and times of each step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rehearse: bool,

    /// The scratch database of `rehearse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalSettings>,

    /// A backup that must be complete before a run starts (default: none).
    #[serde(default, skip_serializing_if = "is_default")]
    pub backup: Backup,

    /// A Job that tells whether the application works with the database after a run. Ready stays False until it has
    /// succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,

    /// What follows when the verification of an upgrade fails: Hold (the default), nothing; Downgrade, the database goes back to
    /// the version rows from before the run, where each of its revisions can be undone. It goes up again when the spec changes
    /// or the annotation alembic-operator.dev/requestedAt asks for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,

    /// Whether all pending revisions go in one run (Together, the default), or each in a run of its own with the
    /// version rows read back in between (Stepwise).
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Strategy,

    /// Whether the schema is compared with what it should be, beside the version rows, which always are.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!has(self.onDrift) || self.onDrift != 'Block' || !has(self.mode) || self.mode != 'Disabled'")
        .message("drift.onDrift Block needs something to compare with: drift.mode Snapshot, Models or Replay"),
        validation = Rule::new("!has(self.replay) || has(self.mode) && self.mode == 'Replay'")
        .message("drift.replay is for drift.mode Replay alone"))]
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

    /// Labels, annotations and pod spec fields to merge into the Jobs' pods: resources, service account, pull
    /// secrets, volumes, node placement, security context, sidecars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl ImagePullPolicy {
    /// The value of `imagePullPolicy` in a container.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Which database, and how the application finds it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.urlFrom) != has(self.connection)")
    .message("set exactly one of database.urlFrom (a Secret that holds the whole URL) and database.connection (its parts)"))]
pub struct Database {
    /// A Secret that holds the whole SQLAlchemy URL, such as postgresql+psycopg2://user:password@host:5432/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_from: Option<ValueFrom>,

    /// The parts of the URL, for Secrets that hold user and password apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,

    /// A Secret that holds another URL of the same database, for the operator and its Jobs alone: one that leads to the server
    /// itself, where the application's leads through a pooler in transaction mode, or one with more rights. The Job of
    /// `spec.verify` gets the application's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_url_from: Option<ValueFrom>,

    /// Names of the environment variables that carry the URL into the pod (default DATABASE_URL). It is also set as
    /// sqlalchemy.url, for an env.py that reads only alembic.ini.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")))]
    pub env: Vec<String>,

    /// SQLAlchemy driver to put into the URL when it names none: postgresql://… with `psycopg` becomes
    /// postgresql+psycopg://….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[a-z0-9_]+$"))]
    pub driver: Option<String>,

    /// TLS to a server whose certificate the system does not trust by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// Name of Alembic's version table. Read from env.py when unset; when set, env.py must say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version_table: Option<String>,

    /// Schema of Alembic's version table. Read from env.py when unset; when set, env.py must say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version_table_schema: Option<String>,

    /// How often and how patiently the operator reads the version table.
    #[serde(default, skip_serializing_if = "is_default")]
    pub probe: Probe,
}

impl Database {
    /// The Secret with the whole URL that migrations use, where it is not given in parts.
    pub fn migration_url(&self) -> Option<&ValueFrom> {
        self.migration_url_from.as_ref().or(self.url_from.as_ref())
    }

    /// The parts of the URL that migrations use, where it is given in parts.
    pub fn migration_parts(&self) -> Option<&Connection> {
        self.connection.as_ref().filter(|_| self.migration_url().is_none())
    }

    /// The variables that carry the URL, with the default filled in.
    pub fn env_names(&self) -> Vec<String> {
        if self.env.is_empty() { vec!["DATABASE_URL".to_owned()] } else { self.env.clone() }
    }
}

/// A value that comes from a key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// The Secret in the object's own namespace, and its key.
    pub secret_key_ref: SecretKey,
}

/// A key of a Secret in the object's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// The key within it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// TLS to a server whose certificate the system does not trust by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The certificates to trust, as PEM. The Jobs find them in the file /alembic-operator-tls/ca.crt: drivers over
    /// libpq by themselves (PGSSLROOTCERT, PGSSLMODE=verify-full), those for MySQL through the URL
    /// (?ssl_ca=/alembic-operator-tls/ca.crt).
    pub ca_from: ValueFrom,
}

/// The parts of a database URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// The kind of database.
    pub dialect: Dialect,
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port (default: the dialect's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Name of the database.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// The user's name.
    pub username_from: ValueFrom,
    /// The user's password, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_from: Option<ValueFrom>,
}

/// The kinds of database that `connection` can describe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    #[default]
    Postgresql,
    Mysql,
    Mariadb,
}

impl Dialect {
    /// SQLAlchemy's name of the dialect.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// How often and how patiently the operator reads the version table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Who reads it: InProcess, the operator on a short connection of its own (the default); or Job, a pod in the
    /// application's image each time, for what the operator can't reach or does not speak, such as a SQLite file on a
    /// volume (see podTemplate) or a server behind a sidecar.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: ProbeMode,
    /// Time between two looks at a database where nothing else happens (default 5m, with a jitter of 10 %).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub interval: Option<String>,
    /// How long one look may take, from connecting to the answer (default 10s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub timeout: Option<String>,
}

/// Who reads the version table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProbeMode {
    #[default]
    InProcess,
    Job,
}

/// How Alembic is started in the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alembic {
    /// Path of the configuration file (alembic -c). Default: what Alembic itself finds, alembic.ini or
    /// pyproject.toml in the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub config: Option<String>,
    /// Section of the configuration file (alembic -n, default alembic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub section: Option<String>,
    /// Directory to start in (default: the image's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub working_dir: Option<String>,
    /// What starts Python with the application's packages (default ["python3"]), such as ["uv", "run", "python"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 4096)))]
    pub command: Vec<String>,
    /// Arguments for env.py, as alembic -x key=value passes them. Not for secrets: they stand in the Job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub x: Vec<String>,
    /// The Flask application, as FLASK_APP names it (`shop`, `shop.wsgi`, `shop:create_app`), for an env.py of Flask-Migrate: it
    /// runs in the application's context, and alembic.ini is looked for in the folder that Migrate() was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub flask_app: Option<String>,
    /// What the application's own command would put on Alembic's Config, for an env.py that asks for it there: by name, where it
    /// comes from (`shop.settings:CONF`), what is called for it (`shop.db:engine.connect()`), or what sets up the Config itself
    /// (`shop.cli:configure(config)`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub attributes: BTreeMap<String, String>,
}

/// What the operator may do without asking.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.approvedPlan) || !has(self.approval) || !has(self.approval.mode) || !(self.approval.mode in ['Never', 'Auto'])")
    .message("policy.approvedPlan approves nothing with policy.approval.mode Never or Auto: the one runs no plan, the other asks for no approval"))]
pub struct Policy {
    /// Whether a target below the live revision is reached by running downgrades, which can lose data (default Deny).
    #[serde(default, skip_serializing_if = "is_default")]
    pub downgrade: DowngradePolicy,
    /// Which plans wait until somebody approves them.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!has(self.threshold) || !has(self.mode) || self.mode == 'OnHazard'")
        .message("policy.approval.threshold is for policy.approval.mode OnHazard alone"))]
    pub approval: ApprovalPolicy,
    /// The hash in status.plan of a plan that may run. For any other plan it means nothing. The annotation
    /// alembic-operator.dev/approve says the same without a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9a-f]+$"))]
    pub approved_plan: Option<String>,
    /// Hazards that are meant.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hazards: HazardPolicy,
}

/// Which plans wait until somebody approves them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalPolicy {
    /// OnHazard (the default): plans with a hazard from `threshold` on, and downgrades that lose data. Always: every plan.
    /// Auto: none. Never: no plan runs, they are only shown.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: ApprovalMode,
    /// The lowest severity that waits (default High).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Severity>,
}

/// Which plans wait until somebody approves them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalMode {
    Auto,
    #[default]
    OnHazard,
    Always,
    Never,
}

/// Hazards that are meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HazardPolicy {
    /// They are listed as allowed and make no plan wait. A comment `# op: allow D02 "reason"` in the revision file says the
    /// same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub allow: Vec<AllowedHazard>,
}

/// A hazard that is meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AllowedHazard {
    /// Its code, such as D02.
    #[schemars(schema_with = "code_schema")]
    pub code: String,
    /// In this revision only: its id or the beginning of it. Default: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub revision: Option<String>,
    /// Why it is meant, for whoever reads it later.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
}

fn code_schema(_: &mut SchemaGenerator) -> Schema {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    json_schema!({ "type": "string", "enum": codes })
}

/// Whether downgrades run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DowngradePolicy {
    #[default]
    Deny,
    Allow,
}

/// What to do with a database that has tables and no version row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// The revision that the tables are at, in any form that targetRevision can have: it is written into the version
    /// table once, and no migration runs for it. `base` says that the tables are none of this project's, and that its
    /// revisions run from the first one on.
    #[schemars(length(min = 1, max = 1024))]
    pub revision: String,
    /// How it is made sure that the tables are those of the revision: Models compares them with the models that
    /// env.py names (target_metadata) and refuses when they differ; None trusts you (default Models).
    #[serde(default, skip_serializing_if = "is_default")]
    pub verify: AdoptVerify,
}

/// How an adoption is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptVerify {
    #[default]
    Models,
    None,
}

/// How many revisions go in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    #[default]
    Together,
    Stepwise,
}

/// Whether the schema is compared with what it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// What the schema is compared with. Snapshot (the default): with itself as it was right after the last run, so that every
    /// change by hand is found; one query of the catalog by the operator. Models: with the models that env.py names
    /// (target_metadata), by a Job in the image, as `alembic check` does, while the database is at the image's heads.
    /// Replay: with what the revision files make of an empty database, up to the live revision: a Job runs them on a scratch
    /// database, once for each revision; that finds what was changed before there was an operator, too, and old revision
    /// files that were edited. Disabled: with nothing. What is found is the condition Drifted and status.drift.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: DriftMode,
    /// Mode Replay only: the scratch database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Time between two comparisons where nothing else happens (default 5m, with Models 1h).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub interval: Option<String>,
    /// How long reading the catalog may take (default 30s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub timeout: Option<String>,
    /// Objects that may change as they like: names with `*` and `?`, with or without the kind before, such as `audit.*`,
    /// `index *_tmp` or `column public.goods.note`. On PostgreSQL names begin with the schema.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub exclude: Vec<String>,
    /// What follows when they differ. Report (the default): nothing but the condition Drifted, and Ready stays as it is.
    /// Block: Ready is False, and no run is started until the difference is gone or accepted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_drift: OnDrift,
    /// The fingerprint in status.drift of a schema that may stay as it is: from then on it is what the live one is compared
    /// with. The annotation alembic-operator.dev/accept-drift says the same without a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub accepted_fingerprint: Option<String>,
}

/// What the schema is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftMode {
    #[default]
    Snapshot,
    Models,
    Replay,
    Disabled,
}

impl DriftMode {
    /// Whether the operator itself compares the schema, object by object.
    pub fn by_catalog(self) -> bool {
        matches!(self, Self::Snapshot | Self::Replay)
    }
}

/// Where the history is run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    /// An image with the server: the official one of PostgreSQL, MySQL or MariaDB in the major version of the database (MariaDB:
    /// the minor version, too), or one that takes the same arguments and variables (POSTGRES_PASSWORD, PGDATA; MARIADB_ROOT_PASSWORD,
    /// MARIADB_DATABASE). It runs beside the Job's container, listens to nobody else, and must not need root. SQLite needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
}

/// What follows from drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDrift {
    #[default]
    Report,
    Block,
}

/// Time limits of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeouts {
    /// How long a run waits for a lock before it gives up and is tried again later: for another migration of the same
    /// database (default 30s), and each statement for a table that others use (default 3s, unless the URL, the role or
    /// env.py sets a limit). Everybody who comes after a waiting statement waits with it, readers too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub lock: Option<String>,
    /// How long a statement may take before the database stops it; 0s is no limit. Default: 30m where the database takes
    /// a failed run back as a whole, unless the URL, the role or env.py sets a limit; else none. MySQL knows no such limit
    /// for migrations, MariaDB does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub statement: Option<String>,
    /// How long a run may take before its pod is stopped. Default: no limit, since a stopped migration can leave a
    /// long statement running in the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration_schema")]
    pub run: Option<String>,
}

/// Which failed runs are tried again without being asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retry {
    /// How many times a run is tried that a locked table stopped and that was rolled back as a whole (default 10). All
    /// other failures wait for a change of the spec or the annotation alembic-operator.dev/requestedAt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<i32>,
}

/// What to merge into the Jobs' pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metadata: PodMetadata,
    /// Fields of a pod spec (see kubectl explain pod.spec). A container named `alembic` is merged into the Job's
    /// own, which keeps its image, command and URL; others run beside it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_form_schema")]
    pub spec: Map<String, Value>,
}

/// Labels and annotations of the Jobs' pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodMetadata {
    /// Labels to add.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

pub(super) fn duration_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
        "minLength": 2,
        "nullable": true
    })
}

/// The API server knows what a pod spec is; a copy of its schema would make the CRD half a megabyte.
fn free_form_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

//! The stages around a run, the rehearsal and the backup before it and the verification after it: what a user asks for, and what
//! the status says of them. A new stage is added here alone. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

use super::{
    duration,
    schema::is_default,
    spec::{
        backup::{BackupJob, CnpgBackup},
        pod::PodTemplate,
    },
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The stages that a user asks for; fields of the spec itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stages {
    /// Which plans first run up, down and up again on a scratch database, before anybody is asked to approve them (default:
    /// none). What fails there never reaches the database. status.rehearsal has the locks and times of each step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rehearsal: Rehearsal,

    /// Before which runs a backup must be complete (default: none).
    #[serde(default, skip_serializing_if = "is_default")]
    pub backup: Backup,

    /// After which runs a Job says whether the application works with the database (default: none). Ready stays False until
    /// it has succeeded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verify: Verify,
}

/// For which runs something is done, from the fewest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(schema_with = "duration::backup")]
    pub timeout: Option<String>,
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
    /// What it starts; exit code 0 is a success. It gets the URL in the variables of database.urlEnv as the Secret has it, and
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
    #[schemars(schema_with = "duration::verify")]
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

/// The newest of each stage; fields of the status itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagesStatus {
    /// The newest rehearsal of a plan, asked for by spec.rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalStatus>,
    /// The newest backup, asked for by spec.backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// The newest verification, asked for by spec.verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyStatus>,
}

/// What has become of a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum StageChange {
    Rehearsal(RehearsalStatus),
    Backup(BackupStatus),
    Verify(VerifyStatus),
}

impl StagesStatus {
    /// Writes what has become of a stage.
    pub fn record(&mut self, change: StageChange) {
        match change {
            StageChange::Rehearsal(rehearsal) => self.rehearsal = Some(rehearsal),
            StageChange::Backup(backup) => self.backup = Some(backup),
            StageChange::Verify(verify) => self.verify = Some(verify),
        }
    }

    /// What every stage has, of each that there was.
    pub fn all(&self) -> impl Iterator<Item = &StageStatus> {
        let Self { rehearsal, backup, verify } = self;
        let stages = [
            rehearsal.as_ref().map(|rehearsal| &rehearsal.stage),
            backup.as_ref().map(|backup| &backup.stage),
            verify.as_ref().map(|verify| &verify.stage),
        ];
        stages.into_iter().flatten()
    }
}

/// What every stage has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Name of its Job; of the Backup where CloudNativePG makes it.
    pub job: String,
    /// Hash of the plan that it is about.
    pub plan_hash: String,
    /// `Running`, `Succeeded` or `Failed`.
    pub result: StageResult,
    /// Why it failed, secrets removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StageResult {
    Succeeded,
    Failed,
    /// What another version of the operator wrote is read as this: its Job says how far it is.
    #[default]
    #[serde(other)]
    Running,
}

impl StageStatus {
    /// A stage that is at work. `before` is what was recorded of it, if anything.
    pub fn running(job: &str, plan_hash: &str, before: Option<&Self>, now: Timestamp) -> Self {
        Self {
            job: job.to_owned(),
            plan_hash: plan_hash.to_owned(),
            result: StageResult::Running,
            message: None,
            started_at: before.and_then(|before| before.started_at.clone()).or(Some(Time(now))),
            finished_at: None,
        }
    }

    /// The same, ended.
    pub fn ended(self, outcome: &Result<(), String>, at: Timestamp) -> Self {
        let (result, message) = match outcome {
            Ok(()) => (StageResult::Succeeded, None),
            Err(why) => (StageResult::Failed, Some(why.clone())),
        };
        Self { result, message, finished_at: Some(Time(at)), ..self }
    }

    /// Its end, where that is recorded, and when it was.
    pub fn end(&self) -> Option<(Result<(), String>, Option<Timestamp>)> {
        let at = self.finished_at.as_ref().map(|time| time.0);
        match self.result {
            StageResult::Running => None,
            StageResult::Succeeded => Some((Ok(()), at)),
            StageResult::Failed => Some((Err(self.message.clone().unwrap_or_default()), at)),
        }
    }
}

/// The newest rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsalStatus {
    #[serde(flatten)]
    pub stage: StageStatus,
    /// Whether every step can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversible: Option<bool>,
    /// The first ten steps as they ran there; rehearsal.json in the plan's ConfigMap has more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<RehearsalStep>,
    /// What the downgrade left behind, or did not bring back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residue: Vec<String>,
    /// What it saw the steps execute whose SQL is not known beforehand. Their hazards count in place of O01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed: Option<ExecutedStatus>,
}

/// What opaque steps executed in a rehearsal; rehearsal.sql in the plan's ConfigMap has the statements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutedStatus {
    /// The steps of which every statement was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// Those of them that read rows of tables, of which there were none: with rows they may execute more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reading: Vec<String>,
    /// All hazards in these statements, allowed or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<ExecutedHazard>,
}

/// A hazard in what a step executed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutedHazard {
    /// Its code, such as D02.
    pub code: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// The revision.
    pub revision: String,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The statement in one line, cut, its values masked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
    /// Why it is one.
    pub message: String,
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

/// The newest backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    #[serde(flatten)]
    pub stage: StageStatus,
    /// `Job` or `CloudNativePG`.
    pub method: BackupMethod,
}

/// What makes a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupMethod {
    #[serde(rename = "CloudNativePG")]
    Cnpg,
    #[default]
    #[serde(other)]
    Job,
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

/// The newest verification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyStatus {
    #[serde(flatten)]
    pub stage: StageStatus,
    /// Number of the run that it is about.
    pub run: i64,
    /// Hash of the spec.verify that it was made with.
    pub hash: String,
}

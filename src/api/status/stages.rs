//! The stages around a run in the status: what they have in common, and what only one of them has. The doc comments are what
//! `kubectl explain` prints. No I/O.

use crate::api::is_default;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[default]
    Running,
    Succeeded,
    Failed,
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

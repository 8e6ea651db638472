//! The operator's memory of its runs, and the runs as people read them. The doc comments are what `kubectl explain` prints.
//! No I/O.

use crate::api::{RunApproval, schema::is_default};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The operator's memory of its runs. It is written before what it is about is done, so that no deletion of a Job and no
/// crash makes a run unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunsStatus {
    /// Number of the newest run that was started.
    #[serde(default)]
    pub started: i64,
    /// The run that was started and whose end is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<RunRecord>,
    /// Why its Job is being deleted, where its pod could not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<CancelledRun>,
    /// The newest run that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<SucceededRun>,
    /// The newest run that failed after it had begun, until a later one succeeds: what it left is this operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<UnfinishedRun>,
    /// Number of the run after which the schema was taken as the baseline of drift; 0 for the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<i64>,
}

/// Why the Job of a run is deleted whose pod could not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelledRun {
    /// The reason of the run's end.
    pub reason: String,
    /// The same in words.
    pub message: String,
}

/// A run as it was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Counts the runs of this object from 1.
    pub number: i64,
    /// Hash of the plan.
    pub plan_hash: String,
    /// `upgrade`, `downgrade` or `stamp`.
    pub direction: String,
    /// The version rows before.
    #[serde(default)]
    pub from: Vec<String>,
    /// The version rows that it must end with.
    #[serde(default)]
    pub to: Vec<String>,
    /// The image that runs, with its digest where that is known.
    pub image: String,
    /// The generation of the spec that asked for it.
    pub generation: i64,
    /// The value of the requestedAt annotation when it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<String>,
    /// How many runs in a row, this one included, tried the same thing.
    #[serde(default)]
    pub attempts: i32,
    /// How many of those before it were stopped by a locked table; spec.retry.limit counts these alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub locked_out: i32,
    /// Whether its plan had a high or critical hazard that nobody allowed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hazardous: bool,
    /// Whether the database rolls a failed run back as a whole.
    #[serde(default, skip_serializing_if = "is_default")]
    pub transactional: bool,
    /// Number of the run that this one rolls back, since its verification failed and spec.verify.onFailure asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<i64>,
    /// The version rows from which the first step of this release started, where that is another run: the strategy is Stepwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_from: Option<Vec<String>>,
    /// Who approved its plan, where somebody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<RunApproval>,
}

impl RunRecord {
    /// The version rows from which the first step of this release started.
    pub fn release_from(&self) -> &[String] {
        self.release_from.as_ref().unwrap_or(&self.from)
    }
}

/// The newest run that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SucceededRun {
    /// The run as it was started.
    #[serde(flatten)]
    pub run: RunRecord,
    /// Name of its Job.
    pub job: String,
}

/// A run that failed after it had begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnfinishedRun {
    /// Its number.
    pub number: i64,
    /// `upgrade`, `downgrade` or `stamp`.
    pub direction: String,
    /// The version rows before.
    #[serde(default)]
    pub from: Vec<String>,
}

impl RunsStatus {
    /// Number of the newest run that succeeded; 0 before the first. A plan that comes up again after it has run is another
    /// one: the approval of the first must not stand for it.
    pub fn succeeded(&self) -> i64 {
        self.last_success.as_ref().map_or(0, |success| success.run.number)
    }

    /// The newest run that succeeded, if it led to these version rows. Rows that somebody else wrote are not ours to verify.
    pub fn led_to(&self, rows: &BTreeSet<String>) -> Option<&SucceededRun> {
        self.last_success.as_ref().filter(|success| success.run.to.iter().collect::<BTreeSet<_>>().into_iter().eq(rows))
    }

    /// Whether a database without version rows may have tables by this operator: it went down to base, or failed on its way up.
    pub fn left_tables(&self) -> bool {
        match &self.unfinished {
            Some(run) => run.from.is_empty() && run.direction == "upgrade",
            None => self.last_success.as_ref().is_some_and(|success| success.run.to.is_empty()),
        }
    }
}

/// A run that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// The run as it was started.
    #[serde(flatten)]
    pub record: RunRecord,
    /// Name of its Job, whose log is kept as long as historyLimit says.
    pub job: String,
    /// `Succeeded`, `Failed` (a step failed), `Refused` (nothing was begun) or `Lost` (the pod ended without a word).
    pub result: RunResult,
    /// The revision whose step failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Why it did not succeed: a reason as conditions use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What went wrong, secrets removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When its Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its pod ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// What is true of a run as it was started is true of it for good.
impl std::ops::Deref for RunStatus {
    type Target = RunRecord;

    fn deref(&self) -> &RunRecord {
        &self.record
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunResult {
    Succeeded,
    Failed,
    Refused,
    /// What another version of the operator wrote is read as this: a person has to judge it.
    #[default]
    #[serde(other)]
    Lost,
}

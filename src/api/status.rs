//! What the operator found and did: the status of a `DatabaseMigration`. No I/O.

use super::{
    is_default,
    stages::{BackupStatus, RehearsalStatus, VerifyStatus},
};
use crate::api::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;

/// What the operator found and did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseMigrationStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling and Stalled as kstatus means them, and Planned, HazardFree, Approved, SingleHead, Drifted, BackedUp.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The live version rows in one line, `base` when the version table is absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The revisions that targetRevision means in this image, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The rows of the live version table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub current_revisions: Vec<String>,
    /// The revisions that targetRevision means in this image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_revisions: Vec<String>,
    /// The heads of the image's revision graph, dependencies counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<String>,
    /// What lies between the live database and the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The plan that is waiting or running; absent when there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The database as it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// The image as it was inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageStatus>,
    /// The images that this object was inspected with, newest first, at most 10. A downgrade runs in one of them when
    /// the image of the spec lacks the live revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// What the last comparison of the schema found; absent when nothing was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// The newest rehearsal of a plan, made by spec.rehearse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalStatus>,
    /// The newest backup, made by spec.backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// The newest verification, made by spec.verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyStatus>,
    /// The operator's memory of its runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub runs: RunsStatus,
    /// The newest run that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunStatus>,
    /// The runs before that, newest first, ten at the most. For people: nothing is decided by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<RunStatus>,
    /// The value of the annotation alembic-operator.dev/requestedAt that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl DatabaseMigrationStatus {
    /// The condition of a type, if it was set before.
    pub fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.type_ == type_.as_str())
    }

    /// Whether a condition stands at True.
    pub fn is_true(&self, type_: ConditionType) -> bool {
        self.condition(type_).is_some_and(|c| c.status == "True")
    }

    /// Whether a condition was last set for this reason.
    pub fn has_reason(&self, type_: ConditionType, reason: Reason) -> bool {
        self.condition(type_).is_some_and(|c| c.reason == reason.as_str())
    }

    /// Number of the newest run whose end is recorded; 0 before the first.
    pub fn recorded_runs(&self) -> i64 {
        self.last_run.as_ref().map_or(0, |run| run.number)
    }
}

/// The condition types, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    Ready,
    Reconciling,
    Stalled,
    Planned,
    HazardFree,
    Approved,
    SingleHead,
    Drifted,
    BackedUp,
}

impl ConditionType {
    /// Every type, in order.
    pub const ALL: [Self; 9] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Planned,
        Self::HazardFree,
        Self::Approved,
        Self::SingleHead,
        Self::Drifted,
        Self::BackedUp,
    ];

    /// The `type` of the condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Planned => "Planned",
            Self::HazardFree => "HazardFree",
            Self::Approved => "Approved",
            Self::SingleHead => "SingleHead",
            Self::Drifted => "Drifted",
            Self::BackedUp => "BackedUp",
        }
    }
}

/// What lies between the live database and the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// Number of steps.
    pub count: i32,
    /// The first ten of them, in the order in which they would run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
}

/// A plan, as far as the status shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Changes when the direction, the rows, the target, a step, a revision file or its SQL changes, and when the plan comes
    /// up again after it has run: what an approval names.
    pub hash: String,
    /// `upgrade` or `downgrade`.
    pub direction: String,
    /// The version rows that it starts from.
    #[serde(default)]
    pub from: Vec<String>,
    /// The version rows that it must end with.
    #[serde(default)]
    pub to: Vec<String>,
    /// Number of steps.
    #[serde(default)]
    pub step_count: i32,
    /// The first ten of them, in the order in which they run.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "steps_or_none")]
    pub steps: Vec<PlanStep>,
    /// How many hazards it has that nobody allowed, the worst first, such as `1C 2H`: critical, high, medium, low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hazard_summary: Option<String>,
    /// The worst ten of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<HazardStatus>,
    /// Hazards that the spec or a revision file allows, and allowances that allow nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<String>,
    /// The ConfigMap with all of it: plan.sql is what would run, undo.sql undoes it, plan.json the steps and hazards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<String>,
}

/// An earlier version had their number here; an object with such a status must still be read.
fn steps_or_none<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<PlanStep>, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A step of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanStep {
    /// The revision that it applies or takes back.
    pub revision: String,
    /// The revision's message: the first line of its docstring.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What its author wrote below that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether it can be undone.
    pub reversible: Reversible,
    /// Why its SQL does not show everything that it does, or is not there at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<String>,
}

/// Whether a step can be undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reversible {
    /// Nothing is lost when it is undone.
    Clean,
    /// Undoing it drops what holds data.
    LosesData,
    /// It can't be undone.
    Irreversible,
    /// Nobody can tell, since the SQL of its downgrade is not known.
    #[default]
    Unknown,
}

/// A hazard in a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HazardStatus {
    /// Its code, such as D02.
    pub code: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// The revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The statement in one line, cut, its values masked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
    /// Why it is one.
    pub message: String,
    /// What to write instead.
    pub advice: String,
    /// What else comes of the same cause, each with its code: to see to the one is to see to the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

/// The database as it answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseStatus {
    /// SQLAlchemy's name of the dialect.
    pub dialect: String,
    /// The server's version.
    pub version: String,
}

/// The image as it was inspected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// The reference as the spec has it.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The digest that it had when it was inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Version of Alembic in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alembic: Option<String>,
    /// Which inspection this is; changes when a tag is looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspection: Option<String>,
}

/// How the database differs from what it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// Number of objects that should be there.
    pub missing: i32,
    /// Number of objects that should not be there.
    pub unexpected: i32,
    /// Number of objects that should be otherwise.
    pub modified: i32,
    /// The first ten of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<DriftedObject>,
    /// The live schema in one hash, as `alembic-operator fingerprint` prints it; in spec.drift.acceptedFingerprint it says
    /// that the schema may stay as it is. Not with Models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The ConfigMap with the schema that the live one is compared with and, while they differ, every difference: drift.diff
    /// to read, drift.json for programs. Not with Models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<String>,
}

/// One object that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftedObject {
    /// `Missing`, `Unexpected` or `Modified`.
    pub change: Change,
    /// What it is and its name, such as `column users.mail`.
    pub object: String,
    /// What it should be, where that is known; cut to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it is; cut to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

/// What is wrong with an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Change {
    /// It should be there.
    #[default]
    Missing,
    /// It should not be there.
    Unexpected,
    /// It is there and should be otherwise.
    Modified,
}

impl Change {
    /// Every change, the gravest first.
    pub const ALL: [Self; 3] = [Self::Missing, Self::Unexpected, Self::Modified];

    /// The change that a reason of the condition Drifted is about.
    pub fn of_reason(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.as_str() == reason)
    }

    /// The reason in the condition Drifted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Unexpected => "Unexpected",
            Self::Modified => "Modified",
        }
    }
}

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
    /// Whether its Job is being deleted, since its pod can't start and something else is asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cancelled: bool,
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
    #[serde(default)]
    pub locked_out: i32,
    /// Whether the database rolls a failed run back as a whole.
    #[serde(default)]
    pub transactional: bool,
    /// Number of the run that this one rolls back, since its verification failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<i64>,
    /// The version rows from which the first step of this release started; the same as `from` unless the strategy is Stepwise.
    #[serde(default)]
    pub release_from: Vec<String>,
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
    /// Counts the runs of this object from 1.
    pub number: i64,
    /// Name of its Job, whose log is kept as long as historyLimit says.
    pub job: String,
    /// `upgrade` or `downgrade`.
    pub direction: String,
    /// The version rows before.
    #[serde(default)]
    pub from: Vec<String>,
    /// The version rows that were asked for.
    #[serde(default)]
    pub to: Vec<String>,
    /// The image that ran, with its digest where that is known.
    pub image: String,
    /// Hash of the plan that ran.
    pub plan_hash: String,
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
    /// How many runs in a row, this one included, did not succeed without a change of spec or request between.
    #[serde(default)]
    pub attempts: i32,
    /// The generation of the spec that asked for it.
    pub generation: i64,
    /// The value of the requestedAt annotation when it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<String>,
    /// How many of the runs before it were stopped by a locked table.
    #[serde(default)]
    pub locked_out: i32,
    /// Number of the run that this one rolled back, as spec.onFailure asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<i64>,
    /// When its Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its pod ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunResult {
    Succeeded,
    Failed,
    Refused,
    #[default]
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_an_earlier_version_is_read() {
        let plan: PlanStatus =
            serde_json::from_str(r#"{"hash": "0123", "direction": "upgrade", "from": [], "to": ["a"], "steps": 4}"#)
                .unwrap();
        assert_eq!((plan.hash.as_str(), plan.steps.len()), ("0123", 0));
    }
}

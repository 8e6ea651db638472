//! What the operator found and did: the status of a `DatabaseMigration`. Words and fields of another version of the operator can
//! be read: a word that nobody knows is taken for the most careful one, which is marked `other`. No I/O.

mod drift;
mod plan;
mod runs;

pub use drift::{Change, DriftStatus, DriftedObject};
pub use plan::{HazardStatus, PlanStatus, PlanStep, Reversible};
pub use runs::{CancelledRun, RunRecord, RunResult, RunStatus, RunsStatus, SucceededRun, UnfinishedRun};

use super::{schema::is_default, stages::StagesStatus};
use crate::api::{Defaults, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

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
    /// What may still pass by itself, and since when. Reconciling is True for its first five minutes, Stalled after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
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
    /// The newest rehearsal, backup and verification.
    #[serde(flatten)]
    pub stages: StagesStatus,
    /// What the platform adds to the spec; absent where it adds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "defaults_or_none")]
    pub defaults: Option<Defaults>,
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
        self.last_run.as_ref().map_or(0, |run| run.record.number)
    }
}

/// A newer version may enforce what this one does not know. Each pass writes them anew.
fn defaults_or_none<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Defaults>, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// What may still pass by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// The reason in Ready.
    pub reason: String,
    /// When it was first seen for this generation of the spec.
    pub since: Time,
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
    /// The same with its direction: `+4` for an upgrade, `-4` for a downgrade, `0`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub steps: String,
    /// The first ten of them, in the order in which they would run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
}

/// The database as it answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseStatus {
    /// SQLAlchemy's name of the dialect.
    pub dialect: String,
    /// The server's version.
    pub version: String,
    /// The server's own name for the database, where it tells one that lasts: PostgreSQL and MySQL do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Set while the database is another one than that of the runs before, or was emptied: the value that the annotation
    /// alembic-operator.dev/requestedAt had when that was noticed. Another value says that it is intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}

/// The image as it was inspected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// The reference as the spec has it.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The same in short: its last name and tag, or twelve characters of the digest where it has no tag.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
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

#[cfg(test)]
mod newer_tests {
    use super::*;
    use crate::api::{BackupMethod, DatabaseMigration, StageResult};
    use kube::CustomResourceExt;
    use serde_json::{Value, json};

    /// Something for everything that a schema has, as a newer version may write it: with other words and more fields.
    fn novel(schema: &Value) -> Value {
        match schema["type"].as_str() {
            Some("object") => {
                let properties = schema["properties"].as_object().into_iter().flatten();
                let known = properties.map(|(name, schema)| (name.clone(), novel(schema)));
                known.chain([("novelty".to_owned(), json!({ "n": 1 }))]).collect::<serde_json::Map<_, _>>().into()
            }
            Some("array") => json!([novel(&schema["items"])]),
            Some("integer") => json!(1),
            Some("boolean") => json!(true),
            _ if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
            _ => json!("Novel"),
        }
    }

    /// An operator that was rolled back reads what the newer one wrote, in every field that there is.
    #[test]
    fn words_of_a_newer_operator_are_read() {
        let crd = json!(DatabaseMigration::crd());
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        let status: DatabaseMigrationStatus = serde_json::from_value(novel(schema)).unwrap();
        assert_eq!(status.last_run.unwrap().result, RunResult::Lost);
        let backup = status.stages.backup.unwrap();
        assert_eq!((backup.stage.result, backup.method), (StageResult::Running, BackupMethod::Job));
        assert_eq!(status.drift.unwrap().objects[0].change, Change::Modified);
        assert_eq!(status.plan.unwrap().steps[0].reversible, Reversible::Unknown);
        assert_eq!(status.defaults, None);
    }
}

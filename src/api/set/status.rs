//! What the operator found and did with a `DatabaseMigrationSet`. The targets themselves are in ConfigMaps; here is what counts them.
//! No I/O.

use crate::api::{ImageStatus, schema::is_default};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found and did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseMigrationSetStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The generation of the spec by which the targets were listed and read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_generation: Option<i64>,
    /// Ready, Reconciling and Stalled as kstatus means them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How far it has come, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// How many targets there are, and where they stand.
    #[serde(default, skip_serializing_if = "is_default")]
    pub targets: TargetCounts,
    /// The wave that is at work, or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    /// The revisions that targetRevision means in this image, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Where the last rollout that reached every target has brought them: a new target whose wave has not begun is brought there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// The rollout that is under way, or was the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// The first 20 targets that are held by a failure. The ConfigMaps with the label alembic-operator.dev/set have all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<TargetFailure>,
    /// The image as it was inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageStatus>,
    /// The images that were inspected, newest first, at most 10. A downgrade runs in one of them when the image of the spec lacks
    /// the live revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The value of the annotation alembic-operator.dev/requestedAt that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// How many targets there are, and where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetCounts {
    /// All of them.
    pub total: i32,
    /// At the target revision.
    pub at_target: i32,
    /// Still to be migrated.
    pub pending: i32,
    /// In a batch that is at work.
    pub running: i32,
    /// Held by a failure.
    pub failed: i32,
}

/// Where a rollout has brought every target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    /// The version rows.
    pub revisions: Vec<String>,
    /// The image that they are in.
    pub image: String,
}

/// A rollout: one image and one target revision, through all waves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Its number.
    pub number: i64,
    /// What it is for; another image, target, setting or place of a server is another rollout.
    pub key: String,
    /// The image, pinned for the whole rollout.
    pub image: String,
    /// The revisions to go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// The plans: one for all targets that stand at the same rows, the one for the most targets first; eight at the most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<SetPlan>,
    /// The ConfigMap with all of these plans: HASH.sql is what would run, HASH.undo.sql undoes it, HASH.json the steps and hazards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<String>,
    /// The waves, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WaveStatus>,
    /// The batches that are at work, one for each server at the most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<BatchStatus>,
    /// Number of the newest batch.
    #[serde(default)]
    pub last_batch: i64,
    /// Number of the batch that found other revision files than were planned, where one did: the image is inspected anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_changed: Option<i64>,
}

/// The plan of the targets that stand at the same rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetPlan {
    /// What an approval names.
    pub hash: String,
    /// `upgrade` or `downgrade`.
    pub direction: String,
    /// The version rows that it starts from.
    pub from: Vec<String>,
    /// Number of revisions.
    pub steps: i32,
    /// How many targets it is for.
    pub targets: i32,
    /// Hazards that nobody allowed: C critical, H high, M medium, L low.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hazard_summary: String,
    /// Whether it may run.
    pub approved: bool,
    /// Why not, and what lets it run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far a wave has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaveStatus {
    /// Its name.
    pub name: String,
    /// Number of its targets.
    pub total: i32,
    /// How many of them are at the target revision.
    pub done: i32,
    /// How many are held by a failure.
    pub failed: i32,
    /// Where it stands.
    pub state: WaveState,
    /// Since when it soaks, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// Where a wave stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WaveState {
    /// The waves before it come first.
    #[default]
    Waiting,
    /// Its targets are migrated.
    Running,
    /// More of its targets failed than may.
    Paused,
    /// Its targets are done, and the time after it runs.
    Soaking,
    /// Somebody has to let the next wave begin.
    AwaitingPromotion,
    /// It is through.
    Passed,
}

/// A batch that is at work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchStatus {
    /// Name of its Job.
    pub job: String,
    /// Its number.
    pub number: i64,
    /// The server that its targets are on.
    pub server: String,
    /// Number of its targets.
    pub targets: i32,
    /// Whether a failed run leaves nothing behind.
    pub transactional: bool,
    /// How many of its targets may fail before nothing more of it begins.
    #[serde(default)]
    pub failures_allowed: i32,
}

/// A target that is held by a failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetFailure {
    /// Its name.
    pub target: String,
    /// Why, in one word.
    pub reason: String,
    /// The revision whose step failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// Why, in a sentence.
    pub message: String,
}

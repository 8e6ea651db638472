//! What makes a backup: a pod of the user's, or CloudNativePG. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

use super::pod::PodMetadata;
use crate::api::schema::is_default;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

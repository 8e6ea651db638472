//! What is merged into the Jobs' pods. The doc comments are what `kubectl explain` prints. No I/O.

use crate::api::schema::is_default;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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

/// What most Jobs need of their pods, in short. `podTemplate` says the rest, and wins where both say something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodShorthands {
    /// Environment variables of the application's container, as in a pod (name with value or valueFrom): what env.py
    /// reads besides the URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "variables_schema")]
    pub env: Vec<Map<String, Value>>,
    /// ConfigMaps and Secrets whose keys become environment variables, as in a pod (configMapRef or secretRef, prefix).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sources_schema")]
    pub env_from: Vec<Map<String, Value>>,
    /// ServiceAccount that the pods run as, as a cloud's database login by identity needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Secrets by which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// Requests and limits of the application's container, as in a pod.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "free_form_schema")]
    pub resources: Map<String, Value>,
}

/// A Secret in the object's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PullSecret {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
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

/// The API server knows what a pod spec is; a copy of its schema would make the CRD half a megabyte.
fn free_form_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// As much of a variable as must be there.
fn variables_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "items": {
            "type": "object",
            "description": "A variable, as in a container of a pod.",
            "x-kubernetes-preserve-unknown-fields": true,
            "required": ["name"],
            "properties": { "name": { "type": "string", "minLength": 1, "description": "The variable's name." } }
        }
    })
}

fn sources_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {
            "type": "object",
            "description": "A ConfigMap or a Secret, as in a container of a pod.",
            "x-kubernetes-preserve-unknown-fields": true
        }
    })
}

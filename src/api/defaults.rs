//! Shared settings: what a platform team says for every object; types only. `effective.rs` lays an object's spec over them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The settings that a platform team made for every object. They come from the chart's values `defaults` and `enforce`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Defaults {
    /// Changes with the settings.
    pub hash: String,
    /// A partial spec. It holds where the object's own says nothing.
    #[schemars(schema_with = "free_form_schema")]
    pub spec: Map<String, Value>,
    /// What no object can weaken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enforce: Vec<Enforce>,
}

/// A setting that no object can weaken. With any of them the object's own policy.hazards counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Enforce {
    /// policy.approval: the stricter one of the object's and the platform's holds.
    Approval,
    /// backup: the platform's holds, before every run that either of the two names.
    Backup,
}

fn free_form_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

//! What the operator may do without asking. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

use crate::api::schema::is_default;
use crate::lint::{Code, Severity};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

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
    /// Hazards that are intended.
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

impl ApprovalPolicy {
    /// The greater, the more plans wait.
    pub fn strictness(&self) -> impl Ord + use<> {
        (self.mode, Reverse(self.threshold.unwrap_or(Severity::High)))
    }
}

/// Which plans wait until somebody approves them, from the fewest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalMode {
    Auto,
    #[default]
    OnHazard,
    Always,
    Never,
}

/// Hazards that are intended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HazardPolicy {
    /// They are listed as allowed and make no plan wait. A comment `# op: allow D02 "reason"` in the revision file says the
    /// same, unless the operator restricts who may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub allow: Vec<AllowedHazard>,
}

/// A hazard that is intended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AllowedHazard {
    /// Its code, such as D02.
    #[schemars(schema_with = "code_schema")]
    pub code: String,
    /// In this revision only: its id or the beginning of it. Default: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub revision: Option<String>,
    /// Why it is intended, for whoever reads it later.
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

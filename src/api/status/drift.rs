//! How the database differs from what it should be. The doc comments are what `kubectl explain` prints. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[serde(other)]
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

//! Whether the schema is compared with what it should be. The doc comments are what `kubectl explain` prints. No I/O.

use crate::api::{duration, schema::is_default};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the schema is compared with what it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// What the schema is compared with. Snapshot (the default): with itself as it was right after the last run, so that every
    /// change by hand is found; one query of the catalog by the operator. Models: with the models that env.py names
    /// (target_metadata), by a Job in the image, as `alembic check` does, while the database is at the image's heads.
    /// Replay: with what the revision files make of an empty database, up to the live revision: a Job runs them on a scratch
    /// database (spec.scratch), once for each revision; that finds what was changed before there was an operator, too, and old revision
    /// files that were edited. Disabled: with nothing. What is found is the condition Drifted and status.drift.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: DriftMode,
    /// Time between two comparisons where nothing else happens (default 5m, with Models 1h).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::drift_interval")]
    pub interval: Option<String>,
    /// How long reading the catalog may take (default 30s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::drift_timeout")]
    pub timeout: Option<String>,
    /// Objects that may change as they like: names with `*` and `?`, with or without the kind before, such as `audit.*`,
    /// `index *_tmp` or `column public.goods.note`. On PostgreSQL names begin with the schema.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub exclude: Vec<String>,
    /// What follows when they differ. Report (the default): nothing but the condition Drifted, and Ready stays as it is.
    /// Block: Ready is False, and no run is started until the difference is gone or accepted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_drift: OnDrift,
    /// The fingerprint in status.drift of a schema that may stay as it is: from then on it is what the live one is compared
    /// with. The annotation alembic-operator.dev/accept-drift says the same without a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub accepted_fingerprint: Option<String>,
}

/// What the schema is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftMode {
    #[default]
    Snapshot,
    Models,
    Replay,
    Disabled,
}

impl DriftMode {
    /// Whether the operator itself compares the schema, object by object.
    pub fn by_catalog(self) -> bool {
        matches!(self, Self::Snapshot | Self::Replay)
    }
}

/// What follows from drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDrift {
    #[default]
    Report,
    Block,
}

//! How runs go: in how many, for how long, and how often. The doc comments are what `kubectl explain` prints. No I/O.

use crate::api::duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many revisions go in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    #[default]
    Together,
    Stepwise,
}

/// Time limits of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeouts {
    /// How long a run waits for a lock before it gives up and is tried again later: for another migration of the same
    /// database (default 30s), and each statement for a table that others use (default 3s, unless the URL, the role or
    /// env.py sets a limit). Everybody who comes after a waiting statement waits with it, readers too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::lock")]
    pub lock: Option<String>,
    /// How long a statement may take before the database stops it; 0s is no limit. Default: 30m where the database takes
    /// a failed run back as a whole, unless the URL, the role or env.py sets a limit; else none. MySQL knows no such limit
    /// for migrations, MariaDB does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::statement")]
    pub statement: Option<String>,
    /// How long a run may take before its pod is stopped. Default: no limit, since a stopped migration can leave a
    /// long statement running in the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::run")]
    pub run: Option<String>,
}

/// Which failed runs are tried again without being asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retry {
    /// How many times a run is tried that a locked table stopped and that was rolled back as a whole (default 10). All
    /// other failures wait for a change of the spec or the annotation alembic-operator.dev/requestedAt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<i32>,
}

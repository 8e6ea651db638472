//! How Alembic is started in the image, and what becomes of a database that it has never seen. The doc comments are what
//! `kubectl explain` prints. No I/O.

use crate::api::schema::is_default;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How Alembic is started in the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alembic {
    /// Path of the configuration file (alembic -c). Default: what Alembic itself finds, alembic.ini or
    /// pyproject.toml in the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub config: Option<String>,
    /// Section of the configuration file (alembic -n, default alembic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub section: Option<String>,
    /// Directory to start in (default: the image's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub working_dir: Option<String>,
    /// What starts Python with the application's packages (default ["python3"]), such as ["uv", "run", "python"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 4096)))]
    pub command: Vec<String>,
    /// Arguments for env.py, as alembic -x key=value passes them. Not for secrets: they stand in the Job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub x: Vec<String>,
    /// The Flask application, as FLASK_APP names it (`shop`, `shop.wsgi`, `shop:create_app`), for an env.py of Flask-Migrate: it
    /// runs in the application's context, and alembic.ini is looked for in the folder that Migrate() was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub flask_app: Option<String>,
    /// What the application's own command would put on Alembic's Config, for an env.py that asks for it there: by name, where it
    /// comes from (`shop.settings:CONF`), what is called for it (`shop.db:engine.connect()`), or what sets up the Config itself
    /// (`shop.cli:configure(config)`). A function that returns the Config (`shop.cli:alembic_config()`) stands for alembic.ini.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub attributes: BTreeMap<String, String>,
    /// What becomes of the changes that the application or env.py makes to the database by itself, while it is loaded for a look
    /// (an inspection, a probe, a comparison). Refuse leaves out the making of schemas and tables, and refuses to write rows (the
    /// default); Allow lets all of it through, for an application that can't be loaded otherwise, such as one that makes its
    /// tables first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub writes_at_start: WritesAtStart,
}

/// What becomes of changes that an application makes by itself as it is loaded for a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WritesAtStart {
    #[default]
    Refuse,
    Allow,
}

/// What to do with a database that has tables and no version row, or rows that no history has any more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// The revision that the tables are at, in any form that targetRevision can have: it is written into the version
    /// table once, and no migration runs for it. `base` says that the tables are none of this project's, and that its
    /// revisions run from the first one on.
    #[schemars(length(min = 1, max = 1024))]
    pub revision: String,
    /// The version rows that `revision` takes the place of, separated by commas: where the history was squashed, reordered or
    /// rewritten, these are replaced by `revision` once, and no migration runs for it. `base` says that a database whose rows
    /// are gone is meant to be built anew. Nothing is done where the rows are others, or the history fits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub from: Option<String>,
    /// How it is made sure that the tables are those of the revision: Models compares them with the models that
    /// env.py names (target_metadata) and refuses when they differ; None trusts you (default Models).
    #[serde(default, skip_serializing_if = "is_default")]
    pub verify: AdoptVerify,
}

/// How an adoption is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptVerify {
    #[default]
    Models,
    None,
}

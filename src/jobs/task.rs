//! What a Job asks of the runner, as JSON in one environment variable; no I/O.

use super::{
    revision::{Merge, NextRevision},
    scratch::MARK,
};
use crate::api::{DatabaseMigration, LockKind, Part, WritesAtStart};
use kube::ResourceExt;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Version of the protocol between the operator and the runner.
pub const PROTOCOL: u32 = 1;

/// Variables from which the runner takes user and password when the spec gives the parts of the URL.
pub const USERNAME_ENV: &str = "ALEMBIC_OPERATOR_DB_USERNAME";
pub const PASSWORD_ENV: &str = "ALEMBIC_OPERATOR_DB_PASSWORD";

/// The beginning of the variables for the parts that are no secret and yet lie in one.
pub const PLACE_ENV: &str = "ALEMBIC_OPERATOR_DB_";

/// A task for the runner. Holds no secret: those reach the pod through secretKeyRef.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
    protocol: u32,
    #[serde(flatten)]
    action: Action,
    /// Namespace and name of the object, for whoever waits for the lock.
    object: String,
    config: Option<String>,
    section: String,
    x: Vec<String>,
    flask_app: Option<String>,
    attributes: BTreeMap<String, String>,
    /// Where a look may change what the application changes as it is loaded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    writes_at_start: bool,
    url_env: Vec<String>,
    driver: Option<String>,
    connection: Option<ConnectionTask>,
    version_table: Option<String>,
    version_table_schema: Option<String>,
    /// In place of the one that the URL names.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// Where the engine's own lock is not what keeps others away.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<&'static str>,
    /// What the server calls itself that alone may be worked on, where that is a scratch database.
    scratch: Option<&'static str>,
}

/// The things that a runner does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Action {
    /// Read the revision graph and what env.py configures; change nothing.
    Inspect,
    /// Read the version rows, and the schema with these queries if there are any; change nothing.
    Probe { catalog: BTreeMap<&'static str, String> },
    /// Compare the tables with the models; change nothing.
    Compare,
    /// Write the next revision's file, and report its text; change nothing.
    Revision(NextRevision),
    /// Write a revision's file that joins heads, and report its text.
    Merge(Merge),
    /// Take the database from one set of rows to another.
    Run(Run),
    /// Take many databases there, each by a run of its own.
    Batch {
        #[serde(flatten)]
        run: Run,
        members: Vec<Member>,
        workers: usize,
        failures_left: usize,
        x_of_each: Vec<String>,
    },
    /// Do the same with a scratch database, and read the schema that comes of it.
    Replay {
        #[serde(flatten)]
        run: Run,
        catalog: BTreeMap<&'static str, String>,
    },
    /// Try a run on a scratch database: there, back and there again.
    Rehearse {
        #[serde(flatten)]
        run: Run,
        catalog: BTreeMap<&'static str, String>,
        source: Source,
        history: Option<History>,
    },
}

/// A database of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What it is called in the log.
    pub name: String,
    /// In place of the URL's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Of its version table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// How the scratch database of a rehearsal comes to the schema that the plan starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The runner runs the history first.
    History,
    /// It was copied from the live database before the runner started.
    Dump,
}

/// The upgrade that leads from base to where a plan starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// Full revision ids.
    pub targets: Vec<String>,
    pub steps: usize,
    pub steps_digest: String,
    pub reads: Reads,
}

/// By revision, the files that it reads beside its own.
pub type Reads = BTreeMap<String, Vec<String>>;

/// A planned run. The runner computes the steps again and refuses when they are not these.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// `upgrade`, `downgrade` or `stamp`.
    pub direction: String,
    /// Version rows that the plan starts from.
    pub from: Vec<String>,
    /// Full revision ids to go to; empty means base.
    pub targets: Vec<String>,
    /// For a downgrade, the branch that it stays on.
    pub branch: Option<String>,
    /// Version rows that must be there afterwards.
    pub end: Vec<String>,
    /// Number of steps.
    pub steps: usize,
    /// Digest over the steps' ids and file hashes (`revisions::steps_digest`).
    pub steps_digest: String,
    /// By revision, the other files that are in the digest.
    pub reads: Reads,
    /// Seconds to wait for another migration of the same database.
    pub lock_wait_seconds: u64,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Limit,
    /// How long a statement may take.
    pub statement_timeout: Option<Limit>,
    /// For a stamp: whether the tables must be those of env.py's models.
    pub verify_models: bool,
    /// Whether the inspection saw env.py commit a transaction that it opens itself.
    pub env_commits: bool,
}

/// A time limit for each statement of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    pub seconds: u64,
    /// Whether it also replaces one that the URL, the role or env.py has set.
    pub explicit: bool,
}

impl Limit {
    /// The one that the spec gives, or a default.
    pub fn new(given: Option<Duration>, default: Duration) -> Self {
        Self { seconds: given.unwrap_or(default).as_secs(), explicit: given.is_some() }
    }
}

/// The parts of a URL, its secrets named by the variables that carry them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectionTask {
    dialect: String,
    host: Option<String>,
    host_env: Option<String>,
    port: Option<i32>,
    port_env: Option<String>,
    name: Option<String>,
    name_env: Option<String>,
    username_env: Option<String>,
    password_env: Option<String>,
}

impl Task {
    /// The task for an object's settings.
    pub fn new(object: &DatabaseMigration, action: Action) -> Self {
        let spec = &object.spec;
        let by_variable = |part: Option<Part>, end: &str| part?.secret().map(|_| format!("{PLACE_ENV}{end}"));
        let connection = spec.database.migration_parts().map(|c| ConnectionTask {
            dialect: c.dialect.as_str().to_owned(),
            host: c.host.clone(),
            host_env: by_variable(c.host(), "HOST"),
            port: c.port,
            port_env: by_variable(c.port(), "PORT"),
            name: c.name.clone(),
            name_env: by_variable(c.name(), "NAME"),
            username_env: Some(USERNAME_ENV.to_owned()),
            password_env: c.password_from.as_ref().map(|_| PASSWORD_ENV.to_owned()),
        });
        Self {
            protocol: PROTOCOL,
            action,
            object: format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()),
            config: spec.alembic.config.clone(),
            section: spec.alembic.section.clone().unwrap_or_else(|| "alembic".to_owned()),
            x: spec.alembic.x.clone(),
            flask_app: spec.alembic.flask_app.clone(),
            attributes: spec.alembic.attributes.clone(),
            writes_at_start: spec.alembic.writes_at_start == WritesAtStart::Allow,
            url_env: spec.database.env_names(),
            driver: spec.database.driver.clone(),
            connection,
            version_table: spec.database.version_table.clone(),
            version_table_schema: spec.database.version_table_schema.clone(),
            database: None,
            lock: (spec.database.lock == LockKind::Lease).then_some("lease"),
            scratch: None,
        }
    }

    /// The same on a scratch database, whose URL has no secret in it.
    pub fn on_scratch(self) -> Self {
        Self { connection: None, driver: None, scratch: Some(MARK), ..self }
    }

    /// The same in another database of the server.
    pub fn in_database(self, database: Option<String>) -> Self {
        Self { database, ..self }
    }

    /// The value of the environment variable.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

//! What an inspected image holds: its revision graph, file hashes and what env.py configures; no I/O.

use super::pod_gate::GateGraph;
use crate::{
    lint::{self, Dialect},
    revisions::{self, Graph, LoadError},
    text,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::OnceLock};

/// Bounds on what an image may report; an id longer than Alembic's own version column is allowed and reported elsewhere.
const MAX_REVISIONS: usize = 20_000;
const MAX_ID: usize = 512;
const MAX_REASONS: usize = 5;

/// The runner's report on an image, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Version of Alembic in the image.
    pub alembic: String,
    /// SQLAlchemy's name of the dialect that env.py connected with.
    pub dialect: String,
    /// Name of the version table.
    pub version_table: String,
    /// Its schema, where env.py names one.
    pub version_table_schema: Option<String>,
    /// Whether this dialect's DDL is undone when a run fails.
    pub transactional_ddl: bool,
    /// Whether env.py asks for a transaction per revision.
    pub transaction_per_migration: bool,
    /// Whether env.py leaves a transaction open that nobody commits, so that a run would be rolled back.
    pub external_transaction: bool,
    /// Whether env.py was seen to commit a transaction that it opens itself.
    #[serde(default)]
    pub env_commits: bool,
    /// Where env.py connected when the image was inspected. Objects share an inspection, so nothing is decided by it.
    #[serde(default)]
    pub place: Option<Place>,
    /// The revisions in Alembic's load order.
    pub revisions: Vec<Revision>,
    /// Alembic's own warnings while it loaded them.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The place of a database as env.py's connection had it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    pub dialect: String,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub port: Option<i64>,
    #[serde(default)]
    pub name: Option<String>,
    /// Of the version table.
    #[serde(default)]
    pub schema: Option<String>,
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub search_path: Option<String>,
}

/// A revision file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub id: String,
    /// down_revision, as full ids.
    #[serde(default)]
    pub down: Vec<String>,
    /// depends_on as written: ids or branch labels.
    #[serde(default)]
    pub deps: Vec<String>,
    /// The labels that the file itself gives.
    #[serde(default)]
    pub labels: Vec<String>,
    pub file: String,
    /// SHA-256 of the file's bytes.
    pub sha256: String,
    /// Other files that it was seen to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<ReadFile>,
    /// First line of the docstring.
    #[serde(default)]
    pub message: String,
    /// What its author wrote below.
    #[serde(default)]
    pub notes: String,
    pub upgrade: Implementation,
    pub downgrade: Implementation,
    /// Whether it leaves the transaction (autocommit_block, CONCURRENTLY and the like).
    #[serde(default)]
    pub autocommit: bool,
    /// What it would run.
    #[serde(default)]
    pub sql: Scripts,
    /// Comments of the file that allow hazards.
    #[serde(default)]
    pub allows: Vec<String>,
}

/// A file that a revision reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadFile {
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Revision {
    /// What a plan's hash knows its content by: its own file, and those that it reads.
    pub fn content(&self) -> String {
        self.reads.iter().fold(self.sha256.clone(), |text, read| format!("{text} {} {}", read.path, read.sha256))
    }

    /// What it would run, up or down.
    pub fn script(&self, down: bool) -> &Script {
        if down { &self.sql.downgrade } else { &self.sql.upgrade }
    }
}

/// What a revision would run, each way, as far as Alembic can tell without a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scripts {
    pub upgrade: Script,
    pub downgrade: Script,
}

/// What one function would run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Its SQL, the values of data statements masked; `None` when there is none to be had.
    pub text: Option<String>,
    /// SHA-256 of the SQL before it was masked.
    pub sha256: Option<String>,
    /// Why the SQL is not all, or is not there.
    pub opaque: Vec<String>,
    /// Why it can't work on any database, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Default for Script {
    /// Of an inspection that did not look for SQL.
    fn default() -> Self {
        Self { text: None, sha256: None, opaque: vec!["its SQL was not rendered".to_owned()], broken: None }
    }
}

/// What a file's upgrade() or downgrade() is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Implementation {
    /// It does something.
    Present,
    /// The function is not there: Alembic fails before the first step.
    Missing,
    /// The body does nothing.
    Empty,
    /// The body only raises.
    Raises,
}

/// Why a stored or reported inspection can't be used.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    #[error("the inspection is not what this version of the operator stores: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the image reports {0} revisions; at most {MAX_REVISIONS} are supported")]
    TooMany(usize),
    #[error("the image reports a revision id of {0} bytes; at most {MAX_ID} are supported")]
    IdTooLong(usize),
}

impl Inspection {
    /// Reads the runner's payload.
    pub fn parse(json: &[u8]) -> Result<Self, InspectionError> {
        let inspection: Self = serde_json::from_slice(json)?;
        if inspection.revisions.len() > MAX_REVISIONS {
            return Err(InspectionError::TooMany(inspection.revisions.len()));
        }
        match inspection.revisions.iter().map(|r| r.id.len()).find(|len| *len > MAX_ID) {
            Some(len) => Err(InspectionError::IdTooLong(len)),
            None => Ok(inspection),
        }
    }

    /// Without the values of data statements, as it may be stored and shown.
    pub fn masked(mut self) -> Self {
        // The server's version is not known here, and the two of MySQL's have the same quotes.
        let dialect = Dialect::of(&self.dialect, "");
        for script in self.revisions.iter_mut().flat_map(|r| [&mut r.sql.upgrade, &mut r.sql.downgrade]) {
            script.opaque.truncate(MAX_REASONS);
            for reason in &mut script.opaque {
                *reason = text::clean(reason, 200);
            }
            script.text = script.text.take().and_then(|sql| dialect.map(|dialect| lint::mask(&sql, dialect)));
        }
        self
    }

    /// Without the SQL of more than `most` bytes, for want of room; its hash stays, and with it the plan's.
    pub fn without_sql_over(mut self, most: usize) -> Self {
        for script in self.revisions.iter_mut().flat_map(|r| [&mut r.sql.upgrade, &mut r.sql.downgrade]) {
            if script.text.as_ref().is_some_and(|text| text.len() > most) {
                script.text = None;
                script.opaque.push("its SQL is not kept, since all of the image's has no room".to_owned());
            }
        }
        self
    }

    fn scripts(&self) -> Vec<revisions::Script> {
        let script = |r: &Revision| revisions::Script {
            revision: r.id.clone(),
            down: r.down.clone(),
            depends_on: r.deps.clone(),
            labels: r.labels.clone(),
        };
        self.revisions.iter().map(script).collect()
    }
}

/// An image that was inspected, ready to plan with.
#[derive(Debug)]
pub struct Inspected {
    /// The reference to run: with the digest that was inspected, where that is known.
    pub image: String,
    /// The digest alone.
    pub digest: Option<String>,
    pub inspection: Inspection,
    /// The graph, or why Alembic would not load it.
    pub graph: Result<Graph, LoadError>,
    index: BTreeMap<String, usize>,
    gate_hash: OnceLock<Option<String>>,
}

impl Inspected {
    /// The hash of the graph that the gate's pods are given; made once, since each pass asks for it.
    pub fn gate_hash(&self) -> Option<&str> {
        self.gate_hash.get_or_init(|| GateGraph::of(self).map(|graph| graph.hash())).as_deref()
    }

    /// Builds the graph of an inspection.
    pub fn new(image: String, digest: Option<String>, inspection: Inspection) -> Self {
        let graph = Graph::load(inspection.scripts());
        let index = inspection.revisions.iter().enumerate().map(|(i, r)| (r.id.clone(), i)).collect();
        Self { image, digest, inspection, graph, index, gate_hash: OnceLock::new() }
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> u64 {
        const EACH: usize = 1024;
        let script = |script: &Script| {
            script.text.as_ref().map_or(0, String::len) + script.opaque.iter().map(String::len).sum::<usize>()
        };
        let text = |r: &Revision| script(&r.sql.upgrade) + script(&r.sql.downgrade) + r.message.len() + r.notes.len();
        let all: usize = self.inspection.revisions.iter().map(|r| text(r) + EACH).sum();
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// The file of a revision.
    pub fn revision(&self, id: &str) -> Option<&Revision> {
        self.index.get(id).and_then(|i| self.inspection.revisions.get(*i))
    }
}

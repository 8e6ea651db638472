//! SQL hazards: what in a plan's SQL loses data, blocks, breaks clients or may fail. The only user of the SQL
//! parsers; pure: no Kubernetes, no database, no I/O.

mod allow;
pub mod catalog;
mod codes;
mod cursor;
mod effect;
mod functions;
mod half_way;
mod hazard;
mod locks;
mod mask;
mod objects;
mod operation;
pub mod output;
mod parsers;
mod parts;
mod plan;
mod read;
mod reading;
mod rebuild;
mod report;
mod rules;
mod said;
mod side_by_side;
mod squawk;
mod statements;
mod steps;
mod subject;
mod together;
mod tokens;
mod transaction;
mod types;

pub use allow::{Allow, Unused, allows_of_revision};
pub use catalog::{Catalog, Relations, of_objects as catalog_of};
pub use codes::Code;
pub use locks::Lock;
pub use mask::mask;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fmt, thread,
};

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    #[value(name = "postgresql", alias = "postgres")]
    PostgreSql,
    #[value(name = "mysql")]
    MySql,
    #[value(name = "mariadb")]
    MariaDb,
    Sqlite,
}

impl Dialect {
    /// The dialect that SQLAlchemy calls so. It calls MariaDB `mysql` too, which only the server's version tells.
    pub fn of(name: &str, server_version: &str) -> Option<Self> {
        match name {
            "postgresql" => Some(Self::PostgreSql),
            "mysql" if server_version.contains("MariaDB") => Some(Self::MariaDb),
            "mysql" => Some(Self::MySql),
            "mariadb" => Some(Self::MariaDb),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// MySQL or MariaDB: the two differ in little that matters here.
    fn is_mysql(self) -> bool {
        matches!(self, Self::MySql | Self::MariaDb)
    }
}

/// How bad a hazard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl std::str::FromStr for Severity {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Low, Self::Medium, Self::High, Self::Critical].into_iter().find(|it| it.as_str() == word).ok_or(())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One piece of a plan's SQL.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Alembic's comment `-- Running upgrade A -> B` in the SQL takes precedence.
    pub revision: Option<String>,
    pub sql: String,
    /// It runs in a transaction that its SQL does not begin itself.
    pub transactional: bool,
}

/// A hazard that is known of a revision otherwise than by its SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub code: Code,
    pub severity: Severity,
    pub revision: String,
    pub message: String,
    pub table: Option<String>,
    /// The statement that it is about, where there is one.
    pub statement: String,
}

/// What to look at, in the order in which it runs.
#[derive(Clone, Debug)]
pub struct Input {
    pub dialect: Dialect,
    pub sections: Vec<Section>,
    /// What is known beside it.
    pub facts: Vec<Fact>,
    /// How many rows tables have, by name; leave out partitioned ones.
    pub rows: HashMap<String, u64>,
    /// Indexes that are there and invalid, by their tables' names.
    pub invalid_indexes: HashMap<String, Vec<String>>,
    /// What the database has; nothing where nobody looked.
    pub catalog: Catalog,
    pub allows: Vec<Allow>,
    /// Whether comments in the SQL allow hazards.
    pub comments_allow: bool,
    /// Alembic's version table: what happens to its rows is bookkeeping.
    pub version_table: String,
}

impl Input {
    /// SQL of one file.
    pub fn file(dialect: Dialect, sql: impl Into<String>) -> Self {
        let section = Section { revision: None, sql: sql.into(), transactional: false };
        Self {
            dialect,
            sections: vec![section],
            facts: Vec::new(),
            rows: HashMap::new(),
            invalid_indexes: HashMap::new(),
            catalog: Catalog::default(),
            allows: Vec::new(),
            comments_allow: true,
            version_table: "alembic_version".to_owned(),
        }
    }
}

/// A hazard that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    pub severity: Severity,
    pub revision: Option<String>,
    /// Where its statement begins in the section's SQL, from 1; 0 for the revision as a whole.
    pub line: usize,
    /// The statement in one line, cut, its strings masked.
    pub statement: String,
    pub table: Option<String>,
    /// Why, in one sentence.
    pub message: String,
    /// What to write instead.
    pub advice: &'static str,
    /// What else comes of the same cause; the severity is that of the worst.
    pub also: Vec<Also>,
}

/// A hazard that goes with a finding: to see to the one is to see to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Also {
    pub code: Code,
    pub message: String,
}

/// What the linter has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// Findings that somebody allowed, and the reason.
    pub allowed: Vec<(Finding, String)>,
    pub unused: Vec<Unused>,
    /// Findings beyond what anybody reads; none of them is worse than those that are told.
    pub omitted: usize,
}

impl Report {
    /// The worst of the findings that nobody allowed.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.severity).max()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LintError {
    #[error("no thread to parse in: {0}; give the process more memory or threads")]
    Thread(std::io::Error),
    #[error("the linter failed; please report this with the SQL")]
    Panicked,
}

/// The parsers call themselves for each level of nesting; what they are given is bounded to fit (see `parsers`).
const STACK: usize = 256 << 20;

/// The strongest lock that a plan takes on each of the tables that it names, whether it made them or not.
pub fn locks(input: &Input) -> Result<BTreeMap<String, Lock>, LintError> {
    on_thread(|| plan::locks(input))
}

/// Looks at a plan's SQL.
pub fn lint(input: &Input) -> Result<Report, LintError> {
    if input.sections.iter().all(|section| section.sql.trim().is_empty()) {
        return Ok(plan::lint(input));
    }
    on_thread(|| plan::lint(input))
}

fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, LintError> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("lint".to_owned()).stack_size(STACK);
        let worker = worker.spawn_scoped(scope, work).map_err(LintError::Thread)?;
        worker.join().map_err(|_| LintError::Panicked)
    })
}

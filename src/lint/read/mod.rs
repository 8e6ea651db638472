//! What a statement does, read from its tokens: hazards, and what it changes for the statements after it; no I/O.

mod alter;
mod alter_table;
pub(super) mod column;
mod condition;
mod create;
mod data;
mod drop;
mod execute;
mod insert;
mod maintain;
mod postgres;
mod scan;
mod settings;

use super::{
    Code, Dialect, Lock, Severity,
    cursor::{Cursor, Name},
    locks,
    operation::{Alteration, Operation},
};

pub(super) use alter_table::copies;
pub(super) use scan::{all as scan_all, begins, words as scan_words};
pub(super) use settings::calls_hazards;

/// What a hazard is about; one that this plan made does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Subject {
    Table(Name),
    /// Anything else with a name: an index, a view, a type. Each kind has names of its own.
    Object(&'static str, Name),
    #[default]
    Nothing,
}

impl Subject {
    pub fn shown(&self) -> String {
        match self {
            Self::Table(name) | Self::Object(_, name) => name.to_string(),
            Self::Nothing => String::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Hazard {
    pub code: Code,
    pub severity: Severity,
    pub subject: Subject,
    pub message: String,
    /// Harmless where validated CHECKs say already that none of these columns is NULL.
    pub not_null: Vec<String>,
    /// Those of this index, where the columns are not known.
    pub of_index: Option<Name>,
    /// Harmless where this plan added each of these columns.
    pub unless_own: Vec<String>,
    /// What goes by it: another of that name made later in the revision takes its place.
    pub thing: Option<(&'static str, Name)>,
    /// Which of the statement's operations it comes from, from 1; 0 for the statement as a whole.
    pub cause: usize,
    /// Harmless where this plan added one of these columns, and it is NULL in every row.
    pub unless_empty: Vec<String>,
    /// This column no longer fills itself.
    pub of_default: Option<String>,
}

impl Hazard {
    pub fn new(code: Code, subject: Subject, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            subject,
            message: message.into(),
            not_null: Vec::new(),
            of_index: None,
            unless_own: Vec::new(),
            thing: None,
            cause: 0,
            unless_empty: Vec::new(),
            of_default: None,
        }
    }
}

/// What a statement changes for those after it.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    /// What was done since this savepoint is taken back.
    RollbackTo(String),
    /// Where names without a schema are from now on.
    Schema(String),
    Creates {
        table: Name,
        temporary: bool,
        columns: Vec<String>,
    },
    /// A table that may also have been there before (IF NOT EXISTS).
    MayCreate(Name),
    /// A temporary table that goes with the transaction.
    DropsOnCommit(Name),
    CreatesObject(&'static str, Name),
    /// There is one of this name now, whoever made it.
    Makes(&'static str, Name),
    /// A new column; an empty one is NULL in every row.
    AddsColumn {
        table: Name,
        column: String,
        empty: bool,
        /// It has to have a value, and has one by its default.
        defaulted: bool,
    },
    RenamesColumn {
        table: Name,
        from: String,
        to: String,
    },
    /// An index of these columns, as far as they are plain ones.
    Indexes {
        table: Name,
        index: Name,
        columns: Vec<String>,
    },
    Drops(Name),
    Renames {
        from: Name,
        to: Name,
    },
    /// Rows of one table go into another one, all of them unless they are filtered.
    Copies {
        from: Name,
        into: Name,
        /// What is written, in its order; empty for all columns.
        columns: Vec<String>,
        items: Vec<Copied>,
        filtered: bool,
    },
    /// Rows of a table are deleted, or columns of them overwritten.
    Changes {
        table: Name,
        columns: Vec<String>,
        deletes: bool,
    },
    /// A routine of this plan, and what it does when it is called.
    Defines {
        name: Name,
        hazards: Vec<Hazard>,
        alterations: Vec<Alteration>,
    },
    /// A routine is called.
    Calls(Name),
    /// A CHECK (column IS NOT NULL) without validation.
    Checks {
        table: Name,
        constraint: String,
        column: String,
    },
    /// A constraint that old rows may break; other writers wait until the transaction ends.
    AddsUnchecked(Name),
    Validates {
        table: Name,
        constraint: String,
    },
    ForeignKeys(bool),
    /// An enum gets a value.
    AddsValue {
        of: Name,
        value: String,
    },
    /// The text of such a value stands in a later statement.
    MentionsValue(String),
}

/// What a copy of a table takes for one of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    All,
    Column(String),
    Cast {
        name: String,
        cuts: bool,
    },
    /// A value, or what is computed.
    Other,
}

/// What kind of statement it is, as far as it matters to transactions and to what may be shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// BEGIN, COMMIT, SET and the like.
    Session,
    Ddl,
    /// Rows are read or written.
    Data,
    #[default]
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub kind: Kind,
    pub hazards: Vec<Hazard>,
    /// What it does to tables, to be judged by what they were before.
    pub alterations: Vec<Alteration>,
    pub effects: Vec<Effect>,
    /// What the statement is about, where that is one table.
    pub table: Option<Name>,
    /// The tables that it locks.
    pub locks: Vec<(Name, Lock)>,
    /// Fails in a transaction.
    pub concurrently: bool,
    /// It was read from the parser's tree, which found this wrong with it.
    pub parsed: Option<Option<String>>,
}

impl Reading {
    fn of(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// It does this to a table, or to something else.
    fn does(&mut self, on: Subject, operation: Operation, dialect: Dialect) {
        self.performs(Alteration::of(on, operation), dialect);
    }

    /// All of it, and the lock that it takes.
    fn performs(&mut self, alteration: Alteration, dialect: Dialect) {
        let lock = locks::of_alteration(&alteration, dialect);
        self.locks.extend(alteration.table.clone().zip(lock));
        self.alterations.push(alteration);
    }

    /// A part of it is a statement of its own.
    fn holds(&mut self, part: Self) {
        self.hazards.extend(part.hazards);
        self.alterations.extend(part.alterations);
        self.effects.extend(part.effects);
    }

    /// It locks a table, if that is known.
    fn locks(&mut self, table: Option<&Name>, lock: Lock) {
        self.locks.extend(table.cloned().map(|table| (table, lock)));
    }

    /// Nothing stays of it.
    pub fn only_reads(&self) -> bool {
        let changes = !self.hazards.is_empty()
            || !self.alterations.is_empty()
            || self.effects.iter().any(|e| !matches!(e, Effect::MentionsValue(_) | Effect::Calls(_)));
        self.kind == Kind::Session || (self.kind == Kind::Data && !changes)
    }

    /// It can't be judged.
    fn unclear(&mut self, message: impl Into<String>) {
        self.hazards.push(Hazard::new(Code::O02, Subject::Nothing, message));
    }

    /// It runs what nobody can see here: as bad as a revision without any SQL.
    fn unseen(&mut self, subject: Subject, message: impl Into<String>) {
        self.doubts(Severity::High, subject, message);
    }

    /// It can't be judged, for better or worse than others.
    fn doubts(&mut self, severity: Severity, subject: Subject, message: impl Into<String>) {
        self.hazards.push(Hazard { severity, ..Hazard::new(Code::O02, subject, message) });
    }
}

fn about(table: &Option<Name>) -> Subject {
    table.clone().map_or(Subject::Nothing, Subject::Table)
}

fn object(kind: &str, name: Option<Name>) -> Subject {
    name.map_or(Subject::Nothing, |name| Subject::Object(namespace(kind), name))
}

/// Constraints are made and dropped by operations on their tables, which stand before their names.
pub(super) const CONSTRAINT: &str = "CONSTRAINT";

/// Where the name of such a thing has to be the only one: a trigger and an index may have the same.
pub(super) fn namespace(kind: &str) -> &'static str {
    const KINDS: &[&str] = &[
        "SCHEMA",
        "TRIGGER",
        "RULE",
        "ROLE",
        "EXTENSION",
        "PUBLICATION",
        "SUBSCRIPTION",
        "SERVER",
        "EVENT",
        "COLLATION",
        "LANGUAGE",
        "POLICY",
        "STATISTICS",
        "CONVERSION",
    ];
    match kind {
        "INDEX" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" => "RELATION",
        "TYPE" | "DOMAIN" => "TYPE",
        "DATABASE" => "SCHEMA",
        "USER" | "GROUP" => "ROLE",
        "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE" | "PACKAGE" => "ROUTINE",
        "CONSTRAINT" => CONSTRAINT,
        _ => KINDS.iter().find(|known| **known == kind).copied().unwrap_or("OTHER"),
    }
}

/// Reads one statement.
pub(super) fn read(statement: Cursor<'_>, broken: bool) -> Reading {
    let mut reading = verb(statement.clone(), 0);
    reading.concurrently |= runs_alone(&statement);
    data::in_with(&statement, &mut reading);
    if broken {
        reading.unclear("a quote or a comment begins in it that never ends");
    }
    // What CREATE makes does not run now.
    let unclear = !statement.at("CREATE") && reading.hazards.iter().any(|h| h.code == Code::O02);
    if broken || unclear {
        scan::into(&mut reading, &statement, 0);
    }
    reading
}

/// Reads a statement that stands in another one.
fn read_one(statement: Cursor<'_>) -> Reading {
    verb(statement, 1)
}

/// Reads the statement that begins here; `depth` counts texts within texts.
fn verb(mut at: Cursor<'_>, depth: usize) -> Reading {
    let Some(first) = at.tokens.first() else { return Reading::of(Kind::Session) };
    if first.is_client_command() {
        return execute::client_command(&at);
    }
    if execute::is_one(&at) {
        return execute::read(at);
    }
    let word = first.text.to_ascii_uppercase();
    let whole = at.clone();
    at.skip();
    match word.as_str() {
        "CREATE" => create::read(at),
        "DROP" => drop::read(at),
        "ALTER" => alter::read(whole),
        "RENAME" => alter::rename(at),
        "SELECT" | "VALUES" | "TABLE" | "WITH" | "(" | "INSERT" | "REPLACE" | "UPDATE" | "DELETE" | "MERGE"
        | "COPY" | "EXPLAIN" | "DESCRIBE" | "DESC" | "SHOW" | "TRUNCATE" | "LOAD" => data::read(whole, depth),
        // MariaDB's ANALYZE runs the statement that follows.
        "ANALYZE" if whole.dialect.is_mysql() && !at.mentions("TABLE") => data::read(whole, depth),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" | "SET" | "RESET"
        | "USE" | "PRAGMA" => settings::read(whole),
        _ => maintain::read(whole),
    }
}

/// PostgreSQL refuses it in a transaction.
fn runs_alone(statement: &Cursor<'_>) -> bool {
    const WORDS: &[&str] = &[
        "VACUUM",
        "CREATE SUBSCRIPTION",
        "CREATE DATABASE",
        "DROP DATABASE",
        "CREATE TABLESPACE",
        "DROP TABLESPACE",
        "ALTER SYSTEM",
    ];
    let mut at = statement.clone();
    // It makes a slot on the other server, unless it is told not to.
    if at.at("CREATE SUBSCRIPTION") && ["create_slot", "connect"].iter().any(|option| at.mentions(option)) {
        return false;
    }
    if !is_postgres(&at) || !at.eat("REINDEX") {
        return is_postgres(&at) && at.at_any(WORDS);
    }
    let _ = at.parentheses();
    at.at_any(&["DATABASE", "SYSTEM", "SCHEMA"])
}

/// Whether a dialect is PostgreSQL, said often.
fn is_postgres(at: &Cursor<'_>) -> bool {
    at.dialect == Dialect::PostgreSql
}

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
    Code, Dialect, Lock,
    cursor::{Cursor, Name},
    effect::{Copied, Effect},
    hazard::Hazard,
    reading::{Kind, Reading},
    subject::{Subject, namespace},
};

pub(super) use alter_table::copies;
pub(super) use scan::{all as scan_all, begins, words as scan_words};
pub(super) use settings::calls_hazards;

fn about(table: &Option<Name>) -> Subject {
    table.clone().map_or(Subject::Nothing, Subject::Table)
}

fn object(kind: &str, name: Option<Name>) -> Subject {
    name.map_or(Subject::Nothing, |name| Subject::Object(namespace(kind), name))
}

/// Reads one statement.
pub(super) fn read(statement: Cursor<'_>, broken: bool) -> Reading {
    let mut reading = verb(statement.clone(), 0);
    reading.concurrently |= runs_alone(&statement);
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
fn verb(at: Cursor<'_>, depth: usize) -> Reading {
    if !is_postgres(&at) || !at.at_any(postgres::LOWERED) {
        return by_words(at, depth);
    }
    let Some((reading, opinion)) = postgres::read(&at) else { return by_words(at, depth) };
    let mut reading = reading.unwrap_or_else(|| by_words(at, depth));
    reading.parsed = Some(opinion);
    reading
}

/// Reads it from its tokens.
fn by_words(mut at: Cursor<'_>, depth: usize) -> Reading {
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
        "ANALYZE" if whole.dialect.is_mysql() && !at.at_any(TABLES_ANALYZED) => data::read(whole, depth),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" | "SET" | "RESET"
        | "USE" | "PRAGMA" => settings::read(whole),
        _ => maintain::read(whole),
    }
}

/// How MySQL's ANALYZE of a table goes on.
const TABLES_ANALYZED: &[&str] = &["TABLE", "LOCAL TABLE", "NO_WRITE_TO_BINLOG TABLE"];

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
    if at.at("CREATE SUBSCRIPTION") {
        let with = at.clauses(&["CONNECTION", "PUBLICATION", "WITH"]).get("WITH");
        let options = with.and_then(|mut with| with.parentheses()).unwrap_or_default();
        let told = |option: Cursor<'_>| option.at_any(&["create_slot", "connect"]);
        return is_postgres(&at) && !Cursor::new(options, at.dialect).list().into_iter().any(told);
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

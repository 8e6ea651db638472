//! Locks, maintenance, rights, and everything whose first word is not known; no I/O.

use super::{Kind, Lock, Reading, Subject, is_postgres};
use crate::lint::{Code, Dialect, Severity, cursor::Cursor};

/// Statements that touch neither rows nor what they mean.
const HARMLESS: &[&str] = &[
    "COMMENT ON",
    "IMPORT FOREIGN SCHEMA",
    "ANALYZE TABLE",
    "ANALYZE LOCAL TABLE",
    "ANALYZE NO_WRITE_TO_BINLOG TABLE",
    "ANALYSE",
    "CHECK TABLE",
    "CHECKSUM",
    "UNLOCK",
    "NOTIFY",
    "LISTEN",
    "UNLISTEN",
    "CHECKPOINT",
    "FLUSH PRIVILEGES",
    "DEALLOCATE",
    "CLOSE",
    "HELP",
];

pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    let whole = at.clone();
    if at.eat("GRANT") {
        grant(&at, &mut out);
        return out;
    }
    if at.eat_any(HARMLESS).is_some() || (at.at("ANALYZE") && !at.dialect.is_mysql()) {
        // Nothing of a table's changes, so nothing can stop half-way.
        out.kind = if is_postgres(&at) { Kind::Ddl } else { Kind::Session };
        return out;
    }
    if at.eat("REVOKE") {
        out.add(Code::D08, Subject::Nothing, format!("whoever had {} loses it", at.shown()));
    } else if at.eat("LOCK") {
        lock(at, &mut out);
    } else if at.eat("REINDEX") {
        out.concurrently = at.mentions("CONCURRENTLY");
        if !out.concurrently && is_postgres(&at) {
            reindex(at, &mut out);
        }
    } else if at.eat("REFRESH MATERIALIZED VIEW") {
        if !at.eat("CONCURRENTLY") {
            let view = super::object("VIEW", at.name());
            out.add(Code::B07, view, "reads of the view wait until it is filled anew");
        }
    } else if at.eat("VACUUM") {
        vacuum(at, &mut out);
    } else if at.at("CLUSTER") || at.at("OPTIMIZE") || at.at("REPACK") {
        at.skip();
        let _ = at.eat_any(&["NO_WRITE_TO_BINLOG TABLE", "LOCAL TABLE", "TABLE", "TABLES"]);
        written_anew(&at, &format!("{} writes the table anew under a lock", whole.shown()), &mut out);
    } else if at.eat("REASSIGN OWNED") {
        out.add(Code::D08, Subject::Nothing, "everything gets another owner, who may do anything with it");
    } else {
        out.kind = Kind::Unknown;
        out.unclear(format!("{} is not known to be harmless", whole.shown()));
    }
    out
}

/// An index, all of a table's, or more.
fn reindex(mut at: Cursor<'_>, out: &mut Reading) {
    let _ = at.parentheses();
    let table = if at.eat("TABLE") { at.name() } else { None };
    out.add(Code::B07, super::about(&table), "writes wait until the index is built anew");
    out.locks(table.as_ref(), Lock::Share);
    out.table = table;
}

/// A grant takes nothing away; but what is everybody's is hardly meant.
fn grant(at: &Cursor<'_>, out: &mut Reading) {
    if !is_postgres(at) {
        out.kind = Kind::Session;
    } else if at.after("TO").is_some_and(|to| to.mentions("PUBLIC")) {
        let message = format!("everybody who can connect gets {}", at.shown());
        out.add_with(Code::D08, Severity::Medium, Subject::Nothing, message);
    }
}

fn lock(mut at: Cursor<'_>, out: &mut Reading) {
    if at.at("INSTANCE") {
        return out.unclear("LOCK INSTANCE is not known to be harmless");
    }
    let _ = at.eat_any(&["TABLES", "TABLE"]);
    let _ = at.eat("ONLY");
    let tables = at.names();
    let lock = mode(&at);
    for table in &tables {
        out.locks(Some(table), lock);
    }
    // Reads and writes go on beside the weaker ones.
    if !lock.blocks_writes() {
        out.table = tables.into_iter().next();
        return;
    }
    if tables.is_empty() {
        out.add(Code::B07, Subject::Nothing, "a table is locked");
    }
    for table in tables {
        out.add(Code::B07, Subject::Table(table.clone()), format!("everybody who needs {table} waits until the end"));
        out.table = out.table.take().or(Some(table));
    }
}

/// The lock that LOCK TABLE asks for.
fn mode(at: &Cursor<'_>) -> Lock {
    let words = at.after("IN").filter(|_| is_postgres(at));
    let named = |words: &Cursor<'_>| Lock::ALL.into_iter().find(|lock| words.at(&format!("{} MODE", lock.words())));
    words.and_then(|words| named(&words)).unwrap_or(Lock::AccessExclusive)
}

fn vacuum(mut at: Cursor<'_>, out: &mut Reading) {
    let full = match at.parentheses() {
        Some(options) => Cursor::new(options, at.dialect).mentions("FULL"),
        None => at.eat("FULL"),
    };
    if full {
        while at.eat_any(&["FREEZE", "VERBOSE", "ANALYZE"]).is_some() {}
        written_anew(&at, "everything is written anew under a lock", out);
    } else if at.dialect == Dialect::Sqlite {
        out.add(Code::B06, Subject::Nothing, "everything is written anew under a lock");
    }
}

/// Each of the tables that are listed, or all where there is no list.
fn written_anew(at: &Cursor<'_>, message: &str, out: &mut Reading) {
    let tables = at.names();
    if tables.is_empty() {
        out.add(Code::B06, Subject::Nothing, message);
    }
    for table in tables {
        out.add(Code::B06, Subject::Table(table.clone()), message);
        out.locks(Some(&table), Lock::AccessExclusive);
        out.table = out.table.take().or(Some(table));
    }
}

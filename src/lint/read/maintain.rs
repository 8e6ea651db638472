//! Locks, maintenance, rights, and everything whose first word is not known; no I/O.

use super::{Kind, Lock, Reading, Subject, about, is_postgres, object};
use crate::lint::{Dialect, cursor::Cursor, operation::Operation, tokens::Token};

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
        out.does(Subject::Nothing, Operation::Revoke { shown: at.shown() }, at.dialect);
    } else if at.eat("LOCK") {
        lock(at, &mut out);
    } else if at.eat("REINDEX") {
        let options = at.clone().parentheses();
        let mut named = at.clone();
        let _ = named.parentheses();
        named.skip();
        out.concurrently =
            options.is_some_and(|options| is_on(options, "CONCURRENTLY", at.dialect)) || named.at("CONCURRENTLY");
        if !out.concurrently && is_postgres(&at) {
            reindex(at, &mut out);
        }
    } else if at.eat("REFRESH MATERIALIZED VIEW") {
        if !at.eat("CONCURRENTLY") {
            out.does(object("VIEW", at.name()), Operation::Refresh, at.dialect);
        }
    } else if at.eat("VACUUM") {
        vacuum(at, &mut out);
    } else if at.at("CLUSTER") || at.at("OPTIMIZE") || at.at("REPACK") {
        at.skip();
        let _ = at.eat_any(&["NO_WRITE_TO_BINLOG TABLE", "LOCAL TABLE", "TABLE", "TABLES"]);
        written_anew(&at, &format!("{} writes the table anew under a lock", whole.shown()), &mut out);
    } else if at.eat("REASSIGN OWNED") {
        out.does(Subject::Nothing, Operation::ReassignAll, at.dialect);
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
    out.does(about(&table), Operation::Reindex, at.dialect);
    out.table = table;
}

/// One of the options in parentheses, and not switched off by its value.
fn is_on(options: &[Token<'_>], name: &str, dialect: Dialect) -> bool {
    Cursor::new(options, dialect)
        .list()
        .into_iter()
        .any(|mut option| option.eat(name) && !option.at_any(&["FALSE", "OFF", "0", "'false'", "'off'"]))
}

/// Whoever is called so, with quotes or without.
fn is_everybody(to: &Cursor<'_>) -> bool {
    to.list().into_iter().any(|mut name| name.part().is_some_and(|name| name == "public"))
}

/// A grant takes nothing away; but what is everybody's is hardly meant.
fn grant(at: &Cursor<'_>, out: &mut Reading) {
    if !is_postgres(at) {
        out.kind = Kind::Session;
    } else if at.clauses(&["TO"]).get("TO").is_some_and(|to| is_everybody(&to)) {
        out.does(Subject::Nothing, Operation::GrantToAll { shown: at.shown() }, at.dialect);
    }
}

fn lock(mut at: Cursor<'_>, out: &mut Reading) {
    if at.at("INSTANCE") {
        return out.unclear("LOCK INSTANCE is not known to be harmless");
    }
    let _ = at.eat_any(&["TABLES", "TABLE"]);
    at.only();
    let tables = at.names();
    let lock = mode(&at);
    if tables.is_empty() {
        out.does(Subject::Nothing, Operation::LockTable { lock }, at.dialect);
    }
    for table in tables {
        out.does(Subject::Table(table.clone()), Operation::LockTable { lock }, at.dialect);
        out.table = out.table.take().or(Some(table));
    }
}

/// The lock that LOCK TABLE asks for.
fn mode(at: &Cursor<'_>) -> Lock {
    let words = at.clauses(&["IN"]).get("IN").filter(|_| is_postgres(at));
    let named = |words: &Cursor<'_>| Lock::ALL.into_iter().find(|lock| words.at(&format!("{} MODE", lock.words())));
    words.and_then(|words| named(&words)).unwrap_or(Lock::AccessExclusive)
}

fn vacuum(mut at: Cursor<'_>, out: &mut Reading) {
    let full = match at.parentheses() {
        Some(options) => is_on(options, "FULL", at.dialect),
        None => at.eat("FULL"),
    };
    if full {
        while at.eat_any(&["FREEZE", "VERBOSE", "ANALYZE"]).is_some() {}
        written_anew(&at, "everything is written anew under a lock", out);
    } else if at.dialect == Dialect::Sqlite {
        let into = at.clauses(&["INTO"]).has("INTO");
        if into {
            return out.unclear("it writes a copy of the database into another file");
        }
        let what = "everything is written anew under a lock".to_owned();
        out.does(Subject::Nothing, Operation::Rewrite { what }, at.dialect);
    }
}

/// Each of the tables that are listed, or all where there is no list.
fn written_anew(at: &Cursor<'_>, message: &str, out: &mut Reading) {
    let tables = at.names();
    let operation = || Operation::Rewrite { what: message.to_owned() };
    if tables.is_empty() {
        out.does(Subject::Nothing, operation(), at.dialect);
    }
    for table in tables {
        out.does(Subject::Table(table.clone()), operation(), at.dialect);
        out.table = out.table.take().or(Some(table));
    }
}

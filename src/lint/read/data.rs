//! Statements that read or write rows; no I/O.

use super::{
    Effect, Kind, Lock, Reading, Subject, about,
    condition::{filter, joins},
    execute,
    insert::insert,
    scan, verb,
};
use crate::lint::{
    Dialect,
    cursor::{Cursor, Name},
    operation::Operation,
    parts::Filter,
    tokens::Kind as TokenKind,
};

/// Parentheses and EXPLAIN within one another end here.
pub(super) const DEPTH: usize = 8;

pub(super) fn read(mut at: Cursor<'_>, depth: usize) -> Reading {
    let mut out = Reading::of(Kind::Data);
    let whole = at.clone();
    let word = at.tokens.first().map(|t| t.text.to_ascii_uppercase()).unwrap_or_default();
    at.skip();
    match word.as_str() {
        "INSERT" | "REPLACE" => insert(at, word == "REPLACE", &mut out),
        "UPDATE" => update(at, &mut out),
        "DELETE" => delete(at, &mut out),
        "TRUNCATE" => truncate(at, &mut out),
        "COPY" | "LOAD" => load(&at, word == "LOAD", &mut out),
        "EXPLAIN" | "DESCRIBE" | "DESC" | "ANALYZE" => explain(whole, depth, &mut out),
        "WITH" | "(" => nested(&whole, depth, &mut out),
        "SELECT" => select(&at, &mut out),
        _ => {}
    }
    out
}

/// The statement that follows the parentheses of WITH, or stands in others.
pub(super) fn nested(at: &Cursor<'_>, depth: usize, out: &mut Reading) {
    if depth >= DEPTH {
        return out.unclear("it is nested too deeply");
    }
    let mut level = 0i64;
    for (place, token) in at.tokens.iter().enumerate() {
        match token.text {
            "(" => level += 1,
            ")" => level -= 1,
            _ => {}
        }
        let begins = WRITES.iter().any(|word| token.is(word)) || token.is("SELECT");
        if level == 0 && place > 0 && begins && !at.tokens[place - 1].is("FOR") {
            let part = verb(Cursor::new(&at.tokens[place..], at.dialect), depth + 1);
            out.table = part.table.clone();
            return out.holds(part);
        }
    }
}

/// How a statement begins that changes rows.
const WRITES: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"];

fn explain(mut at: Cursor<'_>, depth: usize, out: &mut Reading) {
    if explained(&mut at) && depth < DEPTH {
        *out = verb(at, depth + 1);
    }
}

const NO: &[&str] = &["FALSE", "OFF", "0"];

/// Goes past EXPLAIN and its options; whether the statement that follows is run, too.
pub(super) fn explained(at: &mut Cursor<'_>) -> bool {
    if !at.at("ANALYZE") {
        at.skip();
    }
    let mut runs = at.eat("ANALYZE") || at.eat("ANALYSE");
    if let Some(options) = at.parentheses() {
        let off = |option: &Cursor<'_>| option.tokens.get(1).is_some_and(|t| NO.iter().any(|no| t.is(no)));
        let analyzes = |option: &Cursor<'_>| option.at_any(&["ANALYZE", "ANALYSE"]) && !off(option);
        runs |= Cursor::new(options, at.dialect).list().iter().any(analyzes);
    }
    let _ = at.eat("VERBOSE");
    if at.eat("FORMAT =") {
        at.skip();
    }
    runs
}

fn select(at: &Cursor<'_>, out: &mut Reading) {
    if at.dialect.is_mysql() {
        let into = at.clauses(&["INTO"]).get("INTO");
        if into.as_ref().is_some_and(|into| into.at_any(&["OUTFILE", "DUMPFILE"])) {
            out.unclear("it writes a file on the server");
        }
        let variable = into.and_then(|into| into.tokens.first().map(|t| t.text)).filter(|t| t.starts_with('@'));
        if let Some(variable) = variable {
            execute::gives_text(variable, at, out);
            // The variable may hold SQL for PREPARE; what stands outside of strings is not run.
            let texts: Vec<_> = at.tokens.iter().filter(|t| t.kind == TokenKind::Text).copied().collect();
            scan::into(out, &Cursor::new(&texts, at.dialect), 0);
        }
    } else if let Some(schema) = search_path(at.clone()) {
        out.effects.push(Effect::Schema(schema));
    }
}

/// How pg_dump sets the search path: `pg_catalog.set_config('search_path', '', false)`.
pub(super) fn search_path(mut at: Cursor<'_>) -> Option<String> {
    let called = super::is_postgres(&at) && at.name().is_some_and(|name| name.name == "set_config");
    let arguments = at.parentheses().filter(|_| called && at.is_done())?;
    let text = |at: usize| arguments.get(at).filter(|t| t.kind == TokenKind::Text).map(|t| t.text.trim_matches('\''));
    let first = text(2)?.split(',').next().unwrap_or_default().trim().to_owned();
    (text(0)?.eq_ignore_ascii_case("search_path") && arguments.len() == 5).then_some(first)
}

fn update(mut at: Cursor<'_>, out: &mut Reading) {
    while at.eat_any(&["LOW_PRIORITY", "IGNORE"]).is_some() {}
    at.only();
    if at.eat("OR") {
        at.skip();
    }
    let clauses = at.clauses(&["SET", "FROM", "WHERE", "ORDER BY", "LIMIT", "RETURNING"]);
    let mut tables = clauses.head();
    // MySQL can change several tables at once; which ones is said in SET only.
    let several = at.dialect.is_mysql() && joins(&tables);
    let table = tables.name();
    let operation = Operation::Update { filter: filter(&clauses, !several && !clauses.has("FROM")) };
    out.does(if several { Subject::Nothing } else { about(&table) }, operation, at.dialect);
    let set = clauses.get("SET").map(|set| set.list()).unwrap_or_default();
    let columns = set.into_iter().filter_map(|mut item| item.name()).map(|name| name.name.to_lowercase()).collect();
    out.effects.extend(table.clone().map(|table| Effect::Changes { table, columns, deletes: false }));
    out.table = table;
}

fn delete(mut at: Cursor<'_>, out: &mut Reading) {
    while at.eat_any(&["LOW_PRIORITY", "QUICK", "IGNORE"]).is_some() {}
    // MariaDB's: of a table with SYSTEM VERSIONING.
    let history = at.dialect.is_mysql() && at.eat("HISTORY");
    let clauses = at.clauses(&[
        "FROM",
        "FOR PORTION OF",
        "BEFORE SYSTEM_TIME",
        "USING",
        "WHERE",
        "ORDER BY",
        "LIMIT",
        "RETURNING",
    ]);
    let alone = !clauses.has("USING") && clauses.get("FROM").is_none_or(|tables| !joins(&tables));
    let filter = match filter(&clauses, alone) {
        Filter::All if history && clauses.has("BEFORE SYSTEM_TIME") => Filter::Some,
        Filter::All if clauses.has("FOR PORTION OF") => Filter::Some,
        filter => filter,
    };
    if !clauses.has("FROM") {
        out.unclear(format!("a DELETE that can't be read: {}", at.shown()));
    }
    // DELETE a, b FROM a JOIN b …, and DELETE FROM a, b USING …
    let before = clauses.head();
    let mut tables = clauses.get("FROM").filter(|_| before.is_done()).unwrap_or(before);
    tables.only();
    let names = if at.dialect.is_mysql() { tables.names() } else { tables.name().into_iter().collect() };
    let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    for table in names {
        out.does(about(&table), Operation::Delete { filter }, at.dialect);
        let columns = Vec::new();
        out.effects.extend(table.clone().map(|table| Effect::Changes { table, columns, deletes: true }));
        out.table = out.table.take().or(table);
    }
}

fn truncate(mut at: Cursor<'_>, out: &mut Reading) {
    out.kind = Kind::Ddl;
    let _ = at.eat("TABLE");
    at.if_exists();
    // TRUNCATE ONLY a, ONLY b
    let names = at.list().into_iter().filter_map(|mut item| {
        item.only();
        item.name()
    });
    let names: Vec<_> = names.collect();
    let cascades = at.ends("CASCADE");
    if names.is_empty() {
        let operation = Operation::Truncate { shown: "a table".to_owned(), cascades };
        out.does(Subject::Nothing, operation, at.dialect);
    }
    for name in names {
        truncates(name, cascades, at.dialect, out);
    }
}

/// One of the tables that are truncated.
pub(super) fn truncates(name: Name, cascades: bool, dialect: Dialect, out: &mut Reading) {
    let operation = Operation::Truncate { shown: name.to_string(), cascades };
    // What refers to it may be somebody's, even where the plan made it.
    out.does(if cascades { Subject::Nothing } else { Subject::Table(name.clone()) }, operation, dialect);
    if cascades {
        out.locks(Some(&name), Lock::AccessExclusive);
    }
    out.table = out.table.take().or(Some(name));
}

/// COPY t (a, b) FROM STDIN, COPY (SELECT …) TO STDOUT, and MySQL's LOAD DATA.
fn load(at: &Cursor<'_>, file: bool, out: &mut Reading) {
    let mut at = at.clone();
    let _ = at.eat("BINARY");
    out.table = at.clone().name();
    if at.at("(")
        && let Some(query) = at.parentheses()
    {
        out.holds(verb(Cursor::new(query, at.dialect), DEPTH));
    }
    let clauses = at.clauses(&["FROM", "TO"]);
    let place = clauses.get("FROM").or_else(|| clauses.get("TO"));
    if place.as_ref().is_some_and(|place| place.at("PROGRAM")) {
        out.unclear("it runs a program on the server");
    } else if file || !place.is_some_and(|place| place.at_any(&["STDIN", "STDOUT"])) {
        out.unclear("it reads or writes a file on the server");
    }
    if file && at.clauses(&["INFILE", "INTO TABLE"]).get("INFILE").is_some_and(|named| named.ends("REPLACE")) {
        out.does(Subject::Nothing, Operation::Replace { listed: false }, at.dialect);
    }
}

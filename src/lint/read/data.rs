//! Statements that read or write rows; no I/O.

use super::{
    Copied, Effect, Kind, Lock, Reading, Subject, about,
    condition::{Filter, filter, is_always_true},
    execute, scan, verb,
};
use crate::lint::{
    Code, Severity,
    cursor::Cursor,
    tokens::{Kind as TokenKind, Token},
};

/// Parentheses and EXPLAIN within one another end here.
const DEPTH: usize = 8;

pub(super) fn read(mut at: Cursor<'_>, depth: usize) -> Reading {
    let mut out = Reading::of(Kind::Data);
    let whole = at.clone();
    let word = at.tokens.first().map(|t| t.text.to_ascii_uppercase()).unwrap_or_default();
    at.skip();
    match word.as_str() {
        "INSERT" | "REPLACE" => insert(at, word == "REPLACE", &mut out),
        "UPDATE" => update(at, &mut out),
        "DELETE" => delete(at, &mut out),
        "MERGE" => merge(at, &mut out),
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
fn nested(at: &Cursor<'_>, depth: usize, out: &mut Reading) {
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
            out.hazards.extend(part.hazards);
            out.effects.extend(part.effects);
            out.table = part.table;
            return;
        }
    }
}

/// How a statement begins that changes rows.
const WRITES: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"];

/// PostgreSQL runs what stands in a WITH, wherever in a statement that is: in CREATE TABLE … AS too.
pub(super) fn in_with(statement: &Cursor<'_>, out: &mut Reading) {
    let word = |at: usize, word: &str| statement.tokens.get(at).is_some_and(|t| t.is(word));
    let head = Cursor::new(&statement.tokens[..statement.tokens.len().min(5)], statement.dialect);
    let only_defined = statement.at("CREATE") && (!head.mentions("TABLE") || head.mentions("FUNCTION"));
    let only_explained = statement.at("EXPLAIN") && !explained(&mut statement.clone());
    if !super::is_postgres(statement) || only_defined || only_explained {
        return;
    }
    for place in 2..statement.tokens.len() {
        let opens = word(place - 1, "(") && (word(place - 2, "AS") || word(place - 2, "MATERIALIZED"));
        if opens && WRITES.iter().any(|verb| word(place, verb)) {
            let part = verb(until_closed(&Cursor::new(&statement.tokens[place..], statement.dialect)), DEPTH);
            out.hazards.extend(part.hazards);
            out.effects.extend(part.effects);
        }
    }
}

/// Up to the parenthesis that closes what is open here.
fn until_closed<'a>(at: &Cursor<'a>) -> Cursor<'a> {
    let mut depth = 0i64;
    let end = at.tokens.iter().position(|t| {
        depth += i64::from(t.is("(")) - i64::from(t.is(")"));
        depth < 0
    });
    Cursor::new(&at.tokens[..end.unwrap_or(at.tokens.len())], at.dialect)
}

fn explain(mut at: Cursor<'_>, depth: usize, out: &mut Reading) {
    if explained(&mut at) && depth < DEPTH {
        *out = verb(at, depth + 1);
    }
}

/// Goes past EXPLAIN and its options; whether the statement that follows is run, too.
fn explained(at: &mut Cursor<'_>) -> bool {
    if !at.at("ANALYZE") {
        at.skip();
    }
    let mut runs = at.eat("ANALYZE") || at.eat("ANALYSE");
    if let Some(options) = at.parentheses() {
        runs |= Cursor::new(options, at.dialect).mentions("ANALYZE");
    }
    let _ = at.eat("VERBOSE");
    if at.eat("FORMAT =") {
        at.skip();
    }
    runs
}

fn select(at: &Cursor<'_>, out: &mut Reading) {
    if at.dialect.is_mysql() {
        if at.has("INTO OUTFILE") || at.has("INTO DUMPFILE") {
            out.unclear("it writes a file on the server");
        }
        let variable =
            at.after("INTO").and_then(|into| into.tokens.first().map(|t| t.text)).filter(|t| t.starts_with('@'));
        if let Some(variable) = variable {
            execute::gives_text(variable, at, out);
            // The variable may hold SQL for PREPARE; what stands outside of strings is not run.
            let texts: Vec<_> = at.tokens.iter().filter(|t| t.kind == TokenKind::Text).copied().collect();
            scan::into(out, &Cursor::new(&texts, at.dialect), 0);
        }
    } else if let Some(schema) = search_path(at.clone()) {
        out.effects.push(Effect::Schema(schema));
    } else if let Some(mut into) = at.after("INTO") {
        let temporary = into.eat_any(&["TEMP", "TEMPORARY"]).is_some();
        let _ = into.eat_any(&["UNLOGGED", "TABLE"]);
        out.kind = Kind::Ddl;
        out.effects.extend(into.name().map(|table| Effect::Creates { table, temporary, columns: Vec::new() }));
    }
}

/// How pg_dump sets the search path: `pg_catalog.set_config('search_path', '', false)`.
fn search_path(mut at: Cursor<'_>) -> Option<String> {
    let called = super::is_postgres(&at) && at.name().is_some_and(|name| name.name == "set_config");
    let arguments = at.parentheses().filter(|_| called && at.is_done())?;
    let text = |at: usize| arguments.get(at).filter(|t| t.kind == TokenKind::Text).map(|t| t.text.trim_matches('\''));
    let first = text(2)?.split(',').next().unwrap_or_default().trim().to_owned();
    (text(0)?.eq_ignore_ascii_case("search_path") && arguments.len() == 5).then_some(first)
}

fn insert(mut at: Cursor<'_>, replace: bool, out: &mut Reading) {
    let (mut replaces, mut loses) = (replace, replace);
    while let Some(word) = at.eat_any(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "OR"]) {
        loses |= word == "IGNORE";
        if word == "OR" {
            replaces |= at.at("REPLACE");
            loses |= at.at("REPLACE") || at.at("IGNORE");
            at.skip();
        }
    }
    let _ = at.eat("INTO");
    let table = at.name();
    out.table = table.clone();
    let on = about(&table);
    if at.eat("AS") {
        at.skip();
    }
    // A query may stand in parentheses too, and needs no columns before it.
    let mut columns = Vec::new();
    let mut rest = at.clone();
    if let Some(inside) = rest.parentheses().map(|inside| Cursor::new(inside, at.dialect)).filter(|i| !i.at_any(QUERY))
    {
        columns =
            inside.list().into_iter().filter_map(|mut item| item.part()).map(|name| name.to_lowercase()).collect();
        at = rest;
    }
    let _ = at.eat_any(&["OVERRIDING SYSTEM VALUE", "OVERRIDING USER VALUE"]);
    while at.at("(") {
        at.skip();
    }
    if at.at("WITH") {
        nested(&at, DEPTH - 1, out);
    }
    let source = at.after("FROM").and_then(|mut from| from.name());
    // As many rows as stand here, and no more.
    let listed = at.at_any(&["VALUES", "VALUE", "SET"]) || (at.at("SELECT") && !finds_rows(&at, 0));
    let severity = if listed { Severity::Medium } else { Severity::High };
    if replaces {
        out.add_with(Code::B10, severity, on, "rows with the same key are deleted and written anew");
    } else if at.has("ON DUPLICATE KEY UPDATE") || at.has("DO UPDATE") {
        out.add_with(Code::B10, severity, on, "rows that are there already are changed");
    } else if at.at_any(&["WITH", "TABLE"]) || (at.at("SELECT") && finds_rows(&at, 0)) {
        out.add(Code::B10, on, "as many rows as the query finds are written in one transaction");
    }
    if let (Some(into), Some(from)) = (table, source) {
        let filtered = loses || leaves_out(&at);
        let mut selected = at.before(&["FROM"]);
        let _ = selected.eat("SELECT");
        let _ = selected.eat_any(&["ALL", "DISTINCT"]);
        let items = selected.list().into_iter().map(copied).collect();
        out.effects.push(Effect::Copies { from, into, columns, items, filtered });
    }
}

/// What one item of a SELECT takes: `a`, `t.a AS b`, `CAST(a AS text)`, `coalesce(a, 0)`, or something else.
fn copied(mut item: Cursor<'_>) -> Copied {
    if item.tokens.last().is_some_and(|t| t.is("*")) {
        return Copied::All;
    }
    let call = item.eat_any(&["CAST", "COALESCE", "IFNULL"]);
    if let Some(call) = call {
        let inside = item.parentheses().map(|inside| Cursor::new(inside, item.dialect));
        let Some(mut inside) = inside.filter(|_| item.is_done() || item.at("AS")) else { return Copied::Other };
        let Some(name) = inside.name().map(|name| name.name.to_lowercase()) else { return Copied::Other };
        return match call.as_str() {
            "CAST" if inside.eat("AS") => Copied::Cast { name, cuts: cuts(&inside) },
            "COALESCE" | "IFNULL" if inside.at(",") => Copied::Column(name),
            _ => Copied::Other,
        };
    }
    // In SQLite a string is no name here.
    let literal = item.tokens.first().is_none_or(|t| t.kind == TokenKind::Text || t.is("NULL"));
    match item.name().filter(|_| !literal && (item.is_done() || item.at("AS") || item.tokens.len() == 1)) {
        Some(name) => Copied::Column(name.name.to_lowercase()),
        None => Copied::Other,
    }
}

/// A cast to such a type takes something away in SQLite, where only the affinity counts and no size does.
fn cuts(ty: &Cursor<'_>) -> bool {
    let words: String = ty.tokens.iter().map(|t| t.text.to_uppercase()).collect();
    let any = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    any(&["INT"]) || !(words.is_empty() || any(&["CHAR", "CLOB", "TEXT", "BLOB"]))
}

/// Queries joined by UNION beyond these are taken to find rows.
const SOURCES: usize = 100;

/// How a query begins.
const QUERY: &[&str] = &["SELECT", "WITH", "TABLE", "VALUES", "("];

/// The query reads a table: it is not made of values alone, as in FROM DUAL or FROM (SELECT 1, 'a') x.
fn finds_rows(query: &Cursor<'_>, depth: usize) -> bool {
    if depth >= DEPTH {
        return true;
    }
    let (mut rest, mut seen) = (query.clone(), 0);
    while let Some(mut from) = rest.after("FROM") {
        // Each is read to its end: many would take too long.
        seen += 1;
        if seen > SOURCES {
            return true;
        }
        rest = from.clone();
        let sources = from.before(&["WHERE"]);
        let finds = match from.parentheses() {
            Some(inside) => {
                let inside = Cursor::new(inside, query.dialect);
                inside.at_any(&["TABLE", "WITH"]) || !inside.at_any(QUERY) || finds_rows(&inside, depth + 1)
            }
            None if from.at("DUAL") && query.dialect.is_mysql() => false,
            None => !counts_few(&mut from),
        };
        if finds || sources.has("JOIN") || sources.list().len() > 1 {
            return true;
        }
    }
    false
}

/// It reads generate_series(1, 10), or the like, and no table.
fn counts_few(from: &mut Cursor<'_>) -> bool {
    const FEW: u32 = 10_000;
    if !from.eat("generate_series") {
        return false;
    }
    let arguments = from.parentheses().unwrap_or_default();
    let number = |t: &Token<'_>| t.text.parse::<u32>().is_ok_and(|number| number <= FEW);
    !arguments.is_empty() && arguments.iter().all(|t| t.is(",") || t.is("-") || number(t))
}

/// The query may give fewer rows than its tables have, or a key that is there already stops some of them.
fn leaves_out(query: &Cursor<'_>) -> bool {
    const WORDS: &[&str] =
        &["WHERE", "LIMIT", "JOIN", "DISTINCT", "GROUP", "HAVING", "EXCEPT", "INTERSECT", "CONFLICT"];
    WORDS.iter().any(|word| query.mentions(word)) || (query.mentions("UNION") && !query.has("UNION ALL"))
}

fn update(mut at: Cursor<'_>, out: &mut Reading) {
    while at.eat_any(&["LOW_PRIORITY", "IGNORE", "ONLY"]).is_some() {}
    if at.eat("OR") {
        at.skip();
    }
    let filtered = filter(&at);
    // MySQL can change several tables at once; which ones is said in SET only.
    let tables = at.before(&["SET"]);
    let several = at.dialect.is_mysql() && (tables.mentions("JOIN") || tables.list().len() > 1);
    let table = at.name();
    let rows = match filtered {
        Filter::All => "all rows of the table",
        Filter::Some => "all rows that it finds",
        Filter::Few => "the rows that it names",
    };
    let on = if several { Subject::Nothing } else { about(&table) };
    out.add_with(
        Code::B10,
        severity(filtered),
        on,
        format!("{rows} are changed in one transaction, and locked until its end"),
    );
    let set = at.after("SET").map(|set| set.before(&["WHERE", "FROM", "RETURNING"]).list()).unwrap_or_default();
    let columns = set.into_iter().filter_map(|mut item| item.name()).map(|name| name.name.to_lowercase()).collect();
    out.effects.extend(table.clone().map(|table| Effect::Changes { table, columns, deletes: false }));
    out.table = table;
}

fn delete(mut at: Cursor<'_>, out: &mut Reading) {
    while at.eat_any(&["LOW_PRIORITY", "QUICK", "IGNORE"]).is_some() {}
    // MariaDB's: of a table with SYSTEM VERSIONING.
    let history = at.dialect.is_mysql() && at.eat("HISTORY");
    let filtered = match filter(&at) {
        Filter::All if history && at.has("BEFORE SYSTEM_TIME") => Filter::Some,
        filtered => filtered,
    };
    let whole = at.clone();
    let first = at.eat("FROM");
    let _ = at.eat("ONLY");
    // DELETE a, b FROM a JOIN b …, and DELETE FROM a, b USING …
    let names = match whole.dialect.is_mysql() {
        true => at.before(&["WHERE", "USING", "FROM", "ORDER", "LIMIT", "RETURNING", "BEFORE"]).names(),
        false => at.name().into_iter().collect(),
    };
    if !first && !at.has("FROM") {
        out.unclear(format!("a DELETE that can't be read: {}", whole.shown()));
    }
    let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    for table in names {
        if filtered == Filter::All {
            let shown = table.as_ref().map(ToString::to_string).unwrap_or_default();
            out.add(Code::D03, about(&table), format!("every row of {shown} is deleted"));
        }
        let message = "rows are deleted in one transaction, and locked until its end";
        out.add_with(Code::B10, severity(filtered), about(&table), message);
        let columns = Vec::new();
        out.effects.extend(table.clone().map(|table| Effect::Changes { table, columns, deletes: true }));
        out.table = out.table.take().or(table);
    }
}

/// A few rows are locked for a moment.
fn severity(filter: Filter) -> Severity {
    if filter == Filter::Few { Severity::Medium } else { Code::B10.severity() }
}

fn merge(mut at: Cursor<'_>, out: &mut Reading) {
    let _ = at.eat("INTO");
    let _ = at.eat("ONLY");
    let unfiltered = at.after("ON").is_some_and(|on| is_always_true(&on.before(&["WHEN"]), 0));
    let table = at.name();
    if unfiltered && at.has("THEN DELETE") {
        out.add(Code::D03, about(&table), "every row is deleted");
    }
    let what = if at.has("THEN DELETE") { "deleted" } else { "changed" };
    out.add(Code::B10, about(&table), format!("rows are {what} in one transaction, and locked until its end"));
    out.table = table;
}

fn truncate(mut at: Cursor<'_>, out: &mut Reading) {
    out.kind = Kind::Ddl;
    let _ = at.eat("TABLE");
    at.if_exists();
    // TRUNCATE ONLY a, ONLY b
    let names = at.list().into_iter().filter_map(|mut item| {
        let _ = item.eat("ONLY");
        item.name()
    });
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        out.add(Code::D03, Subject::Nothing, "every row of a table is deleted");
    }
    let cascades = at.ends("CASCADE");
    for name in names {
        let others = if cascades { ", and of every table that refers to it" } else { "" };
        let subject = if cascades { Subject::Nothing } else { Subject::Table(name.clone()) };
        out.add(Code::D03, subject, format!("every row of {name} is deleted{others}"));
        out.locks(Some(&name), Lock::AccessExclusive);
        out.table = out.table.take().or(Some(name));
    }
}

fn load(at: &Cursor<'_>, file: bool, out: &mut Reading) {
    let mut inside = at.clone();
    if let Some(query) = inside.parentheses() {
        let part = verb(Cursor::new(query, at.dialect), DEPTH);
        out.hazards.extend(part.hazards);
    }
    if at.mentions("PROGRAM") {
        out.unclear("it runs a program on the server");
    } else if file || !(at.has("STDIN") || at.has("STDOUT")) {
        out.unclear("it reads or writes a file on the server");
    }
    if file && at.mentions("REPLACE") {
        out.add(Code::B10, Subject::Nothing, "rows with the same key are deleted and written anew");
    }
    out.table = at.clone().name();
}

//! Statements that read or write rows; no I/O.

use super::{
    Effect, Kind, Reading, Subject, about,
    condition::{filter, is_always_true},
    scan, verb,
};
use crate::lint::{Code, cursor::Cursor, tokens::Kind as TokenKind};

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

/// Statements in the parentheses of WITH, and the one that follows them.
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
        let begins = place > 0 && at.tokens[place - 1].is("(");
        let writes = ["INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"].iter().any(|word| token.is(word));
        let called = at.tokens.get(place + 1).is_some_and(|t| t.is("("));
        let follows = level == 0 && place > 0 && (writes || token.is("SELECT")) && !at.tokens[place - 1].is("FOR");
        if !((begins && writes && !called) || follows) {
            continue;
        }
        let rest = Cursor::new(&at.tokens[place..], at.dialect);
        let statement = if begins { until_closed(&rest) } else { rest };
        let part = verb(statement, depth + 1);
        out.hazards.extend(part.hazards);
        out.effects.extend(part.effects);
        if follows {
            out.table = part.table;
            return;
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
    if runs && depth < DEPTH {
        *out = verb(at, depth + 1);
    }
}

fn select(at: &Cursor<'_>, out: &mut Reading) {
    if at.dialect.is_mysql() {
        if at.has("INTO OUTFILE") || at.has("INTO DUMPFILE") {
            out.unclear("it writes a file on the server");
        }
        if at.after("INTO").is_some_and(|into| into.tokens.first().is_some_and(|t| t.text.starts_with('@'))) {
            // The variable may hold SQL for PREPARE; what stands outside of strings is not run.
            let texts: Vec<_> = at.tokens.iter().filter(|t| t.kind == TokenKind::Text).copied().collect();
            scan::into(out, &Cursor::new(&texts, at.dialect), 0);
        }
    } else if let Some(mut into) = at.after("INTO") {
        let temporary = into.eat_any(&["TEMP", "TEMPORARY"]).is_some();
        let _ = into.eat_any(&["UNLOGGED", "TABLE"]);
        out.kind = Kind::Ddl;
        out.effects.extend(into.name().map(|table| Effect::Creates { table, temporary, columns: Vec::new() }));
    }
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
    let mut rest = at.clone();
    if rest.parentheses().is_some_and(|inside| !Cursor::new(inside, at.dialect).at_any(QUERY)) {
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
    if replaces {
        out.add(Code::B10, on, "rows with the same key are deleted and written anew");
    } else if at.has("ON DUPLICATE KEY UPDATE") || at.has("DO UPDATE") {
        out.add(Code::B10, on, "rows that are there already are changed");
    } else if at.at_any(&["WITH", "TABLE"]) || (at.at("SELECT") && finds_rows(&at, 0)) {
        out.add(Code::B10, on, "as many rows as the query finds are written in one transaction");
    }
    if let (Some(into), Some(from)) = (table, source) {
        let selected = at.before(&["FROM"]);
        let words = selected.tokens.iter().filter_map(|t| Cursor::new(std::slice::from_ref(t), at.dialect).part());
        out.effects.push(Effect::Copies {
            from,
            into,
            words: words.map(|word| word.to_lowercase()).collect(),
            filtered: loses || leaves_out(&at),
            casts: selected.mentions("CAST"),
            all: selected.mentions("*"),
        });
    }
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
            None => !(query.dialect.is_mysql() && from.at("DUAL")),
        };
        if finds || sources.has("JOIN") || sources.list().len() > 1 {
            return true;
        }
    }
    false
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
    let rows = if filtered { "all rows that it finds" } else { "all rows of the table" };
    let on = if several { Subject::Nothing } else { about(&table) };
    out.add(Code::B10, on, format!("{rows} are changed in one transaction, and locked until its end"));
    out.table = table;
}

fn delete(mut at: Cursor<'_>, out: &mut Reading) {
    while at.eat_any(&["LOW_PRIORITY", "QUICK", "IGNORE"]).is_some() {}
    let filtered = filter(&at);
    let whole = at.clone();
    let first = at.eat("FROM");
    let _ = at.eat("ONLY");
    // DELETE a, b FROM a JOIN b …, and DELETE FROM a, b USING …
    let names = match whole.dialect.is_mysql() {
        true => at.before(&["WHERE", "USING", "FROM", "ORDER", "LIMIT", "RETURNING"]).names(),
        false => at.name().into_iter().collect(),
    };
    if !first && !at.has("FROM") {
        out.unclear(format!("a DELETE that can't be read: {}", whole.shown()));
    }
    let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    for table in names {
        if !filtered {
            let shown = table.as_ref().map(ToString::to_string).unwrap_or_default();
            out.add(Code::D03, about(&table), format!("every row of {shown} is deleted"));
        }
        out.add(Code::B10, about(&table), "rows are deleted in one transaction, and locked until its end");
        out.table = out.table.take().or(table);
    }
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
    let cascades = at.mentions("CASCADE");
    for name in names {
        let others = if cascades { ", and of every table that refers to it" } else { "" };
        let subject = if cascades { Subject::Nothing } else { Subject::Table(name.clone()) };
        out.add(Code::D03, subject, format!("every row of {name} is deleted{others}"));
        out.locks.push(name.clone());
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

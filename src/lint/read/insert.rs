//! INSERT and REPLACE: whether rows are changed by it, how many, and which table they are copied from; no I/O.

use super::{
    Copied, Effect, Reading, about,
    condition::{SEPARATORS, cut, filter, joins},
    data::{DEPTH, nested},
};
use crate::lint::{
    cursor::{Clauses, Cursor},
    operation::Operation,
    tokens::{Kind as TokenKind, Token},
};

pub(super) fn insert(mut at: Cursor<'_>, replace: bool, out: &mut Reading) {
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
    let (query, clauses) = source_of(&at);
    if query.at("WITH") {
        nested(&query, DEPTH - 1, out);
    }
    let source = query.clauses(&["FROM"]).get("FROM").and_then(|mut from| from.name());
    let updates = clauses.get("ON CONFLICT").is_some_and(|conflict| conflict.clauses(&["DO UPDATE"]).has("DO UPDATE"));
    let tables = tables(&query, 0);
    // As many rows as stand here, and no more.
    let listed = tables == 0 && query.at_any(&["VALUES", "VALUE", "SET", "SELECT", "(", "DEFAULT VALUES"]);
    if replaces {
        out.does(on, Operation::Replace { listed }, at.dialect);
    } else if clauses.has("ON DUPLICATE KEY UPDATE") || updates {
        out.does(on, Operation::Upsert { listed }, at.dialect);
    } else if tables > 0 {
        let alone = tables == 1 && cut(&query, JOINED).len() == 1;
        let filter = filter(&query.clauses(CLAUSES), alone);
        out.does(on, Operation::InsertFound { filter }, at.dialect);
    }
    if let (Some(into), Some(from)) = (table, source) {
        let filtered = loses || clauses.has("ON CONFLICT") || leaves_out(&query);
        let mut selected = query.clauses(&["FROM"]).head();
        let _ = selected.eat("SELECT");
        let _ = selected.eat_any(&["ALL", "DISTINCT"]);
        let items = selected.list().into_iter().map(copied).collect();
        out.effects.push(Effect::Copies { from, into, columns, items, filtered });
    }
}

/// The query or the values, without parentheses around all of it, and what follows it.
fn source_of<'a>(at: &Cursor<'a>) -> (Cursor<'a>, Clauses<'a>) {
    const AFTER: &[&str] = &["ON CONFLICT", "ON DUPLICATE KEY UPDATE", "RETURNING"];
    let alone = |at: &Cursor<'a>| {
        let mut rest = at.clone();
        let inside = rest.parentheses().map(|inside| Cursor::new(inside, at.dialect));
        inside.filter(|_| rest.is_done() || rest.at_any(AFTER)).map(|inside| (inside, rest))
    };
    let (mut query, rest) = match alone(at) {
        Some((query, rest)) => (query, rest.clauses(AFTER)),
        None => {
            let clauses = at.clauses(AFTER);
            (clauses.head(), clauses)
        }
    };
    while let Some((inside, _)) = alone(&query) {
        query = inside;
    }
    (query, rest)
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

/// The clauses of a query, in their order.
const CLAUSES: &[&str] = &["FROM", "WHERE", "GROUP BY", "HAVING", "WINDOW", "ORDER BY", "LIMIT"];

/// How many tables a query makes its rows of; none where it is made of values, as in FROM DUAL or FROM (SELECT 1, 'a') x.
fn tables(query: &Cursor<'_>, depth: usize) -> usize {
    let parts = cut(query, JOINED);
    if depth >= DEPTH || parts.len() > SOURCES {
        return MANY;
    }
    parts.into_iter().map(|part| tables_of_part(Cursor::new(part, query.dialect), depth)).sum()
}

/// More than one.
const MANY: usize = 2;

fn tables_of_part(mut part: Cursor<'_>, depth: usize) -> usize {
    let _ = part.eat_any(&["ALL", "DISTINCT"]);
    if part.at("WITH") {
        return MANY;
    }
    if part.at("TABLE") {
        return 1;
    }
    match part.clone().parentheses() {
        Some(inside) => tables(&Cursor::new(inside, part.dialect), depth + 1),
        None => part.clauses(CLAUSES).get("FROM").map_or(0, |from| tables_from(&from, depth)),
    }
}

/// Another parenthesis may open a query or a join.
fn is_query(inside: &Cursor<'_>) -> bool {
    inside.at_any(QUERY) && (!inside.at("(") || cut(inside, JOINED).len() > 1)
}

fn tables_from(from: &Cursor<'_>, depth: usize) -> usize {
    if depth >= DEPTH {
        return MANY;
    }
    let each = cut(from, SEPARATORS).into_iter().map(|item| {
        let mut item = Cursor::new(item, from.dialect);
        let _ = item.eat("LATERAL");
        match item.parentheses().map(|inside| Cursor::new(inside, from.dialect)) {
            Some(inside) if is_query(&inside) => tables(&inside, depth + 1),
            Some(inside) => tables_from(&inside, depth + 1),
            None if item.at("DUAL") && from.dialect.is_mysql() => 0,
            None => usize::from(!counts_few(&mut item)),
        }
    });
    each.sum()
}

/// It reads generate_series(1, 10), or the like, and no table.
pub(super) fn counts_few(from: &mut Cursor<'_>) -> bool {
    const FEW: u32 = 10_000;
    if !from.eat("generate_series") {
        return false;
    }
    let arguments = from.parentheses().unwrap_or_default();
    let number = |t: &Token<'_>| t.text.parse::<u32>().is_ok_and(|number| number <= FEW);
    !arguments.is_empty() && arguments.iter().all(|t| t.is(",") || t.is("-") || number(t))
}

/// The query may give fewer rows than its first table has, or a key that is there already stops some of them.
fn leaves_out(query: &Cursor<'_>) -> bool {
    let unions = cut(query, &["UNION"]);
    let [first, others @ ..] = &unions[..] else { return true };
    // Only UNION ALL keeps every row of what stands before it, as long as no LIMIT counts them together.
    let added = others.iter().all(|part| part.first().is_some_and(|t| t.is("ALL")));
    let clauses = Cursor::new(first, query.dialect).clauses(CLAUSES);
    !added
        || query.at("WITH")
        || cut(query, &["EXCEPT", "INTERSECT"]).len() > 1
        || query.clauses(&["LIMIT"]).has("LIMIT")
        || clauses.head().at("SELECT DISTINCT")
        || clauses.get("FROM").is_some_and(|from| joins(&from))
        || ["WHERE", "GROUP BY", "HAVING"].iter().any(|it| clauses.has(it))
}

/// What joins queries to one.
const JOINED: &[&str] = &["UNION", "EXCEPT", "INTERSECT"];

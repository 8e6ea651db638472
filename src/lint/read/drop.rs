//! DROP; no I/O.

use super::{Effect, Kind, Lock, Reading, Subject, about, create, is_postgres, object};
use crate::lint::{
    Code,
    cursor::{Cursor, Name},
};

/// Reads what follows DROP.
pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    if at.at("TEMPORARY") || at.at("PREPARE") {
        // Tables and statements of this connection alone.
        at.skip();
        for table in after_if_exists(&mut at).names() {
            out.effects.push(Effect::Drops(table));
        }
        return out;
    }
    let _ = at.eat("FOREIGN") && !at.at("DATA") || at.eat("ONLINE") || at.eat("OFFLINE");
    if at.eat("TABLE") || at.eat("TABLES") {
        tables(at, &mut out);
    } else if let Some(kind) = at.eat_any(&["DATABASE", "SCHEMA"]) {
        for name in names(&mut at) {
            let shown = shown(&name);
            out.add(
                Code::D01,
                object("SCHEMA", name.map(|n| n.of_namespace())),
                format!("{} {shown} goes, with all that is in it", kind.to_lowercase()),
            );
        }
    } else if at.eat("OWNED BY") {
        out.add(Code::D01, Subject::Nothing, format!("everything that {} owns goes", at.shown()));
    } else if at.eat("INDEX") {
        index(at, &mut out);
    } else if at.eat("POLICY") {
        let name = at.clone().part().unwrap_or_default();
        let table = at.after("ON").and_then(|mut t| t.name());
        out.locks(table.as_ref(), Lock::AccessExclusive);
        out.table = table.clone();
        out.add(Code::D08, about(&table), format!("the policy {name} goes: rows are shown or hidden to others"));
    } else if at.at("ROLE") || at.at("USER") || at.at("GROUP") {
        out.add(Code::D08, Subject::Nothing, format!("{} goes, with its rights", at.shown()));
    } else if !at.eat("STATISTICS") {
        other(at, &mut out);
    }
    out
}

fn tables(mut at: Cursor<'_>, out: &mut Reading) {
    let _ = at.eat("ONLY");
    for name in names(&mut at) {
        out.add(Code::D01, about(&name), format!("the table {} goes, with all of its rows", shown(&name)));
        out.table = out.table.take().or(name.clone());
        out.locks(name.as_ref(), Lock::AccessExclusive);
        out.effects.extend(name.map(Effect::Drops));
    }
}

fn index(mut at: Cursor<'_>, out: &mut Reading) {
    out.concurrently = at.eat("CONCURRENTLY");
    let table = at.after("ON").and_then(|mut t| t.name());
    for name in names(&mut at) {
        let subject = if table.is_some() { about(&table) } else { object("INDEX", name.clone()) };
        out.add(Code::D06, subject.clone(), format!("the index {} goes: queries may become slow", shown(&name)));
        out.about_thing("INDEX", name.as_ref());
        if is_postgres(&at) && !out.concurrently {
            out.add(Code::B07, subject, "dropping an index locks its table against reads and writes".to_owned());
            out.about_thing("INDEX", name.as_ref());
        } else if at.dialect.is_mysql() && name.is_some_and(|n| n.name.eq_ignore_ascii_case("PRIMARY")) {
            out.add(Code::B06, subject, "without a primary key the table is copied while writes wait");
        }
    }
    out.table = table;
}

/// All else has a name, and things that depend on it.
fn other(mut at: Cursor<'_>, out: &mut Reading) {
    const KINDS: &[&str] = &[
        "MATERIALIZED VIEW",
        "VIEW",
        "SEQUENCE",
        "TYPE",
        "DOMAIN",
        "FUNCTION",
        "PROCEDURE",
        "ROUTINE",
        "AGGREGATE",
        "EVENT TRIGGER",
        "TRIGGER",
        "EXTENSION",
        "RULE",
        "EVENT",
        "COLLATION",
        "CONVERSION",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "OPERATOR",
        "CAST",
        "LANGUAGE",
        "PUBLICATION",
        "SUBSCRIPTION",
        "SERVER",
        "TABLESPACE",
        "TEXT SEARCH",
        "TRANSFORM",
        "USER MAPPING",
        "ACCESS METHOD",
        "DATA WRAPPER",
        "PACKAGE BODY",
        "PACKAGE",
    ];
    let Some(kind) = at.eat_any(KINDS) else {
        return out.unclear(format!("DROP {} is not known to be harmless", at.shown()));
    };
    let on_table = matches!(kind.as_str(), "TRIGGER" | "RULE");
    let table = if on_table { at.after("ON").and_then(|mut t| t.name()) } else { None };
    // Functions may share a name: which one was made here is not known.
    let many = matches!(kind.as_str(), "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE" | "CAST" | "OPERATOR");
    let cascade = if at.ends("CASCADE") { ", and all that depends on it" } else { "" };
    for name in names(&mut at) {
        let subject = match (&table, many) {
            (Some(_), _) => about(&table),
            (None, true) => object("ROUTINE", create::routine_name(&at, name.as_ref())),
            (None, false) => object(&kind, name.clone()),
        };
        // CASCADE takes the columns of that type, or of one of the extension's types, too.
        if !cascade.is_empty() && matches!(kind.as_str(), "TYPE" | "DOMAIN" | "EXTENSION" | "COLLATION") {
            let message = format!("every column that needs {} goes, with its values", shown(&name));
            out.add(Code::D02, subject.clone(), message);
        }
        if on_table && is_postgres(&at) {
            let message = format!("dropping a {} locks its table against reads and writes", kind.to_lowercase());
            out.add(Code::B07, subject.clone(), message);
            out.locks(table.as_ref(), Lock::AccessExclusive);
        }
        out.add(Code::D05, subject, format!("the {} {} goes{cascade}", kind.to_lowercase(), shown(&name)));
        // With CASCADE more goes than comes back.
        if cascade.is_empty() {
            out.about_thing(&kind, name.as_ref());
        }
    }
    out.table = table;
}

fn after_if_exists<'a, 'b>(at: &'b mut Cursor<'a>) -> &'b Cursor<'a> {
    let _ = at.eat("TABLE");
    at.if_exists();
    at
}

/// The names that are dropped; one that can't be read is dropped all the same.
fn names(at: &mut Cursor<'_>) -> Vec<Option<Name>> {
    at.if_exists();
    let names = at.names();
    if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() }
}

fn shown(name: &Option<Name>) -> String {
    name.as_ref().map_or_else(|| "(its name can't be read)".to_owned(), ToString::to_string)
}

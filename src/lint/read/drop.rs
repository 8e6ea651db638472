//! DROP; no I/O.

use super::{Effect, Kind, Reading, Subject, about, alter_table::online, create, namespace, object};
use crate::lint::{
    cursor::{Cursor, Name},
    operation::{Alteration, Operation},
    parts::Dropped,
    subject::UNREAD,
};

/// Reads what follows DROP.
pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    if at.at("TEMPORARY") || at.at("PREPARE") {
        // Tables and statements of this connection alone; they end no transaction.
        at.skip();
        out.kind = Kind::Session;
        let _ = at.eat_any(&["TABLE", "TABLES"]);
        out.effects.extend(after_if_exists(&mut at).names().into_iter().map(Effect::DropsTemporary));
        return out;
    }
    let _ = at.eat("FOREIGN") && !at.at("DATA") || at.eat("ONLINE") || at.eat("OFFLINE");
    if at.eat("TABLE") || at.eat("TABLES") {
        tables(at, &mut out);
    } else if let Some(kind) = at.eat_any(&["DATABASE", "SCHEMA"]) {
        for name in names(&mut at) {
            let operation = Operation::DropNamespace { kind: kind.to_lowercase(), shown: shown(&name) };
            out.does(object("SCHEMA", name.map(|n| n.of_namespace())), operation, at.dialect);
        }
    } else if at.eat("OWNED BY") {
        out.does(Subject::Nothing, Operation::DropOwned { by: at.shown() }, at.dialect);
    } else if at.eat("INDEX") {
        index(at, &mut out);
    } else if at.eat("POLICY") {
        at.if_exists();
        let name = at.part().unwrap_or_default();
        let table = at.eat("ON").then(|| at.name()).flatten();
        out.does(about(&table), Operation::DropPolicy { name }, at.dialect);
        out.table = table;
    } else if at.at("ROLE") || at.at("USER") || at.at("GROUP") {
        out.does(Subject::Nothing, Operation::DropRole { shown: at.shown() }, at.dialect);
    } else if !at.eat("STATISTICS") {
        other(at, &mut out);
    }
    out
}

fn tables(mut at: Cursor<'_>, out: &mut Reading) {
    at.only();
    for name in names(&mut at) {
        out.does(about(&name), Operation::DropTable { shown: shown(&name) }, at.dialect);
        out.table = out.table.take().or(name.clone());
        out.effects.extend(name.map(Effect::Drops));
    }
}

fn index(mut at: Cursor<'_>, out: &mut Reading) {
    out.concurrently = at.eat("CONCURRENTLY");
    let table = at.clauses(&["ON"]).get("ON").and_then(|mut t| t.name());
    for name in names(&mut at) {
        let subject = if table.is_some() { about(&table) } else { object("INDEX", name.clone()) };
        let operation = Operation::DropNamedIndex { name, concurrently: out.concurrently };
        out.performs(Alteration { online: online(&at), ..Alteration::of(subject, operation) }, at.dialect);
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
    let table = if on_table { at.clauses(&["ON"]).get("ON").and_then(|mut t| t.name()) } else { None };
    // Functions may share a name: which one was made here is not known.
    let many = matches!(kind.as_str(), "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE" | "CAST" | "OPERATOR");
    let cascade = at.ends("CASCADE");
    for name in names(&mut at) {
        let subject = match (&table, many) {
            (Some(_), _) => about(&table),
            (None, true) => object("ROUTINE", create::routine_name(&at, name.as_ref())),
            (None, false) => object(&kind, name.clone()),
        };
        let dropped = Dropped { cascade, of_table: on_table, ..replaced(&kind, name) };
        out.does(subject, Operation::Drop(dropped), at.dialect);
    }
    out.table = table;
}

/// It goes, and nothing with it.
pub(super) fn replaced(kind: &str, name: Option<Name>) -> Dropped {
    let shown = shown(&name);
    let thing = name.map(|name| (namespace(kind), name));
    Dropped { kind: kind.to_owned(), shown, thing, cascade: false, of_table: false }
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
    name.as_ref().map_or_else(|| UNREAD.to_owned(), ToString::to_string)
}

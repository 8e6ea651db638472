//! ALTER of anything, and MySQL's RENAME; no I/O.

use super::{Effect, Kind, Reading, Subject, alter_table, create, is_postgres, object, postgres};
use crate::lint::{Code, Severity, cursor::Cursor, tokens::Kind as TokenKind};

/// Reads a whole ALTER.
pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let (whole, mut ignores) = (at.clone(), false);
    at.skip();
    while let Some(word) = at.eat_any(&["ONLINE", "OFFLINE", "IGNORE", "FOREIGN"]) {
        ignores |= word == "IGNORE";
    }
    if at.eat("TABLE") {
        return if is_postgres(&at) { postgres::alter_table(&whole) } else { alter_table::read(at, ignores) };
    }
    create::skip_modifiers(&mut at);
    let mut out = Reading::of(Kind::Ddl);
    let Some(kind) = at.eat_any(&[
        "TYPE",
        "DOMAIN",
        "MATERIALIZED VIEW",
        "VIEW",
        "SEQUENCE",
        "INDEX",
        "SCHEMA",
        "DATABASE",
        "FUNCTION",
        "PROCEDURE",
        "ROUTINE",
        "AGGREGATE",
        "POLICY",
        "DEFAULT PRIVILEGES",
        "TRIGGER",
        "STATISTICS",
        "COLLATION",
    ]) else {
        out.unclear(format!("ALTER {} is not known to be harmless", at.shown()));
        return out;
    };
    at.if_exists();
    let name = if kind == "DEFAULT PRIVILEGES" { None } else { at.name() };
    let on = object(&kind, name.clone());
    // FUNCTION f(int) …, TRIGGER r ON t …
    let _ = at.parentheses();
    if matches!(kind.as_str(), "TRIGGER" | "POLICY") && at.eat("ON") {
        let _ = at.name();
    }
    let _ = at.eat("NO");
    if let ("TYPE", Some(of), Some(value)) = (kind.as_str(), name.clone(), added_value(&at)) {
        out.effects.push(Effect::AddsValue { of, value });
    }
    let shown = name.map(|n| n.to_string()).unwrap_or_default();
    match kind.as_str() {
        "POLICY" => out.add(Code::D08, Subject::Nothing, format!("the policy {shown} shows or hides other rows")),
        "DEFAULT PRIVILEGES" if at.mentions("REVOKE") => {
            out.add(Code::D08, Subject::Nothing, "a grant that new objects had is not given any more");
        }
        "DEFAULT PRIVILEGES" | "STATISTICS" => {}
        _ if at.at("OWNER TO") => {
            let message = format!("{shown} has another owner, who may do anything with it; the owner before may not");
            out.add_with(Code::D08, Severity::Medium, on, message);
        }
        _ if at.at("DEPENDS ON EXTENSION") => {}
        "INDEX" => index(at, on, &mut out),
        // The index of the name is all that is asked by it.
        "TRIGGER" if at.at("RENAME TO") => {}
        _ if at.at_any(&["RENAME COLUMN", "RENAME ATTRIBUTE"]) => {
            out.add(Code::C01, on, format!("clients that use this part of {shown} fail as soon as it is renamed"));
        }
        _ if at.at_any(&["RENAME", "SET SCHEMA"]) => {
            out.add(Code::C02, on, format!("clients that use {shown} fail as soon as it is renamed"));
        }
        "TYPE" => data_type(at, on, &shown, &mut out),
        "DOMAIN" => domain(at, on, &shown, &mut out),
        "MATERIALIZED VIEW" if at.at_any(&["SET TABLESPACE", "SET ACCESS METHOD"]) => {
            out.add(Code::B06, on, "the whole view is written anew while its readers wait");
        }
        "VIEW" | "MATERIALIZED VIEW" if at.at("AS") || at.mentions("DEFAULT") || at.at("SET") || at.at("RESET") => {}
        "SEQUENCE" if !at.mentions("RESTART") => {}
        "DATABASE" | "SCHEMA" if at.dialect.is_mysql() && !at.mentions("ONLY") => {}
        _ => out.unclear(format!("ALTER {kind} {} is not known to be harmless", at.shown())),
    }
    out
}

fn index(at: Cursor<'_>, on: Subject, out: &mut Reading) {
    if at.at("SET TABLESPACE") {
        out.add(Code::B06, on, "the index is written anew under a lock");
    } else if !at.at_any(&["RENAME", "SET", "RESET", "ATTACH", "ALTER"]) {
        out.unclear(format!("ALTER INDEX {} is not known to be harmless", at.shown()));
    }
}

fn data_type(at: Cursor<'_>, on: Subject, shown: &str, out: &mut Reading) {
    if at.at("ADD VALUE") {
        return out.add(Code::C05, on, format!("clients may now read a value of {shown} that they do not know"));
    }
    for mut item in at.list() {
        if item.eat("DROP ATTRIBUTE") {
            out.add(Code::D02, on.clone(), format!("the attribute {} of {shown} goes, with its values", item.shown()));
        } else if item.eat("ALTER ATTRIBUTE") {
            out.add(Code::B06, on.clone(), format!("tables that use {shown} are rewritten"));
            out.add(Code::F01, on.clone(), format!("it fails where a value of {shown} does not fit"));
        } else if !item.eat("ADD ATTRIBUTE") && !item.eat("SET (") {
            out.unclear(format!("ALTER TYPE {} is not known to be harmless", item.shown()));
        }
    }
}

/// The value, as it is written, that ADD VALUE gives to an enum.
fn added_value(at: &Cursor<'_>) -> Option<String> {
    let mut at = at.clone();
    if !at.eat("ADD VALUE") {
        return None;
    }
    let _ = at.eat("IF NOT EXISTS");
    at.tokens.first().filter(|t| t.kind == TokenKind::Text).map(|t| t.text.to_owned())
}

fn domain(mut at: Cursor<'_>, on: Subject, shown: &str, out: &mut Reading) {
    if at.at("ADD") || at.eat("SET NOT NULL") {
        out.add(Code::C04, on.clone(), format!("values that break {shown} are refused from now on"));
        if !at.has("NOT VALID") {
            out.add(Code::B03, on.clone(), format!("every table that uses {shown} is checked while writes wait"));
            out.add(Code::F01, on, format!("it fails where a value breaks {shown} already"));
        }
    } else if at.eat("DROP CONSTRAINT") {
        out.add(Code::D06, on, format!("a constraint of {shown} goes"));
    } else if at.eat("DROP NOT NULL") {
        out.add(Code::C05, on, format!("clients may now read NULL from {shown}"));
    } else if at.eat("DROP DEFAULT") {
        out.add(Code::C04, on, format!("INSERTs that count on the default of {shown} fail or write NULL"));
    } else if !at.at("VALIDATE") && !at.eat("SET DEFAULT") {
        out.unclear(format!("ALTER DOMAIN {} is not known to be harmless", at.shown()));
    }
}

/// Reads what follows MySQL's RENAME.
pub(super) fn rename(mut at: Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    if at.eat("TABLE") || at.eat("TABLES") {
        at.if_exists();
        for mut item in at.list() {
            let from = item.name();
            let _ = item.eat("TO");
            out.table = out.table.take().or(from.clone());
            alter_table::renames_table(from, item.name(), &mut out);
        }
    } else {
        out.unclear(format!("RENAME {} is not known to be harmless", at.shown()));
    }
    out
}

//! ALTER of anything, and MySQL's RENAME; no I/O.

use super::{Effect, Kind, Reading, Subject, alter_table, create, is_postgres, object, postgres};
use crate::lint::{cursor::Cursor, operation::Operation, tokens::Kind as TokenKind};

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
        "PUBLICATION",
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
    let dialect = at.dialect;
    match kind.as_str() {
        "POLICY" => out.does(Subject::Nothing, Operation::ChangePolicy { shown }, dialect),
        "DEFAULT PRIVILEGES" if at.clauses(&["REVOKE"]).has("REVOKE") => {
            out.does(Subject::Nothing, Operation::RevokeDefault, dialect);
        }
        "DEFAULT PRIVILEGES" | "STATISTICS" => {}
        _ if at.at("OWNER TO") => {
            out.does(on, Operation::ChangeOwnerOf { shown }, dialect);
        }
        _ if at.at("DEPENDS ON EXTENSION") => {}
        "PUBLICATION" if at.at_any(&["ADD TABLE", "ADD TABLES", "SET TABLE"]) => {
            out.does(Subject::Nothing, Operation::Publish, dialect);
        }
        "INDEX" => index(at, on, &mut out),
        // The index of the name is all that is asked by it.
        "TRIGGER" if at.at("RENAME TO") => {}
        _ if at.at_any(&["RENAME COLUMN", "RENAME ATTRIBUTE"]) => {
            out.does(on, Operation::RenamePart { of: shown }, dialect);
        }
        _ if at.at_any(&["RENAME", "SET SCHEMA"]) => {
            out.does(on, Operation::Rename { shown }, dialect);
        }
        "TYPE" => data_type(at, on, &shown, &mut out),
        "DOMAIN" => domain(at, on, &shown, &mut out),
        "MATERIALIZED VIEW" if at.at_any(&["SET TABLESPACE", "SET ACCESS METHOD"]) => {
            let what = "the whole view is written anew while its readers wait".to_owned();
            out.does(on, Operation::Rewrite { what }, dialect);
        }
        "VIEW" | "MATERIALIZED VIEW" if at.at("AS") || at.at("ALTER") || at.at("SET") || at.at("RESET") => {}
        "SEQUENCE" if restarts(at.clone()) => {
            out.does(on, Operation::RestartNumbers { name: shown }, dialect);
        }
        "SEQUENCE" => {}
        "DATABASE" | "SCHEMA" if at.dialect.is_mysql() && !at.clauses(&["READ ONLY"]).has("READ ONLY") => {}
        _ => out.unclear(format!("ALTER {kind} {} is not known to be harmless", at.shown())),
    }
    out
}

fn index(at: Cursor<'_>, on: Subject, out: &mut Reading) {
    if at.at("SET TABLESPACE") {
        let what = "the index is written anew under a lock".to_owned();
        out.does(on, Operation::Rewrite { what }, at.dialect);
    } else if !at.at_any(&["RENAME", "SET", "RESET", "ATTACH", "ALTER"]) {
        out.unclear(format!("ALTER INDEX {} is not known to be harmless", at.shown()));
    }
}

fn data_type(at: Cursor<'_>, on: Subject, shown: &str, out: &mut Reading) {
    if at.at("ADD VALUE") {
        return out.does(on, Operation::AddValue { to: shown.to_owned() }, at.dialect);
    }
    for mut item in at.list() {
        if item.eat("DROP ATTRIBUTE") {
            let operation = Operation::DropAttribute { name: item.shown(), of: shown.to_owned() };
            out.does(on.clone(), operation, at.dialect);
        } else if item.eat("ALTER ATTRIBUTE") {
            out.does(on.clone(), Operation::AlterAttribute { of: shown.to_owned() }, at.dialect);
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
    let name = shown.to_owned();
    let operation = if at.at("ADD") || at.eat("SET NOT NULL") {
        Operation::TightenDomain { shown: name, validated: !at.closes("NOT VALID") }
    } else if at.eat("DROP CONSTRAINT") {
        Operation::DropDomainConstraint { of: name }
    } else if at.eat("DROP NOT NULL") {
        Operation::LoosenDomain { shown: name }
    } else if at.eat("DROP DEFAULT") {
        Operation::DropDomainDefault { of: name }
    } else if at.at("VALIDATE") || at.eat("SET DEFAULT") {
        return;
    } else {
        return out.unclear(format!("ALTER DOMAIN {} is not known to be harmless", at.shown()));
    };
    out.does(on, operation, at.dialect);
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

/// One of a sequence's options. What it is owned by may have any name.
fn restarts(mut at: Cursor<'_>) -> bool {
    while !at.is_done() && !at.at("RESTART") {
        if at.eat("OWNED BY") {
            let _ = at.name();
        } else {
            at.skip();
        }
    }
    at.at("RESTART")
}

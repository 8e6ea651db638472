//! What an operation breaks for clients, and where it may fail: C01 to C06, F01, O03; no I/O.

use super::Context;
use crate::lint::{
    Code, Dialect, Severity,
    operation::Operation,
    parts::{Column, Constraint, ConstraintKind, Default, Filled, Using},
    types::{Answer, Kind, Type},
};

pub(super) fn judge(operation: &Operation, at: &mut Context<'_>) {
    match operation {
        Operation::AddColumn { column, .. } => adds(column, at),
        Operation::RenameColumn { from, .. } => renames(from, at),
        Operation::AlterType { name, ty, using } => alters(name, ty, *using, at),
        Operation::Redefine { old, column } => redefines(old, column, at),
        Operation::SetNotNull { name } if at.nullable(name) == Some(false) => {}
        Operation::SetNotNull { name } => {
            at.add(Code::F01, format!("{name} becomes NOT NULL: it fails where a row has NULL"));
            let column = name.clone();
            at.last(|hazard| hazard.not_null = vec![column]);
            at.add(Code::C04, format!("rows without {name} are refused from now on"));
        }
        Operation::DropNotNull { name } if at.nullable(name) == Some(true) => {}
        Operation::DropNotNull { name } => at.add(Code::C05, format!("clients may now read NULL from {name}")),
        Operation::DropDefault { name } => {
            at.add(Code::C04, format!("INSERTs that count on how {name} fills itself fail or write NULL"));
            let column = Some(name.clone());
            at.last(|hazard| hazard.of_default = column);
        }
        Operation::RestartNumbers { name } => at.add(Code::O02, format!("numbers of {name} may come a second time")),
        Operation::AddConstraint { constraint, .. } => constrains(constraint, at),
        Operation::EnforceConstraint => at.add(Code::F01, "it fails where a row breaks it already"),
        Operation::RenameTable { .. } => {
            let shown = at.on.shown();
            at.add(Code::C02, format!("clients that use {shown} fail as soon as it is renamed"));
        }
        Operation::MoveTable { .. } => at.add(Code::C02, "clients look for the table in its old schema"),
        Operation::Convert { loses: true, .. } => {
            at.add(Code::F01, "letters that the character set lacks are lost or refused");
        }
        Operation::EnableRowSecurity { forced: true } => {
            at.add(Code::C04, "row security holds for the table's owner too")
        }
        Operation::EnableRowSecurity { forced: false } => {
            at.add(Code::C04, "rows that no policy shows are hidden from everybody but the owner");
        }
        Operation::PublishNothing => at.add(Code::C04, "UPDATE and DELETE fail on a table that is published"),
        Operation::CreateIndex { unique: true, concurrently, columns, allows_null, .. } => {
            at.add(Code::C04, "two equal rows are refused from now on");
            // A build beside writes that fails harms nobody, but leaves an invalid index.
            let severity = if *concurrently { Severity::Medium } else { Code::F01.severity() };
            at.add_with(Code::F01, severity, "it fails where two rows are equal");
            let columns = if *allows_null { columns.clone() } else { Vec::new() };
            at.last(|hazard| hazard.unless_empty = columns);
        }
        _ => changes(operation, at),
    }
}

/// What is no table: views, types, domains, policies.
fn changes(operation: &Operation, at: &mut Context<'_>) {
    match operation {
        Operation::CreatePolicy { restrictive: true } => {
            at.add(Code::C04, "rows that the policy does not show are hidden, or refused");
        }
        Operation::Publish => {
            let message = "UPDATE and DELETE fail on published tables without a primary key or replica identity";
            at.add(Code::C04, message);
        }
        Operation::IgnoredReference { column } => at.add(Code::O03, ignored_reference(column)),
        Operation::Rename { shown } => {
            at.add(Code::C02, format!("clients that use {shown} fail as soon as it is renamed"));
        }
        Operation::RenamePart { of } => {
            at.add(Code::C01, format!("clients that use this part of {of} fail as soon as it is renamed"));
        }
        Operation::AddValue { to } => {
            at.add(Code::C05, format!("clients may now read a value of {to} that they do not know"));
        }
        Operation::AlterAttribute { of } => at.add(Code::F01, format!("it fails where a value of {of} does not fit")),
        Operation::TightenDomain { shown, validated } => {
            at.add(Code::C04, format!("values that break {shown} are refused from now on"));
            if *validated {
                at.add(Code::F01, format!("it fails where a value breaks {shown} already"));
            }
        }
        Operation::LoosenDomain { shown } => at.add(Code::C05, format!("clients may now read NULL from {shown}")),
        Operation::DropDomainDefault { of } => {
            at.add(Code::C04, format!("INSERTs that count on the default of {of} fail or write NULL"));
        }
        _ => {}
    }
}

fn renames(name: &str, at: &mut Context<'_>) {
    at.add(Code::C01, format!("clients that read or write {name} fail as soon as it is renamed"));
    let column = name.to_owned();
    at.last(|hazard| hazard.unless_own.push(column));
}

fn adds(column: &Column, at: &mut Context<'_>) {
    let name = &column.name;
    if (column.not_null || column.primary_key) && !column.fills_itself() {
        let why = match at.dialect {
            Dialect::PostgreSql => "it fails where there are rows, and so do INSERTs that leave it out",
            Dialect::Sqlite if at.copied => "the copy fails where there are rows",
            Dialect::Sqlite => "SQLite refuses it",
            _ => "old rows silently get 0 or '', and INSERTs that leave it out fail in strict mode",
        };
        at.add(Code::C03, format!("the new column {name} is required and has no default: {why}"));
    }
    if at.copied {
        return;
    }
    if at.dialect == Dialect::Sqlite {
        return adds_in_sqlite(column, at);
    }
    // MySQL takes '' or 0 where there is no default.
    let zero = at.dialect.is_mysql() && column.not_null && !column.fills_itself();
    let alike = matches!(column.default, Default::Constant | Default::Same) || zero;
    if (column.primary_key || column.unique) && alike && column.filled == Filled::No {
        at.add(Code::F01, format!("every row gets the same {name}: a key fails at two rows"));
    }
    if column.references && at.dialect == Dialect::MySql {
        at.add(Code::O03, ignored_reference(name));
    }
    is_json(name, &column.ty, at);
}

fn adds_in_sqlite(column: &Column, at: &mut Context<'_>) {
    let name = &column.name;
    let why = match &column.default {
        _ if column.filled == Filled::Stored => "it can't add a stored column",
        Default::Same | Default::PerRow(_) => "its default is not constant",
        Default::Constant if column.references => "it refers to a table and has a default, if foreign_keys is on",
        Default::Constant | Default::Nothing => "",
    };
    if !why.is_empty() {
        at.add(Code::F01, format!("SQLite refuses {name} where there are rows: {why}"));
    }
    if column.primary_key || column.unique {
        at.add(Code::F01, format!("SQLite can't add {name} as a key"));
    }
    if column.checked && column.default != Default::Nothing {
        at.add(Code::F01, format!("the CHECK of {name} is tried on every row"));
    }
}

fn ignored_reference(column: &str) -> String {
    format!("MySQL before 9.0 ignores REFERENCES in the definition of {column}: there is no foreign key")
}

fn is_json(name: &str, ty: &Type, at: &mut Context<'_>) {
    if at.dialect == Dialect::PostgreSql && ty.kind == Kind::Json {
        at.add(Code::C06, format!("{name} is json: DISTINCT, GROUP BY and = fail on it"));
    }
}

fn alters(name: &str, ty: &Type, using: Using, at: &mut Context<'_>) {
    let known = at.old_type(name).is_some();
    let fails = match at.change(name, ty).narrows {
        Answer::No => using == Using::Expression || (using == Using::Cast && !known),
        Answer::Yes | Answer::Perhaps => true,
    };
    if fails {
        at.add(Code::F01, format!("it fails where a value of {name} does not fit {}", ty.shown()));
    }
    is_json(name, ty, at);
}

/// What numbers itself is a key, and was NOT NULL before.
pub(super) fn is_key(column: &Column, nullable: Option<bool>) -> bool {
    column.filled == Filled::Numbered && nullable.is_none()
}

fn redefines(old: &str, column: &Column, at: &mut Context<'_>) {
    let name = &column.name;
    if !old.eq_ignore_ascii_case(name) {
        renames(old, at);
    }
    let narrows = at.change(old, &column.ty).narrows != Answer::No || column.loses_letters;
    // Only a copy can change what a value is: without one MySQL refuses.
    let copies = !at.online.instant && !at.online.in_place;
    let nullable = at.nullable(old);
    let tightens = column.not_null && nullable != Some(false) && !is_key(column, nullable);
    if (narrows && copies) || (tightens && !at.online.instant) {
        at.add(Code::F01, format!("it fails where a value of {name} does not fit {}", column.ty.shown()));
    }
    if tightens {
        let unless = if nullable.is_none() { "is NOT NULL: if that is new, rows" } else { "becomes NOT NULL: rows" };
        at.add(Code::C04, format!("{name} {unless} without it are refused"));
    }
    if column.checked {
        at.add(Code::F01, format!("the CHECK of {name} is tried on every row"));
    }
    if !column.not_null && (matches!(column.ty.kind, Kind::Enum | Kind::Set) || nullable == Some(false)) {
        at.add(Code::C05, format!("clients may now read values of {name} that they do not know"));
    }
}

fn constrains(constraint: &Constraint, at: &mut Context<'_>) {
    if constraint.from_index.is_some() || !constraint.enforced {
        return;
    }
    let columns = || constraint.columns.clone();
    match constraint.kind {
        ConstraintKind::Unique | ConstraintKind::PrimaryKey | ConstraintKind::Exclude => {
            at.add(Code::C04, "two equal rows are refused from now on");
            at.add(Code::F01, "it fails where two rows are equal already");
            if constraint.allows_null {
                at.last(|hazard| hazard.unless_empty = columns());
            }
        }
        ConstraintKind::Check | ConstraintKind::ForeignKey | ConstraintKind::NotNull => {
            if constraint.validated {
                at.add(Code::F01, "it fails where a row breaks it already");
                if constraint.allows_null {
                    at.last(|hazard| hazard.unless_empty = columns());
                }
            }
            at.add(Code::C04, "rows that break it are refused from now on");
        }
    }
}

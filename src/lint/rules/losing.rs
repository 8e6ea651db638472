//! What an operation loses: D01 to D08; no I/O.

use super::Context;
use crate::lint::{
    Code, Severity,
    operation::{Operation, constraint_name},
    parts::{ConstraintKind, Dropped, Filter, Using},
    subject::{CONSTRAINT, Subject, UNREAD, namespace},
    types::{Answer, Type, is_wide},
};

pub(super) fn judge(operation: &Operation, at: &mut Context<'_>) {
    match operation {
        Operation::DropColumn { name } => {
            at.add(Code::D02, format!("the column {name} goes, with its values"));
            let column = name.clone();
            at.last(|hazard| hazard.unless_own.push(column));
        }
        Operation::AlterType { name, ty, using } => narrows(name, ty, *using, at),
        Operation::Redefine { old, column } => {
            if column.loses_letters {
                at.add_with(Code::D04, Severity::High, format!("{}: {LETTERS}", column.name));
            } else {
                narrows(old, &column.ty, Using::Nothing, at);
            }
        }
        Operation::Convert { loses: true, .. } => at.add_with(Code::D04, Severity::High, LETTERS),
        Operation::DropConstraint { shown, .. } | Operation::DropIndex { shown, .. } => {
            at.add(Code::D06, format!("{shown} goes"));
            if let (Operation::DropConstraint { name: Some(name), .. }, Subject::Table(table)) = (operation, &at.on) {
                let thing = Some((CONSTRAINT, constraint_name(table, name)));
                at.last(|hazard| hazard.thing = thing);
            }
        }
        Operation::ChangeOwner { to } => {
            let message = format!("{to} owns it now, and may do anything with it; the owner before may not");
            at.add_with(Code::D08, Severity::Medium, message);
        }
        Operation::DisableRowSecurity => at.add(Code::D08, "everybody with a grant sees all rows again"),
        Operation::DropPartition { shown } => at.add(Code::D01, format!("partition {shown} goes, with its rows")),
        Operation::DiscardTablespace => at.add(Code::D01, "the file with the rows goes"),
        Operation::TruncatePartition { shown } => at.add(Code::D03, format!("the rows of partition {shown} go")),
        Operation::ExchangePartition { shown } => {
            at.add(Code::D03, format!("the rows of partition {shown} change places with another table's"));
        }
        Operation::DropHistory => at.add(Code::D03, "the history of the rows goes"),
        Operation::Delete { filter: Filter::All } => {
            let shown = at.on.shown();
            at.add(Code::D03, format!("every row of {shown} is deleted"));
        }
        Operation::Merge { all: true, deletes: true } => at.add(Code::D03, "every row is deleted"),
        Operation::Truncate { shown, cascades } => {
            let others = if *cascades { ", and of every table that refers to it" } else { "" };
            at.add(Code::D03, format!("every row of {shown} is deleted{others}"));
        }
        Operation::DropTable { shown } => at.add(Code::D01, format!("the table {shown} goes, with all of its rows")),
        Operation::ReplaceTable { shown } => {
            at.add(Code::D01, format!("CREATE OR REPLACE drops the table {shown} that is there"));
        }
        Operation::DropNamespace { kind, shown } => {
            at.add(Code::D01, format!("{kind} {shown} goes, with all that is in it"));
        }
        Operation::DropOwned { by } => at.add(Code::D01, format!("everything that {by} owns goes")),
        Operation::DropNamedIndex { name, .. } => {
            let shown = name.as_ref().map_or_else(|| UNREAD.to_owned(), ToString::to_string);
            at.add(Code::D06, format!("the index {shown} goes: queries may become slow"));
            let thing = name.clone().map(|name| (namespace("INDEX"), name));
            at.last(|hazard| hazard.thing = thing);
        }
        Operation::Drop(dropped) => drops(dropped, at),
        Operation::DropAttribute { name, of } => {
            at.add(Code::D02, format!("the attribute {name} of {of} goes, with its values"));
        }
        Operation::DropDomainConstraint { of } => at.add(Code::D06, format!("a constraint of {of} goes")),
        _ => rights(operation, at),
    }
}

fn drops(dropped: &Dropped, at: &mut Context<'_>) {
    let Dropped { kind, shown, thing, cascade, of_table: _ } = dropped;
    // CASCADE takes the columns of that type, or of one of the extension's types, too.
    if *cascade && matches!(kind.as_str(), "TYPE" | "DOMAIN" | "EXTENSION" | "COLLATION") {
        at.add(Code::D02, format!("every column that needs {shown} goes, with its values"));
    }
    let others = if *cascade { ", and all that depends on it" } else { "" };
    at.add(Code::D05, format!("the {} {shown} goes{others}", kind.to_lowercase()));
    // With CASCADE more goes than comes back.
    let thing = thing.clone().filter(|_| !cascade);
    at.last(|hazard| hazard.thing = thing);
}

/// D08: who may do what.
fn rights(operation: &Operation, at: &mut Context<'_>) {
    match operation {
        Operation::DropPolicy { name } => {
            at.add(Code::D08, format!("the policy {name} goes: rows are shown or hidden to others"));
        }
        Operation::DropRole { shown } => at.add(Code::D08, format!("{shown} goes, with its rights")),
        Operation::ChangePolicy { shown } => at.add(Code::D08, format!("the policy {shown} shows or hides other rows")),
        Operation::Revoke { shown } => at.add(Code::D08, format!("whoever had {shown} loses it")),
        Operation::RevokeDefault => at.add(Code::D08, "a grant that new objects had is not given any more"),
        Operation::ReassignAll => at.add(Code::D08, "everything gets another owner, who may do anything with it"),
        Operation::GrantToAll { shown } => {
            at.add_with(Code::D08, Severity::Medium, format!("everybody who can connect gets {shown}"));
        }
        Operation::ChangeOwnerOf { shown } => {
            let message = format!("{shown} has another owner, who may do anything with it; the owner before may not");
            at.add_with(Code::D08, Severity::Medium, message);
        }
        _ => {}
    }
}

const LETTERS: &str = "letters that the character set lacks are lost or refused";

fn narrows(name: &str, ty: &Type, using: Using, at: &mut Context<'_>) {
    let becomes = format!("{name} becomes {}", ty.shown());
    let narrows = at.change(name, ty).narrows;
    // Only a copy can change what a value is: without one MySQL refuses.
    if at.online.instant || at.online.in_place || (using != Using::Expression && at.reads_text(name, ty)) {
        return;
    }
    match (using, narrows) {
        (Using::Expression, _) => {
            at.add(Code::D04, format!("{becomes}: what USING makes of a value may be less than it was"))
        }
        (_, Answer::Yes) => {
            at.add(Code::D04, format!("{becomes}: it held more before, and values are cut, rounded or refused"))
        }
        (Using::Cast, Answer::Perhaps | Answer::No) if at.old_type(name).is_none() && !is_wide(ty) => {
            at.add(Code::D04, format!("{becomes}: a cast may cut or round values without an error"));
        }
        (_, Answer::Perhaps) => {
            let message = format!("{becomes}: unless the old type was narrower, values are cut, rounded or refused");
            at.add_with(Code::D04, Severity::High, message);
        }
        (_, Answer::No) => {}
    }
    let column = name.to_owned();
    if at.out.last().is_some_and(|hazard| hazard.code == Code::D04) {
        at.last(|hazard| hazard.unless_own.push(column));
    }
}

/// Rows that are equal to another one can't stay.
pub(super) fn makes_unique(operation: &Operation) -> bool {
    match operation {
        Operation::AddConstraint { constraint, .. } => {
            matches!(constraint.kind, ConstraintKind::Unique | ConstraintKind::PrimaryKey)
        }
        Operation::AddColumn { column, .. } | Operation::Redefine { column, .. } => column.unique || column.primary_key,
        _ => false,
    }
}

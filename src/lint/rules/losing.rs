//! What an operation loses: D01 to D08; no I/O.

use super::Context;
use crate::lint::{
    Code, Severity,
    operation::{ConstraintKind, Operation, Using, constraint_name},
    read::{CONSTRAINT, Subject},
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
        _ => {}
    }
}

const LETTERS: &str = "letters that the character set lacks are lost or refused";

fn narrows(name: &str, ty: &Type, using: Using, at: &mut Context<'_>) {
    let becomes = format!("{name} becomes {}", ty.name);
    let narrows = at.change(name, ty).narrows;
    // Only a copy can change what a value is: without one MySQL refuses.
    if at.online.instant || at.online.in_place {
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

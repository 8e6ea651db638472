//! What an operation keeps others from doing: B01 to B07; no I/O.

use super::{Context, breaking};
use crate::lint::{
    Code, Dialect, Severity,
    cursor::Name,
    hazard::Hazard,
    operation::Operation,
    parts::{Column, Constraint, ConstraintKind, Default, Filled, Filter, Using},
    subject::{Subject, namespace},
    types::{Answer, Type},
};

pub(super) fn judge(operation: &Operation, at: &mut Context<'_>) {
    match operation {
        Operation::AddColumn { column, .. } => adds(column, at),
        Operation::AlterType { name, ty, using } => alters(name, ty, *using, at),
        Operation::Redefine { old, column } => redefines(old, column, at),
        Operation::SetNotNull { name } if at.nullable(name) == Some(false) => {}
        Operation::SetNotNull { name } => {
            at.add(Code::B05, format!("{name} becomes NOT NULL: every row is read while the table is locked"));
            let name = name.clone();
            at.last(|hazard| hazard.not_null = vec![name]);
        }
        Operation::SetExpression { name } => at.add(Code::B06, format!("{name} is computed anew for every row")),
        Operation::AddConstraint { constraint, .. } => constrains(constraint, at),
        Operation::AddIndex { blocks: true, .. } => {
            at.add(Code::B01, "writes to the table wait until the index is built")
        }
        Operation::Rewrite { what } => at.add(Code::B06, what.as_str()),
        Operation::Rebuild { what } => {
            let message =
                format!("{what} rebuilds the table: writes go on, but it takes its time and space, on replicas too");
            at.add_with(Code::B06, Severity::Medium, message);
        }
        Operation::Convert { shown, .. } => at.add(Code::B06, format!("{shown} copies the table while writes wait")),
        Operation::KeepHistory => at.add(Code::B06, "the table is copied to keep its history, while writes wait"),
        Operation::DropHistory => at.add(Code::B06, "the table is copied without its history, while writes wait"),
        Operation::AttachPartition { part } => {
            at.add(Code::B07, "attaching a partition reads and locks it, and the default partition");
            if let Some(part) = part {
                let message = format!("{part} is locked, and read for rows that do not fit the partition");
                at.out.push(Hazard::new(Code::B07, Subject::Table(part.clone()), message));
                let message = format!("it fails where a row of {part} does not fit the partition");
                let hazard = Hazard::new(Code::F01, Subject::Table(part.clone()), message);
                at.out.push(Hazard { severity: Severity::Medium, ..hazard });
            }
        }
        Operation::DetachPartition { waits: true } => at.add(Code::B07, "detaching a partition locks the whole table"),
        Operation::CreateIndex { blocks: true, only, .. } => {
            let message = "writes to the table wait until the index is built";
            match only {
                true => at.add_with(Code::B01, Severity::Medium, format!("{message}, unless the table is partitioned")),
                false => at.add(Code::B01, message),
            }
        }
        Operation::DropNamedIndex { name, concurrently } => drops_index(name.as_ref(), *concurrently, at),
        Operation::Drop(dropped) if dropped.of_table && at.dialect == Dialect::PostgreSql => {
            let kind = dropped.kind.to_lowercase();
            at.add(Code::B07, format!("dropping a {kind} locks its table against reads and writes"));
        }
        Operation::AlterAttribute { of } => at.add(Code::B06, format!("tables that use {of} are rewritten")),
        Operation::TightenDomain { shown, validated: true } => {
            at.add(Code::B03, format!("every table that uses {shown} is checked while writes wait"));
        }
        _ => {
            rows(operation, at);
            locks(operation, at);
        }
    }
}

/// B10: rows of a table in use are changed. Few of them are locked for a moment.
fn rows(operation: &Operation, at: &mut Context<'_>) {
    let few = |few: bool| if few { Severity::Medium } else { Code::B10.severity() };
    let (severity, message) = match operation {
        Operation::Delete { filter } => {
            let message = "rows are deleted in one transaction, and locked until its end";
            (few(*filter == Filter::Few), message.to_owned())
        }
        Operation::Update { filter } => {
            let rows = match filter {
                Filter::All => "all rows of the table",
                Filter::Some => "all rows that it finds",
                Filter::Few => "the rows that it names",
            };
            let message = format!("{rows} are changed in one transaction, and locked until its end");
            (few(*filter == Filter::Few), message)
        }
        Operation::Merge { deletes, .. } => {
            let what = if *deletes { "deleted" } else { "changed" };
            (few(false), format!("rows are {what} in one transaction, and locked until its end"))
        }
        Operation::Replace { listed } => {
            (few(*listed), "rows with the same key are deleted and written anew".to_owned())
        }
        Operation::Upsert { listed } => (few(*listed), "rows that are there already are changed".to_owned()),
        Operation::InsertFound { filter } => {
            (few(*filter == Filter::Few), "as many rows as the query finds are written in one transaction".to_owned())
        }
        _ => return,
    };
    at.add_with(Code::B10, severity, message);
}

/// B07 and B09: what is locked for a while, and how long others wait for it.
fn locks(operation: &Operation, at: &mut Context<'_>) {
    let message = match operation {
        Operation::CreateTrigger if at.dialect != Dialect::Sqlite => "a new trigger locks its table against writes",
        Operation::CreateRule => "a new rule locks its table against reads and writes",
        Operation::CreatePartition => "a new partition locks its parent table",
        Operation::Reindex => "writes wait until the index is built anew",
        Operation::Refresh => "reads of the view wait until it is filled anew",
        Operation::ReferTo => {
            let shown = at.on.shown();
            let message = format!("writes to {shown} wait while the foreign key to it is made");
            return at.add_with(Code::B07, Severity::Low, message);
        }
        // Reads and writes go on beside the weaker ones.
        Operation::LockTable { lock } if lock.blocks_writes() => {
            let message = match &at.on {
                Subject::Table(table) => format!("everybody who needs {table} waits until the end"),
                Subject::Object(..) | Subject::Nothing => "a table is locked".to_owned(),
            };
            return at.add(Code::B07, message);
        }
        Operation::LiftLockLimit { setting } => {
            let message = format!(
                "{setting} is taken away: a later statement may wait for a table without end, and who comes after it waits too"
            );
            return at.add(Code::B09, message);
        }
        _ => return,
    };
    at.add(Code::B07, message);
}

fn drops_index(name: Option<&Name>, concurrently: bool, at: &mut Context<'_>) {
    let primary = name.is_some_and(|name| name.name.eq_ignore_ascii_case("PRIMARY"));
    if at.dialect == Dialect::PostgreSql && !concurrently {
        at.add(Code::B07, "dropping an index locks its table against reads and writes");
        let thing = name.cloned().map(|name| (namespace("INDEX"), name));
        at.last(|hazard| hazard.thing = thing);
    } else if at.dialect.is_mysql() && primary {
        at.add(Code::B06, "without a primary key the table is copied while writes wait");
    }
}

fn adds(column: &Column, at: &mut Context<'_>) {
    let name = &column.name;
    let why = match (&column.filled, &column.default, at.dialect) {
        (Filled::Stored, _, dialect) if dialect != Dialect::Sqlite => {
            "a stored generated column is computed for every row"
        }
        (Filled::Numbered, _, Dialect::Sqlite) => "",
        (Filled::Numbered, ..) => "it numbers every row",
        (_, Default::PerRow(_), Dialect::PostgreSql) => "its default gives each row a value of its own",
        (_, Default::PerRow(_), Dialect::MySql | Dialect::MariaDb) => {
            "an expression as default is computed for every row"
        }
        _ => "",
    };
    if !why.is_empty() {
        at.add(Code::B06, format!("adding {name} rewrites the table: {why}"));
    }
    // MySQL and MariaDB build it beside writes.
    if (column.primary_key || column.unique) && at.dialect == Dialect::PostgreSql {
        at.add(Code::B04, format!("the key on {name} is built while the table is locked"));
    }
    // PostgreSQL knows that NULL in every row breaks no foreign key.
    let checks_key = match at.dialect {
        Dialect::PostgreSql => !column.is_empty(),
        Dialect::MariaDb => true,
        Dialect::MySql | Dialect::Sqlite => false,
    };
    if column.references && checks_key {
        at.add(Code::B03, format!("the foreign key of {name} locks both tables while it is checked"));
    }
    if column.checked && at.dialect != Dialect::Sqlite {
        at.add(Code::B03, format!("the CHECK of {name} is tried on every row while the table is locked"));
    }
}

fn alters(name: &str, ty: &Type, using: Using, at: &mut Context<'_>) {
    let rewrites = match using {
        // The expression is computed for every row.
        Using::Expression => Answer::Yes,
        Using::Cast if at.old_type(name).is_none() => Answer::Yes,
        Using::Nothing | Using::Cast => at.change(name, ty).rewrites,
    };
    let message = format!("a new type for {name} rewrites the table under a lock");
    match rewrites {
        Answer::Yes => at.add(Code::B06, message),
        Answer::Perhaps => {
            at.add_with(Code::B06, Severity::Medium, format!("{message}, unless it is a shorter varchar now"))
        }
        Answer::No => {}
    }
}

fn redefines(old: &str, column: &Column, at: &mut Context<'_>) {
    let name = &column.name;
    let message = format!("a new type for {name} copies the table while writes wait");
    // A new type needs a copy: in place MySQL refuses it.
    let rewrites = if at.online.in_place { Answer::No } else { at.change(old, &column.ty).rewrites };
    match rewrites {
        Answer::Yes if at.old_type(old).is_none() => at.add(Code::B06, format!("{message}, unless it is the old one")),
        Answer::Yes => at.add(Code::B06, message),
        Answer::Perhaps => at.add(Code::B06, format!("{message}, unless it is a shorter varchar now")),
        Answer::No if column.loses_letters && !at.online.in_place => at.add(Code::B06, message),
        Answer::No => {}
    }
    if column.not_null {
        match at.nullable(old) {
            Some(false) => {}
            None if breaking::is_key(column, None) => {}
            Some(true) => at.add(Code::B05, format!("{name} becomes NOT NULL: the table is rebuilt")),
            None => at.add(Code::B05, format!("{name} is NOT NULL: if that is new, the table is rebuilt")),
        }
    }
}

fn constrains(constraint: &Constraint, at: &mut Context<'_>) {
    let postgres = at.dialect == Dialect::PostgreSql;
    match constraint.kind {
        ConstraintKind::PrimaryKey if constraint.from_index.is_some() => from_index(constraint, at),
        _ if constraint.from_index.is_some() => {}
        ConstraintKind::Unique if !postgres => {}
        ConstraintKind::PrimaryKey if at.dialect.is_mysql() => primary_key_in_mysql(constraint, at),
        ConstraintKind::Unique | ConstraintKind::PrimaryKey | ConstraintKind::Exclude => {
            at.add(Code::B04, "the index is built while the table is locked");
        }
        ConstraintKind::Check | ConstraintKind::ForeignKey | ConstraintKind::NotNull => {
            if constraint.validated && constraint.enforced {
                at.add(Code::B03, "every row is checked while writes wait");
            }
        }
    }
}

/// MySQL and MariaDB build a primary key beside writes, unless a column of it may be NULL: then they copy the table.
fn primary_key_in_mysql(constraint: &Constraint, at: &mut Context<'_>) {
    let nullable: Vec<Option<bool>> = constraint.columns.iter().map(|column| at.nullable(column)).collect();
    if nullable.contains(&Some(true)) {
        at.add(Code::B04, "a column of the key may be NULL: the table is copied while writes wait");
    } else if nullable.is_empty() || nullable.contains(&None) {
        let message = "the table is copied while writes wait, unless every column of the key is NOT NULL already";
        at.add_with(Code::B04, Severity::Medium, message);
    }
}

/// A primary key of an index that is there: its columns become NOT NULL where they are not.
fn from_index(constraint: &Constraint, at: &mut Context<'_>) {
    let index = constraint.from_index.clone();
    let known = index.as_ref().and_then(|index| at.before?.indexes.iter().find(|known| known.name == index.name));
    let columns = known.map(|index| index.columns.clone()).unwrap_or_default();
    if !columns.is_empty() && columns.iter().all(|column| at.nullable(column) == Some(false)) {
        return;
    }
    let why = "a column of the index that may be NULL becomes NOT NULL";
    for (code, what) in
        [(Code::B05, "every row is read while the table is locked"), (Code::F01, "it fails where a row has NULL")]
    {
        at.add(code, format!("{why}: {what}"));
        let (columns, index) = (columns.clone(), index.clone());
        at.last(|hazard| (hazard.not_null, hazard.of_index) = (columns, index));
    }
}

pub(super) fn drops_primary_key(operation: &Operation) -> bool {
    match operation {
        Operation::DropConstraint { kind, .. } => *kind == Some(ConstraintKind::PrimaryKey),
        Operation::DropIndex { name, .. } => name.eq_ignore_ascii_case("PRIMARY"),
        _ => false,
    }
}

pub(super) fn adds_primary_key(operation: &Operation) -> bool {
    match operation {
        Operation::AddConstraint { constraint, .. } => constraint.kind == ConstraintKind::PrimaryKey,
        Operation::AddColumn { column, .. } | Operation::Redefine { column, .. } => column.primary_key,
        _ => false,
    }
}

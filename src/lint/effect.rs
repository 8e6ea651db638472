//! What a statement changes for the statements after it; no I/O.

use super::{
    cursor::Name,
    hazard::Hazard,
    operation::{Alteration, Operation, constraint_name},
    parts::{Default, Filled},
    subject::CONSTRAINT,
};

/// What a statement changes for those after it.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    /// What was done since this savepoint is rolled back.
    RollbackTo(String),
    /// Where names without a schema are from now on.
    Schema(String),
    Creates {
        table: Name,
        temporary: bool,
        columns: Vec<String>,
    },
    /// A table that may also have been there before (IF NOT EXISTS).
    MayCreate(Name),
    /// A temporary table that goes with the transaction.
    DropsOnCommit(Name),
    CreatesObject(&'static str, Name),
    /// There is one of this name now, whoever made it.
    Makes(&'static str, Name),
    /// A new column; an empty one is NULL in every row.
    AddsColumn {
        table: Name,
        column: String,
        empty: bool,
        /// It has to have a value, and has one by its default.
        defaulted: bool,
    },
    RenamesColumn {
        table: Name,
        from: String,
        to: String,
    },
    /// An index of these columns, as far as they are plain ones.
    Indexes {
        table: Name,
        index: Name,
        columns: Vec<String>,
    },
    Drops(Name),
    /// A table of this connection alone, if there is one.
    DropsTemporary(Name),
    Renames {
        from: Name,
        to: Name,
    },
    /// Rows of one table go into another one, all of them unless they are filtered.
    Copies {
        from: Name,
        into: Name,
        /// What is written, in its order; empty for all columns.
        columns: Vec<String>,
        items: Vec<Copied>,
        filtered: bool,
    },
    /// Rows of others go into a table.
    Fills(Name),
    /// Rows of a table are deleted, or columns of them overwritten.
    Changes {
        table: Name,
        columns: Vec<String>,
        deletes: bool,
    },
    /// A routine of this plan, and what it does when it is called.
    Defines {
        name: Name,
        hazards: Vec<Hazard>,
        alterations: Vec<Alteration>,
    },
    /// A routine is called.
    Calls(Name),
    /// A CHECK (column IS NOT NULL) without validation.
    Checks {
        table: Name,
        constraint: String,
        column: String,
    },
    /// A constraint that old rows may break; other writers wait until the transaction ends.
    AddsUnchecked(Name),
    Validates {
        table: Name,
        constraint: String,
    },
    ForeignKeys(bool),
    /// An enum gets a value.
    AddsValue {
        of: Name,
        value: String,
    },
    /// The text of such a value stands in a later statement.
    MentionsValue(String),
}

/// What a copy of a table takes for one of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    All,
    Column(String),
    Cast {
        name: String,
        cuts: bool,
    },
    /// A value, or what is computed.
    Other,
}

impl Alteration {
    /// What the operations change for the statements after this one.
    pub fn effects(&self) -> Vec<Effect> {
        let Some(table) = &self.table else { return Vec::new() };
        self.operations.iter().flat_map(|operation| effects(table, operation)).collect()
    }
}

fn effects(table: &Name, operation: &Operation) -> Vec<Effect> {
    let table = table.clone();
    match operation {
        Operation::AddColumn { column, perhaps: false } => {
            let empty = column.is_empty();
            let defaulted = column.not_null && column.default != Default::Nothing && column.filled == Filled::No;
            vec![Effect::AddsColumn { table, column: column.name.clone(), empty, defaulted }]
        }
        Operation::RenameColumn { from, to: Some(to) } => {
            vec![Effect::RenamesColumn { table, from: from.clone(), to: to.clone() }]
        }
        Operation::RenameTable { to: Some(to) } => {
            let schema = to.schema.clone().or_else(|| table.schema.clone());
            vec![Effect::Renames { from: table, to: Name { schema, name: to.name.clone() } }]
        }
        Operation::MoveTable { schema: Some(schema) } => {
            let to = Name { schema: Some(schema.clone()), name: table.name.clone() };
            vec![Effect::Renames { from: table, to }]
        }
        Operation::AddConstraint { name, constraint } => {
            let on = table.clone();
            let unchecked =
                (!constraint.validated && constraint.enforced).then(|| Effect::AddsUnchecked(table.clone()));
            let check = name.clone().zip(constraint.not_null.clone());
            let check = check.map(|(constraint, column)| Effect::Checks { table, constraint, column });
            let made = name.clone().map(|name| Effect::Makes(CONSTRAINT, constraint_name(&on, &name)));
            unchecked.into_iter().chain(check).chain(made).collect()
        }
        Operation::ValidateConstraint { name } => vec![Effect::Validates { table, constraint: name.clone() }],
        _ => Vec::new(),
    }
}

//! What ALTER TABLE does, one operation for each action, however the dialect writes it; no I/O.

use super::{
    cursor::Name,
    read::{CONSTRAINT, Effect},
    types::Type,
};

pub(super) use super::catalog::ConstraintKind;

/// The operations of one statement on one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Alteration {
    pub table: Option<Name>,
    pub operations: Vec<Operation>,
    pub online: Online,
    /// SQLite's batch mode: the table is copied with all of the changes.
    pub copied: bool,
}

/// MySQL's ALGORITHM and LOCK: what can't be done that way fails, and blocks nobody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Online {
    /// INSTANT or NOCOPY.
    pub instant: bool,
    pub in_place: bool,
    pub copy: bool,
    /// LOCK=NONE.
    pub unlocked: bool,
    /// LOCK=SHARED or EXCLUSIVE.
    pub locked: bool,
    /// What would stop it is cut or deleted.
    pub ignores: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    AddColumn {
        column: Column,
        perhaps: bool,
    },
    DropColumn {
        name: String,
    },
    RenameColumn {
        from: String,
        to: Option<String>,
    },
    AlterType {
        name: String,
        ty: Type,
        using: Using,
    },
    /// MySQL's MODIFY and CHANGE: the whole definition, whatever of it is new.
    Redefine {
        old: String,
        column: Column,
    },
    SetNotNull {
        name: String,
    },
    DropNotNull {
        name: String,
    },
    SetDefault,
    /// The column no longer fills itself.
    DropDefault {
        name: String,
    },
    SetExpression {
        name: String,
    },
    RestartNumbers {
        name: String,
    },
    AddConstraint {
        name: Option<String>,
        constraint: Constraint,
    },
    EnforceConstraint,
    ValidateConstraint {
        name: String,
    },
    DropConstraint {
        name: Option<String>,
        kind: Option<ConstraintKind>,
        shown: String,
    },
    DropIndex {
        name: String,
        shown: String,
    },
    AddIndex {
        blocks: bool,
    },
    RenameTable {
        to: Option<Name>,
    },
    MoveTable {
        schema: Option<String>,
    },
    /// Every row is written anew.
    Rewrite {
        what: String,
    },
    /// Every row is written anew beside reads and writes.
    Rebuild {
        what: String,
    },
    /// Another character set; it may lack letters.
    Convert {
        shown: String,
        loses: bool,
    },
    ChangeOwner {
        to: String,
    },
    EnableRowSecurity {
        forced: bool,
    },
    DisableRowSecurity,
    PublishNothing,
    AttachPartition {
        part: Option<Name>,
    },
    DetachPartition {
        waits: bool,
    },
    DropPartition {
        shown: String,
    },
    TruncatePartition {
        shown: String,
    },
    ExchangePartition {
        shown: String,
    },
    DiscardTablespace,
    KeepHistory,
    DropHistory,
    /// A trigger or rule is switched on or off.
    SwitchTrigger,
    /// What the planner or the storage goes by, and no row has to be looked at for.
    Tune,
    /// Anything else that only the catalog says.
    Define,
}

/// How values get their new type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Using {
    Nothing,
    /// A cast of the column's whole value.
    Cast,
    /// An expression that may be less than the value.
    Expression,
}

/// A constraint of a table.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    pub kind: ConstraintKind,
    /// Those that are plain columns.
    pub columns: Vec<String>,
    /// Old rows are looked at now.
    pub validated: bool,
    /// MySQL's NOT ENFORCED.
    pub enforced: bool,
    /// A row with NULL breaks nothing.
    pub allows_null: bool,
    /// The index that becomes the constraint's.
    pub from_index: Option<Name>,
    /// CHECK (column IS NOT NULL)
    pub not_null: Option<String>,
}

/// A column's definition.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub ty: Type,
    pub not_null: bool,
    pub primary_key: bool,
    pub unique: bool,
    pub default: Default,
    pub filled: Filled,
    pub references: bool,
    pub checked: bool,
    /// Its character set lacks letters.
    pub loses_letters: bool,
}

/// The DEFAULT of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// There is none, or it is NULL.
    Nothing,
    Constant,
    /// It is computed, once for all rows.
    Same,
    /// It is computed for each row, by this.
    PerRow(String),
}

/// How else the database fills a column itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    No,
    /// AUTO_INCREMENT, serial, identity.
    Numbered,
    Stored,
    Virtual,
}

impl Column {
    pub fn fills_itself(&self) -> bool {
        self.filled != Filled::No || self.default != Default::Nothing
    }

    /// Every row has NULL there once it is added.
    pub fn is_empty(&self) -> bool {
        !self.not_null && !self.primary_key && !self.fills_itself()
    }
}

impl Alteration {
    /// What the operations change for the statements after this one.
    pub fn effects(&self) -> Vec<Effect> {
        let Some(table) = &self.table else { return Vec::new() };
        self.operations.iter().flat_map(|operation| effects(table, operation)).collect()
    }
}

/// A constraint's name with its table's before it.
pub(super) fn constraint_name(table: &Name, name: &str) -> Name {
    Name { schema: Some(table.to_string()), name: name.to_lowercase() }
}

fn effects(table: &Name, operation: &Operation) -> Vec<Effect> {
    let table = table.clone();
    match operation {
        Operation::AddColumn { column, perhaps: false } => {
            let empty = column.is_empty();
            vec![Effect::AddsColumn { table, column: column.name.clone(), empty }]
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

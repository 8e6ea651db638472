//! What operations are made of: columns, constraints, how many rows, what is dropped; no I/O.

use super::{cursor::Name, types::Type};

pub(super) use super::catalog::ConstraintKind;

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

impl Constraint {
    /// One that every row is tried on now.
    pub fn of(kind: ConstraintKind) -> Self {
        Self {
            kind,
            columns: Vec::new(),
            validated: true,
            enforced: true,
            allows_null: false,
            from_index: None,
            not_null: None,
        }
    }
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

impl Column {
    /// A column of which no more is said than its name and its type.
    pub fn new(name: String, ty: Type, filled: Filled) -> Self {
        Self {
            name,
            ty,
            not_null: false,
            primary_key: false,
            unique: false,
            default: Default::Nothing,
            filled,
            references: false,
            checked: false,
            loses_letters: false,
        }
    }
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

/// How many rows a statement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    All,
    Some,
    /// Those with one value, of a list, between two bounds, or up to a LIMIT.
    Few,
}

/// A view, sequence, type, function, trigger, or the like that goes.
#[derive(Clone, Debug)]
pub(super) struct Dropped {
    pub kind: String,
    pub shown: String,
    /// What another of that name takes the place of.
    pub thing: Option<(&'static str, Name)>,
    /// All that depends on it goes too.
    pub cascade: bool,
    /// It is part of a table, which is locked for it.
    pub of_table: bool,
}

//! What the database has before the plan: tables, columns, constraints, indexes. Whoever knows it gives it to the
//! linter; the walk over a plan changes it with each statement, so that a second change sees the first; no I/O.

mod objects;
mod relations;

pub use objects::of_objects;
pub use relations::Relations;

use serde::Deserialize;
use std::collections::HashMap;

/// Tables by name, such as `orders` or `app.orders`, as [`super::Input::rows`] has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Catalog {
    pub tables: HashMap<String, Table>,
    /// What is there by name, and so what is not.
    #[serde(skip)]
    pub relations: Relations,
}

/// A table as it is before the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    pub columns: Vec<Column>,
    pub constraints: Vec<Constraint>,
    pub indexes: Vec<Index>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    /// As the server writes it: PostgreSQL's format_type(), MySQL's COLUMN_TYPE. Nothing where it is not known.
    #[serde(default, rename = "type")]
    pub ty: Option<String>,
    #[serde(default)]
    pub nullable: Option<bool>,
    #[serde(default)]
    pub default: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    pub name: String,
    pub kind: ConstraintKind,
    #[serde(default)]
    pub columns: Vec<String>,
    /// The table that a foreign key refers to.
    #[serde(default)]
    pub references: Option<String>,
    /// Rows go, or lose a value, with the row that they refer to.
    #[serde(default)]
    pub cascades: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    Check,
    Unique,
    PrimaryKey,
    ForeignKey,
    Exclude,
    NotNull,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    pub name: String,
    #[serde(default)]
    pub columns: Vec<String>,
    #[serde(default)]
    pub unique: bool,
}

impl Table {
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    fn column_mut(&mut self, name: &str) -> Option<&mut Column> {
        self.columns.iter_mut().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn add(&mut self, column: Column) {
        self.drop(&column.name);
        self.columns.push(column);
    }

    pub(super) fn drop(&mut self, name: &str) {
        self.columns.retain(|column| !column.name.eq_ignore_ascii_case(name));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(column) = self.column_mut(from) {
            to.clone_into(&mut column.name);
        }
    }

    pub(super) fn set_type(&mut self, name: &str, ty: &str) {
        if let Some(column) = self.column_mut(name) {
            column.ty = Some(ty.to_owned());
        }
    }

    pub(super) fn set_nullable(&mut self, name: &str, nullable: bool) {
        if let Some(column) = self.column_mut(name) {
            column.nullable = Some(nullable);
        }
    }

    /// Takes what somebody says of a column, as far as nothing is known of it.
    pub(super) fn learn(&mut self, said: Column) {
        match self.column_mut(&said.name) {
            Some(column) => {
                column.ty = column.ty.take().or(said.ty);
                column.nullable = column.nullable.or(said.nullable);
            }
            None => self.columns.push(said),
        }
    }
}

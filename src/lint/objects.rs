//! What a plan makes, drops and renames: what it made itself can't lose anybody's rows or block anybody; no I/O.

use super::{
    Dialect,
    cursor::Name,
    read::{Effect, Subject},
};
use std::collections::{HashMap, HashSet};

/// A name with its schema.
pub(super) type Key = (String, String);

#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Where names without a schema are.
    schema: String,
    /// Tables that this plan made.
    made: HashSet<Key>,
    /// Tables of this session alone; only a name without a schema means them.
    temporary: HashSet<String>,
    /// Other things that this plan made.
    others: HashSet<Key>,
    /// Tables that were there before and that this plan dropped.
    dropped: HashSet<Key>,
    /// Columns of tables, where this plan shows them.
    columns: HashMap<Key, Vec<String>>,
    /// CHECK (column IS NOT NULL) by table and constraint, and the columns for which one was validated.
    checks: HashMap<(Key, String), String>,
    not_null: HashSet<(Key, String)>,
}

impl Objects {
    pub fn new(dialect: Dialect) -> Self {
        let schema = match dialect {
            Dialect::PostgreSql => "public",
            Dialect::Sqlite => "main",
            Dialect::MySql | Dialect::MariaDb => "",
        };
        Self { schema: schema.to_owned(), ..Self::default() }
    }

    pub fn key(&self, name: &Name) -> Key {
        (name.schema.clone().unwrap_or_else(|| self.schema.clone()), name.name.clone())
    }

    /// A table of this session alone.
    pub fn temporary(&self, name: &Name) -> bool {
        name.schema.as_ref().is_none_or(|schema| schema == "pg_temp" || schema == "temp")
            && self.temporary.contains(&name.name)
    }

    /// This plan made it, so nobody else uses it yet.
    pub fn made(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Table(name) => self.temporary(name) || self.made.contains(&self.key(name)),
            Subject::Object(name) => self.others.contains(&self.key(name)),
            Subject::Nothing => false,
        }
    }

    /// A validated CHECK of this plan says that the column is not NULL.
    pub fn not_null(&self, subject: &Subject, column: &str) -> bool {
        match subject {
            Subject::Table(name) => self.not_null.contains(&(self.key(name), column.to_owned())),
            Subject::Object(_) | Subject::Nothing => false,
        }
    }

    /// The columns of a table, if this plan made the table in its present form.
    pub fn columns(&self, table: &Name) -> Option<&[String]> {
        self.columns.get(&self.key(table)).map(Vec::as_slice)
    }

    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Schema(schema) => self.schema = schema.clone(),
            // What was made is gone, as far as can be known.
            Effect::Rollback => *self = Self { schema: std::mem::take(&mut self.schema), ..Self::default() },
            Effect::Creates { table, temporary: true, .. } => {
                self.temporary.insert(table.name.clone());
            }
            Effect::Creates { table, columns, .. } => {
                let key = self.key(table);
                self.columns.insert(key.clone(), columns.clone());
                self.made.insert(key);
            }
            Effect::CreatesObject(name) => {
                self.others.insert(self.key(name));
            }
            Effect::Drops(table) => self.drops(table),
            Effect::Renames { from, to } => self.renames(from, to),
            Effect::Checks { table, constraint, column } => {
                self.checks.insert((self.key(table), constraint.clone()), column.clone());
            }
            Effect::Validates { table, constraint } => {
                let key = self.key(table);
                let column = self.checks.get(&(key.clone(), constraint.clone())).cloned();
                self.not_null.extend(column.map(|column| (key, column)));
            }
            Effect::Begin | Effect::Commit | Effect::Copies { .. } | Effect::ForeignKeys(_) => {}
        }
    }

    fn drops(&mut self, table: &Name) {
        let key = self.key(table);
        if (table.schema.is_none() && self.temporary.remove(&table.name)) || self.made.remove(&key) {
            return;
        }
        self.columns.remove(&key);
        self.dropped.insert(key);
    }

    /// The mark goes with the table; but what takes the place of a table that was there has taken its rows too.
    fn renames(&mut self, from: &Name, to: &Name) {
        let (from, key) = (self.key(from), self.key(to));
        if let Some(columns) = self.columns.remove(&from) {
            self.columns.insert(key.clone(), columns);
        }
        let made = self.made.remove(&from);
        if made && !self.dropped.contains(&key) {
            self.made.insert(key);
        } else {
            self.made.remove(&key);
            self.others.remove(&(String::new(), key.0));
        }
        if !made {
            self.dropped.insert(from);
        }
    }
}

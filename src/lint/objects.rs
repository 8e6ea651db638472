//! What a plan makes, drops and renames: what it made itself can't lose anybody's rows or block anybody; no I/O.

use super::{Dialect, cursor::Name, effect::Effect, subject::Subject};
use std::collections::{HashMap, HashSet};

/// A name with its schema.
pub(super) type Key = (String, String);

#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    /// Where names without a schema are.
    schema: String,
    /// Where only tables of this session are.
    own_schema: Option<&'static str>,
    /// Tables that this plan made.
    made: HashSet<Key>,
    /// Tables that this plan made unless they were there: only their rows may be somebody's.
    perhaps: HashSet<Key>,
    /// Tables of this session alone; only a name without a schema means them.
    temporary: HashSet<String>,
    /// Other things that this plan made.
    others: HashSet<(&'static str, Key)>,
    /// Tables that were there before and that this plan dropped.
    dropped: HashSet<Key>,
    /// Columns of tables, where this plan shows them.
    columns: HashMap<Key, Vec<String>>,
    /// CHECK (column IS NOT NULL) by table and constraint, and the columns for which one was validated.
    checks: HashMap<(Key, String), String>,
    not_null: HashSet<(Key, String)>,
    /// Temporary tables that go with the transaction.
    until_commit: Vec<String>,
    /// What was known at each savepoint.
    savepoints: Vec<(String, Objects)>,
    /// Columns that this plan added, and those of them that nothing has filled since.
    added: HashSet<(Key, String)>,
    empty: HashSet<(Key, String)>,
    /// Those of them that are NOT NULL and have a default.
    defaulted: HashSet<(Key, String)>,
    /// Columns of indexes that this plan made.
    indexes: HashMap<Key, Vec<String>>,
}

/// More savepoints than this are not told apart: each keeps all that was known.
const SAVEPOINTS: usize = 8;
/// To keep more than this for each savepoint would take forever on a hostile text.
const KEPT: usize = 1_000;

impl Objects {
    pub fn new(dialect: Dialect) -> Self {
        let (schema, own_schema) = match dialect {
            Dialect::PostgreSql => ("public", Some("pg_temp")),
            Dialect::Sqlite => ("main", Some("temp")),
            Dialect::MySql | Dialect::MariaDb => ("", None),
        };
        Self { schema: schema.to_owned(), own_schema, ..Self::default() }
    }

    pub fn key(&self, name: &Name) -> Key {
        (name.schema.clone().unwrap_or_else(|| self.schema.clone()), name.name.clone())
    }

    /// A table of this session alone.
    pub fn temporary(&self, name: &Name) -> bool {
        match name.schema.as_deref() {
            None => self.temporary.contains(&name.name),
            Some(schema) => Some(schema) == self.own_schema,
        }
    }

    /// This plan made it, so nobody else uses it yet.
    pub fn made(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Table(name) => self.temporary(name) || self.made.contains(&self.key(name)),
            Subject::Object(kind, name) => self.others.contains(&(*kind, self.key(name))),
            Subject::Nothing => false,
        }
    }

    /// This plan made it, or it was there already.
    pub fn perhaps_made(&self, subject: &Subject) -> bool {
        matches!(subject, Subject::Table(name) if self.perhaps.contains(&self.key(name)))
    }

    /// A validated CHECK of this plan says that the column is not NULL.
    pub fn not_null(&self, subject: &Subject, column: &str) -> bool {
        match subject {
            Subject::Table(name) => self.not_null.contains(&(self.key(name), column.to_owned())),
            Subject::Object(..) | Subject::Nothing => false,
        }
    }

    /// This plan added each of these columns to the table.
    pub fn own_columns(&self, subject: &Subject, columns: &[String]) -> bool {
        let Subject::Table(table) = subject else { return false };
        let key = self.key(table);
        !columns.is_empty() && columns.iter().all(|column| self.added.contains(&(key.clone(), column.to_lowercase())))
    }

    /// This plan added the column, NOT NULL and with a default.
    pub fn required(&self, subject: &Subject, column: &str) -> bool {
        let Subject::Table(table) = subject else { return false };
        self.defaulted.contains(&(self.key(table), column.to_lowercase()))
    }

    /// The columns of an index that this plan made.
    pub fn index_columns(&self, index: &Name) -> &[String] {
        self.indexes.get(&self.key(index)).map(Vec::as_slice).unwrap_or_default()
    }

    /// One of these columns of the table is NULL in every row.
    pub fn empty(&self, subject: &Subject, columns: &[String]) -> bool {
        let Subject::Table(table) = subject else { return false };
        let key = self.key(table);
        columns.iter().any(|column| self.empty.contains(&(key.clone(), column.to_lowercase())))
    }

    /// Columns of this table may have values now; of any table where it is not known which one.
    pub fn fills(&mut self, subject: &Subject) {
        match subject {
            Subject::Table(table) => {
                let key = self.key(table);
                self.empty.retain(|(table, _)| *table != key);
            }
            Subject::Object(..) | Subject::Nothing => self.empty.clear(),
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
            Effect::Savepoint(name) => self.saves(name),
            Effect::RollbackTo(name) => self.rolls_back_to(name),
            Effect::Begin => self.savepoints.clear(),
            Effect::Commit => self.commits(),
            Effect::MayCreate(table) => {
                let key = self.key(table);
                if !self.made.contains(&key) {
                    self.perhaps.insert(key);
                }
            }
            Effect::DropsOnCommit(table) => self.until_commit.push(table.name.clone()),
            Effect::Creates { table, temporary: true, .. } => {
                self.temporary.insert(table.name.clone());
            }
            Effect::Creates { table, columns, .. } => {
                let key = self.key(table);
                self.columns.insert(key.clone(), columns.clone());
                self.made.insert(key);
            }
            Effect::CreatesObject(kind, name) => {
                self.others.insert((kind, self.key(name)));
            }
            Effect::Drops(table) => self.drops(table),
            Effect::DropsTemporary(table) => {
                self.temporary.remove(&table.name);
            }
            Effect::Renames { from, to } => self.renames(from, to),
            Effect::AddsColumn { table, column, empty, defaulted } => {
                let column = (self.key(table), column.to_lowercase());
                if *defaulted {
                    self.defaulted.insert(column.clone());
                }
                if *empty {
                    self.empty.insert(column.clone());
                }
                self.added.insert(column);
            }
            Effect::RenamesColumn { table, from, to } => {
                let key = self.key(table);
                if self.added.remove(&(key.clone(), from.to_lowercase())) {
                    self.added.insert((key, to.to_lowercase()));
                }
            }
            Effect::Indexes { index, columns, .. } => {
                self.indexes.insert(self.key(index), columns.clone());
            }
            Effect::Checks { table, constraint, column } => {
                self.checks.insert((self.key(table), constraint.clone()), column.clone());
            }
            Effect::Validates { table, constraint } => {
                let key = self.key(table);
                let column = self.checks.get(&(key.clone(), constraint.clone())).cloned();
                self.not_null.extend(column.map(|column| (key, column)));
            }
            Effect::Copies { .. }
            | Effect::Fills(_)
            | Effect::Changes { .. }
            | Effect::Makes(..)
            | Effect::Defines { .. }
            | Effect::Calls(_)
            | Effect::ForeignKeys(_)
            | Effect::AddsUnchecked(_)
            | Effect::AddsValue { .. }
            | Effect::MentionsValue(_) => {}
        }
    }

    fn commits(&mut self) {
        self.savepoints.clear();
        for table in std::mem::take(&mut self.until_commit) {
            self.temporary.remove(&table);
        }
    }

    fn saves(&mut self, name: &str) {
        if self.made.len() + self.perhaps.len() + self.others.len() + self.dropped.len() > KEPT {
            return self.savepoints.clear();
        }
        let before = std::mem::take(&mut self.savepoints);
        let known = self.clone();
        self.savepoints = before;
        if self.savepoints.len() == SAVEPOINTS {
            self.savepoints.remove(0);
        }
        self.savepoints.push((name.to_owned(), known));
    }

    /// What was made since is gone; all of it, where the savepoint is not known.
    fn rolls_back_to(&mut self, name: &str) {
        let Some(at) = self.savepoints.iter().rposition(|(saved, _)| saved.eq_ignore_ascii_case(name)) else {
            return self.apply(&Effect::Rollback);
        };
        let mut savepoints = std::mem::take(&mut self.savepoints);
        savepoints.truncate(at + 1);
        if let Some((_, known)) = savepoints.last() {
            *self = known.clone();
        }
        self.savepoints = savepoints;
    }

    fn drops(&mut self, table: &Name) {
        let key = self.key(table);
        self.perhaps.remove(&key);
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
        if self.perhaps.remove(&from) {
            self.perhaps.insert(key.clone());
        } else {
            self.perhaps.remove(&key);
        }
        let made = self.made.remove(&from);
        if made && !self.dropped.contains(&key) {
            self.made.insert(key);
        } else {
            self.made.remove(&key);
            self.others.remove(&("SCHEMA", (String::new(), key.0)));
        }
        if !made {
            self.dropped.insert(from);
        }
    }
}

//! SQLite's way to change a table: make a copy, drop the table, give the copy its name. One change, not a drop, as
//! long as the rows are in the copy; no I/O.

use super::{
    Code, Dialect, Severity,
    cursor::Name,
    effect::{Copied, Effect},
    hazard::Hazard,
    objects::{Key, Objects},
    reading::Reading,
    subject::Subject,
};
use std::collections::{HashMap, HashSet};

/// Which copies hold the rows of which tables.
pub(super) struct Rebuild<'a> {
    dialect: Dialect,
    /// Tables that are renamed in the plan, and where.
    renames: HashMap<(&'a Name, &'a Name), usize>,
    copies: HashMap<Key, Copy<'a>>,
    /// The table whose rows a copy holds.
    originals: HashMap<Key, Key>,
    /// Copies whose original is gone: their rows are the only ones.
    only: HashSet<Key>,
    foreign_keys: bool,
}

/// A table whose rows were written to a new one.
struct Copy<'a> {
    into: &'a Name,
    columns: &'a [String],
    items: &'a [Copied],
    filtered: bool,
    /// What happened to the copy afterwards.
    lost: Vec<(Code, String)>,
}

impl<'a> Rebuild<'a> {
    pub fn new(dialect: Dialect, effects: impl Iterator<Item = (usize, &'a Effect)>) -> Self {
        let renames = effects.filter_map(|(at, effect)| match effect {
            Effect::Renames { from, to } => Some(((from, to), at)),
            _ => None,
        });
        Self {
            dialect,
            renames: renames.collect(),
            copies: HashMap::new(),
            originals: HashMap::new(),
            only: HashSet::new(),
            foreign_keys: false,
        }
    }

    /// The plan made the table, but its rows are those of one that was there and is gone.
    pub fn holds_the_only_rows(&self, subject: &Subject, objects: &Objects) -> bool {
        matches!(subject, Subject::Table(table) if !self.only.is_empty() && self.only.contains(&objects.key(table)))
    }

    /// Remembers what a statement does to copies.
    pub fn apply(&mut self, effect: &'a Effect, objects: &Objects, in_transaction: bool) {
        match effect {
            // In a transaction SQLite does nothing: what was on stays on.
            Effect::ForeignKeys(on) => self.foreign_keys = *on || (self.foreign_keys && in_transaction),
            Effect::Copies { from, into, columns, items, filtered } => {
                let copy = Copy { into, columns, items, filtered: *filtered, lost: Vec::new() };
                self.originals.insert(objects.key(into), objects.key(from));
                self.copies.insert(objects.key(from), copy);
            }
            Effect::Changes { table, columns, deletes } => self.changes(&objects.key(table), columns, *deletes),
            Effect::Creates { table, .. } | Effect::Drops(table) => {
                let original = self.originals.remove(&objects.key(table));
                original.and_then(|original| self.copies.remove(&original));
            }
            Effect::Renames { from, .. } => {
                self.only.remove(&objects.key(from));
            }
            // Which copies are from before the savepoint is not known here: a drop is a drop then.
            Effect::Rollback | Effect::RollbackTo(_) => {
                self.copies.clear();
                self.originals.clear();
            }
            _ => {}
        }
    }

    fn changes(&mut self, table: &Key, columns: &[String], deletes: bool) {
        let copy = self.originals.get(table).and_then(|original| self.copies.get_mut(original));
        let Some(copy) = copy.filter(|copy| copy.lost.len() < MOST) else { return };
        let into = copy.into;
        if deletes {
            copy.lost.push((Code::D03, format!("rows are deleted from {into}, the copy, before the table is dropped")));
        }
        let copied = |column: &&String| copy.columns.is_empty() || copy.columns.contains(*column);
        if let Some(column) = columns.iter().find(copied) {
            copy.lost
                .push((Code::D04, format!("{column} is overwritten in {into}, the copy, before the table is dropped")));
        }
    }

    /// What dropping a table means whose rows a copy has taken that gets its name later.
    pub fn judge(&mut self, at: usize, reading: &Reading, objects: &Objects) -> Option<Vec<Hazard>> {
        let [Effect::Drops(table)] = &reading.effects[..] else { return None };
        let copy = self.copies.get(&objects.key(table))?;
        // The copy gets the table's name afterwards, or has it since the table got another one.
        let rename = *self.renames.get(&(copy.into, table))?;
        let fresh = objects.made(&Subject::Table(copy.into.clone()));
        if self.dialect != Dialect::Sqlite || !fresh {
            return None;
        }
        let moved = rename < at;
        let mut hazards = self.hazards(table, if moved { copy.into } else { table }, copy, objects);
        if moved {
            let message = format!(
                "foreign keys, views and triggers of others follow the rename to {table}, unless legacy_alter_table is on: they name what is gone"
            );
            hazards.push(Hazard::new(Code::C04, Subject::Table(table.clone()), message));
        }
        self.only.insert(objects.key(copy.into));
        Some(hazards)
    }

    fn hazards(&self, table: &Name, shown: &Name, copy: &Copy<'_>, objects: &Objects) -> Vec<Hazard> {
        let mut out = Vec::new();
        let mut add = |code, message| out.push(Hazard::new(code, Subject::Table(table.clone()), message));
        let kept = objects.columns(copy.into).unwrap_or_default().join(", ");
        let gone = if kept.is_empty() { String::new() } else { format!("; columns other than {kept} are gone") };
        add(Code::B06, format!("{shown} is copied to change it, and locked meanwhile{gone}"));
        if self.foreign_keys {
            let why = "foreign_keys is on: rows of tables that refer to it are deleted by their ON DELETE CASCADE";
            add(Code::D07, format!("{table} is dropped while {why}"));
        }
        if copy.filtered {
            add(Code::D03, format!("rows of {table} that the copy leaves out are gone"));
        }
        for (code, message) in &copy.lost {
            add(*code, message.clone());
        }
        out.extend(values(table, copy, objects));
        out
    }
}

/// More changes of one copy say nothing new.
const MOST: usize = 100;

/// What becomes of the columns' values in the copy.
fn values(table: &Name, copy: &Copy<'_>, objects: &Objects) -> Vec<Hazard> {
    let known = objects.columns(table);
    let targets = if copy.columns.is_empty() { objects.columns(copy.into).unwrap_or_default() } else { copy.columns };
    let on = || Subject::Table(table.clone());
    let (mut out, mut taken) = (Vec::new(), HashSet::new());
    for (place, item) in copy.items.iter().enumerate() {
        let target = targets.get(place).map(String::as_str);
        match item {
            Copied::All => return out,
            Copied::Column(name) | Copied::Cast { name, .. } => {
                if let Copied::Cast { cuts: true, .. } = item {
                    out.push(Hazard::new(
                        Code::D04,
                        on(),
                        format!("values of {name} are cast, and may be cut without an error"),
                    ));
                }
                if !taken.insert(name.as_str()) {
                    let target = target.unwrap_or("another column");
                    out.push(Hazard::new(Code::D04, on(), format!("{target} gets the values of {name} in the copy")));
                } else if target.is_some_and(|target| target != name) {
                    out.push(Hazard::new(
                        Code::C01,
                        on(),
                        format!("clients that read or write {name} fail as soon as it is renamed"),
                    ));
                }
            }
            Copied::Other => {
                let Some(target) = target else { continue };
                let replaced = known.map(|known| known.iter().any(|column| column == target));
                let (severity, unless) = match replaced {
                    Some(false) => continue,
                    Some(true) => (Severity::Critical, ""),
                    None => (Severity::High, ", unless the column is new"),
                };
                let message = format!("{target} gets other values in the copy: those of {table} are gone{unless}");
                out.push(Hazard { severity, ..Hazard::new(Code::D04, on(), message) });
            }
        }
    }
    for column in known.unwrap_or_default().iter().filter(|column| !taken.contains(column.as_str())) {
        let replaced = copy.items.iter().zip(targets).any(|(item, to)| *item == Copied::Other && to == column);
        if !replaced {
            out.push(Hazard::new(Code::D02, on(), format!("the copy of {table} leaves out its column {column}")));
        }
    }
    out
}

//! A walk over a plan's statements: what is already the plan's own, small or allowed is no hazard, and some hazards
//! are only seen in what came before; no I/O.

use super::{
    Code, Dialect, Input, Lock, Report, Severity,
    catalog::{Constraint, Relations, Table},
    cursor::Name,
    effect::Effect,
    half_way::HalfWay,
    hazard::Hazard,
    objects::{Key, Objects},
    operation::Alteration,
    reading::{Kind, Reading},
    rebuild::Rebuild,
    report::{Found, report},
    rules,
    said::Said,
    steps::{Step, steps},
    subject::Subject,
    together::Together,
    transaction::Transaction,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Below this a lock is over before anybody notices.
const SMALL: u64 = 10_000;

pub(super) fn lint(input: &Input) -> Report {
    let steps = steps(input);
    let mut walk = Walk::new(input, &steps);
    for (at, step) in steps.iter().enumerate() {
        walk.step(at, step);
    }
    walk.found.extend(walk.half_way.told());
    report(input, &steps, walk.found)
}

/// The strongest lock on each table, by its name.
pub(super) fn locks(input: &Input) -> BTreeMap<String, Lock> {
    let mut out = BTreeMap::new();
    for (table, lock) in steps(input).iter().flat_map(|step| &step.reading.locks) {
        let held = out.entry(table.to_string()).or_insert(*lock);
        *held = (*held).max(*lock);
    }
    out
}

struct Walk<'a> {
    input: &'a Input,
    steps: &'a [Step],
    objects: Objects,
    rows: HashMap<Key, u64>,
    /// What the tables are when the walk comes to a statement, as far as somebody looked.
    tables: HashMap<Key, Table>,
    relations: Relations,
    /// Indexes that a failed run has left, until the plan comes to their table.
    invalid: HashMap<Key, &'a [String]>,
    /// What routines of this plan do when they are called.
    routines: HashMap<Key, (&'a [Hazard], &'a [Alteration])>,
    version_table: Name,
    found: Vec<Found>,
    rebuild: Rebuild<'a>,
    together: Together<'a>,
    transaction: Transaction<'a>,
    half_way: HalfWay,
}

impl<'a> Walk<'a> {
    fn new(input: &'a Input, steps: &'a [Step]) -> Self {
        let objects = Objects::new(input.dialect);
        let rows = input.rows.iter().map(|(name, rows)| (objects.key(&Name::parse(name)), *rows)).collect();
        let tables = input.catalog.tables.iter();
        let tables = tables.map(|(name, table)| (objects.key(&Name::parse(name)), table.clone())).collect();
        let invalid = input.invalid_indexes.iter();
        let invalid = invalid.map(|(name, indexes)| (objects.key(&Name::parse(name)), indexes.as_slice())).collect();
        let effects = steps.iter().enumerate().flat_map(|(at, s)| s.reading.effects.iter().map(move |e| (at, e)));
        Self {
            input,
            steps,
            rows,
            tables,
            relations: input.catalog.relations.clone(),
            invalid,
            routines: HashMap::new(),
            version_table: Name::parse(&input.version_table),
            found: Vec::new(),
            together: Together::new(steps, &objects, &input.catalog),
            rebuild: Rebuild::new(input.dialect, effects),
            transaction: Transaction::default(),
            half_way: HalfWay::new(input.dialect),
            objects,
        }
    }

    fn step(&mut self, at: usize, step: &'a Step) {
        let before = at.checked_sub(1).map(|before| &self.steps[before]);
        if before.is_none_or(|before| before.revision != step.revision || before.section != step.section) {
            self.found.extend(self.half_way.told());
        }
        if before.is_none_or(|before| before.section != step.section) {
            self.enters(before.map(|before| before.section), step.section);
        }
        let reading = &step.reading;
        for said in &step.said {
            self.learns(said);
        }
        let batch = self.rebuild.judge(at, reading, &self.objects);
        // What a copy keeps is not lost with its table.
        let found = batch.unwrap_or_else(|| {
            let judged = self.alters(&reading.alterations);
            reading.hazards.iter().cloned().chain(judged).collect()
        });
        let found = found.into_iter().filter_map(|hazard| self.cascades(hazard));
        let mut found: Vec<Hazard> = found.collect();
        found.retain(|hazard| !self.objects.own_columns(&hazard.subject, &hazard.unless_own));
        found.iter_mut().for_each(|hazard| self.requires(hazard));
        // A constraint in the same statement is tried after the column was added.
        for effect in reading.effects.iter().filter(|effect| matches!(effect, Effect::AddsColumn { .. })) {
            self.objects.apply(effect);
        }
        found.extend(self.called(reading));
        let bookkeeping = self.is_bookkeeping(at, step);
        let filled = self.filled(&found, reading);
        let (together, objects) = (&mut self.together, &self.objects);
        let found: Vec<Hazard> = found.into_iter().filter_map(|hazard| together.counts(at, hazard, objects)).collect();
        let counted = found.into_iter().filter(|_| !bookkeeping).filter_map(|hazard| self.counts(hazard));
        let mut hazards: Vec<Hazard> = counted.collect();
        if reading.concurrently && self.transaction.open {
            let message = "PostgreSQL refuses the statement in a transaction, and the run fails";
            let subject = reading.table.clone().map_or(Subject::Nothing, Subject::Table);
            hazards.push(Hazard::new(Code::B02, subject, message));
        }
        hazards.extend(self.takes_new_value(reading));
        let validates = self.validates_locked(reading).and_then(|hazard| self.counts(hazard));
        self.keeps_lock(reading, &mut hazards);
        hazards.extend(validates);
        self.left_over(at, reading, &mut hazards);
        self.stays(at, reading);
        let mut seen = HashSet::new();
        hazards.retain(|h| seen.insert((h.code, if h.code == Code::O02 { String::new() } else { h.message.clone() })));
        self.found.extend(hazards.into_iter().map(|hazard| (at, hazard)));
        for effect in &reading.effects {
            self.apply(effect);
        }
        for subject in filled {
            self.objects.fills(&subject);
        }
    }

    /// A new column that is NOT NULL and loses its default is one that nobody else fills.
    fn requires(&self, hazard: &mut Hazard) {
        let Some(column) = hazard.of_default.take() else { return };
        if self.objects.required(&hazard.subject, &column) {
            (hazard.code, hazard.severity) = (Code::C03, Code::C03.severity());
            hazard.message =
                format!("the new column {column} is required and loses its default: INSERTs that leave it out fail");
        }
    }

    /// What Alembic's operations say of a column counts where nobody knows better.
    fn learns(&mut self, said: &Said) {
        if let Said::Column { table, column } = said {
            self.tables.entry(self.objects.key(table)).or_default().learn(column.clone());
        }
    }

    /// The hazards of what it does to tables, each judged by what the table was before.
    fn alters(&mut self, alterations: &[Alteration]) -> Vec<Hazard> {
        let mut out = Vec::new();
        for alteration in alterations {
            let key = alteration.table.as_ref().map(|table| self.objects.key(table));
            let table = key.and_then(|key| self.tables.get_mut(&key));
            out.extend(rules::judge(alteration, table, self.input.dialect));
        }
        out
    }

    /// What a statement may have filled or exchanged: which columns are NULL in every row is not known there any more.
    fn filled(&self, found: &[Hazard], reading: &Reading) -> Vec<Subject> {
        let changes = |h: &&Hazard| {
            matches!(h.code, Code::B06 | Code::B10 | Code::C01 | Code::C02 | Code::D03 | Code::D04 | Code::O02)
        };
        let writes = !matches!(reading.kind, Kind::Session | Kind::Ddl);
        let written = reading.table.clone().filter(|_| writes).map(Subject::Table);
        found.iter().filter(changes).map(|hazard| hazard.subject.clone()).chain(written).collect()
    }

    /// A section that runs in a transaction goes on with the one that is open: Alembic's is one for the whole run.
    fn enters(&mut self, before: Option<usize>, section: usize) {
        let transactional = |section: usize| self.input.sections[section].transactional;
        if transactional(section) && !self.transaction.open {
            self.transaction.begins();
        } else if !transactional(section) && before.is_some_and(transactional) {
            self.transaction.ends();
        }
    }

    fn apply(&mut self, effect: &'a Effect) {
        match effect {
            Effect::Begin => self.transaction.begins(),
            Effect::Commit | Effect::Rollback => self.transaction.ends(),
            Effect::AddsValue { of, value }
                if self.transaction.open && !self.objects.made(&Subject::Object("TYPE", of.clone())) =>
            {
                self.transaction.values.insert(value);
            }
            Effect::AddsUnchecked(table) if self.transaction.open => {
                self.transaction.unchecked.insert(self.objects.key(table));
            }
            Effect::Defines { name, hazards, alterations } => {
                self.routines.insert(self.objects.key(name), (hazards, alterations));
            }
            _ => {}
        }
        if let Effect::Renames { from, to } = effect {
            self.relations.renames(from, to, self.input.dialect);
        }
        self.rebuild.apply(effect, &self.objects, self.transaction.open);
        self.objects.apply(effect);
        // Outside of a transaction each statement commits by itself.
        if matches!(effect, Effect::DropsOnCommit(_)) && !self.transaction.open {
            self.objects.apply(&Effect::Commit);
        }
    }

    /// The hazard as it stands in this plan, or nothing.
    fn counts(&self, hazard: Hazard) -> Option<Hazard> {
        let mut hazard = self.relations.on_nothing(hazard)?;
        let index = hazard.of_index.as_ref().map(|index| self.objects.index_columns(index)).unwrap_or_default();
        let columns = if hazard.not_null.is_empty() { index } else { &hazard.not_null };
        if !columns.is_empty() && columns.iter().all(|column| self.objects.not_null(&hazard.subject, column)) {
            return None;
        }
        if self.objects.empty(&hazard.subject, &hazard.unless_empty) {
            return None;
        }
        let loses = matches!(hazard.code, Code::D01 | Code::D02 | Code::D03 | Code::D04 | Code::D06 | Code::D08);
        let only =
            (loses || hazard.code == Code::B10) && self.rebuild.holds_the_only_rows(&hazard.subject, &self.objects);
        let lacks = |table: &Name| self.relations.lacks(table, self.input.dialect);
        let nobodys = matches!(&hazard.subject, Subject::Table(table) if lacks(table));
        if (nobodys || self.objects.made(&hazard.subject)) && !only {
            return None;
        }
        // Were the table there already, it would be as it was; only what is lost can't be had again.
        if !loses && self.objects.perhaps_made(&hazard.subject) {
            return None;
        }
        let lock = matches!(hazard.code, Code::B01 | Code::B03 | Code::B04 | Code::B05 | Code::B06 | Code::B10);
        if let (true, Subject::Table(name)) = (lock, &hazard.subject)
            && self.rows.get(&self.objects.key(name)).is_some_and(|rows| *rows < SMALL)
        {
            hazard.severity = Severity::Low;
            hazard.message.push_str(&format!(" (it has fewer than {SMALL} rows, so that is short)"));
        }
        Some(hazard)
    }

    /// A table that the plan made, perhaps: nobody waits for it.
    fn own(&self, table: &Name) -> bool {
        let subject = Subject::Table(table.clone());
        let lacks = self.relations.lacks(table, self.input.dialect);
        lacks || self.objects.made(&subject) || self.objects.perhaps_made(&subject)
    }

    /// Whether rows of other tables go with those of this one. Where nobody looked, they may.
    fn cascades(&self, mut hazard: Hazard) -> Option<Hazard> {
        if hazard.code != Code::D07 {
            return Some(hazard);
        }
        if self.input.catalog.tables.is_empty() {
            hazard.severity = Severity::High;
            return Some(hazard);
        }
        let Subject::Table(table) = &hazard.subject else { return Some(hazard) };
        let refers = |constraint: &Constraint| {
            let to = constraint.references.as_ref().map(|to| self.objects.key(&Name::parse(to)));
            constraint.cascades && to == Some(self.objects.key(table))
        };
        self.tables.values().flat_map(|table| &table.constraints).any(refers).then(|| hazard.clone())
    }

    /// What Alembic itself writes: a row's change by its revision, and the table's end when nothing is applied any more.
    fn is_bookkeeping(&self, at: usize, step: &Step) -> bool {
        let own = |name: &Name| {
            let schema = self.version_table.schema.as_ref();
            name.name == self.version_table.name && schema.is_none_or(|schema| name.schema.as_ref() == Some(schema))
        };
        if !step.reading.table.as_ref().is_some_and(own) {
            return false;
        }
        if step.by_revision {
            return true;
        }
        let ends = |later: &Step| later.reading.kind == Kind::Session;
        let unstamps = self.steps[..at].last().is_some_and(|before| before.by_revision);
        matches!(&step.reading.effects[..], [Effect::Drops(_)]) && unstamps && self.steps[at + 1..].iter().all(ends)
    }

    /// What the routines do that a statement calls, as far as this plan made them.
    fn called(&mut self, reading: &Reading) -> Vec<Hazard> {
        let names = reading.effects.iter().filter_map(|effect| match effect {
            Effect::Calls(name) => Some(self.objects.key(name)),
            _ => None,
        });
        let called: Vec<_> = names.filter_map(|name| self.routines.get(&name).copied()).collect();
        let mut out = Vec::new();
        for (hazards, alterations) in called {
            out.extend(hazards.iter().cloned());
            out.extend(self.alters(alterations));
        }
        out
    }

    /// B03: VALIDATE CONSTRAINT blocks nobody, but the lock that an earlier statement of the transaction took does.
    fn validates_locked(&self, reading: &Reading) -> Option<Hazard> {
        let table = reading.effects.iter().find_map(|effect| match effect {
            Effect::Validates { table, .. } => Some(table),
            _ => None,
        })?;
        let key = self.objects.key(table);
        let held = self.transaction.unchecked.contains(&key) || self.transaction.locked.contains(&key);
        let message = "every row is checked while an earlier statement of the transaction keeps the table locked";
        held.then(|| Hazard::new(Code::B03, Subject::Table(table.clone()), message))
    }

    /// B02: a value that an enum got in the same transaction.
    fn takes_new_value(&self, reading: &Reading) -> Option<Hazard> {
        // A comment may tell it, and so may another ADD VALUE, which says where it belongs.
        let adds = reading.effects.iter().any(|effect| matches!(effect, Effect::AddsValue { .. }));
        let takes = |effect: &Effect| matches!(effect, Effect::MentionsValue(value) if self.transaction.values.contains(value.as_str()));
        let subject = reading.table.clone().map(Subject::Table).filter(|_| !adds)?;
        let message = "PostgreSQL refuses a new value of an enum in the transaction that adds it, and the run fails";
        reading.effects.iter().any(takes).then(|| Hazard::new(Code::B02, subject, message))
    }

    /// B08: the transaction holds a table, and works on, or waits for more tables.
    fn keeps_lock(&mut self, reading: &'a Reading, hazards: &mut Vec<Hazard>) {
        if !self.transaction.open || self.input.dialect != Dialect::PostgreSql {
            return;
        }
        let slow = hazards.iter().any(|h| {
            let works = matches!(h.code, Code::B01 | Code::B03 | Code::B04 | Code::B05 | Code::B06 | Code::B10);
            works && h.severity > Severity::Low
        });
        let first = self.transaction.first_locked;
        for (table, _) in reading.locks.iter().filter(|(_, lock)| *lock >= Lock::ShareRowExclusive) {
            let key = self.objects.key(table);
            let small = self.rows.get(&key).is_some_and(|rows| *rows < SMALL);
            if !small && !self.own(table) {
                self.transaction.first_locked.get_or_insert(table);
                self.transaction.locked.insert(key);
            }
        }
        let goes_on = slow || self.transaction.locked.len() > 2;
        let Some(first) = first.filter(|_| !self.transaction.warned && goes_on) else { return };
        self.transaction.warned = true;
        let message = format!("{first} stays locked meanwhile: an earlier statement of the transaction locked it");
        let subject = Subject::Table(first.clone());
        hazards.push(Hazard::new(Code::B08, subject, message));
    }

    /// F03, once for each table.
    fn left_over(&mut self, at: usize, reading: &Reading, hazards: &mut Vec<Hazard>) {
        let Some(table) = reading.table.as_ref().filter(|_| !reading.only_reads()) else { return };
        let Some(indexes) = self.invalid.remove(&self.objects.key(table)) else { return };
        // What an earlier statement names, it drops or builds again.
        let words = |step: &'a Step| step.shown.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let named = |index: &&String| self.steps[..at].iter().flat_map(words).any(|word| word == **index);
        let left: Vec<String> = indexes.iter().filter(|index| !named(index)).cloned().collect();
        if left.is_empty() {
            return;
        }
        let names = crate::text::list(&left, 5);
        let message = format!(
            "{table} has an index that is invalid, or still being built: {names}; no query uses it, and CREATE INDEX IF NOT EXISTS keeps it as it is"
        );
        hazards.push(Hazard::new(Code::F03, Subject::Table(table.clone()), message));
    }

    /// Remembers what stays when a later statement of the revision fails.
    fn stays(&mut self, at: usize, reading: &Reading) {
        let own = |name: &Name| name.name == self.version_table.name || self.objects.temporary(name);
        let table = reading.table.as_ref();
        if self.half_way.commits(reading, &self.transaction) && !table.is_some_and(own) {
            let made = table.is_some_and(|table| self.own(table));
            self.half_way.stays(at, reading, made);
        }
    }
}

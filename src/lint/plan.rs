//! A walk over a plan's statements: what is already the plan's own, small or allowed is no hazard, and some hazards
//! are only seen in what came before; no I/O.

use super::{
    Allow, Code, Dialect, Fact, Finding, Input, Report, Severity, Unused,
    cursor::Name,
    objects::{Key, Objects},
    read::{Effect, Hazard, Kind, Reading, Subject},
    steps::{Step, steps},
};
use std::collections::{HashMap, HashSet};

/// Below this a lock is over before anybody notices.
const SMALL: u64 = 10_000;

pub(super) fn lint(input: &Input) -> Report {
    let steps = steps(input);
    let mut walk = Walk::new(input, &steps);
    for (at, step) in steps.iter().enumerate() {
        walk.step(at, step);
    }
    walk.half_way();
    walk.report()
}

/// Where a hazard was found: the statement's place in the plan.
type Found = (usize, Hazard);

struct Walk<'a> {
    input: &'a Input,
    steps: &'a [Step],
    objects: Objects,
    rows: HashMap<Key, u64>,
    /// Indexes that a failed run has left, until the plan comes to their table.
    invalid: HashMap<Key, &'a [String]>,
    found: Vec<Found>,
    /// Tables that are renamed in the plan, and where.
    renames: HashMap<(&'a Name, &'a Name), usize>,
    /// Tables whose rows were copied (SQLite's way to change one), the copy and what is selected.
    copies: HashMap<&'a Name, &'a Effect>,
    foreign_keys: bool,
    in_transaction: bool,
    /// The plan has had a transaction: what runs outside of one does so on purpose.
    transactions: bool,
    /// Tables that were there before and that this transaction keeps from everybody else.
    locked: Vec<&'a Name>,
    /// Tables that got a constraint without validation in this transaction: writes to them wait until its end.
    unchecked: HashSet<Key>,
    /// Values that enums got in this transaction: PostgreSQL takes them only in the next one.
    values: HashSet<&'a str>,
    warned: bool,
    /// DDL that is not taken back together with the rest of its revision, and which of it changes what was there.
    loose: Vec<(usize, bool)>,
}

impl<'a> Walk<'a> {
    fn new(input: &'a Input, steps: &'a [Step]) -> Self {
        let objects = Objects::new(input.dialect);
        let rows = input.rows.iter().map(|(name, rows)| (objects.key(&Name::parse(name)), *rows)).collect();
        let invalid = input.invalid_indexes.iter();
        let invalid = invalid.map(|(name, indexes)| (objects.key(&Name::parse(name)), indexes.as_slice())).collect();
        let effects = steps.iter().enumerate().flat_map(|(at, s)| s.reading.effects.iter().map(move |e| (at, e)));
        let renames = effects.filter_map(|(at, effect)| match effect {
            Effect::Renames { from, to } => Some(((from, to), at)),
            _ => None,
        });
        Self {
            input,
            steps,
            rows,
            invalid,
            found: Vec::new(),
            renames: renames.collect(),
            copies: HashMap::new(),
            foreign_keys: false,
            in_transaction: false,
            transactions: false,
            locked: Vec::new(),
            unchecked: HashSet::new(),
            values: HashSet::new(),
            warned: false,
            loose: Vec::new(),
            objects,
        }
    }

    fn step(&mut self, at: usize, step: &'a Step) {
        let before = at.checked_sub(1).map(|before| &self.steps[before]);
        if before.is_none_or(|before| before.revision != step.revision || before.section != step.section) {
            self.half_way();
        }
        if before.is_none_or(|before| before.section != step.section) {
            self.enters(before.map(|before| before.section), step.section);
        }
        let reading = &step.reading;
        // A constraint in the same statement is tried after the column was added.
        for effect in reading.effects.iter().filter(|effect| matches!(effect, Effect::AddsEmpty { .. })) {
            self.objects.apply(effect);
        }
        let batch = self.batch(at, reading);
        let found = batch.unwrap_or_else(|| reading.hazards.clone());
        let mut hazards: Vec<Hazard> = found.into_iter().filter_map(|hazard| self.counts(hazard)).collect();
        if reading.concurrently && self.in_transaction {
            let message = "PostgreSQL refuses the statement in a transaction, and the run fails";
            let subject = reading.table.clone().map_or(Subject::Nothing, Subject::Table);
            hazards.push(Hazard::new(Code::B02, subject, message));
        }
        hazards.extend(self.takes_new_value(reading));
        hazards.extend(self.validates_locked(reading).and_then(|hazard| self.counts(hazard)));
        self.keeps_lock(reading, &mut hazards);
        self.left_over(at, reading, &mut hazards);
        self.stays(at, reading);
        let mut seen = HashSet::new();
        hazards.retain(|h| seen.insert((h.code, if h.code == Code::O02 { String::new() } else { h.message.clone() })));
        self.found.extend(hazards.into_iter().map(|hazard| (at, hazard)));
        for effect in &reading.effects {
            self.apply(effect);
        }
        self.fills(reading);
    }

    /// Forgets which columns are NULL in every row where a statement may have filled or exchanged them.
    fn fills(&mut self, reading: &Reading) {
        let changes = |h: &&Hazard| {
            matches!(h.code, Code::B06 | Code::B10 | Code::C01 | Code::C02 | Code::D03 | Code::D04 | Code::O02)
        };
        for hazard in reading.hazards.iter().filter(changes) {
            self.objects.fills(&hazard.subject);
        }
        let writes = !matches!(reading.kind, Kind::Session | Kind::Ddl);
        if let Some(table) = reading.table.clone().filter(|_| writes) {
            self.objects.fills(&Subject::Table(table));
        }
    }

    /// A section that runs in a transaction goes on with the one that is open: Alembic's is one for the whole run.
    fn enters(&mut self, before: Option<usize>, section: usize) {
        let transactional = |section: usize| self.input.sections[section].transactional;
        if transactional(section) && !self.in_transaction {
            self.begins();
        } else if !transactional(section) && before.is_some_and(transactional) {
            self.ends();
        }
    }

    fn ends(&mut self) {
        (self.in_transaction, self.warned) = (false, false);
        self.locked.clear();
        self.unchecked.clear();
        self.values.clear();
    }

    fn begins(&mut self) {
        (self.in_transaction, self.transactions) = (true, true);
        self.values.clear();
        (self.locked, self.unchecked, self.warned) = (Vec::new(), HashSet::new(), false);
    }

    fn apply(&mut self, effect: &'a Effect) {
        match effect {
            Effect::Begin => self.begins(),
            Effect::Commit | Effect::Rollback => self.ends(),
            // In a transaction SQLite does nothing: what was on stays on.
            Effect::ForeignKeys(on) => self.foreign_keys = *on || (self.foreign_keys && self.in_transaction),
            Effect::Copies { from, .. } => {
                self.copies.insert(from, effect);
            }
            Effect::AddsValue { of, value }
                if self.in_transaction && !self.objects.made(&Subject::Object(of.clone())) =>
            {
                self.values.insert(value);
            }
            Effect::AddsUnchecked(table) if self.in_transaction => {
                self.unchecked.insert(self.objects.key(table));
            }
            _ => {}
        }
        self.objects.apply(effect);
        // Outside of a transaction each statement commits by itself.
        if matches!(effect, Effect::DropsOnCommit(_)) && !self.in_transaction {
            self.objects.apply(&Effect::Commit);
        }
    }

    /// The hazard as it stands in this plan, or nothing.
    fn counts(&self, mut hazard: Hazard) -> Option<Hazard> {
        if hazard.not_null.as_ref().is_some_and(|column| self.objects.not_null(&hazard.subject, column)) {
            return None;
        }
        if self.objects.empty(&hazard.subject, &hazard.unless_empty) {
            return None;
        }
        if self.objects.made(&hazard.subject) || self.is_bookkeeping(&hazard) {
            return None;
        }
        // Were the table there already, it would be as it was; only what is lost can't be had again.
        let loses = matches!(hazard.code, Code::D01 | Code::D02 | Code::D03 | Code::D04 | Code::D06 | Code::D08);
        if !loses && self.objects.perhaps_made(&hazard.subject) {
            return None;
        }
        let lock = matches!(hazard.code, Code::B01 | Code::B03 | Code::B04 | Code::B05 | Code::B06);
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
        self.objects.made(&subject) || self.objects.perhaps_made(&subject)
    }

    /// Alembic's own rows, and the table that holds them.
    fn is_bookkeeping(&self, hazard: &Hazard) -> bool {
        let own = matches!(&hazard.subject, Subject::Table(table) if table.name == self.input.version_table);
        own && matches!(hazard.code, Code::D01 | Code::D03 | Code::B10)
    }

    /// B03: VALIDATE CONSTRAINT blocks nobody, but the lock that an earlier statement of the transaction took does.
    fn validates_locked(&self, reading: &Reading) -> Option<Hazard> {
        let table = reading.effects.iter().find_map(|effect| match effect {
            Effect::Validates { table, .. } => Some(table),
            _ => None,
        })?;
        let key = self.objects.key(table);
        let locked = || self.locked.iter().any(|locked| self.objects.key(locked) == key);
        let held = self.unchecked.contains(&key) || locked();
        let message = "every row is checked while an earlier statement of the transaction keeps the table locked";
        held.then(|| Hazard::new(Code::B03, Subject::Table(table.clone()), message))
    }

    /// B02: a value that an enum got in the same transaction.
    fn takes_new_value(&self, reading: &Reading) -> Option<Hazard> {
        // A comment may tell it, and so may another ADD VALUE, which says where it belongs.
        let adds = reading.effects.iter().any(|effect| matches!(effect, Effect::AddsValue { .. }));
        let takes =
            |effect: &Effect| matches!(effect, Effect::MentionsValue(value) if self.values.contains(value.as_str()));
        let subject = reading.table.clone().map(Subject::Table).filter(|_| !adds)?;
        let message = "PostgreSQL refuses a new value of an enum in the transaction that adds it, and the run fails";
        reading.effects.iter().any(takes).then(|| Hazard::new(Code::B02, subject, message))
    }

    /// B08: the transaction holds a table, and works on, or waits for more tables.
    fn keeps_lock(&mut self, reading: &'a Reading, hazards: &mut Vec<Hazard>) {
        if !self.in_transaction || self.input.dialect != Dialect::PostgreSql {
            return;
        }
        let slow = hazards.iter().any(|h| {
            let works = matches!(h.code, Code::B01 | Code::B03 | Code::B04 | Code::B05 | Code::B06 | Code::B10);
            works && h.severity > Severity::Low
        });
        let first = self.locked.first().copied();
        for table in &reading.locks {
            let known = self.locked.iter().any(|locked| self.objects.key(locked) == self.objects.key(table));
            let small = self.rows.get(&self.objects.key(table)).is_some_and(|rows| *rows < SMALL);
            if !known && !small && !self.own(table) {
                self.locked.push(table);
            }
        }
        let Some(first) = first.filter(|_| !self.warned && (slow || self.locked.len() > 2)) else { return };
        self.warned = true;
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
        let loose = match self.input.dialect {
            Dialect::PostgreSql => self.transactions && !self.in_transaction && !reading.only_reads(),
            _ => reading.kind == Kind::Ddl,
        };
        let own = |name: &Name| name.name == self.input.version_table || self.objects.temporary(name);
        let loose = loose && !reading.effects.iter().any(|e| matches!(e, Effect::Creates { temporary: true, .. }));
        let table = reading.table.as_ref();
        if loose && !table.is_some_and(own) {
            let made = table.is_some_and(|table| self.own(table));
            let makes = reading
                .effects
                .iter()
                .any(|e| matches!(e, Effect::Creates { .. } | Effect::MayCreate(_) | Effect::CreatesObject(_)));
            self.loose.push((at, !(made || makes)));
        }
    }

    /// F02, once for each revision.
    fn half_way(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        let Some((first, _)) = loose.first() else { return };
        let autocommit = self.input.dialect == Dialect::PostgreSql;
        if loose.len() < 2 && !autocommit {
            return;
        }
        let changes = loose.iter().filter(|(_, changes)| *changes).count();
        let sqlite = self.input.dialect == Dialect::Sqlite;
        let many = if autocommit { loose.len() > 1 } else { changes > 1 && !sqlite };
        let severity = if many { Severity::High } else { Severity::Medium };
        let count = loose.len();
        let message = if autocommit {
            format!("what runs outside of the transaction ({count} of its statements) stays when a later one fails")
        } else {
            format!(
                "each of the revision's {count} changes of tables commits by itself and stays when a later one fails"
            )
        };
        self.found.push((*first, Hazard { severity, ..Hazard::new(Code::F02, Subject::Nothing, message) }));
    }

    /// SQLite's way to change a table: make a copy, drop the table, give the copy its name. One change, not a drop.
    fn batch(&self, at: usize, reading: &Reading) -> Option<Vec<Hazard>> {
        let [Effect::Drops(table)] = &reading.effects[..] else { return None };
        let Effect::Copies { into, words, filtered, casts, all, .. } = self.copies.get(table)? else { return None };
        let renamed = self.renames.get(&(into, table)).is_some_and(|rename| *rename > at);
        let fresh = self.objects.made(&Subject::Table(into.clone()));
        if self.input.dialect != Dialect::Sqlite || !renamed || !fresh {
            return None;
        }
        let mut out = Vec::new();
        let mut add = |code, message| out.push(Hazard::new(code, Subject::Table(table.clone()), message));
        let kept = self.objects.columns(into).unwrap_or_default().join(", ");
        let gone = if kept.is_empty() { String::new() } else { format!("; columns other than {kept} are gone") };
        add(Code::B06, format!("{table} is copied to change it, and locked meanwhile{gone}"));
        if self.foreign_keys {
            let why = "foreign_keys is on: rows of tables that refer to it are deleted by their ON DELETE CASCADE";
            add(Code::D07, format!("{table} is dropped while {why}"));
        }
        if *filtered {
            add(Code::D03, format!("rows of {table} that the copy leaves out are gone"));
        }
        if *casts {
            add(Code::D04, format!("values of {table} are cast, and may be cut without an error"));
        }
        let known = self.objects.columns(table).unwrap_or_default();
        for column in known.iter().filter(|c| !all && !words.contains(c)) {
            add(Code::D02, format!("the copy of {table} leaves out its column {column}"));
        }
        Some(out)
    }

    /// Findings, those that are allowed, and allowances that allow nothing.
    fn report(mut self) -> Report {
        self.found.sort_by_key(|(at, hazard)| (*at, hazard.code));
        let mut report = Report::default();
        let mut used = HashSet::new();
        let mut used_comments = HashSet::new();
        for (at, hazard) in self.found {
            let step = &self.steps[at];
            let comment = step.allows.iter().position(|allow| allow.code == hazard.code);
            let allow = self.input.allows.iter().position(|allow| allow.allows(hazard.code, step.revision.as_deref()));
            used.extend(allow);
            used_comments.extend(comment.map(|place| (at, place)));
            let reason = comment
                .map(|place| &step.allows[place].reason)
                .or_else(|| allow.map(|place| &self.input.allows[place].reason));
            let finding = finding(hazard, step);
            match reason {
                Some(reason) => report.allowed.push((finding, reason.clone())),
                None => report.findings.push(finding),
            }
        }
        for fact in &self.input.facts {
            let finding = of_fact(fact);
            let allow = self.input.allows.iter().position(|allow| allow.allows(fact.code, Some(&fact.revision)));
            used.extend(allow);
            match allow.map(|place| &self.input.allows[place].reason) {
                Some(reason) => report.allowed.push((finding, reason.clone())),
                None => report.findings.push(finding),
            }
        }
        let allows = self.input.allows.iter().enumerate().filter(|(place, _)| !used.contains(place));
        report.unused = allows.map(|(_, allow)| Unused { allow: allow.clone(), line: None }).collect();
        for (at, step) in self.steps.iter().enumerate() {
            let unused = step.allows.iter().enumerate().filter(|(place, _)| !used_comments.contains(&(at, *place)));
            report.unused.extend(unused.map(|(_, comment)| Unused {
                allow: Allow { code: comment.code, revision: step.revision.clone(), reason: comment.reason.clone() },
                line: Some(comment.line),
            }));
        }
        report
    }
}

fn of_fact(fact: &Fact) -> Finding {
    Finding {
        code: fact.code,
        severity: fact.severity,
        revision: Some(fact.revision.clone()),
        line: 0,
        statement: String::new(),
        table: None,
        message: crate::text::clean(&fact.message, 400),
        advice: fact.code.advice(),
    }
}

fn finding(hazard: Hazard, step: &Step) -> Finding {
    let table = match hazard.subject {
        Subject::Table(name) => Some(name.to_string()),
        Subject::Object(_) | Subject::Nothing => step.reading.table.as_ref().map(ToString::to_string),
    };
    Finding {
        code: hazard.code,
        severity: hazard.severity,
        revision: step.revision.clone(),
        line: step.line,
        statement: step.shown.clone(),
        table: table.map(|table| crate::text::clean(&table, 130)),
        message: crate::text::clean(&hazard.message, 400),
        advice: hazard.code.advice(),
    }
}

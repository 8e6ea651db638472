//! What a revision's statements are together: what goes with its table is not said again, and what is dropped and made
//! again is one change; no I/O.

use super::{
    Code, Severity,
    catalog::Catalog,
    cursor::Name,
    effect::Effect,
    hazard::Hazard,
    objects::{Key, Objects},
    said::Said,
    steps::Step,
    subject::{CONSTRAINT, Subject},
};
use std::collections::{HashMap, HashSet};

/// Where a revision drops tables and makes things, by the statement's place.
pub(super) struct Together<'a> {
    steps: &'a [Step],
    dropped: HashMap<Key, Vec<usize>>,
    made: HashMap<(&'static str, Key), Vec<usize>>,
    /// Tables that get the rows of others.
    filled: HashMap<Key, Vec<usize>>,
    /// Constraints that were there before the plan, which drops them and makes others of their names.
    replaced: HashSet<Key>,
    /// The tables of indexes, as far as the plan or the catalog tells.
    indexes: HashMap<Key, Name>,
}

impl<'a> Together<'a> {
    pub fn new(steps: &'a [Step], objects: &Objects, catalog: &Catalog) -> Self {
        let (mut dropped, mut made) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        let mut filled = HashMap::<_, Vec<_>>::new();
        let mut indexes = HashMap::new();
        for (name, table) in &catalog.tables {
            let table_name = Name::parse(name);
            for index in &table.indexes {
                let key = objects.key(&Name { schema: table_name.schema.clone(), name: index.name.clone() });
                indexes.insert(key, table_name.clone());
            }
        }
        for (at, step) in steps.iter().enumerate() {
            for said in &step.said {
                if let Said::Index { index, table } = said {
                    indexes.entry(objects.key(index)).or_insert_with(|| table.clone());
                }
            }
            for effect in &step.reading.effects {
                match effect {
                    Effect::Drops(table) => dropped.entry(objects.key(table)).or_default().push(at),
                    Effect::CreatesObject(kind, name) | Effect::Makes(kind, name) => {
                        made.entry((*kind, objects.key(name))).or_default().push(at);
                    }
                    Effect::Copies { into, .. } | Effect::Fills(into) => {
                        filled.entry(objects.key(into)).or_default().push(at)
                    }
                    Effect::Indexes { table, index, .. } => {
                        indexes.insert(objects.key(index), table.clone());
                    }
                    _ => {}
                }
            }
        }
        Self { steps, dropped, made, filled, replaced: HashSet::new(), indexes }
    }

    /// The first of these places that comes later in the same revision.
    fn later(&self, at: usize, places: Option<&Vec<usize>>) -> Option<usize> {
        let places = places?;
        let next = *places.get(places.partition_point(|place| *place <= at))?;
        (self.steps[next].revision == self.steps[at].revision).then_some(next)
    }

    /// The table goes later in the same revision.
    fn goes_later(&self, at: usize, table: &Name, objects: &Objects) -> bool {
        self.later(at, self.dropped.get(&objects.key(table))).is_some()
    }

    /// The table of an index: known, or by its name one that the revision drops right after it.
    fn table_of(&self, at: usize, index: &Name, objects: &Objects) -> Option<Name> {
        if let Some(table) = self.indexes.get(&objects.key(index)) {
            return Some(table.clone());
        }
        let drops = |step: &Step| {
            step.reading.effects.iter().find_map(|effect| match effect {
                Effect::Drops(table) => Some(table.clone()),
                _ => None,
            })
        };
        let next = self.steps[at + 1..].iter().take(NEAR).find_map(drops)?;
        index.name.to_lowercase().contains(&next.name.to_lowercase()).then_some(next)
    }

    /// The hazard beside what else the revision does, or nothing where that says it all.
    pub fn counts(&mut self, at: usize, mut hazard: Hazard, objects: &Objects) -> Option<Hazard> {
        // Another table has the name, and the rows, before anybody else can see it.
        if let (Code::C02, Subject::Table(table)) = (hazard.code, &hazard.subject) {
            return self.later(at, self.filled.get(&objects.key(table))).is_none().then_some(hazard);
        }
        if !matches!(hazard.code, Code::D05 | Code::D06 | Code::D08 | Code::B07) {
            return Some(hazard);
        }
        let table = match (&hazard.subject, &hazard.thing) {
            (Subject::Table(table), _) => Some(table.clone()),
            (_, Some(("RELATION", index))) => self.table_of(at, index, objects),
            _ => None,
        };
        if table.is_some_and(|table| self.goes_later(at, &table, objects)) {
            return None;
        }
        let Some((kind, name)) = hazard.thing.clone() else { return Some(hazard) };
        let key = objects.key(&name);
        let made = self.made.get(&(kind, key.clone()));
        if self.later(at, made).is_none() {
            // The plan's own, such as the CHECK by which SET NOT NULL reads no row.
            let own = kind == CONSTRAINT && made.is_some_and(|places| places.iter().any(|place| *place < at));
            return (hazard.code != Code::D06 || !own || self.replaced.contains(&key)).then_some(hazard);
        }
        match hazard.code {
            Code::D06 => {
                self.replaced.insert(key);
                None
            }
            Code::D05 => {
                let message = format!("{name} is dropped and made again: clients may miss what it no longer is");
                hazard = Hazard { code: Code::C04, severity: Severity::Medium, message, ..hazard };
                Some(hazard)
            }
            _ => Some(hazard),
        }
    }
}

/// An index goes this many statements before its table, at most.
const NEAR: usize = 50;

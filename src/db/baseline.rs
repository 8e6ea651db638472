//! A schema as it is kept to be compared with, and its packed form; no I/O.

use super::{
    ALGORITHM, Catalog, Exclude, Objects,
    fingerprint::{Fingerprint, compare},
};
use crate::{api::DriftedObject, zlib};
use flate2::Compression;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a packed baseline: a ConfigMap holds 1 MiB, and the differences need room beside it.
const MAX_PACKED: usize = 720 * 1024;
/// Bytes of an unpacked one; whoever may write ConfigMaps must not fill the operator's memory.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;

/// What a schema should be: as it was when it was last known to be right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub engine: String,
    pub algorithm: u32,
    /// The number of the run that it was taken after; 0 before the first.
    pub run: i64,
    /// The version rows that it belongs to.
    pub rows: BTreeSet<String>,
    pub objects: Objects,
    /// What differed at the last comparison, with the hash of what was there instead; empty where nothing was.
    #[serde(default)]
    pub drifted: BTreeMap<String, String>,
    /// Those of them that came with a run that failed. The next one that succeeds has made them its own.
    #[serde(default)]
    pub left: BTreeSet<String>,
    /// Of which history it was made by running it, instead of taken from the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
}

/// A baseline that can't be kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema has {0} objects, which is more than can be kept to be compared with: leave some out with spec.drift.exclude, or set spec.drift.mode to Disabled"
)]
pub struct TooLarge(pub usize);

impl Baseline {
    /// The schema as it is now.
    pub fn of(catalog: &Catalog, run: i64, rows: &BTreeSet<String>) -> Self {
        Self {
            engine: catalog.engine.clone(),
            algorithm: ALGORITHM,
            run,
            rows: rows.clone(),
            objects: catalog.objects.clone(),
            drifted: BTreeMap::new(),
            left: BTreeSet::new(),
            replay: None,
        }
    }

    /// The schema after a run, where `before` it some objects were not as they should be: what the run did not touch still
    /// should be as it was.
    pub fn after(catalog: &Catalog, run: i64, rows: &BTreeSet<String>, before: &Self) -> Self {
        let mut taken = Self::of(catalog, run, rows);
        for (object, was) in &before.drifted {
            if catalog.hash_of(object) != *was || before.left.contains(object) {
                continue;
            }
            match before.objects.get(object) {
                Some(expected) => taken.objects.insert(object.clone(), expected.clone()),
                None => taken.objects.remove(object),
            };
        }
        taken
    }

    /// Whether the two engines spell the same definition in the same way.
    pub fn comparable(&self, catalog: &Catalog) -> bool {
        self.engine == catalog.engine && self.algorithm == ALGORITHM
    }

    /// How the live schema differs.
    pub fn compare(&self, catalog: &Catalog, exclude: &Exclude) -> Vec<DriftedObject> {
        compare(&self.objects, &catalog.objects, exclude)
    }

    /// The same with what differs now; `failed` says that a run has failed since it was taken.
    pub fn noting(mut self, differences: &[DriftedObject], catalog: &Catalog, failed: bool) -> Self {
        let is_left = |object: &String| self.left.contains(object) || failed && !self.drifted.contains_key(object);
        self.left = differences.iter().map(|d| &d.object).filter(|object| is_left(object)).cloned().collect();
        self.drifted = differences.iter().map(|d| (d.object.clone(), catalog.hash_of(&d.object))).collect();
        self
    }

    /// In as little space as it takes: with the texts of the definitions if they fit, else with their hashes.
    pub fn pack(&self) -> Result<Vec<u8>, TooLarge> {
        let packed = zip(self);
        if packed.len() <= MAX_PACKED {
            return Ok(packed);
        }
        let objects = self.objects.iter().map(|(object, definition)| (object.clone(), definition.shortened()));
        let packed = zip(&Self { objects: objects.collect(), ..self.clone() });
        if packed.len() <= MAX_PACKED { Ok(packed) } else { Err(TooLarge(self.objects.len())) }
    }

    /// `None` for what is no packed baseline.
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        serde_json::from_slice(&zlib::unpack(packed, MAX_UNPACKED)?).ok()
    }
}

/// The fingerprint of a live schema, as the command prints it.
pub fn fingerprint(catalog: &Catalog, exclude: &Exclude) -> String {
    Fingerprint::over(catalog, exclude, |_, _| {})
}

/// Nothing here can fail: the maps have texts for keys, and memory takes every byte.
fn zip(baseline: &Baseline) -> Vec<u8> {
    let json = serde_json::to_vec(baseline).unwrap_or_default();
    zlib::pack(&json, Compression::default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Definition;

    fn catalog(objects: &[(&str, &str)]) -> Catalog {
        let rows = objects.iter().map(|(name, definition)| ("table".into(), (*name).into(), (*definition).into()));
        Catalog::new("mariadb 10.11".into(), rows)
    }

    fn rows(row: &str) -> BTreeSet<String> {
        BTreeSet::from([row.to_owned()])
    }

    #[test]
    fn what_a_run_did_not_touch_stays_drift() {
        let all = Exclude::default();
        let baseline = Baseline::of(&catalog(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]), 1, &rows("r1"));
        let by_hand = catalog(&[("a", "2"), ("b", "2"), ("c", "1"), ("extra", "1")]);
        let differences = baseline.compare(&by_hand, &all);
        assert_eq!(differences.len(), 4);
        let baseline = baseline.noting(&differences, &by_hand, false);
        let after = catalog(&[("a", "2"), ("b", "3"), ("c", "2"), ("new", "1"), ("extra", "1")]);
        let baseline = Baseline::after(&after, 2, &rows("r2"), &baseline);
        let left: Vec<_> = baseline.compare(&after, &all).into_iter().map(|d| d.object).collect();
        assert_eq!(left, ["table a", "table d", "table extra"]);
    }

    #[test]
    fn what_a_failed_run_left_belongs_to_the_next_one() {
        let baseline = Baseline::of(&catalog(&[("a", "1")]), 1, &rows("r1"));
        let left = catalog(&[("a", "1"), ("half", "1")]);
        let noting = |failed| {
            let baseline = baseline.clone().noting(&baseline.compare(&left, &Exclude::default()), &left, failed);
            // Looking once more changes nothing.
            baseline.clone().noting(&baseline.compare(&left, &Exclude::default()), &left, true)
        };
        let after =
            |before: &Baseline| Baseline::after(&left, 3, &rows("r2"), before).compare(&left, &Exclude::default());
        assert_eq!(after(&noting(true)), vec![]);
        assert_eq!(after(&noting(false)).len(), 1);
    }

    #[test]
    fn it_is_packed_and_unpacked() {
        let catalog = catalog(&[("a", "1"), ("b", "2")]);
        let baseline = Baseline::of(&catalog, 3, &rows("r"));
        assert_eq!(Baseline::unpack(&baseline.pack().unwrap()), Some(baseline));
        assert_eq!(Baseline::unpack(b"nonsense"), None);
    }

    #[test]
    fn a_large_one_is_kept_by_its_hashes() {
        let text = |number: usize| crate::jobs::hex(&number.to_be_bytes().repeat(40));
        let rows: Vec<_> = (0..20_000).map(|n| ("table".to_owned(), format!("t{n}"), text(n * 7919))).collect();
        let one = Catalog::new("mariadb 10.11".into(), rows);
        let mut baseline = Baseline::of(&one, 1, &BTreeSet::new());
        // Texts that nothing makes smaller.
        let noise = |name: &str| (0..8).map(|n| Definition::Text(format!("{name}{n}")).hash()).collect::<String>();
        for (name, definition) in &mut baseline.objects {
            *definition = Definition::Text(noise(name));
        }
        let mut live = one.clone();
        live.objects = baseline.objects.clone();
        let kept = Baseline::unpack(&baseline.pack().unwrap()).unwrap();
        assert!(matches!(kept.objects.values().next(), Some(Definition::Hash(_))));
        assert_eq!(kept.compare(&live, &Exclude::default()), vec![]);
        live.objects.insert("table t5".into(), Definition::Text("other".into()));
        assert_eq!(kept.compare(&live, &Exclude::default()).len(), 1);
    }
}

//! What two schemas differ in, and the hashes by which one is compared without its texts; no I/O.

use super::{Catalog, Definition, Objects};
use crate::api::{Change, DriftedObject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use wildmatch::WildMatch;

/// Another number for another way to make the definitions: fingerprints of different numbers can't be compared.
pub const ALGORITHM: u32 = 2;

/// Objects that are left out, by globs over their name, or kind and name.
#[derive(Clone, Debug, Default)]
pub struct Exclude(Vec<WildMatch>);

impl Exclude {
    pub fn new(globs: &[String]) -> Self {
        Self(globs.iter().map(|glob| WildMatch::new(glob)).collect())
    }

    /// Whether an object is left out. The columns, indexes and so on of a table begin with its name: `audit.*`.
    pub fn has(&self, object: &str) -> bool {
        // A kind can have two words, and a quoted name blanks: every beginning counts.
        let names = || std::iter::once(object).chain(object.match_indices(' ').map(|(at, _)| &object[at + 1..]));
        self.0.iter().any(|glob| names().any(|name| glob.matches(name)))
    }
}

/// Hashes of the objects of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// One hash over all objects.
    pub fingerprint: String,
    pub engine: String,
    pub algorithm: u32,
    /// The hash of each object by its kind and name.
    pub objects: BTreeMap<String, String>,
}

/// Why two fingerprints say nothing about each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fingerprint was taken on {expected}, the database is on {found}: take a new one")]
pub struct Incomparable {
    expected: String,
    found: String,
}

impl Fingerprint {
    /// Of a schema as it is, but for what is left out.
    pub fn of(catalog: &Catalog, exclude: &Exclude) -> Self {
        let mut objects = BTreeMap::new();
        let fingerprint = Self::over(catalog, exclude, |object, hash| drop(objects.insert(object.to_owned(), hash)));
        Self { fingerprint, engine: catalog.engine.clone(), algorithm: ALGORITHM, objects }
    }

    /// The one hash over all objects, while `each` sees the object and its hash.
    pub fn over(catalog: &Catalog, exclude: &Exclude, mut each: impl FnMut(&str, String)) -> String {
        let mut whole = Sha256::new();
        for (object, definition) in catalog.objects.iter().filter(|(object, _)| !exclude.has(object)) {
            let hash = definition.hash();
            whole.update((object.len() as u64).to_be_bytes());
            whole.update(object);
            whole.update(&hash);
            each(object, hash);
        }
        crate::jobs::hex(&whole.finalize())
    }

    /// How a schema differs from this one, in the order of the objects' names.
    pub fn compare(&self, found: &Catalog, exclude: &Exclude) -> Result<Vec<DriftedObject>, Incomparable> {
        if (&self.engine, self.algorithm) != (&found.engine, ALGORITHM) {
            let taken = |engine: &str, algorithm: u32| format!("{engine} (format {algorithm})");
            let (expected, found) = (taken(&self.engine, self.algorithm), taken(&found.engine, ALGORITHM));
            return Err(Incomparable { expected, found });
        }
        let expected = self.objects.iter().map(|(object, hash)| (object.clone(), Definition::of_hash(hash)));
        Ok(compare(&expected.collect(), &found.objects, exclude))
    }
}

/// How the objects that were found differ from those that should be there, in the order of their names.
pub fn compare(expected: &Objects, found: &Objects, exclude: &Exclude) -> Vec<DriftedObject> {
    let all: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let (all_expected, all_found) = (Unseen::of(expected), Unseen::of(found));
    let difference = |object: &String| {
        let (expected, actual) = (expected.get(object), found.get(object));
        let change = match (expected, actual) {
            (Some(one), Some(other)) if one.is(other) => return None,
            (Some(Definition::Unseen), _) | (_, Some(Definition::Unseen)) => return None,
            (Some(_), None) if all_found.has(object) => return None,
            (None, Some(_)) if all_expected.has(object) => return None,
            (Some(_), Some(_)) => Change::Modified,
            (Some(_), None) => Change::Missing,
            (None, _) => Change::Unexpected,
        };
        let text = |definition: Option<&Definition>| definition.and_then(Definition::as_text).map(str::to_owned);
        Some(DriftedObject { change, object: object.clone(), expected: text(expected), actual: text(actual) })
    };
    all.into_iter().filter(|object| !exclude.has(object)).filter_map(difference).collect()
}

/// Kinds of which the user of a connection sees nothing, by the beginnings of their objects' names.
struct Unseen<'a>(Vec<&'a str>);

impl<'a> Unseen<'a> {
    fn of(objects: &'a Objects) -> Self {
        let kinds = objects.iter().filter(|(_, definition)| **definition == Definition::Unseen);
        Self(kinds.filter_map(|(object, _)| object.strip_suffix('*')).collect())
    }

    fn has(&self, object: &str) -> bool {
        self.0.iter().any(|kind| object.starts_with(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(rows: &[(&str, &str, &str)]) -> Catalog {
        let rows = rows.iter().map(|(k, n, d)| ((*k).to_owned(), (*n).to_owned(), (*d).to_owned()));
        Catalog::new("postgresql 15".into(), rows)
    }

    #[test]
    fn differences_name_the_object_and_the_change() {
        let all = Exclude::default();
        let before = catalog(&[("table", "a", ""), ("column", "a.x", "integer"), ("column", "a.y", "text")]);
        let after = catalog(&[("table", "a", ""), ("column", "a.x", "bigint"), ("index", "i", "on a")]);
        let taken = Fingerprint::of(&before, &all);
        let told = |exclude: &[&str]| -> Vec<String> {
            let exclude = Exclude::new(&exclude.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>());
            let found = taken.compare(&after, &exclude).unwrap();
            found.iter().map(|d| format!("{} {}", d.change.as_str(), d.object)).collect()
        };
        assert_eq!(told(&[]), ["Modified column a.x", "Missing column a.y", "Unexpected index i"]);
        assert_eq!(told(&["a.*"]), ["Unexpected index i"]);
        assert_eq!(told(&["column *", "b"]), ["Unexpected index i"]);
        assert_eq!(taken.compare(&before, &all), Ok(vec![]));
        assert_ne!(taken.fingerprint, Fingerprint::of(&after, &all).fingerprint);
        let upgraded = Catalog { engine: "postgresql 16".into(), ..before.clone() };
        assert!(taken.compare(&upgraded, &all).unwrap_err().to_string().contains("postgresql 16"));
    }

    #[test]
    fn what_a_user_may_not_see_is_no_difference() {
        let all = Exclude::default();
        let mine = catalog(&[("function", "f", "int"), ("body of function", "f", "RETURN 1"), ("event", "e", "daily")]);
        let theirs =
            catalog(&[("function", "f", "int"), ("unseen", "body of function f", ""), ("unseen", "event *", "")]);
        for (one, other) in [(&mine, &theirs), (&theirs, &mine)] {
            assert_eq!(Fingerprint::of(one, &all).compare(other, &all), Ok(vec![]));
            assert_eq!(compare(&one.objects, &other.objects, &all), vec![]);
        }
        let changed = catalog(&[("unseen", "body of function f", ""), ("unseen", "event *", "")]);
        let found = compare(&mine.objects, &changed.objects, &all);
        assert_eq!(found.iter().map(|d| d.object.as_str()).collect::<Vec<_>>(), ["function f"]);
    }
}

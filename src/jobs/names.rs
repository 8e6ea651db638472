//! Names and hashes of what the operator makes for an object; no I/O.

use super::{LookRecord, hex};
use crate::api::DatabaseMigration;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

/// Longest part of an object's name in the name of its Jobs: pod names add six characters, labels end at 63.
const NAME_PART: usize = 30;

/// Name of what an object has one of; follows the object's name and UID.
pub fn own_name(object: &DatabaseMigration, what: &str) -> String {
    format!("{}-{what}-{}", name_part(object), short_hash(&[&object.uid().unwrap_or_default()], 6))
}

/// The beginning of the names of what an object has.
pub(super) fn name_part(object: &DatabaseMigration) -> String {
    let name = object.name_any();
    let cut: String = name.chars().take(NAME_PART).collect();
    // Job names become pod host names and labels, which allow no dots at these places.
    cut.replace('.', "-").trim_matches('-').to_owned()
}

/// Object names may be longer than a label's value; the owner reference is what ties, the label only helps people.
pub(super) fn label_value(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['.', '-']).to_owned()
}

/// The first digits of a hash over texts.
pub fn short_hash(parts: &[&str], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex(&hash.finalize());
    text.truncate(digits);
    text
}

/// Name of the Job of a run. It depends on the object and the run's number alone, not on the plan: two plans made
/// for the same number, as by a stale cache, collide at the API server instead of running side by side.
pub fn run_name(object: &DatabaseMigration, number: i64) -> String {
    own_name(object, &format!("run-{number}"))
}

/// Name of the Job that inspects. `id` tells apart the inspections that one object needs over time.
pub fn inspection_name(object: &DatabaseMigration, id: &str) -> String {
    let hash = short_hash(&[&object.uid().unwrap_or_default(), id], 10);
    format!("{}-inspect-{hash}", name_part(object))
}

/// Name of a Job that looks, compares, replays or rehearses.
pub fn again_name(object: &DatabaseMigration, name: &str, record: &LookRecord) -> String {
    let hash = short_hash(&[&object.uid().unwrap_or_default(), &record.epoch], 6);
    format!("{}-{name}-{}-{hash}", name_part(object), record.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> DatabaseMigration {
        let mut object = DatabaseMigration::new(name, Default::default());
        object.metadata.uid = Some("7e7e".into());
        object
    }

    #[test]
    fn names_of_jobs_fit_and_are_stable() {
        let long = object(&"a.b".repeat(80));
        let name = run_name(&long, i64::MAX);
        assert!(name.len() <= 63 && name == run_name(&long, i64::MAX), "{name}");
        assert_ne!(run_name(&long, 1), run_name(&long, 2));
        assert!(!name.contains('.'));
    }
}

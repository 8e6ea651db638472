//! Names and hashes of what the operator makes for an object; no I/O.

use super::{Kind, hex};
use crate::api::DatabaseMigration;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

/// Longest part of an object's name in other names: pod names add six characters to a Job's, and labels end at 63.
const NAME_PART: usize = 30;
/// Longest name of a Job, for the same reason.
const MAX_JOB_NAME: usize = 57;

/// `OBJECT-KIND-NUMBER-HASH`, without the number where there is none; the one scheme for every Job.
pub(super) fn job_name(object: &DatabaseMigration, kind: Kind, number: i64, identity: &[&str]) -> String {
    let number = if number == 0 { String::new() } else { format!("{number}-") };
    let rest = format!("-{}-{number}{}", kind.as_str(), short_hash(identity, 8));
    format!("{}{rest}", name_part(object, NAME_PART.min(MAX_JOB_NAME.saturating_sub(rest.len()))))
}

/// `OBJECT-revision-HASH`, of a Job that a person asked for at some moment.
pub(super) fn author_job_name(object: &DatabaseMigration, asked_at: &str) -> String {
    let hash = short_hash(&[&object.uid().unwrap_or_default(), asked_at], 8);
    format!("{}-revision-{hash}", name_part(object, NAME_PART))
}

/// Name of what an object has one of; follows the object's name and UID.
pub fn own_name(object: &DatabaseMigration, what: &str) -> String {
    format!("{}-{what}-{}", name_part(object, NAME_PART), short_hash(&[&object.uid().unwrap_or_default()], 6))
}

/// The beginning of the names of what an object has.
fn name_part(object: &DatabaseMigration, longest: usize) -> String {
    let cut: String = object.name_any().chars().take(longest).collect();
    // Job names become pod host names and labels, which allow no dots at these places.
    cut.replace('.', "-").trim_matches('-').to_owned()
}

/// Object names may be longer than a label's value; the record is what ties a Job to its object, the label finds it.
pub fn label_value(name: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_jobs_fit_and_are_stable() {
        let mut long = DatabaseMigration::new(&"a.b".repeat(80), Default::default());
        long.metadata.uid = Some("7e7e".into());
        for kind in Kind::ALL {
            for number in [0, 1, i64::MAX] {
                let name = job_name(&long, kind, number, &["7e7e", "key"]);
                assert!(
                    name.len() <= MAX_JOB_NAME && name == job_name(&long, kind, number, &["7e7e", "key"]),
                    "{name}"
                );
                assert!(!name.contains('.') && !name.starts_with('-'), "{name}");
            }
        }
    }
}

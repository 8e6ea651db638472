//! The target of a DatabaseMigration: Alembic's absolute forms, several separated by commas; no I/O.

use super::{AlembicError, Graph, commands::relative, resolve::Found};
use crate::text;
use std::collections::BTreeSet;

/// A target as written, known to be absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    parts: Vec<String>,
}

/// Why a target is refused whatever the graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error(
        "{0} is relative: it would mean another revision at each look at the database; write the revision's id, or head, heads, base or branch@head"
    )]
    Relative(String),
    #[error("{0} is a range; write only the revision to go to")]
    Range(String),
    #[error("a part is empty; write a revision's id, head, heads, base or branch@head, several separated by commas")]
    Empty,
}

impl Target {
    /// Reads a target; relative forms and ranges are refused.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let parts = text.split(',').map(|part| part_of(part.trim())).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Exactly these full ids; none means base.
    pub fn revisions(ids: Vec<String>) -> Self {
        Self { parts: if ids.is_empty() { vec!["base".to_owned()] } else { ids } }
    }

    /// The branch that narrows a single target `branch@revision`.
    pub(super) fn branch(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [part] => part.rsplit_once('@').map(|(branch, _)| branch),
            _ => None,
        }
    }
}

fn part_of(text: &str) -> Result<String, TargetError> {
    let shown = || text::clean(text, 64);
    if text.is_empty() || text.starts_with('@') || text.ends_with('@') {
        return Err(TargetError::Empty);
    }
    if relative(text).is_some() || text.split_once('@').is_some_and(|(_, symbol)| relative(symbol).is_some()) {
        return Err(TargetError::Relative(shown()));
    }
    if text.contains(':') {
        return Err(TargetError::Range(shown()));
    }
    Ok(text.to_owned())
}

impl Graph {
    /// The full ids that a target means here, sorted; empty for base.
    pub fn resolve_target(&self, target: &Target) -> Result<Vec<String>, AlembicError> {
        let mut ids = BTreeSet::new();
        for part in &target.parts {
            for found in self.get_revisions(part)? {
                if let Found::Revision(place) = found {
                    ids.insert(self.id(place));
                }
            }
        }
        Ok(ids.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_targets_are_refused() {
        for text in ["+1", "-1", "head-1", "abc+2", "x@+1", "x@head-1", "a,+1"] {
            assert!(matches!(Target::parse(text), Err(TargetError::Relative(_))), "{text}");
        }
        for text in ["", "a,", "@head", "x@"] {
            assert_eq!(Target::parse(text), Err(TargetError::Empty), "{text}");
        }
        assert!(Target::parse("my-branch@head").is_ok());
        assert!(matches!(Target::parse("a:b"), Err(TargetError::Range(_))));
    }
}

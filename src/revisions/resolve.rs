//! What a target means in a graph: Alembic's absolute forms (facts 3.2 to 3.4); no I/O.

use super::{Graph, PlanError, graph::Set};
use std::collections::BTreeSet;

/// A target as written, known to be absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    branch: Option<String>,
    symbol: String,
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
        let parts = text.split(',').map(|part| Part::parse(part.trim())).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Exactly these full ids; none means base.
    pub fn revisions(ids: Vec<String>) -> Self {
        let part = |symbol| Part { branch: None, symbol };
        let ids = if ids.is_empty() { vec!["base".to_owned()] } else { ids };
        Self { parts: ids.into_iter().map(part).collect() }
    }

    /// The branch that narrows a single target `branch@revision`.
    pub(super) fn branch(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part { branch: Some(branch), .. }] => Some(branch),
            _ => None,
        }
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, TargetError> {
        let (branch, symbol) = match text.split_once('@') {
            Some((branch, symbol)) => (Some(branch.to_owned()), symbol),
            None => (None, text),
        };
        if symbol.is_empty() || branch.as_deref() == Some("") {
            return Err(TargetError::Empty);
        }
        if is_relative(symbol) || branch.is_none() && is_relative(text) {
            return Err(TargetError::Relative(crate::text::clean(text, 64)));
        }
        if text.contains(':') {
            return Err(TargetError::Range(crate::text::clean(text, 64)));
        }
        Ok(Self { branch, symbol: symbol.to_owned() })
    }
}

/// Word characters, then a sign and a digit: how Alembic tells a relative revision, whatever follows (facts 3.1).
fn is_relative(symbol: &str) -> bool {
    let rest = symbol.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    let mut rest = rest.chars();
    matches!(rest.next(), Some('+' | '-')) && rest.next().is_some_and(|c| c.is_ascii_digit())
}

impl Graph {
    /// The full ids that a target means here, sorted; empty for base.
    pub fn resolve_target(&self, target: &Target) -> Result<Vec<String>, PlanError> {
        let mut ids = BTreeSet::new();
        for part in &target.parts {
            ids.extend(self.resolve_part(part)?.into_iter().map(|place| self.id(place)));
        }
        Ok(ids.into_iter().collect())
    }

    fn resolve_part(&self, part: &Part) -> Result<Vec<usize>, PlanError> {
        let lineage = part.branch.as_deref().map(|branch| self.branch(branch)).transpose()?;
        match part.symbol.as_str() {
            "base" | "None" => Ok(Vec::new()),
            "heads" => Ok(match &lineage {
                Some(lineage) => within(self.head_places(), lineage),
                None => (0..self.len()).filter(|p| self.all_up[*p].is_empty()).collect(),
            }),
            "head" => {
                let heads = match &lineage {
                    Some(lineage) => within(self.head_places(), lineage),
                    None => self.head_places(),
                };
                match heads.as_slice() {
                    [_] => Ok(heads),
                    _ => Err(PlanError::MultipleHeads { heads: self.sorted(heads) }),
                }
            }
            symbol => {
                let place = self.find(symbol, lineage.as_ref())?;
                match &lineage {
                    Some(lineage) if !lineage.contains(&place) => Err(PlanError::NotOnBranch {
                        revision: self.id(place),
                        branch: part.branch.clone().unwrap_or_default(),
                    }),
                    _ => Ok(vec![place]),
                }
            }
        }
    }

    /// The lineage that a branch's name stands for: a label, an id, or an abbreviation of either.
    pub(super) fn branch(&self, name: &str) -> Result<Set, PlanError> {
        self.find(name, None).map(|place| self.lineage(place))
    }

    /// One revision by id, label or abbreviation. All names of more than three characters that begin with the text
    /// are candidates (RevisionMap._revision_for_ident); a branch narrows them.
    pub(super) fn find(&self, name: &str, branch: Option<&Set>) -> Result<usize, PlanError> {
        if let Some(place) = self.index.get(name).or_else(|| self.labelled.get(name)) {
            return Ok(*place);
        }
        let names = self.index.iter().chain(&self.labelled);
        let mut found: Vec<(&String, usize)> = names
            .filter(|(key, _)| key.chars().count() > 3 && key.starts_with(name))
            .map(|(key, place)| (key, *place))
            .filter(|(_, place)| branch.is_none_or(|branch| branch.contains(place)))
            .collect();
        found.sort();
        match found.as_slice() {
            [] => Err(PlanError::UnknownTarget { target: crate::text::clean(name, 64) }),
            [(_, place)] => Ok(*place),
            many => Err(PlanError::AmbiguousTarget {
                target: crate::text::clean(name, 64),
                candidates: many.iter().map(|(key, _)| (*key).clone()).collect(),
            }),
        }
    }
}

fn within(places: Vec<usize>, set: &Set) -> Vec<usize> {
    places.into_iter().filter(|p| set.contains(p)).collect()
}

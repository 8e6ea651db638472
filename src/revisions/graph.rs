//! The revision graph as alembic.script.revision.RevisionMap builds it; no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The four variables of a revision file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub revision: String,
    /// down_revision, as full ids.
    pub down: Vec<String>,
    /// depends_on as written: ids or branch labels.
    pub depends_on: Vec<String>,
    /// The labels that the file itself gives.
    pub labels: Vec<String>,
}

/// Why Alembic would not load a graph, or would load it wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("Revision {0} is present more than once")]
    DuplicateRevision(String),
    #[error("Revision {parent} referenced from {revision} (down_revision) is not present")]
    MissingParent { revision: String, parent: String },
    #[error("Revision {dependency} referenced from {revision} (depends_on) is not present")]
    MissingDependency { revision: String, dependency: String },
    #[error("Branch name '{label}' in revision {revision} already used by revision {other}")]
    DuplicateLabel { label: String, revision: String, other: String },
    #[error("Character(s) '{characters}' not allowed in revision identifier '{revision}'")]
    IllegalCharacter { revision: String, characters: String },
    #[error("Cycle is detected in revisions ({})", .0.join(", "))]
    Cycle(Vec<String>),
}

/// A loaded graph. Revisions are known by their place in Alembic's load order.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(super) scripts: Vec<Script>,
    pub(super) index: HashMap<String, usize>,
    /// Parents by down_revision.
    pub(super) down: Vec<Vec<usize>>,
    /// Parents by down_revision and depends_on.
    pub(super) all_down: Vec<Vec<usize>>,
    /// Children by down_revision.
    pub(super) up: Vec<Vec<usize>>,
    /// Children by down_revision and depends_on.
    pub(super) all_up: Vec<Vec<usize>>,
    /// Which revision a branch label was given to.
    pub(super) labelled: BTreeMap<String, usize>,
    /// Position of each revision in one fixed topological order, parents first.
    pub(super) rank: Vec<usize>,
}

/// A set of revisions by their place.
pub(super) type Set = HashSet<usize>;

const ILLEGAL: [char; 4] = ['@', '-', '+', ':'];

impl Graph {
    /// Builds the graph from scripts in Alembic's load order.
    pub fn load(scripts: Vec<Script>) -> Result<Self, LoadError> {
        let index = index(&scripts)?;
        let labelled = labels(&scripts, &index)?;
        let mut down = Vec::with_capacity(scripts.len());
        let mut all_down = Vec::with_capacity(scripts.len());
        for script in &scripts {
            let parents = parents(script, &index)?;
            let mut all = parents.clone();
            all.extend(dependencies(script, &index, &labelled)?);
            let mut seen = HashSet::new();
            all.retain(|p| seen.insert(*p));
            down.push(parents);
            all_down.push(all);
        }
        let up = reversed(&down);
        let all_up = reversed(&all_down);
        let rank = ranks(&scripts, &all_down, &all_up)?;
        Ok(Self { scripts, index, down, all_down, up, all_up, labelled, rank })
    }

    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Whether a full id is one of the graph's.
    pub fn contains(&self, id: &str) -> bool {
        self.index.contains_key(id)
    }

    /// The effective heads: revisions that nothing revises and nothing depends on. What the version table holds once
    /// everything is applied.
    pub fn heads(&self) -> Vec<String> {
        self.sorted((0..self.len()).filter(|i| self.all_up[*i].is_empty()))
    }

    /// The heads by down_revision alone: what `head` and `heads` are for a branch (RevisionMap.heads).
    pub fn versioned_heads(&self) -> Vec<String> {
        self.sorted(self.head_places())
    }

    pub(super) fn head_places(&self) -> Vec<usize> {
        (0..self.len()).filter(|i| self.up[*i].is_empty()).collect()
    }

    pub(super) fn base_places(&self) -> Vec<usize> {
        (0..self.len()).filter(|i| self.down[*i].is_empty()).collect()
    }

    pub(super) fn id(&self, place: usize) -> String {
        self.scripts[place].revision.clone()
    }

    pub(super) fn sorted(&self, places: impl IntoIterator<Item = usize>) -> Vec<String> {
        let ids: BTreeSet<String> = places.into_iter().map(|p| self.id(p)).collect();
        ids.into_iter().collect()
    }

    /// These revisions and everything below them, dependencies included.
    pub(super) fn closure(&self, places: impl IntoIterator<Item = usize>) -> Set {
        reach(places, &self.all_down)
    }

    /// The members of a closed set that no other member is built on.
    pub(super) fn tips(&self, applied: &Set) -> BTreeSet<String> {
        let is_tip = |p: &&usize| !self.all_up[**p].iter().any(|child| applied.contains(child));
        applied.iter().filter(is_tip).map(|p| self.id(*p)).collect()
    }

    /// Versioned ancestors and descendants of a revision, itself included; depends_on does not count (facts 3.3).
    pub(super) fn lineage(&self, place: usize) -> Set {
        let mut lineage = reach([place], &self.down);
        lineage.extend(reach([place], &self.up));
        lineage
    }

    /// Parents, by down_revision or depends_on, that are also ancestors of another parent of the same revision:
    /// Alembic fails half-way on such a one (facts 3.13).
    pub fn redundant_parent(&self, revision: &str) -> Option<String> {
        let place = *self.index.get(revision)?;
        let parents = &self.all_down[place];
        let below = |p: usize| reach(self.all_down[p].iter().copied(), &self.all_down);
        if parents.len() < 2 {
            return None;
        }
        let ancestors: Vec<(usize, Set)> = parents.iter().map(|p| (*p, below(*p))).collect();
        let redundant = parents.iter().find(|p| ancestors.iter().any(|(other, set)| other != *p && set.contains(p)));
        redundant.map(|p| self.id(*p))
    }
}

/// Everything that can be reached, the start included; without recursion, for histories of any length.
pub(super) fn reach(start: impl IntoIterator<Item = usize>, edges: &[Vec<usize>]) -> Set {
    let mut todo: Vec<usize> = start.into_iter().collect();
    let mut seen: Set = todo.iter().copied().collect();
    while let Some(place) = todo.pop() {
        for next in &edges[place] {
            if seen.insert(*next) {
                todo.push(*next);
            }
        }
    }
    seen
}

fn index(scripts: &[Script]) -> Result<HashMap<String, usize>, LoadError> {
    let mut index = HashMap::with_capacity(scripts.len());
    for (place, script) in scripts.iter().enumerate() {
        let characters: String = ILLEGAL.into_iter().filter(|c| script.revision.contains(*c)).collect();
        if !characters.is_empty() {
            return Err(LoadError::IllegalCharacter { revision: script.revision.clone(), characters });
        }
        if index.insert(script.revision.clone(), place).is_some() {
            return Err(LoadError::DuplicateRevision(script.revision.clone()));
        }
    }
    Ok(index)
}

fn labels(scripts: &[Script], index: &HashMap<String, usize>) -> Result<BTreeMap<String, usize>, LoadError> {
    let mut labelled: BTreeMap<String, usize> = BTreeMap::new();
    for (place, script) in scripts.iter().enumerate() {
        for label in &script.labels {
            let other = labelled.get(label).or_else(|| index.get(label));
            if let Some(other) = other.filter(|o| **o != place || index.contains_key(label)) {
                return Err(LoadError::DuplicateLabel {
                    label: label.clone(),
                    revision: script.revision.clone(),
                    other: scripts[*other].revision.clone(),
                });
            }
            labelled.insert(label.clone(), place);
        }
    }
    Ok(labelled)
}

fn parents(script: &Script, index: &HashMap<String, usize>) -> Result<Vec<usize>, LoadError> {
    let find = |parent: &String| {
        index
            .get(parent)
            .copied()
            .ok_or_else(|| LoadError::MissingParent { revision: script.revision.clone(), parent: parent.clone() })
    };
    script.down.iter().map(find).collect()
}

fn dependencies(
    script: &Script,
    index: &HashMap<String, usize>,
    labelled: &BTreeMap<String, usize>,
) -> Result<Vec<usize>, LoadError> {
    let find = |dependency: &String| {
        index.get(dependency).or_else(|| labelled.get(dependency)).copied().ok_or_else(|| {
            LoadError::MissingDependency { revision: script.revision.clone(), dependency: dependency.clone() }
        })
    };
    script.depends_on.iter().map(find).collect()
}

fn reversed(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut reversed = vec![Vec::new(); edges.len()];
    for (from, targets) in edges.iter().enumerate() {
        for to in targets {
            reversed[*to].push(from);
        }
    }
    reversed
}

/// Kahn's algorithm, earliest in load order first; what is left over is on a cycle or above one.
fn ranks(scripts: &[Script], down: &[Vec<usize>], up: &[Vec<usize>]) -> Result<Vec<usize>, LoadError> {
    let mut missing: Vec<usize> = down.iter().map(Vec::len).collect();
    let mut ready: BTreeSet<usize> = (0..scripts.len()).filter(|p| missing[*p] == 0).collect();
    let mut rank = vec![usize::MAX; scripts.len()];
    let mut next = 0;
    while let Some(place) = ready.pop_first() {
        rank[place] = next;
        next += 1;
        for child in &up[place] {
            missing[*child] -= 1;
            if missing[*child] == 0 {
                ready.insert(*child);
            }
        }
    }
    if next == scripts.len() {
        return Ok(rank);
    }
    let on_cycle = |p: &usize| rank[*p] == usize::MAX && reach(down[*p].iter().copied(), down).contains(p);
    let cycle: BTreeSet<String> = (0..scripts.len()).filter(on_cycle).map(|p| scripts[p].revision.clone()).collect();
    Err(LoadError::Cycle(cycle.into_iter().collect()))
}

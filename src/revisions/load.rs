//! Scripts become a graph, or the reason why Alembic would not load them; no I/O.

use super::{Script, graph::Graph};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Why Alembic would not load a graph, or would load it wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("a revision file does not set the variable revision")]
    NoRevision,
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
    #[error("Self-loop is detected in revisions ({0})")]
    Loop(String),
    #[error("Dependency self-loop is detected in revisions ({0})")]
    DependencyLoop(String),
    #[error("Cycle is detected in revisions ({})", .0.join(", "))]
    Cycle(Vec<String>),
    #[error("Dependency cycle is detected in revisions ({})", .0.join(", "))]
    DependencyCycle(Vec<String>),
}

impl LoadError {
    /// The Python exception that Alembic raises for it; none for a duplicate, of which it only warns.
    pub fn exception(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoRevision => "CommandError",
            Self::DuplicateRevision(_) => return None,
            Self::MissingParent { .. } | Self::MissingDependency { .. } => "KeyError",
            Self::DuplicateLabel { .. } | Self::IllegalCharacter { .. } => "RevisionError",
            Self::Loop(_) => "LoopDetected",
            Self::DependencyLoop(_) => "DependencyLoopDetected",
            Self::Cycle(_) => "CycleDetected",
            Self::DependencyCycle(_) => "DependencyCycleDetected",
        })
    }
}

/// Characters that no id may have (alembic.script.revision._revision_illegal_chars).
const ILLEGAL: [char; 4] = ['+', '-', ':', '@'];

pub(super) fn graph(scripts: Vec<Script>) -> Result<Graph, LoadError> {
    scripts.iter().try_for_each(file)?;
    let index = index(&scripts)?;
    let names = names(&scripts, &index)?;
    let mut down = Vec::with_capacity(scripts.len());
    let mut depends = Vec::with_capacity(scripts.len());
    for script in &scripts {
        depends.push(unique(dependencies(script, &names)?));
        down.push(unique(parents(script, &index)?));
    }
    let all_down: Vec<Vec<usize>> = joined(&down, &depends);
    let ids: Vec<String> = scripts.iter().map(|s| s.revision.clone()).collect();
    ranks(&down, &ids).map_err(LoadError::Cycle)?;
    let rank = ranks(&all_down, &ids).map_err(LoadError::DependencyCycle)?;
    let normal_down = joined(&down, &normalized(&down, &depends));
    let (up, all_up) = (reversed(&down), reversed(&all_down));
    let labels = scripts.into_iter().map(|script| script.labels).collect();
    Ok(Graph { ids, names, down, all_down, normal_down, up, all_up, labels, rank })
}

/// What a single file can have wrong (Revision.__init__).
fn file(script: &Script) -> Result<(), LoadError> {
    let id = &script.revision;
    let characters: Vec<String> = ILLEGAL.into_iter().filter(|c| id.contains(*c)).map(String::from).collect();
    if id.is_empty() {
        Err(LoadError::NoRevision)
    } else if script.down.contains(id) {
        Err(LoadError::Loop(id.clone()))
    } else if script.depends_on.contains(id) {
        Err(LoadError::DependencyLoop(id.clone()))
    } else if !characters.is_empty() {
        Err(LoadError::IllegalCharacter { revision: id.clone(), characters: characters.join(", ") })
    } else {
        Ok(())
    }
}

fn index(scripts: &[Script]) -> Result<HashMap<String, usize>, LoadError> {
    let mut index = HashMap::with_capacity(scripts.len());
    for (place, script) in scripts.iter().enumerate() {
        if index.insert(script.revision.clone(), place).is_some() {
            return Err(LoadError::DuplicateRevision(script.revision.clone()));
        }
    }
    Ok(index)
}

/// Labels join the ids; none may be taken twice (RevisionMap._map_branch_labels).
fn names(scripts: &[Script], index: &HashMap<String, usize>) -> Result<HashMap<String, usize>, LoadError> {
    let mut names = index.clone();
    for (place, script) in scripts.iter().enumerate() {
        for label in &script.labels {
            if let Some(other) = names.insert(label.clone(), place) {
                return Err(LoadError::DuplicateLabel {
                    label: label.clone(),
                    revision: script.revision.clone(),
                    other: scripts[other].revision.clone(),
                });
            }
        }
    }
    Ok(names)
}

fn parents(script: &Script, index: &HashMap<String, usize>) -> Result<Vec<usize>, LoadError> {
    let missing =
        |parent: &String| LoadError::MissingParent { revision: script.revision.clone(), parent: parent.clone() };
    script.down.iter().map(|p| index.get(p).copied().ok_or_else(|| missing(p))).collect()
}

fn dependencies(script: &Script, names: &HashMap<String, usize>) -> Result<Vec<usize>, LoadError> {
    let missing = |dependency: &String| LoadError::MissingDependency {
        revision: script.revision.clone(),
        dependency: dependency.clone(),
    };
    script.depends_on.iter().map(|d| names.get(d).copied().ok_or_else(|| missing(d))).collect()
}

fn unique(mut places: Vec<usize>) -> Vec<usize> {
    let mut seen = HashSet::new();
    places.retain(|p| seen.insert(*p));
    places
}

fn joined(one: &[Vec<usize>], other: &[Vec<usize>]) -> Vec<Vec<usize>> {
    one.iter().zip(other).map(|(a, b)| unique(a.iter().chain(b).copied().collect())).collect()
}

/// Dependencies without those that an ancestor by down_revision declares too (RevisionMap._normalize_depends_on).
fn normalized(down: &[Vec<usize>], depends: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let declarers = reversed(depends);
    let of = |place: usize| {
        let alone = |d: &usize| declarers[*d].len() < 2;
        let mut doubtful: HashSet<usize> = depends[place].iter().copied().filter(|d| !alone(d)).collect();
        let mut seen: HashSet<usize> = HashSet::new();
        let mut todo = down[place].clone();
        let mut declared: HashSet<usize> = HashSet::new();
        while let Some(ancestor) = todo.pop().filter(|_| !doubtful.is_empty()) {
            if seen.insert(ancestor) {
                declared.extend(depends[ancestor].iter().filter(|d| doubtful.remove(d)));
                todo.extend(&down[ancestor]);
            }
        }
        depends[place].iter().copied().filter(|d| !declared.contains(d)).collect()
    };
    (0..down.len()).map(of).collect()
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

/// One topological order, earliest in load order first; or the ids on cycles, and between them.
fn ranks(down: &[Vec<usize>], ids: &[String]) -> Result<Vec<usize>, Vec<String>> {
    let up = reversed(down);
    let order = peel(down, &up, &vec![true; ids.len()]);
    if order.len() == ids.len() {
        let mut rank = vec![0; ids.len()];
        for (position, place) in order.into_iter().enumerate() {
            rank[place] = position;
        }
        return Ok(rank);
    }
    let mut left = vec![true; ids.len()];
    order.into_iter().for_each(|p| left[p] = false);
    peel(&up, down, &left).into_iter().for_each(|p| left[p] = false);
    let cycle: BTreeSet<&String> = (0..ids.len()).filter(|p| left[*p]).map(|p| &ids[p]).collect();
    Err(cycle.into_iter().cloned().collect())
}

/// Kahn's algorithm over the members: takes what has nothing before it, until only cycles and what they lead to is left.
fn peel(before: &[Vec<usize>], after: &[Vec<usize>], members: &[bool]) -> Vec<usize> {
    let count = |p: usize| before[p].iter().filter(|b| members[**b]).count();
    let mut waiting: Vec<usize> = (0..before.len()).map(count).collect();
    let mut ready: BTreeSet<usize> = (0..before.len()).filter(|p| members[*p] && waiting[*p] == 0).collect();
    let mut order = Vec::new();
    while let Some(place) = ready.pop_first() {
        order.push(place);
        for next in after[place].iter().filter(|n| members[**n]) {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    order
}

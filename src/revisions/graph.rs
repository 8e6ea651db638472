//! The revision graph as alembic.script.revision.RevisionMap builds it; no I/O.

use super::load::{self, LoadError};
use std::collections::{BTreeSet, HashMap, HashSet};

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

/// A loaded graph. Revisions are known by their place in Alembic's load order.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(super) ids: Vec<String>,
    /// Every name that a revision can be called by: ids, and labels as their files give them.
    pub(super) names: HashMap<String, usize>,
    /// Parents by down_revision.
    pub(super) down: Vec<Vec<usize>>,
    /// Parents by down_revision and depends_on.
    pub(super) all_down: Vec<Vec<usize>>,
    /// Parents without the dependencies that an ancestor declares too (Revision._normalized_down_revisions).
    pub(super) normal_down: Vec<Vec<usize>>,
    /// Children by down_revision.
    pub(super) up: Vec<Vec<usize>>,
    /// Children by down_revision and depends_on.
    pub(super) all_up: Vec<Vec<usize>>,
    /// The branch labels that each file itself gives.
    pub(super) labels: Vec<Vec<String>>,
    /// Position of each revision in one fixed topological order, parents first.
    pub(super) rank: Vec<usize>,
}

/// A set of revisions by their place.
pub(super) type Set = HashSet<usize>;

impl Graph {
    /// Builds the graph from scripts in Alembic's load order.
    pub fn load(scripts: Vec<Script>) -> Result<Self, LoadError> {
        load::graph(scripts)
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a full id is one of the graph's.
    pub fn contains(&self, id: &str) -> bool {
        self.place(id).is_some()
    }

    /// The effective heads: revisions that nothing revises and nothing depends on. What the version table holds once
    /// everything is applied.
    pub fn heads(&self) -> Vec<String> {
        self.sorted(self.effective_heads())
    }

    /// The heads by down_revision alone: what `head` is for, and `branch@heads` (RevisionMap.heads).
    pub fn versioned_heads(&self) -> Vec<String> {
        self.sorted(self.without(&self.up))
    }

    /// Revisions without a down_revision.
    pub fn bases(&self) -> Vec<String> {
        self.sorted(self.without(&self.down))
    }

    /// The branch labels of a revision, inherited ones included.
    pub fn labels(&self, id: &str) -> BTreeSet<String> {
        self.place(id).map(|place| self.labels_at(place)).unwrap_or_default()
    }

    /// A label goes to all descendants by down_revision. Where these are one plain line, it also goes up from the
    /// labelled revision as far as the line is plain: no merge, and nothing else built on it (RevisionMap._add_branches).
    /// Worked out when asked for: kept for each revision, a history in which each has a label would fill the memory.
    pub(super) fn labels_at(&self, place: usize) -> BTreeSet<String> {
        let mut givers = reach([place], &self.down);
        let plain = |p: usize| self.all_up[p].len() < 2 && self.down[p].len() < 2;
        let mut line = vec![place];
        while let Some(next) = line.last().and_then(|p| self.up[*p].first()) {
            line.push(*next);
            if !plain(*next) {
                break;
            }
        }
        if line.iter().all(|p| plain(*p)) {
            givers.extend(line);
        }
        givers.into_iter().flat_map(|p| self.labels[p].iter().cloned()).collect()
    }

    /// The parents of a revision that count for the version rows: down_revision, and depends_on without what an
    /// ancestor depends on already.
    pub fn parents(&self, id: &str) -> Vec<String> {
        self.place(id).map_or_else(Vec::new, |p| self.sorted(self.normal_down[p].iter().copied()))
    }

    /// Revisions that several others revise.
    pub fn branch_points(&self) -> Vec<String> {
        self.sorted((0..self.len()).filter(|p| self.up[*p].len() > 1))
    }

    /// Revisions with several down revisions.
    pub fn merge_points(&self) -> Vec<String> {
        self.sorted((0..self.len()).filter(|p| self.down[*p].len() > 1))
    }

    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.names.get(id).copied().filter(|p| self.ids[*p] == id)
    }

    pub(super) fn id(&self, place: usize) -> String {
        self.ids[place].clone()
    }

    pub(super) fn effective_heads(&self) -> Vec<usize> {
        self.without(&self.all_up)
    }

    /// Revisions that have no such neighbour, in load order.
    pub(super) fn without(&self, neighbours: &[Vec<usize>]) -> Vec<usize> {
        (0..self.len()).filter(|p| neighbours[*p].is_empty()).collect()
    }

    pub(super) fn sorted(&self, places: impl IntoIterator<Item = usize>) -> Vec<String> {
        let ids: BTreeSet<String> = places.into_iter().map(|p| self.id(p)).collect();
        ids.into_iter().collect()
    }

    /// These revisions and everything below them, dependencies included.
    pub(super) fn closure(&self, places: impl IntoIterator<Item = usize>) -> Set {
        reach(places, &self.all_down)
    }

    /// These revisions and everything below them, dependencies included; `None` where one of them is unknown.
    pub fn applied_at(&self, rows: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        let places = rows.iter().map(|row| self.place(row)).collect::<Option<Vec<_>>>()?;
        Some(self.closure(places).into_iter().map(|p| self.id(p)).collect())
    }

    /// The uppermost of the revisions below these rows that stand in another graph on the same revisions, down to the base.
    pub fn common_below(&self, other: &Self, rows: &BTreeSet<String>) -> BTreeSet<String> {
        let mut below: Vec<usize> = self.closure(rows.iter().filter_map(|row| self.place(row))).into_iter().collect();
        below.sort_by_key(|p| self.rank[*p]);
        let parents = |graph: &Self, p: usize| graph.sorted(graph.all_down[p].iter().copied());
        let mut alike = Set::new();
        for p in below {
            let there = other.place(&self.ids[p]);
            let on_the_same = self.all_down[p].iter().all(|parent| alike.contains(parent));
            if on_the_same && there.is_some_and(|there| parents(self, p) == parents(other, there)) {
                alike.insert(p);
            }
        }
        self.tips(&alike)
    }

    /// The members of a closed set that no other member is built on.
    pub(super) fn tips(&self, applied: &Set) -> BTreeSet<String> {
        let is_tip = |p: &&usize| !self.all_up[**p].iter().any(|child| applied.contains(child));
        applied.iter().filter(is_tip).map(|p| self.id(*p)).collect()
    }

    /// Ancestors and descendants of these revisions, themselves included.
    pub(super) fn lineage(&self, places: &[usize], dependencies: bool) -> Set {
        let (down, up) = if dependencies { (&self.all_down, &self.all_up) } else { (&self.down, &self.up) };
        let mut lineage = reach(places.iter().copied(), down);
        lineage.extend(reach(places.iter().copied(), up));
        lineage
    }

    /// Whether a revision is one of these or below one of them, dependencies included. Looks no further down than
    /// the revision itself, so that it stays cheap in a long history.
    pub(super) fn covers(&self, tops: impl IntoIterator<Item = usize>, place: usize) -> bool {
        let mut todo: Vec<usize> = tops.into_iter().collect();
        let mut seen = Set::new();
        while let Some(top) = todo.pop() {
            if top == place {
                return true;
            }
            if self.rank[top] > self.rank[place] && seen.insert(top) {
                todo.extend(&self.all_down[top]);
            }
        }
        false
    }

    /// A parent of the revision, by down_revision or depends_on, that is an ancestor of another of its parents.
    pub(super) fn redundant_parent(&self, place: usize) -> Option<usize> {
        let parents = &self.all_down[place];
        parents.iter().copied().find(|p| self.covers(parents.iter().copied().filter(|other| other != p), *p))
    }
}

impl Graph {
    /// The first of these that stands below another, and one above it.
    pub(super) fn overlap(&self, places: &[usize]) -> Option<(usize, usize)> {
        let below = self.closure(places.iter().flat_map(|p| self.all_down[*p].iter().copied()));
        let lower = *places.iter().find(|p| below.contains(p))?;
        let upper = places.iter().copied().find(|p| *p != lower && self.covers([*p], lower));
        Some((lower, upper.unwrap_or(lower)))
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

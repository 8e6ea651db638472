//! `graph`: the revisions of an object's image with the database, the target and what lies between; no I/O.

mod export;
mod lanes;
mod svg;

pub use export::{dot, json, mermaid};
pub use lanes::text;
pub use svg::svg;

use super::view::{State, status_of};
use crate::{
    api::{DatabaseMigration, HazardStatus, Reason, RunResult},
    jobs::Inspected,
    revisions::{Direction, Graph, Target, decide},
    text::short_image,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a revision is to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A row of the version table.
    Database,
    /// Below a row.
    Applied,
    /// A step of the plan; of a downgrade, one that is undone.
    Pending,
    /// Where the object should be, and is not.
    Target,
    /// Its step has failed.
    Failed,
    /// A row that the image does not know.
    Unknown,
    /// In the image, and neither applied nor asked for.
    Beyond,
}

impl Mark {
    const LEGEND: [(Self, &'static str); 7] = [
        (Self::Database, "database"),
        (Self::Applied, "applied"),
        (Self::Pending, "pending"),
        (Self::Target, "target"),
        (Self::Failed, "failed"),
        (Self::Unknown, "unknown to the image"),
        (Self::Beyond, "not asked for"),
    ];

    fn glyph(self) -> &'static str {
        match self {
            Self::Database => "◉",
            Self::Applied => "●",
            Self::Pending => "○",
            Self::Target => "◎",
            Self::Failed => "✗",
            Self::Unknown => "?",
            Self::Beyond => "◌",
        }
    }

    fn word(self) -> &'static str {
        Self::LEGEND.iter().find(|(mark, _)| *mark == self).map_or("", |(_, word)| word)
    }
}

/// A revision.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: String,
    pub title: String,
    /// What it revises.
    pub parents: Vec<String>,
    /// What it only depends on.
    pub depends_on: Vec<String>,
    pub mark: Mark,
    /// Which step of the plan it is, from 1.
    pub step: Option<usize>,
    /// What is said of it: TARGET, head, its branch labels.
    pub notes: Vec<String>,
    pub hazards: Vec<HazardStatus>,
}

/// The revisions, children before parents.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub image: String,
    pub down: bool,
    pub nodes: Vec<Node>,
    /// Applied revisions that are left out below.
    pub hidden: usize,
    /// A target that the image has no revision for.
    pub absent: Option<String>,
}

/// How many applied revisions are shown below the database's own, unless all are asked for.
const SHOWN_BELOW: usize = 2;

impl Picture {
    /// Draws the revisions of an image. `hazards` are those of the plan.
    pub fn of(
        object: &DatabaseMigration,
        image: &Inspected,
        hazards: &[HazardStatus],
        all: bool,
    ) -> Result<Self, String> {
        let graph = image.graph.as_ref().map_err(|error| format!("{}: {error}", short_image(&image.image)))?;
        let status = status_of(object);
        let rows: BTreeSet<String> = status.current_revisions.iter().cloned().collect();
        let known: Vec<String> = rows.iter().filter(|row| graph.contains(row)).cloned().collect();
        let targets: BTreeSet<String> = status.target_revisions.iter().cloned().collect();
        let (down, steps) = steps(graph, object, &known.iter().cloned().collect());
        let step_of: HashMap<&String, usize> = steps.iter().enumerate().map(|(at, id)| (id, at + 1)).collect();
        let applied = below(graph, &known);
        let failed =
            status.last_run.as_ref().filter(|run| run.result == RunResult::Failed).and_then(|run| run.revision.clone());
        let heads: BTreeSet<String> = graph.heads().into_iter().collect();
        let revisions: BTreeMap<&str, &crate::jobs::Revision> =
            image.inspection.revisions.iter().map(|revision| (revision.id.as_str(), revision)).collect();
        let shown = if all { None } else { Some(near(graph, &known, &applied)) };
        let mark = |id: &String| match () {
            () if failed.as_ref() == Some(id) && step_of.contains_key(id) => Mark::Failed,
            () if rows.contains(id) => Mark::Database,
            () if targets.contains(id) => Mark::Target,
            () if step_of.contains_key(id) => Mark::Pending,
            () if applied.contains(id) => Mark::Applied,
            () => Mark::Beyond,
        };
        let mut nodes: Vec<Node> = rows.iter().filter(|row| !graph.contains(row)).map(|row| ghost(row)).collect();
        let order = order(graph, revisions.keys().map(|id| (*id).to_owned()).collect());
        let hidden = |id: &String| {
            shown.as_ref().is_some_and(|shown| {
                !shown.contains(id) && applied.contains(id) && !step_of.contains_key(id) && !targets.contains(id)
            })
        };
        let left_out = order.iter().filter(|id| hidden(id)).count();
        for id in order.into_iter().filter(|id| !hidden(id)) {
            let Some(revision) = revisions.get(id.as_str()) else { continue };
            let mut notes = Vec::new();
            if targets.contains(&id) {
                notes.push("TARGET".to_owned());
            }
            if rows.contains(&id) {
                notes.push("DATABASE".to_owned());
            }
            if heads.contains(&id) {
                notes.push("head".to_owned());
            }
            notes.extend(revision.labels.iter().map(|label| crate::text::clean(label, 40)));
            let every: BTreeSet<String> = graph.parents(&id).into_iter().collect();
            let parents: Vec<String> = revision.down.clone();
            let depends_on = every.into_iter().filter(|parent| !parents.contains(parent)).collect();
            nodes.push(Node {
                title: crate::text::clean(&revision.message.replace('\n', " "), 200),
                parents,
                depends_on,
                mark: mark(&id),
                step: step_of.get(&id).copied(),
                notes,
                hazards: hazards.iter().filter(|hazard| hazard.revision.as_ref() == Some(&id)).cloned().collect(),
                id,
            });
        }
        Ok(Self { image: image.image.clone(), down, nodes, hidden: left_out, absent: absent(object) })
    }
}

/// Whether an image has every revision that the database is at, and those that it should be at.
pub fn knows_all(image: &Inspected, object: &DatabaseMigration) -> bool {
    let Some(status) = &object.status else { return true };
    let mut wanted = status.current_revisions.iter().chain(&status.target_revisions);
    image.graph.as_ref().is_ok_and(|graph| wanted.all(|revision| graph.contains(revision)))
}

/// The target, where nothing in the image is called so.
fn absent(object: &DatabaseMigration) -> Option<String> {
    let lacks = matches!(State::of(object).reason(), Some(Reason::UnknownTarget | Reason::RevisionNotInImage));
    lacks.then(|| crate::text::clean(&object.spec.target_revision, 128))
}

/// A row that the image has no file for.
fn ghost(row: &str) -> Node {
    Node {
        id: crate::text::clean(row, 128),
        title: "no revision of this image".to_owned(),
        parents: Vec::new(),
        depends_on: Vec::new(),
        mark: Mark::Unknown,
        step: None,
        notes: vec!["DATABASE".to_owned()],
        hazards: Vec::new(),
    }
}

/// The way to the target, by the operator's own planner; where there is none, what the status says.
fn steps(graph: &Graph, object: &DatabaseMigration, rows: &BTreeSet<String>) -> (bool, Vec<String>) {
    let status = status_of(object);
    let planned = Target::parse(&object.spec.target_revision).ok().and_then(|target| decide(graph, rows, &target).ok());
    match planned {
        Some(plan) => (plan.direction == Direction::Downgrade, plan.steps),
        None => {
            let down = status.plan.as_ref().is_some_and(|plan| plan.direction == "downgrade");
            (down, status.pending.as_ref().map(|pending| pending.revisions.clone()).unwrap_or_default())
        }
    }
}

/// These and everything that they are built on.
fn below(graph: &Graph, rows: &[String]) -> HashSet<String> {
    let mut todo: Vec<String> = rows.to_vec();
    let mut seen: HashSet<String> = todo.iter().cloned().collect();
    while let Some(id) = todo.pop() {
        todo.extend(graph.parents(&id).into_iter().filter(|parent| seen.insert(parent.clone())));
    }
    seen
}

/// The applied revisions close to the rows.
fn near(graph: &Graph, rows: &[String], applied: &HashSet<String>) -> HashSet<String> {
    if applied.len() <= rows.len() + SHOWN_BELOW + 1 {
        return applied.clone();
    }
    let mut near: HashSet<String> = rows.iter().cloned().collect();
    let mut edge: Vec<String> = rows.to_vec();
    for _ in 0..SHOWN_BELOW {
        edge = edge.iter().flat_map(|id| graph.parents(id)).filter(|id| near.insert(id.clone())).collect();
    }
    near
}

/// Children before their parents, a branch as one piece where that is possible.
fn order(graph: &Graph, ids: Vec<String>) -> Vec<String> {
    let parents: HashMap<&String, Vec<String>> = ids.iter().map(|id| (id, graph.parents(id))).collect();
    let mut children: HashMap<&str, usize> = HashMap::new();
    for parent in parents.values().flatten() {
        *children.entry(parent).or_default() += 1;
    }
    let mut waiting: Vec<&String> = ids.iter().filter(|id| !children.contains_key(id.as_str())).collect();
    waiting.sort();
    waiting.reverse();
    let mut left: HashMap<&str, usize> = children.clone();
    let mut out = Vec::with_capacity(ids.len());
    while let Some(id) = waiting.pop() {
        for parent in parents.get(id).into_iter().flatten().rev() {
            if let Some(count) = left.get_mut(parent.as_str()) {
                *count -= 1;
                if *count == 0
                    && let Some((known, _)) = parents.get_key_value(parent)
                {
                    waiting.push(known);
                }
            }
        }
        out.push(id.clone());
    }
    out
}

#[cfg(test)]
mod tests;

//! The steps from the rows of a version table to a target, and the rows that must be there afterwards (facts 3.7, 3.8,
//! 3.12); no I/O.

use super::{
    AlembicError, Graph, Step, Target,
    graph::{Set, reach},
    resolve::Found,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt::Write};

/// Which way a plan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Nothing to do.
    None,
    Upgrade,
    Downgrade,
    /// Writes rows where there are none; runs no revision.
    Stamp,
}

/// A way to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub direction: Direction,
    /// The rows that it starts from.
    pub from: BTreeSet<String>,
    /// What the target means, as full ids; empty for base.
    pub targets: Vec<String>,
    /// For a downgrade, the branch that it stays on (`branch@revision`).
    pub branch: Option<String>,
    /// Revisions in an order in which they can run.
    pub steps: Vec<String>,
    /// The rows that must be there afterwards.
    pub end: BTreeSet<String>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Target(#[from] AlembicError),
    #[error("unknown version rows {}", crate::text::list(rows, 10))]
    UnknownRow { rows: Vec<String> },
    #[error("version row {row} is an ancestor of version row {of}; Alembic refuses to work on such a table")]
    OverlappingRows { row: String, of: String },
    #[error("target {target} is an ancestor of target {of}; name only the later one")]
    OverlappingTargets { target: String, of: String },
    #[error("revision {revision} names parent {parent}, which is an ancestor of another of its parents")]
    RedundantParent { revision: String, parent: String },
    #[error("at revision {revision} the version rows can't follow ({error})")]
    HalfWay { revision: String, error: AlembicError },
    #[error("revision {revision} can't run without others; use strategy Together")]
    Inseparable { revision: String },
    #[error(
        "some targets are ahead of the database and others behind ({}); go to one of the two first",
        crate::text::list(behind, 10)
    )]
    Mixed { behind: Vec<String> },
}

/// Plans the way to a target. What the target needs and the database lacks makes an upgrade; otherwise what stands
/// above the target is undone. Branches that the target does not touch stay as they are, as with Alembic's commands.
/// A way on which Alembic would fall over half-way is no plan.
pub fn decide(graph: &Graph, rows: &BTreeSet<String>, target: &Target) -> Result<Plan, PlanError> {
    let rows_at = places(graph, rows)?;
    if let Some((row, of)) = graph.overlap(&rows_at) {
        return Err(PlanError::OverlappingRows { row: graph.id(row), of: graph.id(of) });
    }
    let targets = graph.resolve_target(target)?;
    let targets_at: Vec<usize> = targets.iter().filter_map(|t| graph.place(t)).collect();
    if let Some((target, of)) = graph.overlap(&targets_at) {
        return Err(PlanError::OverlappingTargets { target: graph.id(target), of: graph.id(of) });
    }
    let applied = graph.closure(rows_at.iter().copied());
    let wanted = graph.closure(targets_at.iter().copied());
    let missing = &wanted - &applied;
    let undone = undone(graph, target, &targets_at, &wanted, &applied)?;
    let (direction, order, end) = if !missing.is_empty() {
        if targets_at.len() > 1 && !undone.is_empty() {
            let behind = targets_at.iter().filter(|t| applied.contains(t)).map(|t| graph.id(*t)).collect();
            return Err(PlanError::Mixed { behind });
        }
        let order = graph.descending(&missing, &targets_at)?;
        (Direction::Upgrade, order.into_iter().rev().collect(), &applied | &wanted)
    } else if !undone.is_empty() {
        (Direction::Downgrade, graph.descending(&undone, &rows_at)?, &applied - &undone)
    } else {
        (Direction::None, Vec::new(), applied)
    };
    let order: Vec<usize> = order;
    let steps = order.into_iter().map(|p| graph.id(p)).collect();
    let branch = target.branch().filter(|_| direction == Direction::Downgrade).map(str::to_owned);
    let plan = Plan { direction, from: rows.clone(), targets, branch, steps, end: graph.tips(&end) };
    followed(graph, &plan)?;
    Ok(plan)
}

/// Writes a revision into an empty version table, as `alembic stamp` does.
pub fn adopt(graph: &Graph, target: &Target) -> Result<Plan, PlanError> {
    let targets = graph.resolve_target(target)?;
    let steps = graph.stamp(&[], &targets)?;
    let end = graph.follow(&[], &steps).map_err(|(_, error)| error)?.into_iter().collect();
    Ok(Plan { direction: Direction::Stamp, from: BTreeSet::new(), targets, branch: None, steps: Vec::new(), end })
}

/// The first step of a plan as a plan of its own.
pub fn first_step(graph: &Graph, plan: &Plan) -> Result<Plan, PlanError> {
    let (Some(step), true) = (plan.steps.first(), plan.steps.len() > 1) else { return Ok(plan.clone()) };
    let rows: Vec<String> = plan.from.iter().cloned().collect();
    let parent = graph.place(step).and_then(|place| graph.down[place].first()).map(|p| graph.id(*p));
    let (targets, branch, steps, moved) = match plan.direction {
        // The name of a step stands for its branch, so that only this one is undone.
        Direction::Downgrade => {
            let below = format!("{step}@{}", parent.as_deref().unwrap_or("base"));
            let steps = graph.downgrade(&rows, &below)?;
            (parent.into_iter().collect(), Some(step.clone()), steps, Step::Downgrade(step.clone()))
        }
        _ => (vec![step.clone()], None, graph.upgrade(&rows, step)?, Step::Upgrade(step.clone())),
    };
    if steps != [step.clone()] {
        return Err(PlanError::Inseparable { revision: step.clone() });
    }
    let end = graph.follow(&rows, &[moved]).map_err(|(_, error)| error)?;
    Ok(Plan { targets, branch, steps, end: end.into_iter().collect(), ..plan.clone() })
}

/// What going down to the targets undoes: the applied descendants, dependencies included, of the targets' children.
/// `branch@revision` goes down on that branch only.
fn undone(graph: &Graph, target: &Target, targets: &[usize], wanted: &Set, applied: &Set) -> Result<Set, AlembicError> {
    let above = |roots: Vec<usize>| &reach(roots, &graph.all_up) & applied;
    match targets {
        [] => graph.roots(target.branch(), Found::Base).map(above),
        [one] if target.branch().is_some() => {
            let anything = above(graph.up[*one].clone());
            if anything.is_empty() {
                return Ok(anything);
            }
            graph.roots(target.branch(), Found::Revision(*one)).map(above)
        }
        several => {
            let children = several.iter().flat_map(|t| graph.up[*t].iter().copied());
            Ok(above(children.filter(|c| !wanted.contains(c)).collect()))
        }
    }
}

/// Whether the version rows can follow the steps, and end where they must.
fn followed(graph: &Graph, plan: &Plan) -> Result<(), PlanError> {
    let step = |revision: &String| match plan.direction {
        Direction::Downgrade => Step::Downgrade(revision.clone()),
        Direction::Upgrade | Direction::Stamp | Direction::None => Step::Upgrade(revision.clone()),
    };
    let rows: Vec<String> = plan.from.iter().cloned().collect();
    let steps: Vec<Step> = plan.steps.iter().map(step).collect();
    let (culprit, error) = match graph.follow(&rows, &steps) {
        Ok(end) if end.iter().eq(plan.end.iter()) => return Ok(()),
        Ok(_) => (plan.steps.len(), AlembicError::Revision("an ancestor of another row would stay behind")),
        Err((number, error)) => (number, error),
    };
    let mut redundant = plan.steps.iter().filter_map(|revision| {
        let parent = graph.redundant_parent(graph.place(revision)?)?;
        Some(PlanError::RedundantParent { revision: revision.clone(), parent: graph.id(parent) })
    });
    let revision = plan.steps.get(culprit).or(plan.steps.last()).cloned().unwrap_or_default();
    Err(redundant.next_back().unwrap_or(PlanError::HalfWay { revision, error }))
}

fn places(graph: &Graph, rows: &BTreeSet<String>) -> Result<Vec<usize>, PlanError> {
    let unknown: Vec<String> = rows.iter().filter(|row| !graph.contains(row)).cloned().collect();
    if !unknown.is_empty() {
        return Err(PlanError::UnknownRow { rows: unknown });
    }
    Ok(rows.iter().filter_map(|row| graph.place(row)).collect())
}

/// Digest over the steps and the contents of their files, which the runner computes again before the first step.
pub fn steps_digest(steps: impl IntoIterator<Item = (String, String)>) -> String {
    let steps: BTreeSet<(String, String)> = steps.into_iter().collect();
    let mut hash = Sha256::new();
    for (revision, sha256) in steps {
        hash.update(format!("{revision} {sha256}\n"));
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revisions::Script;

    /// `id<parents|dependencies#labels`, such as `c<a,b|x#users`.
    fn graph(text: &str) -> Graph {
        let list = |t: &str| t.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        let script = |text: &str| {
            let (rest, labels) = text.split_once('#').unwrap_or((text, ""));
            let (rest, deps) = rest.split_once('|').unwrap_or((rest, ""));
            let (id, down) = rest.split_once('<').unwrap_or((rest, ""));
            Script { revision: id.into(), down: list(down), depends_on: list(deps), labels: list(labels) }
        };
        Graph::load(text.split_whitespace().map(script).collect()).unwrap()
    }

    fn set(text: &str) -> BTreeSet<String> {
        text.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect()
    }

    fn plan(g: &str, rows: &str, target: &str) -> Result<(Direction, String, String), PlanError> {
        let plan = decide(&graph(g), &set(rows), &Target::parse(target).unwrap())?;
        Ok((plan.direction, plan.steps.join(","), plan.end.into_iter().collect::<Vec<_>>().join(",")))
    }

    const LINE: &str = "aaaa bbbb<aaaa cccc<bbbb";
    const DIAMOND: &str = "aaaa bbbb<aaaa#left cccc<aaaa#right dddd<bbbb,cccc";

    #[test]
    fn a_line_goes_up_and_down() {
        let up = |d, s: &str, e: &str| Ok((d, s.to_owned(), e.to_owned()));
        assert_eq!(plan(LINE, "", "head"), up(Direction::Upgrade, "aaaa,bbbb,cccc", "cccc"));
        assert_eq!(plan(LINE, "aaaa", "bb"), up(Direction::Upgrade, "bbbb", "bbbb"));
        assert_eq!(plan(LINE, "cccc", "aaaa"), up(Direction::Downgrade, "cccc,bbbb", "aaaa"));
        assert_eq!(plan(LINE, "cccc", "base"), up(Direction::Downgrade, "cccc,bbbb,aaaa", ""));
        assert_eq!(plan(LINE, "cccc", "heads"), up(Direction::None, "", "cccc"));
        assert_eq!(plan(LINE, "", "base"), up(Direction::None, "", ""));
    }

    #[test]
    fn a_diamond_opens_when_it_is_gone_down() {
        let (direction, steps, end) = plan(DIAMOND, "dddd", "bbbb").unwrap();
        assert_eq!((direction, steps.as_str(), end.as_str()), (Direction::Downgrade, "dddd", "bbbb,cccc"));
        let (_, steps, end) = plan(DIAMOND, "bbbb,cccc", "aaaa").unwrap();
        assert_eq!((set(&steps), end.as_str()), (set("bbbb,cccc"), "aaaa"));
    }

    #[test]
    fn branches_are_named() {
        let two = "aaaa bbbb<aaaa#left cccc<aaaa#right";
        assert!(
            matches!(plan(two, "", "head"), Err(PlanError::Target(AlembicError::MultipleHeads { heads })) if heads == ["bbbb", "cccc"])
        );
        assert_eq!(plan(two, "", "left@head").unwrap().1, "aaaa,bbbb");
        assert_eq!(plan(two, "aaaa", "heads").unwrap().2, "bbbb,cccc");
        assert_eq!(plan(two, "bbbb,cccc", "left@base").unwrap().2, "");
        assert_eq!(plan(two, "bbbb,cccc", "left@aaaa").unwrap(), (Direction::Downgrade, "bbbb".into(), "cccc".into()));
    }

    #[test]
    fn dependencies_count_as_applied_and_take_rows_away() {
        let g = "aaaa#one bbbb#two cccc<bbbb|aaaa";
        assert_eq!(plan(g, "", "cccc").unwrap().2, "cccc");
        assert_eq!(plan(g, "cccc", "aaaa").unwrap().0, Direction::None);
        assert_eq!(plan(g, "cccc", "heads").unwrap().0, Direction::None);
    }

    #[test]
    fn a_plan_goes_step_by_step_as_well() {
        for (g, rows, target) in
            [(DIAMOND, "", "head"), (DIAMOND, "dddd", "base"), (LINE, "cccc", "aaaa"), (DIAMOND, "bbbb,cccc", "aaaa")]
        {
            let graph = graph(g);
            let target = Target::parse(target).unwrap();
            let whole = decide(&graph, &set(rows), &target).unwrap();
            let (mut at, mut steps) = (set(rows), Vec::new());
            while at != whole.end {
                let step = first_step(&graph, &decide(&graph, &at, &target).unwrap()).unwrap();
                steps.extend(step.steps.clone());
                at = step.end;
            }
            assert_eq!(steps, whole.steps, "{g} {rows}");
        }
    }

    #[test]
    fn what_alembic_fails_on_is_refused() {
        let redundant = "aaaa bbbb<aaaa cccc<aaaa dddd<bbbb,aaaa,cccc";
        assert!(
            matches!(plan(redundant, "", "head"), Err(PlanError::RedundantParent { revision, parent }) if (revision.as_str(), parent.as_str()) == ("dddd", "aaaa"))
        );
        // Alembic gets away with this one.
        assert_eq!(plan("aaaa bbbb<aaaa cccc<aaaa,bbbb", "", "head").unwrap().2, "cccc");
        assert!(matches!(plan(LINE, "aaaa,cccc", "head"), Err(PlanError::OverlappingRows { .. })));
        assert!(matches!(plan(LINE, "zzzz", "head"), Err(PlanError::UnknownRow { rows }) if rows == ["zzzz"]));
        assert!(matches!(plan(LINE, "", "nope"), Err(PlanError::Target(AlembicError::NotFound { .. }))));
        assert!(
            matches!(plan("abcd1 abcd2<abcd1", "", "abc"), Err(PlanError::Target(AlembicError::Ambiguous { candidates, .. })) if candidates.len() == 2)
        );
    }

    #[test]
    fn broken_graphs_are_named() {
        let load = |g: &str| {
            let script = |t: &str| {
                let (id, down) = t.split_once('<').unwrap_or((t, ""));
                let down = down.split(',').filter(|d| !d.is_empty()).map(str::to_owned).collect();
                Script { revision: id.into(), down, ..Script::default() }
            };
            Graph::load(g.split_whitespace().map(script).collect()).unwrap_err()
        };
        use crate::revisions::LoadError as E;
        assert_eq!(load("a<b b<a c"), E::Cycle(vec!["a".into(), "b".into()]));
        assert_eq!(load("a<a"), E::Loop("a".into()));
        assert!(matches!(load("a<gone"), E::MissingParent { .. }));
        assert!(matches!(load("a a"), E::DuplicateRevision(_)));
        assert!(matches!(load("a-b"), E::IllegalCharacter { .. }));
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order() {
        let step = |id: &str| (id.to_owned(), format!("hash of {id}"));
        assert_eq!(steps_digest([step("a"), step("b")]), steps_digest([step("b"), step("a")]));
        assert_ne!(steps_digest([step("a")]), steps_digest([step("b")]));
    }

    #[test]
    fn a_long_history_is_planned_without_recursion() {
        let script = |i: usize| Script {
            revision: format!("r{i:06}"),
            down: i.checked_sub(1).map(|p| format!("r{p:06}")).into_iter().collect(),
            ..Script::default()
        };
        let graph = Graph::load((0..50_000).map(script).collect()).unwrap();
        let plan = decide(&graph, &BTreeSet::new(), &Target::parse("head").unwrap()).unwrap();
        assert_eq!((plan.steps.len(), plan.end.len()), (50_000, 1));
    }
}

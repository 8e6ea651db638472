//! The steps from the rows of a version table to a target, and the rows that must be there afterwards (facts 3.7, 3.8,
//! 3.12); no I/O.

use super::{
    Graph, Target,
    graph::{Set, reach},
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
    #[error("{} heads: {}; merge them, or name the ones you want (heads, branch@head, a comma-separated list)", heads.len(), crate::text::list(heads, 10))]
    MultipleHeads { heads: Vec<String> },
    #[error("no revision, branch label or unique prefix is called {target}")]
    UnknownTarget { target: String },
    #[error("{target} could be any of {}", crate::text::list(candidates, 10))]
    AmbiguousTarget { target: String, candidates: Vec<String> },
    #[error("revision {revision} is not on branch {branch}")]
    NotOnBranch { revision: String, branch: String },
    #[error("unknown version rows {}", crate::text::list(rows, 10))]
    UnknownRow { rows: Vec<String> },
    #[error("version row {row} is an ancestor of version row {of}; Alembic refuses to work on such a table")]
    OverlappingRows { row: String, of: String },
    #[error("target {target} is an ancestor of target {of}; name only the later one")]
    OverlappingTargets { target: String, of: String },
    #[error(
        "revision {revision} names parent {parent}, which is an ancestor of another of its parents: Alembic fails half-way on it"
    )]
    RedundantParent { revision: String, parent: String },
    #[error(
        "some targets are ahead of the database and others behind ({}); go to one of the two first",
        crate::text::list(behind, 10)
    )]
    Mixed { behind: Vec<String> },
}

/// Plans the way to a target. What the target needs and the database lacks makes an upgrade; otherwise what stands
/// above the target is undone. Branches that the target does not touch stay as they are, as with Alembic's commands.
pub fn decide(graph: &Graph, rows: &BTreeSet<String>, target: &Target) -> Result<Plan, PlanError> {
    let rows_at = places(graph, rows)?;
    if let Some((row, of)) = overlap(graph, &rows_at) {
        return Err(PlanError::OverlappingRows { row, of });
    }
    let targets = graph.resolve_target(target)?;
    let targets_at: Vec<usize> = targets.iter().filter_map(|t| graph.index.get(t).copied()).collect();
    if let Some((target, of)) = overlap(graph, &targets_at) {
        return Err(PlanError::OverlappingTargets { target, of });
    }
    let applied = graph.closure(rows_at.iter().copied());
    let wanted = graph.closure(targets_at.iter().copied());
    let missing: Set = wanted.difference(&applied).copied().collect();
    let undone = undone(graph, target, &targets_at, &wanted, &applied)?;
    let (direction, steps, end) = if !missing.is_empty() {
        if targets_at.len() > 1 && !undone.is_empty() {
            let behind = targets_at.iter().filter(|t| applied.contains(t)).map(|t| graph.id(*t)).collect();
            return Err(PlanError::Mixed { behind });
        }
        (Direction::Upgrade, missing, &applied | &wanted)
    } else if !undone.is_empty() {
        (Direction::Downgrade, undone.clone(), &applied - &undone)
    } else {
        (Direction::None, Set::new(), applied)
    };
    let mut order: Vec<usize> = steps.into_iter().collect();
    order.sort_by_key(|p| graph.rank[*p]);
    if direction == Direction::Downgrade {
        order.reverse();
    }
    for place in &order {
        let revision = graph.id(*place);
        if let Some(parent) = graph.redundant_parent(&revision) {
            return Err(PlanError::RedundantParent { revision, parent });
        }
    }
    let steps = order.into_iter().map(|p| graph.id(p)).collect();
    let branch = target.branch().filter(|_| direction == Direction::Downgrade).map(str::to_owned);
    Ok(Plan { direction, from: rows.clone(), targets, branch, steps, end: graph.tips(&end) })
}

/// What going down to the targets undoes: the applied descendants, dependencies included, of the targets' children.
fn undone(graph: &Graph, target: &Target, targets: &[usize], wanted: &Set, applied: &Set) -> Result<Set, PlanError> {
    let mut roots: Vec<usize> = if targets.is_empty() {
        graph.base_places()
    } else {
        targets.iter().flat_map(|t| graph.up[*t].iter().copied()).filter(|c| !wanted.contains(c)).collect()
    };
    // `branch@revision` goes down on that branch only (RevisionMap._collect_downgrade_revisions).
    if let Some(branch) = target.branch() {
        let place = graph.find(branch, None)?;
        let ancestors = reach([place], &graph.down);
        let on_branch: Vec<usize> = roots.iter().copied().filter(|r| ancestors.contains(r)).collect();
        if !on_branch.is_empty() || targets.is_empty() {
            roots = on_branch;
        }
    }
    Ok(&reach(roots, &graph.all_up) & applied)
}

fn places(graph: &Graph, rows: &BTreeSet<String>) -> Result<Vec<usize>, PlanError> {
    let unknown: Vec<String> = rows.iter().filter(|row| !graph.contains(row)).cloned().collect();
    if !unknown.is_empty() {
        return Err(PlanError::UnknownRow { rows: unknown });
    }
    Ok(rows.iter().filter_map(|row| graph.index.get(row).copied()).collect())
}

/// Two of these where the first is an ancestor of the second.
fn overlap(graph: &Graph, places: &[usize]) -> Option<(String, String)> {
    places.iter().find_map(|of| {
        let below = graph.closure(graph.all_down[*of].iter().copied());
        let row = places.iter().find(|p| *p != of && below.contains(p))?;
        Some((graph.id(*row), graph.id(*of)))
    })
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
    use crate::revisions::{Script, TargetError};

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
        assert!(matches!(plan(two, "", "head"), Err(PlanError::MultipleHeads { heads }) if heads == ["bbbb", "cccc"]));
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
    fn what_alembic_fails_on_is_refused() {
        assert!(matches!(plan("aaaa bbbb<aaaa cccc<aaaa,bbbb", "", "head"), Err(PlanError::RedundantParent { .. })));
        assert!(matches!(plan(LINE, "aaaa,cccc", "head"), Err(PlanError::OverlappingRows { .. })));
        assert!(matches!(plan(LINE, "zzzz", "head"), Err(PlanError::UnknownRow { rows }) if rows == ["zzzz"]));
        assert!(matches!(plan(LINE, "", "nope"), Err(PlanError::UnknownTarget { .. })));
        assert!(
            matches!(plan("abcd1 abcd2<abcd1", "", "abc"), Err(PlanError::AmbiguousTarget { candidates, .. }) if candidates.len() == 2)
        );
    }

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
        assert_eq!(load("a<a"), E::Cycle(vec!["a".into()]));
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

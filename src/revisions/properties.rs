//! What must hold of every plan over every graph, tried on random ones; no I/O.

use super::{Direction, Graph, LoadError, PlanError, Script, Target, decide};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A graph as pairs of numbers: each revision's parents and dependencies among those before it, and its label.
fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let node = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::collection::vec(any::<prop::sample::Index>(), 0..2),
        any::<bool>(),
        any::<bool>(),
    );
    prop::collection::vec(node, 1..24).prop_map(|nodes| {
        let id = |place: usize| format!("rev{place:02}");
        let pick = |from: &[prop::sample::Index], place: usize| -> Vec<String> {
            let picked: BTreeSet<String> = from.iter().filter(|_| place > 0).map(|i| id(i.index(place))).collect();
            picked.into_iter().collect()
        };
        let script = |(place, (down, deps, depends, label)): (usize, (Vec<_>, Vec<_>, bool, bool))| Script {
            revision: id(place),
            down: pick(&down, place),
            depends_on: if depends { pick(&deps, place) } else { vec![] },
            labels: if label { vec![format!("label{place:02}")] } else { vec![] },
        };
        nodes.into_iter().enumerate().map(script).collect()
    })
}

/// Rows that a database can have: the tips of what some revisions need.
fn rows(graph: &Graph, picks: &[prop::sample::Index]) -> BTreeSet<String> {
    let places = picks.iter().map(|pick| pick.index(graph.len()));
    graph.tips(&graph.closure(places))
}

fn plan(graph: &Graph, rows: &BTreeSet<String>, targets: &BTreeSet<String>) -> Result<super::Plan, PlanError> {
    decide(graph, rows, &Target::revisions(targets.iter().cloned().collect()))
}

fn position(steps: &[String], id: &str) -> Option<usize> {
    steps.iter().position(|step| step == id)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn plans_are_closed_ordered_and_end_at_the_tips(
        scripts in scripts(),
        from in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        to in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let graph = Graph::load(scripts).unwrap();
        let (rows, targets) = (rows(&graph, &from), rows(&graph, &to));
        let again = plan(&graph, &rows, &targets);
        let Ok(plan) = plan(&graph, &rows, &targets) else { return Ok(()) };
        prop_assert_eq!(Ok(&plan), again.as_ref(), "the same each time");

        let place = |id: &String| graph.place(id).unwrap();
        let applied = graph.closure(rows.iter().map(place));
        let steps: BTreeSet<usize> = plan.steps.iter().map(place).collect();
        prop_assert_eq!(steps.len(), plan.steps.len(), "no step twice");
        let end = match plan.direction {
            Direction::Upgrade => {
                prop_assert!(steps.iter().all(|s| !applied.contains(s)));
                applied.iter().copied().chain(steps.iter().copied()).collect()
            }
            Direction::Downgrade => {
                prop_assert!(steps.iter().all(|s| applied.contains(s)));
                applied.iter().copied().filter(|p| !steps.contains(p)).collect()
            }
            Direction::None | Direction::Stamp => applied.clone(),
        };
        prop_assert_eq!(&graph.closure(end.iter().copied()), &end, "what is applied afterwards needs nothing else");
        prop_assert_eq!(&graph.tips(&end), &plan.end);
        for (at, step) in plan.steps.iter().enumerate() {
            for parent in graph.parents(step) {
                let parent = position(&plan.steps, &parent);
                prop_assert!(parent.is_none_or(|p| (p < at) == (plan.direction == Direction::Upgrade)));
            }
        }
    }

    #[test]
    fn up_and_down_again_is_where_it_began(
        scripts in scripts(),
        from in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let graph = Graph::load(scripts).unwrap();
        let start = rows(&graph, &from);
        let Ok(up) = decide(&graph, &start, &Target::parse("heads").unwrap()) else { return Ok(()) };
        prop_assume!(up.direction == Direction::Upgrade);
        let Ok(down) = plan(&graph, &up.end, &start) else { return Ok(()) };
        // Down to these rows undoes what stands on them; a branch that does not, stays.
        let undone: BTreeSet<_> = down.steps.iter().collect();
        prop_assert!(undone.iter().all(|step| up.steps.contains(step)));
        let ids: Vec<String> = up.steps.iter().rev().cloned().collect();
        let back: Vec<super::Step> = ids.iter().cloned().map(super::Step::Downgrade).collect();
        if let Ok(end) = graph.follow(&up.end.iter().cloned().collect::<Vec<_>>(), &back) {
            let redundant = (0..graph.len()).any(|p| graph.redundant_parent(p).is_some());
            prop_assert!(redundant || end.iter().eq(start.iter()), "{:?} is not {:?}", end, start);
        }
    }

    #[test]
    fn nothing_from_outside_panics(
        ids in prop::collection::vec("[a-c@+:-]{0,3}", 0..6),
        edges in prop::collection::vec(("[a-c]{0,3}", "[a-c]{0,3}", "[a-c]{0,3}"), 0..6),
        target in "[a-c0-9@+:,_-]{0,12}|head|heads|base|.{0,8}",
        rows in prop::collection::vec("[a-c]{0,3}|head|.{0,4}", 0..3),
    ) {
        let script = |(revision, (down, dependency, label)): (String, (String, String, String))| Script {
            revision,
            down: vec![down].into_iter().filter(|d| !d.is_empty()).collect(),
            depends_on: vec![dependency].into_iter().filter(|d| !d.is_empty()).collect(),
            labels: vec![label].into_iter().filter(|l| !l.is_empty()).collect(),
        };
        let graph: Result<Graph, LoadError> = Graph::load(ids.into_iter().zip(edges).map(script).collect());
        let Ok(graph) = graph else { return Ok(()) };
        let _ = graph.upgrade(&rows, &target);
        let _ = graph.downgrade(&rows, &target);
        let _ = graph.stamp(&rows, std::slice::from_ref(&target));
        let _ = graph.range(&target, &target);
        let _ = graph.resolve(&target);
        if let Ok(target) = Target::parse(&target) {
            let _ = decide(&graph, &rows.into_iter().collect(), &target);
        }
    }
}

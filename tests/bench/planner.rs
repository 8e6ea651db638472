//! How long a plan over 5,000 revisions takes, from the inspected files to the steps; run by `make bench`. No I/O but print.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use alembic_operator::revisions::{Graph, Script, Target, decide};
use std::{collections::BTreeSet, time::Instant};

const REVISIONS: usize = 5_000;

fn id(place: usize) -> String {
    format!("{place:012x}")
}

fn script(place: usize, down: &[usize]) -> Script {
    Script { revision: id(place), down: down.iter().map(|d| id(*d)).collect(), ..Script::default() }
}

/// One after the other.
fn line() -> Vec<Script> {
    (0..REVISIONS).map(|n| script(n, &n.checked_sub(1).into_iter().collect::<Vec<_>>())).collect()
}

/// Two branches and their merge, again and again: every third revision is a merge.
fn diamonds() -> Vec<Script> {
    let down = |n: usize| match (n, n % 3) {
        (0, _) => vec![],
        (_, 0) => vec![n - 2, n - 1],
        (_, 1) => vec![n - 1],
        _ => vec![n - 2],
    };
    (0..REVISIONS).map(|n| script(n, &down(n))).collect()
}

fn main() {
    for (shape, scripts) in [("line", line()), ("diamonds", diamonds())] {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let scripts = scripts.clone();
            let begun = Instant::now();
            let graph = Graph::load(scripts).unwrap();
            let up = decide(&graph, &BTreeSet::new(), &Target::parse("heads").unwrap()).unwrap();
            let down = decide(&graph, &up.end, &Target::parse("base").unwrap()).unwrap();
            assert_eq!((up.steps.len(), down.steps.len()), (REVISIONS, REVISIONS));
            best = best.min(begun.elapsed().as_secs_f64() * 1000.0);
        }
        println!("{shape} {best:.2}");
    }
}

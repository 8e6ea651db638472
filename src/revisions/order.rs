//! The order of steps, as RevisionMap._topological_sort gives it: a line is followed down as far as it goes before the next
//! one is taken up; no I/O.

use super::{AlembicError, Graph, error::ASSERTION, graph::Set};

/// Above this many members times heads any topological order will do: Alembic's own would take minutes.
const FOLLOWED: usize = 1_000_000;

impl Graph {
    /// The members from the heads down: each after everything that is built on it. Alembic fails with an AssertionError
    /// where the heads don't lead to all members.
    pub(super) fn descending(&self, members: &Set, heads: &[usize]) -> Result<Vec<usize>, AlembicError> {
        if members.len().saturating_mul(heads.len()) > FOLLOWED {
            let mut order: Vec<usize> = members.iter().copied().collect();
            order.sort_by_key(|p| std::cmp::Reverse(self.rank[*p]));
            return Ok(order);
        }
        let mut todo = members.clone();
        let mut open: Vec<usize> = heads.iter().copied().filter(|h| todo.contains(h)).collect();
        open.sort_unstable();
        open.dedup();
        let mut order = Vec::with_capacity(members.len());
        let mut at = 0;
        while let Some(candidate) = open.get(at).copied() {
            let above = open.iter().position(|head| *head != candidate && self.covers([*head], candidate));
            if let Some(above) = above {
                at = above;
                continue;
            }
            if todo.remove(&candidate) {
                order.push(candidate);
            }
            let mut next =
                self.normal_down[candidate].iter().filter(|p| todo.contains(p) && !open.contains(p)).copied();
            match next.next() {
                Some(first) => {
                    let rest: Vec<usize> = next.collect();
                    open[at] = first;
                    open.extend(rest);
                }
                None => {
                    open.remove(at);
                    at = at.saturating_sub(1);
                }
            }
        }
        if todo.is_empty() { Ok(order) } else { Err(ASSERTION) }
    }
}

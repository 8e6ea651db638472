//! Targets that the sources do not name just now, and of which something must not be forgotten: a run that failed or was lost, or a
//! batch that works. No I/O.

use super::{
    facts::Facts,
    member::{Line, Member, Seen, Target},
};
use std::collections::{BTreeMap, BTreeSet};

/// Their state in the pages.
pub const LEFT: &str = "Left";

/// The lines of those that are not among the targets of this look.
pub fn lines(facts: &Facts) -> Vec<&Line> {
    let there: BTreeSet<String> = facts.members.iter().map(|member| member.target.key()).collect();
    let to_remember = |line: &&Line| line.memory.held || line.memory.batch > 0;
    facts.lines.iter().filter(to_remember).filter(|line| !there.contains(&line.key())).collect()
}

/// Such a target as one of the others, to record what came of its batch.
pub fn member(line: &Line) -> Member {
    let target = Target {
        name: line.name.clone(),
        server: line.server.clone(),
        database: line.database.clone(),
        schema: line.schema.clone(),
        labels: BTreeMap::new(),
    };
    Member { target, seen: Seen::Rows(line.rows.iter().cloned().collect()), memory: line.memory.clone() }
}

/// The lines that stay, with what is remembered now. What another rollout has left is of no use to this one.
pub fn kept(lines: &[&Line], members: &[Member], rollout: i64) -> Vec<Line> {
    let kept = |(line, member): (&&Line, &Member)| {
        let memory = member.memory.clone();
        let of_use = memory.batch > 0 || memory.held && memory.rollout == rollout;
        of_use.then(|| Line { state: LEFT.to_owned(), memory, ..Line::clone(line) })
    };
    lines.iter().zip(members).filter_map(kept).collect()
}

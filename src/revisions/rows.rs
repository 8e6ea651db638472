//! How a version table follows the steps of a command: what alembic.runtime.migration.HeadMaintainer does, to know before
//! a run whether it would fall over half-way (facts 3.9, 3.11 and 3.13); no I/O.

use super::{AlembicError, Graph, error::ASSERTION};
use std::collections::BTreeSet;

const KEY_ERROR: AlembicError = AlembicError::Traceback("KeyError");

/// A step of a command, as the version table sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Upgrade(String),
    Downgrade(String),
    Stamp { from: Vec<String>, to: Vec<String>, upgrade: bool, branch_move: bool },
}

impl Graph {
    /// The rows after these steps, sorted; or the step at which Alembic fails, and how.
    pub fn follow(&self, rows: &[String], steps: &[Step]) -> Result<Vec<String>, (usize, AlembicError)> {
        let mut table = Table { heads: rows.iter().cloned().collect(), rows: rows.to_vec() };
        for (number, step) in steps.iter().enumerate() {
            let moved = match step {
                Step::Upgrade(revision) => self.apply(&mut table, revision),
                Step::Downgrade(revision) => self.undo(&mut table, revision),
                Step::Stamp { from, to, upgrade, branch_move } => table.stamp(from, to, *upgrade, *branch_move),
            };
            moved.map_err(|error| (number, error))?;
        }
        table.rows.sort();
        Ok(table.rows)
    }

    fn apply(&self, table: &mut Table, revision: &str) -> Result<(), AlembicError> {
        let parents = self.normal_parents(revision)?;
        let present: Vec<&String> = parents.iter().filter(|p| table.heads.contains(*p)).collect();
        if present.is_empty() {
            return table.insert(revision);
        }
        if present.len() == 1 {
            let from = if parents.len() == 1 { &parents[0] } else { present[0] };
            return table.update(&from.clone(), revision);
        }
        let others: Vec<String> = table.heads.iter().filter(|h| !parents.contains(h)).cloned().collect();
        let from = self.not_below(&parents, &others)?;
        let (last, first) = from.split_last().ok_or(AlembicError::Traceback("IndexError"))?;
        first.iter().try_for_each(|f| table.delete(f))?;
        table.update(last, revision)
    }

    fn undo(&self, table: &mut Table, revision: &str) -> Result<(), AlembicError> {
        let parents = self.normal_parents(revision)?;
        if !table.heads.contains(revision) {
            return match parents.as_slice() {
                [parent] => table.update(revision, parent),
                _ => Err(ASSERTION),
            };
        }
        let others: Vec<String> = table.heads.iter().filter(|h| *h != revision).cloned().collect();
        let left = if others.is_empty() { self.tips_of(&parents) } else { self.not_below(&parents, &others)? };
        match left.split_last() {
            None => table.delete(revision),
            Some((last, first)) if parents.len() > 1 => {
                first.iter().try_for_each(|f| table.insert(f))?;
                table.update(revision, last)
            }
            Some(_) => table.update(revision, &parents[0]),
        }
    }

    fn normal_parents(&self, revision: &str) -> Result<Vec<String>, AlembicError> {
        let place = self.place(revision).ok_or(KEY_ERROR)?;
        Ok(self.normal_down[place].iter().map(|p| self.id(*p)).collect())
    }

    /// Those that are neither among the rows nor below them.
    fn not_below(&self, revisions: &[String], rows: &[String]) -> Result<Vec<String>, AlembicError> {
        let tops = self.current(rows)?;
        let stays = |r: &&String| self.place(r).is_none_or(|place| !self.covers(tops.iter().copied(), place));
        Ok(revisions.iter().filter(stays).cloned().collect())
    }

    /// Those that are not below another of them.
    fn tips_of(&self, revisions: &[String]) -> Vec<String> {
        let places: Vec<usize> = revisions.iter().filter_map(|r| self.place(r)).collect();
        let below = |p: usize| self.covers(places.iter().copied().filter(|other| *other != p), p);
        places.iter().filter(|p| !below(**p)).map(|p| self.id(*p)).collect()
    }

    /// The steps of `alembic stamp` (ScriptDirectory._stamp_revs).
    pub fn stamp(&self, rows: &[String], targets: &[String]) -> Result<Vec<Step>, AlembicError> {
        let heads = self.current(rows)?;
        let mut filtered: Vec<usize> = Vec::new();
        for target in targets.iter().filter(|t| !t.is_empty()) {
            filtered.extend(self.filter(&heads, target, true)?);
        }
        let mut seen = BTreeSet::new();
        filtered.retain(|p| seen.insert(*p));
        let ids: Vec<String> = filtered.iter().map(|p| self.id(*p)).collect();
        let found = self.get_all(targets)?;
        if found.is_empty() {
            let away =
                |id: &String| Step::Stamp { from: vec![id.clone()], to: vec![], upgrade: false, branch_move: true };
            return Ok(ids.iter().map(away).collect());
        }
        let mut steps = Vec::new();
        for found in found {
            let place = found.revision()?;
            if filtered.contains(&place) {
                continue;
            }
            let above = filtered.iter().any(|head| self.covers([*head], place));
            let below = filtered.iter().any(|head| self.covers([place], *head));
            if above && below {
                return Err(ASSERTION);
            }
            let from = if above || below { ids.clone() } else { Vec::new() };
            let to = vec![self.id(place)];
            steps.push(Step::Stamp { from, to, upgrade: !above, branch_move: !above && !below });
        }
        Ok(steps)
    }
}

/// The version table, and Alembic's idea of it.
struct Table {
    heads: BTreeSet<String>,
    rows: Vec<String>,
}

const ROW_COUNT: AlembicError = AlembicError::Command("expected to match one row in the version table");

impl Table {
    fn insert(&mut self, revision: &str) -> Result<(), AlembicError> {
        if !self.heads.insert(revision.to_owned()) {
            return Err(ASSERTION);
        }
        self.rows.push(revision.to_owned());
        Ok(())
    }

    fn delete(&mut self, revision: &str) -> Result<(), AlembicError> {
        if !self.heads.remove(revision) {
            return Err(KEY_ERROR);
        }
        let before = self.rows.len();
        self.rows.retain(|row| row != revision);
        if before - self.rows.len() == 1 { Ok(()) } else { Err(ROW_COUNT) }
    }

    fn update(&mut self, from: &str, to: &str) -> Result<(), AlembicError> {
        if self.heads.contains(to) {
            return Err(ASSERTION);
        }
        if !self.heads.remove(from) {
            return Err(KEY_ERROR);
        }
        self.heads.insert(to.to_owned());
        let mut changed = 0;
        for row in self.rows.iter_mut().filter(|row| *row == from) {
            to.clone_into(row);
            changed += 1;
        }
        if changed == 1 { Ok(()) } else { Err(ROW_COUNT) }
    }

    fn stamp(&mut self, from: &[String], to: &[String], upgrade: bool, branch_move: bool) -> Result<(), AlembicError> {
        let new = |names: &[String], heads: &BTreeSet<String>| names.iter().any(|n| !heads.contains(n));
        match (from, to) {
            _ if !upgrade && branch_move => match from {
                [one] => self.delete(one),
                _ => Err(ASSERTION),
            },
            (_, [one]) if upgrade && (branch_move || new(from, &self.heads)) && new(to, &self.heads) => {
                self.insert(one)
            }
            ([first @ .., last], [to]) => {
                first.iter().try_for_each(|f| self.delete(f))?;
                self.update(last, to)
            }
            _ => Err(ASSERTION),
        }
    }
}

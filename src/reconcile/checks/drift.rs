//! Whether something else changed the version rows; no I/O.

use crate::{
    api::{ConditionType, DatabaseMigrationStatus},
    reconcile::status::shown_rows,
    text::rows_in_line,
};
use std::collections::BTreeSet;

/// How the live rows differ from those of the last check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// There was nothing to compare with.
    NotChecked,
    Unchanged,
    /// Changed between the last check and this one.
    Changed {
        message: String,
    },
    /// Changed earlier, and the target has not been reached since.
    StillChanged,
}

impl Drift {
    /// Whether the rows are what something else wrote.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::StillChanged)
    }
}

/// Compares the rows with those that `before` has. `ours` says that a run of this operator ended in between.
pub fn drift(before: &DatabaseMigrationStatus, rows: &BTreeSet<String>, at_target: bool, ours: bool) -> Drift {
    let Some(current) = before.current.as_deref() else {
        return if at_target { Drift::Unchanged } else { Drift::NotChecked };
    };
    let known: BTreeSet<String> = before.current_revisions.iter().cloned().collect();
    if !ours && before.current_revisions != shown_rows(rows) && !explained(before, &known, rows) {
        let now = rows_in_line(rows);
        return Drift::Changed {
            message: format!(
                "the version rows were changed from {current} to {now} by something else than this operator"
            ),
        };
    }
    let was_told = before.condition(ConditionType::Drifted).is_some_and(|c| c.reason == "RevisionChanged");
    match was_told && !at_target {
        true => Drift::StillChanged,
        false => Drift::Unchanged,
    }
}

/// Whether it was the last run of this operator that led from the one to the other.
fn explained(before: &DatabaseMigrationStatus, known: &BTreeSet<String>, rows: &BTreeSet<String>) -> bool {
    let same = |ids: &[String], set: &BTreeSet<String>| ids.iter().collect::<BTreeSet<_>>() == set.iter().collect();
    before.last_run.as_ref().is_some_and(|run| same(&run.record.from, known) && same(&run.record.to, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(rows: &[&str]) -> DatabaseMigrationStatus {
        DatabaseMigrationStatus {
            current: Some(rows.join(",")),
            current_revisions: rows.iter().map(|r| (*r).to_owned()).collect(),
            ..Default::default()
        }
    }

    fn rows(rows: &[&str]) -> BTreeSet<String> {
        rows.iter().map(|r| (*r).to_owned()).collect()
    }

    #[test]
    fn only_a_change_by_others_counts() {
        assert!(matches!(drift(&before(&["a"]), &rows(&["b"]), false, false),
            Drift::Changed { message } if message.contains("from a to b")));
        assert_eq!(drift(&before(&["a"]), &rows(&["b"]), true, true), Drift::Unchanged);
        assert_eq!(drift(&before(&["a"]), &rows(&["a"]), false, false), Drift::Unchanged);
        assert_eq!(drift(&Default::default(), &rows(&["a"]), false, false), Drift::NotChecked);
    }

    #[test]
    fn more_and_longer_rows_than_a_status_shows_are_no_change() {
        let many: BTreeSet<String> = (0..60).map(|n| format!("{n:04}")).chain(["x".repeat(200)]).collect();
        let seen = DatabaseMigrationStatus { current_revisions: shown_rows(&many), ..before(&["many"]) };
        assert!(seen.current_revisions.len() < many.len(), "some are not shown");
        assert_eq!(drift(&seen, &many, false, false), Drift::Unchanged);
    }
}

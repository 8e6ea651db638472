//! Whether the database is still the one that the runs before worked on: emptied or exchanged, it is held until somebody says
//! that this is intended; no I/O.

use super::{history::names, requested_at};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, Problem, Reason},
    text::{self, rows_in_line},
};
use std::collections::BTreeSet;

/// What is known of it. The text is the request (annotation requestedAt) that there was when it was noticed: a newer one says
/// that it is intended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    No,
    /// Held.
    Noticed {
        request: String,
        how: How,
    },
    /// Somebody has said that it is intended.
    Meant {
        request: String,
        how: How,
    },
}

/// What it is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The rows are gone, though a run has succeeded.
    Emptied,
    /// The server has another identity.
    Exchanged,
}

/// Judges the database as it answered.
pub fn replaced(
    object: &DatabaseMigration,
    status: &DatabaseMigrationStatus,
    rows: &BTreeSet<String>,
    identity: Option<&str>,
) -> Replaced {
    let known = status.database.as_ref();
    let before = known.and_then(|database| database.identity.as_deref());
    let how = match (before, identity) {
        (Some(before), Some(now)) if before != now => How::Exchanged,
        _ if rows.is_empty() && was_filled(status) => How::Emptied,
        _ => return Replaced::No,
    };
    let request = requested_at(object).unwrap_or_default();
    let noticed = known.and_then(|database| database.replaced.as_deref());
    let adopted = object.spec.adopt.as_ref().and_then(|adopt| adopt.from.as_deref());
    let meant = noticed.is_some_and(|noticed| noticed != request)
        || (rows.is_empty() && adopted.is_some_and(|from| names(from).is_empty()));
    let noticed = noticed.unwrap_or(request).to_owned();
    if meant { Replaced::Meant { request: noticed, how } } else { Replaced::Noticed { request: noticed, how } }
}

/// Whether the newest run that succeeded left rows, and none has failed since that may have taken them.
fn was_filled(status: &DatabaseMigrationStatus) -> bool {
    let filled = status.runs.last_success.as_ref().is_some_and(|success| !success.run.to.is_empty());
    filled && status.runs.unfinished.is_none() && status.runs.active.is_none()
}

/// Why the object is held.
pub fn replaced_problem(
    replaced: &Replaced,
    status: &DatabaseMigrationStatus,
    rows: &BTreeSet<String>,
    place: &str,
) -> Option<Problem> {
    let Replaced::Noticed { how, .. } = replaced else { return None };
    let last = status.runs.last_success.as_ref();
    let was = last.map(|success| rows_in_line(&success.run.to.iter().cloned().collect())).unwrap_or_default();
    let place = text::clean(place, 256);
    let what = match how {
        How::Emptied => format!(
            "{place} has no version row any more, and run {} left {was}: it was emptied, or another database is in its place",
            status.runs.succeeded(),
        ),
        How::Exchanged => {
            format!(
                "{place} is another database than before (the server tells another identity); it is at {}",
                rows_in_line(rows)
            )
        }
    };
    let message = format!(
        "{what}; nothing is run until you say that it is intended, with a new value of the annotation alembic-operator.dev/requestedAt"
    );
    Some(Problem::new(Reason::DatabaseReplaced, message))
}

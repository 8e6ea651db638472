//! Whether what the image has below the version rows is what has run there; no I/O. What has run is known from the
//! inspection of the image of the newest run that succeeded.

use crate::{
    api::{Adopt, DatabaseMigrationStatus, Problem, Reason},
    jobs::{Inspected, Revision},
    revisions::Graph,
    text::{self, rows_in_line, short_image},
};
use std::{collections::BTreeSet, sync::Arc};

/// How many revisions a message names.
const NAMED: usize = 5;

/// The inspection of the image that brought the database to where it is, if it is another one than `image`.
pub fn ran_before<'a>(
    image: &Inspected,
    ran: Option<&'a Arc<Inspected>>,
    status: &DatabaseMigrationStatus,
) -> Option<&'a Arc<Inspected>> {
    let success = status.runs.last_success.as_ref()?;
    ran.filter(|ran| ran.image == success.run.image && ran.image != image.image)
}

/// What the two histories below the rows differ in. Each list is of what a person has to decide about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rewritten {
    /// Below the rows now, and no part of what has run.
    inserted: Vec<String>,
    /// Has run, and stands above the rows now: an upgrade would run it once more.
    moved: Vec<String>,
    /// Has run with another content.
    changed: Vec<String>,
}

/// What is wrong about a history whose rows both images know: nothing, as far as that can be known.
pub fn rewritten(image: &Inspected, ran: &Inspected, rows: &BTreeSet<String>) -> Option<Problem> {
    let (graph, past) = (image.graph.as_ref().ok()?, ran.graph.as_ref().ok()?);
    let found = compared(image, graph.applied_at(rows)?, ran, past.applied_at(rows)?);
    let at = rows_in_line(rows);
    let list = |ids: &[String]| text::list(&ids.iter().map(|id| text::clean(id, 64)).collect::<Vec<_>>(), NAMED);
    let say = format!("say with spec.adopt.from: {at} that the schema is right as it is");
    let (reason, message) = if !found.moved.is_empty() {
        let message = format!(
            "revision {} has run ({}), and {} has it above the live {at}: it would run once more; {say}, with the head of what has run as spec.adopt.revision",
            list(&found.moved),
            short_image(&ran.image),
            short_image(&image.image),
        );
        (Reason::HistoryReordered, message)
    } else if !found.inserted.is_empty() {
        let message = format!(
            "revision {} is below the live {at} in {}, and was no part of what has run ({}): it never ran; {}, or {say}",
            list(&found.inserted),
            short_image(&image.image),
            short_image(&ran.image),
            down_and_up(graph, past, rows),
        );
        (Reason::RevisionInserted, message)
    } else if !found.changed.is_empty() {
        let message = format!(
            "revision {} has another content in {} than it had when it ran ({}); ship the file that ran, or {say}",
            list(&found.changed),
            short_image(&image.image),
            short_image(&ran.image),
        );
        (Reason::RevisionRewritten, message)
    } else {
        return None;
    };
    Some(Problem::new(reason, message))
}

fn compared(image: &Inspected, now: BTreeSet<String>, ran: &Inspected, then: BTreeSet<String>) -> Rewritten {
    let in_image = |id: &&String| image.revision(id).is_some();
    let differs = |id: &&String| match (image.revision(id), ran.revision(id)) {
        (Some(one), Some(other)) => !does_the_same(one, other),
        _ => false,
    };
    Rewritten {
        inserted: now.difference(&then).cloned().collect(),
        moved: then.difference(&now).filter(in_image).cloned().collect(),
        changed: now.intersection(&then).filter(differs).cloned().collect(),
    }
}

/// Files that were only reformatted, or whose downgrade() was corrected, upgrade in the same way.
fn does_the_same(one: &Revision, other: &Revision) -> bool {
    let (up, was) = (one.script(false), other.script(false));
    let known = up.opaque.is_empty() && was.opaque.is_empty() && up.sha256.is_some();
    one.sha256 == other.sha256 || (known && up.sha256 == was.sha256)
}

/// Rows that the image does not know and that `ran` knows: what a person can do about it.
pub fn left_behind(image: &Inspected, ran: &Inspected, rows: &BTreeSet<String>) -> Option<Problem> {
    let (graph, past) = (image.graph.as_ref().ok()?, ran.graph.as_ref().ok()?);
    let applied = past.applied_at(rows)?;
    let at = rows_in_line(rows);
    let say =
        format!("say with spec.adopt.from: {at} which revision of this image the schema is at (spec.adopt.revision)");
    if !applied.iter().any(|id| graph.contains(id)) {
        let message = format!(
            "the database is at {at} of {}, and the history in {} has no revision in common with it, as after a squash; {say}",
            short_image(&ran.image),
            short_image(&image.image),
        );
        return Some(Problem::new(Reason::HistoryRewritten, message));
    }
    let message = format!(
        "the database is at {at} of {}, and the history in {} has parted from it; {}, or {say}",
        short_image(&ran.image),
        short_image(&image.image),
        down_and_up(graph, past, rows),
    );
    Some(Problem::new(Reason::HistoryDiverged, message))
}

/// The way over what both histories have in the same place.
fn down_and_up(graph: &Graph, past: &Graph, rows: &BTreeSet<String>) -> String {
    let common = past.common_below(graph, rows);
    let to = if common.is_empty() { "base".to_owned() } else { rows_in_line(&common) };
    format!("go down to {to} with spec.targetRevision and spec.policy.downgrade: Allow, and up again")
}

/// The revisions that a person says the rows stand for, where they say it of these rows.
pub fn restamp<'a>(adopt: Option<&'a Adopt>, rows: &BTreeSet<String>) -> Option<&'a Adopt> {
    adopt.filter(|adopt| !rows.is_empty() && adopt.from.as_deref().is_some_and(|from| names(from) == *rows))
}

/// Ids as `spec.adopt.from` has them, separated by commas; none for base.
pub fn names(from: &str) -> BTreeSet<String> {
    let ids = from.split(',').map(str::trim).filter(|id| !id.is_empty() && *id != "base");
    ids.map(str::to_owned).collect()
}

/// Whether a problem is about rows that a person may stamp over.
pub fn may_be_stamped_over(problem: &Problem) -> bool {
    matches!(
        problem.reason,
        Reason::RevisionInserted
            | Reason::RevisionRewritten
            | Reason::HistoryReordered
            | Reason::HistoryDiverged
            | Reason::HistoryRewritten
            | Reason::UnknownRevision
            | Reason::DatabaseAhead
            | Reason::OverlappingRows
    )
}

//! How large a status may be: etcd and every watch carry all of it. No I/O.

use crate::{
    api::{DatabaseMigrationStatus, StageStatus},
    text::{fit, fitting},
};
use serde::Serialize;

/// Bytes of a status, as JSON.
pub const MOST: usize = 32 * 1024;
/// Bytes of the version rows that a run starts from or leads to, as JSON. The memory of runs is never cut.
pub const MOST_ROWS: usize = 480;

type Cut = fn(&mut DatabaseMigrationStatus);

/// What goes when there is no room, in this order: what the ConfigMaps have as well, what is old, and what is long. The memory of
/// runs, the conditions' reasons and the live rows stay.
const CUTS: [Cut; 6] = [history_in_short, details, long_lists, long_messages, lists, all_but_the_gist];

/// A status that is no larger than it may be.
pub fn fitted(mut status: DatabaseMigrationStatus) -> DatabaseMigrationStatus {
    for cut in CUTS {
        if bytes(&status) <= MOST {
            break;
        }
        cut(&mut status);
    }
    status
}

/// Whether version rows are few enough to be remembered.
pub fn rows_fit<'a>(rows: impl IntoIterator<Item = &'a String>) -> bool {
    rows.into_iter().all(fitting(MOST_ROWS))
}

fn bytes(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

fn keep_bytes(list: &mut Vec<String>, max: usize) {
    let count = list.iter().map(String::as_str).take_while(fitting(max)).count();
    list.truncate(count);
}

fn shorten(text: &mut Option<String>, max: usize) {
    *text = text.as_deref().map(|text| fit(text, max));
}

fn history_in_short(status: &mut DatabaseMigrationStatus) {
    for run in &mut status.history {
        shorten(&mut run.message, 200);
        keep_bytes(&mut run.record.from, 200);
        keep_bytes(&mut run.record.to, 200);
        run.record.release_from = None;
    }
}

fn details(status: &mut DatabaseMigrationStatus) {
    if let Some(plan) = &mut status.plan {
        for step in &mut plan.steps {
            step.message.clear();
            step.opaque.clear();
        }
        plan.hazards.iter_mut().for_each(|hazard| hazard.statement.clear());
    }
    for step in status.stages.rehearsal.iter_mut().flat_map(|rehearsal| &mut rehearsal.steps) {
        step.locks.truncate(2);
        step.rewritten.truncate(2);
    }
    for object in status.drift.iter_mut().flat_map(|drift| &mut drift.objects) {
        object.expected = None;
        object.actual = None;
    }
}

fn long_lists(status: &mut DatabaseMigrationStatus) {
    if let Some(plan) = &mut status.plan {
        plan.steps.truncate(3);
        plan.hazards.truncate(3);
        plan.allowances.truncate(3);
    }
    if let Some(rehearsal) = &mut status.stages.rehearsal {
        rehearsal.steps.truncate(3);
        rehearsal.residue.truncate(3);
    }
    if let Some(drift) = &mut status.drift {
        drift.objects.truncate(3);
    }
    status.history.truncate(3);
}

fn long_messages(status: &mut DatabaseMigrationStatus) {
    messages(status, 400);
}

fn messages(status: &mut DatabaseMigrationStatus, max: usize) {
    status.conditions.iter_mut().for_each(|condition| condition.message = fit(&condition.message, max));
    let stages = [
        status.stages.rehearsal.as_mut().map(|rehearsal| &mut rehearsal.stage),
        status.stages.backup.as_mut().map(|backup| &mut backup.stage),
        status.stages.verify.as_mut().map(|verify| &mut verify.stage),
    ];
    for StageStatus { message, .. } in stages.into_iter().flatten() {
        shorten(message, max);
    }
    if let Some(run) = &mut status.last_run {
        shorten(&mut run.message, max);
    }
}

fn lists(status: &mut DatabaseMigrationStatus) {
    status.history.clear();
    if let Some(plan) = &mut status.plan {
        plan.steps.clear();
        plan.hazards.clear();
        plan.allowances.clear();
        keep_bytes(&mut plan.from, 300);
        keep_bytes(&mut plan.to, 300);
    }
    if let Some(rehearsal) = &mut status.stages.rehearsal {
        rehearsal.steps.clear();
        rehearsal.residue.clear();
        // Without it the steps are ones that nobody can judge: somebody is asked.
        rehearsal.executed = None;
    }
    if let Some(drift) = &mut status.drift {
        drift.objects.clear();
    }
    if let Some(pending) = &mut status.pending {
        keep_bytes(&mut pending.revisions, 300);
    }
    keep_bytes(&mut status.heads, 500);
    keep_bytes(&mut status.target_revisions, 500);
    status.images.truncate(5);
}

fn all_but_the_gist(status: &mut DatabaseMigrationStatus) {
    messages(status, 120);
    if let Some(run) = &mut status.last_run {
        keep_bytes(&mut run.record.from, 200);
        keep_bytes(&mut run.record.to, 200);
        run.record.release_from = None;
    }
    shorten(&mut status.current, 200);
    shorten(&mut status.target, 200);
    keep_bytes(&mut status.heads, 200);
    keep_bytes(&mut status.target_revisions, 200);
    status.images.truncate(2);
}

#[cfg(test)]
mod tests;

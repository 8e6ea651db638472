//! What a replay of the history has to do, and what it is known by; no I/O.

use super::plan::from_base;
use crate::{
    api::{DatabaseMigration, Problem, Reason},
    jobs::{Inspected, JobRecord, Limit, ReplayRequest, Request, Scratch},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The Job that leads an empty database to the live rows; its record's key identifies the history.
pub fn replay(
    object: &DatabaseMigration,
    image: &Arc<Inspected>,
    rows: &BTreeSet<String>,
    scheme: &str,
) -> Result<ReplayRequest, Problem> {
    let scratch = Scratch { scheme: scheme.to_owned(), image: object.spec.scratch.image.clone() };
    if scratch.image.is_none() && scratch.dialect() != "sqlite" {
        return Err(Problem::new(Reason::InvalidSpec, "set spec.scratch.image: a server to run the history on"));
    }
    let unusable =
        |error: String| Problem::new(Reason::UnknownRevision, format!("the history can't be run again: {error}"));
    let chosen = from_base(image, rows, unusable)?;
    if chosen.plan.steps.is_empty() {
        return Err(unusable("at base there is none".to_owned()));
    }
    let run = chosen.run(LOCK_WAIT, Limit::new(None, LOCK_WAIT), None, false);
    let server = scratch.image.clone().unwrap_or_default();
    let request = Request::Replay { catalog: scratch.dialect().to_owned() };
    let record = JobRecord::new(object, request, 1, format!("{} {server}", chosen.hash));
    Ok(ReplayRequest { record, run, image: image.image.clone(), scratch })
}

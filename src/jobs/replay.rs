//! The Job that runs the history on a scratch database, to see what schema it makes; no I/O.

use super::{JobInput, JobRecord, Run, Scratch, job::runner_job, pod_template::PodTemplateError, task::Action};
use crate::db::catalog_queries;
use k8s_openapi::api::batch::v1::Job;

/// A whole history, on a server that is started for it.
const DEADLINE: i64 = 30 * 60;

/// A replay: the way from base to the live rows, on a database of its own.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    /// Its key identifies the revision history and the server that it runs on.
    pub record: JobRecord,
    pub run: Run,
    pub image: String,
    pub scratch: Scratch,
}

/// The Job.
pub fn replay_job(input: JobInput, request: &ReplayRequest) -> Result<Job, PodTemplateError> {
    let catalog = request.record.catalog().map(catalog_queries).unwrap_or_default();
    let action = Action::Replay { run: request.run.clone(), catalog };
    runner_job(input, &request.record, action, Some(DEADLINE))
}

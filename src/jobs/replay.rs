//! The Job that runs the history on a scratch database, to see what schema it makes; no I/O.

use super::{
    JobInput, JobRecord, JobRequest, Run, Scratch, job::runner_job, pod_template::PodTemplateError, task::Action,
};
use crate::{api::DatabaseMigration, db::catalog_queries};
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

impl JobRequest for ReplayRequest {
    fn record(&self) -> &JobRecord {
        &self.record
    }

    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError> {
        let catalog = self.record.catalog().map(catalog_queries).unwrap_or_default();
        let action = Action::Replay { run: self.run.clone(), catalog };
        let input = JobInput { object, image: &self.image, scratch: Some(&self.scratch) };
        runner_job(input, &self.record, action, Some(DEADLINE)).map(Some)
    }
}

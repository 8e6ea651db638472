//! The Job that compares the tables with the models of the image; no I/O.

use super::{
    Differences, Ended, JobInput, JobRecord, JobRequest, Request,
    job::runner_job,
    pod_template::PodTemplateError,
    probe::{DEADLINE, epoch},
    report::reported,
    task::Action,
};
use crate::api::{DatabaseMigration, Problem, Reason};
use k8s_openapi::api::batch::v1::Job;

/// A comparison of the tables with the models of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareRequest {
    pub record: JobRecord,
    pub image: String,
}

/// What is asked of the first comparison with the models of `image` that an object needs.
pub fn compare_request(object: &DatabaseMigration, image: &str, requested_at: Option<&str>) -> JobRecord {
    JobRecord::new(object, Request::Compare, 1, epoch(object, requested_at, image))
}

impl JobRequest for CompareRequest {
    fn record(&self) -> &JobRecord {
        &self.record
    }

    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError> {
        let input = JobInput { object, image: &self.image, scratch: None };
        runner_job(input, &self.record, Action::Compare, Some(DEADLINE)).map(Some)
    }
}

/// What an ended comparison found.
pub fn compared(ended: &Ended) -> Result<Differences, Problem> {
    reported(ended)?.drift.ok_or_else(|| Problem::new(Reason::PodFailed, "the Job compared nothing"))
}

//! The Job that compares the tables with the models of the image; no I/O.

use super::{
    Differences, Ended, JobInput, JobRecord, Request,
    job::runner_job,
    pod_template::PodTemplateError,
    probe::{DEADLINE, epoch},
    report::reported,
    task::Action,
};
use crate::api::{DatabaseMigration, Problem, Reason};
use k8s_openapi::api::batch::v1::Job;

/// The comparison with the models of `image` that an object needs, as the first one.
pub fn compare_request(object: &DatabaseMigration, image: &str, requested_at: Option<&str>) -> JobRecord {
    JobRecord::new(object, Request::Compare, 1, epoch(object, requested_at, image))
}

/// The Job.
pub fn compare_job(input: JobInput, record: &JobRecord) -> Result<Job, PodTemplateError> {
    runner_job(input, record, Action::Compare, Some(DEADLINE))
}

/// What an ended comparison found.
pub fn compared(ended: &Ended) -> Result<Differences, Problem> {
    reported(ended)?.drift.ok_or_else(|| Problem::new(Reason::PodFailed, "the Job compared nothing"))
}

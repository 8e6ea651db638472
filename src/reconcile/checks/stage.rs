//! How far a stage is that a Job does; no I/O.

use crate::{
    api::StageStatus,
    jobs::{Kind, Progress, progress},
    reconcile::facts::Facts,
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// How far the Job `name` of a stage is. What is `recorded` of its end stands, whatever has become of the Job.
pub fn stage_progress(
    recorded: Option<&StageStatus>,
    kind: Kind,
    name: &str,
    timeout: Duration,
    facts: &Facts,
    now: Timestamp,
) -> Progress {
    match recorded.filter(|stage| stage.job == name).and_then(StageStatus::end) {
        Some((outcome, at)) => Progress::Done(outcome, at),
        None => {
            let job = facts.of(kind).find(|job| job.name == name);
            job.map_or(Progress::Absent, |job| progress(&job.state, job.created, timeout, now))
        }
    }
}

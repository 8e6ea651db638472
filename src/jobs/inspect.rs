//! The Job that reads an image's revision files and what env.py configures: which one an object needs, the Job, and the
//! reading of its end; no I/O.

use super::{
    Ended, Frames, JobInput, JobRecord, JobRequest, Request,
    job::runner_job,
    names::short_hash,
    pinned::is_pinned,
    pod_template::PodTemplateError,
    report::{Report, RunState, cut_short, no_report, reason_of_class},
    task::Action,
    users_pod::users_pod,
};
use crate::{
    api::{DatabaseMigration, LockKind, Problem, Reason, RunResult},
    text,
};
use k8s_openapi::api::batch::v1::Job;

/// An inspection that takes longer hangs, in a prompt or in a connection.
pub const DEADLINE: i64 = 15 * 60;

/// The inspection that an object needs now.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectRequest {
    /// Of the Job that makes it.
    pub record: JobRecord,
    /// Under which key it is stored.
    pub key: String,
    /// What `status.image` records once it is there: the key, and why it was made anew.
    pub id: String,
    /// Whether an inspection that is stored under the key will do, whenever it was made.
    pub any_stored: bool,
}

/// The inspection that an object needs, given the dialect that its URL names. A tag is looked at again when a run found other
/// files behind it, and when the user asks for a reconcile.
pub fn wanted(object: &DatabaseMigration, dialect: &str, requested_at: Option<&str>) -> InspectRequest {
    let key = inspection_key(object, dialect);
    let refresh = refresh(object, requested_at);
    let id = refresh.as_deref().map_or_else(|| key.clone(), |why| format!("{key}/{why}"));
    // A failed inspection is repeated when the spec changes or the user asks.
    let generation = object.metadata.generation.unwrap_or_default();
    let asked = format!("{id}/{generation}/{}", requested_at.unwrap_or_default());
    let request = Request::Inspect { inspection: key.clone() };
    InspectRequest { record: JobRecord::new(object, request, 0, asked), key, id, any_stored: refresh.is_none() }
}

/// Hash over everything that decides what an inspection of an image finds. `dialect` comes from the URL.
pub fn inspection_key(object: &DatabaseMigration, dialect: &str) -> String {
    let spec = &object.spec;
    let settings = serde_json::json!([
        // Another runner may find something else.
        super::program::name(),
        spec.image,
        spec.alembic,
        users_pod(spec),
        spec.database.env_names(),
        spec.database.driver,
        spec.database.version_table,
        spec.database.version_table_schema,
        dialect,
    ]);
    // Without a lock an inspection of some engines is refused.
    let settings = match spec.database.lock {
        LockKind::Database => settings,
        LockKind::Lease => serde_json::json!([settings, "lease"]),
    };
    short_hash(&[&settings.to_string()], 16)
}

fn refresh(object: &DatabaseMigration, requested_at: Option<&str>) -> Option<String> {
    let status = object.status.as_ref();
    let last = status.and_then(|s| s.last_run.as_ref());
    let outdated = last
        .filter(|run| run.result == RunResult::Refused && run.reason.as_deref() == Some(Reason::ImageChanged.as_str()));
    if let Some(run) = outdated {
        return Some(format!("run-{}", run.record.number));
    }
    let request = requested_at?;
    let handled = status.and_then(|s| s.last_handled_reconcile_at.as_deref()) == Some(request);
    (!handled && !is_pinned(&object.spec.image)).then(|| format!("request-{}", text::clean(request, 100)))
}

impl JobRequest for InspectRequest {
    fn record(&self) -> &JobRecord {
        &self.record
    }

    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError> {
        let input = JobInput { object, image: &object.spec.image, scratch: None };
        runner_job(input, &self.record, Action::Inspect, Some(DEADLINE)).map(Some)
    }
}

/// Where the payload of an ended Job is, or why there is none.
pub fn inspect_frames(ended: &Ended, job: &str) -> Result<Frames, Problem> {
    let report = ended.report().map_err(|error| no_report(ended, &error))?;
    if report.state != RunState::Done {
        return Err(said(&report, ended));
    }
    report.frames.ok_or_else(|| Problem::new(Reason::PodFailed, format!("Job {job} reported nothing")))
}

fn said(report: &Report, ended: &Ended) -> Problem {
    let Some(failure) = &report.error else { return cut_short(ended, "while it inspected the image") };
    let late = if ended.timed_out { "its time was up: " } else { "" };
    let detail = failure.detail.as_deref().map(|d| format!("\n{d}")).unwrap_or_default();
    Problem::new(reason_of_class(&failure.class), format!("{late}{}{detail}", failure.message))
}

//! The Jobs of an object and how far their pods have come, from the watched stores; asks the API server itself only
//! where the stores leave something open. Does network I/O.

use crate::{
    api::{ANNOTATION_LOOK, ANNOTATION_STAGE, DatabaseMigration, LABEL_ACTION, LABEL_OBJECT},
    error::Error,
    jobs::{
        CONTAINER, Ended, Frames, LookRecord, PodState, ReportError, RunRecord, StageRecord, Trouble, is_replaced,
        join_frames, pod_state, rehearsal_pod_state, whole_pod_state,
    },
    reconcile::{
        Context,
        api::call,
        observed::{JobView, OldRun, RunView, StageView},
    },
    text,
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use std::sync::Arc;

/// A Job that has no pod after this many seconds is asked about: its pod was probably refused.
const PATIENCE: i64 = 1;

/// The Jobs of an object.
#[derive(Default)]
pub struct Jobs {
    /// The run whose end is not recorded yet.
    pub run: Option<RunView>,
    /// Whether that run's pod may still be at work.
    pub active: bool,
    pub old_runs: Vec<OldRun>,
    pub inspections: Vec<InspectJob>,
    pub looks: Vec<LookView>,
    pub comparisons: Vec<LookView>,
    pub replays: Vec<LookView>,
    pub rehearsals: Vec<LookView>,
    pub backups: Vec<StageView>,
    pub verifications: Vec<StageView>,
}

/// A probe, compare, replay or rehearse Job.
pub struct LookView {
    pub record: LookRecord,
    pub pod: Option<String>,
    pub job: JobView,
}

/// An inspect Job.
pub struct InspectJob {
    pub pod: Option<String>,
    pub job: JobView,
}

/// Looks through the watched Jobs.
pub async fn jobs(object: &DatabaseMigration, context: &Context) -> Result<Jobs, Error> {
    let recorded = object.status.as_ref().map_or(0, |s| s.recorded_runs());
    let mut found = Jobs::default();
    for job in owned(object, context) {
        let action = job.labels().get(LABEL_ACTION).map(String::as_str);
        if action == Some("inspect") {
            let (state, pod) = state(&job, context).await?;
            found.inspections.push(InspectJob { pod, job: view(&job, state) });
            continue;
        }
        if let Some(look) = job.annotations().get(ANNOTATION_LOOK) {
            // A copy of the live schema comes before the container that rehearses.
            let read = if action == Some("rehearse") { rehearsal_pod_state } else { pod_state };
            let (state, pod) = state_by(&job, context, read).await?;
            let record = serde_json::from_str(look).unwrap_or_default();
            let looks = match action {
                Some("compare") => &mut found.comparisons,
                Some("replay") => &mut found.replays,
                Some("rehearse") => &mut found.rehearsals,
                _ => &mut found.looks,
            };
            looks.push(LookView { record, pod, job: view(&job, state) });
            continue;
        }
        if job.annotations().contains_key(ANNOTATION_STAGE) {
            let record = StageRecord::of(&*job).unwrap_or_default();
            if action == Some("backup") {
                let (state, _) = state_by(&job, context, whole_pod_state).await?;
                found.backups.push(StageView { record, job: view(&job, as_its_job(&job, state)) });
            } else {
                let (state, _) = state(&job, context).await?;
                found.verifications.push(StageView { record, job: view(&job, as_its_job(&job, state)) });
            }
            continue;
        }
        let Some(record) = RunRecord::of(&*job) else {
            tracing::warn!(job = job.name_any(), "a run Job without its record is left alone");
            continue;
        };
        if record.number <= recorded {
            found.old_runs.push(OldRun { job: job.name_any(), number: record.number });
        } else {
            let (state, _) = state(&job, context).await?;
            found.active |= !matches!(state, PodState::Ended(_));
            // Should there be several, each is recorded in its turn.
            if found.run.as_ref().is_none_or(|run| record.number < run.record.number) {
                let holder = holder(&state, context);
                found.run = Some(RunView { job: view(&job, state), record, holder });
            }
        }
    }
    Ok(found)
}

/// Bytes of a log that are read for a payload; a graph of 50,000 revisions is about 4 MiB.
const MAX_LOG: i64 = 48 * 1024 * 1024;

/// What a pod left in its log, by what its report says of it.
pub async fn payload(
    object: &DatabaseMigration,
    context: &Context,
    pod: &str,
    frames: &Frames,
) -> Result<Result<Vec<u8>, ReportError>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        tail_lines: Some(frames.tail_lines()),
        limit_bytes: Some(MAX_LOG),
        ..LogParams::default()
    };
    let log = call(&format!("read the log of pod {pod}"), api.logs(pod, &params)).await?;
    Ok(join_frames(&log, frames))
}

/// Masks secrets in what a pod left behind.
pub fn redact(job: &mut JobView, secrets: &[&str]) {
    if let PodState::Ended(Ended { message: Some(message), .. }) = &mut job.state {
        *message = text::redact(message, secrets);
    }
}

/// The object whose pod has the address of the session that a run waited for.
fn holder(state: &PodState, context: &Context) -> Option<String> {
    let PodState::Ended(ended) = state else { return None };
    let address = ended.report().ok()?.error?.holder?;
    // An address of a pod that has ended is given to the next one.
    let has_it = |pod: &Pod| {
        let status = pod.status.as_ref();
        status.is_some_and(|s| s.pod_ip.as_ref() == Some(&address) && s.phase.as_deref() == Some("Running"))
    };
    let mut pods = context.stores.pods.state_filter(has_it).into_iter();
    let (pod, None) = (pods.next()?, pods.next()) else { return None };
    Some(format!("{}/{}", pod.namespace().unwrap_or_default(), pod.annotations().get(LABEL_OBJECT)?))
}

fn owned(object: &DatabaseMigration, context: &Context) -> Vec<Arc<Job>> {
    let uid = object.uid().unwrap_or_default();
    let namespace = object.namespace();
    context.stores.jobs.state_filter(|job| {
        job.namespace() == namespace
            && job.labels().contains_key(LABEL_OBJECT)
            && job.owner_references().iter().any(|owner| owner.uid == uid)
    })
}

fn view(job: &Job, state: PodState) -> JobView {
    JobView { name: job.name_any(), created: job.creation_timestamp().map(|t| t.0), state }
}

/// How far the newest pod of a Job has come, and its name.
async fn state(job: &Job, context: &Context) -> Result<(PodState, Option<String>), Error> {
    state_by(job, context, pod_state).await
}

async fn state_by(
    job: &Job,
    context: &Context,
    read: fn(&Pod) -> PodState,
) -> Result<(PodState, Option<String>), Error> {
    let uid = job.uid().unwrap_or_default();
    let mut pods = context.stores.pods.state_filter(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid));
    if pods.is_empty() && finished(job) {
        pods = list_pods(job, context).await?;
        if pods.is_empty() {
            return Ok((PodState::Ended(gone(job)), None));
        }
    }
    pods.sort_by_key(|pod| pod.creation_timestamp().map(|t| t.0));
    match pods.pop() {
        Some(pod) if is_replaced(job, &pod) && !finished(job) => Ok((PodState::Waiting, None)),
        Some(pod) => Ok((read(&pod), Some(pod.name_any()))),
        None => Ok((refused_pod(job, context).await?, None)),
    }
}

fn finished(job: &Job) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}

fn has_condition(job: &Job, type_: &str) -> bool {
    let mut conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.any(|c| c.type_ == type_ && c.status == "True")
}

/// Where the pod is gone and left no exit code, its Job still tells whether it ended well.
fn as_its_job(job: &Job, state: PodState) -> PodState {
    match state {
        PodState::Ended(ended) if ended.exit_code.is_none() && has_condition(job, "Complete") => {
            PodState::Ended(Ended { exit_code: Some(0), ran: true, ..ended })
        }
        state => state,
    }
}

/// The watch of Jobs can be ahead of the watch of pods.
async fn list_pods(job: &Job, context: &Context) -> Result<Vec<Arc<Pod>>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &job.namespace().unwrap_or_default());
    let name = job.name_any();
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let pods = call(&format!("list the pods of Job {name}"), api.list(&selector)).await?;
    Ok(pods.items.into_iter().map(Arc::new).collect())
}

fn gone(job: &Job) -> Ended {
    let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let reason = conditions.filter(|c| c.status == "True").find_map(|c| c.reason.clone());
    Ended {
        ran: true,
        reason: Some(format!("the pod is gone ({})", reason.as_deref().unwrap_or("its Job has ended"))),
        ..Ended::default()
    }
}

/// Why a Job has no pod: quota and admission refuse it where only the Job's controller hears it, which writes events.
async fn refused_pod(job: &Job, context: &Context) -> Result<PodState, Error> {
    let age = job.creation_timestamp().map(|t| context.now().duration_since(t.0).as_secs());
    if age.is_none_or(|age| age < PATIENCE) {
        return Ok(PodState::Waiting);
    }
    let api: Api<Event> = Api::namespaced(context.client.clone(), &job.namespace().unwrap_or_default());
    let name = job.name_any();
    let selector = ListParams::default().fields(&format!(
        "involvedObject.kind=Job,involvedObject.name={name},involvedObject.uid={},reason=FailedCreate",
        job.uid().unwrap_or_default()
    ));
    let events = call(&format!("list the events of Job {name}"), api.list(&selector.limit(20))).await?;
    let message = events.items.into_iter().filter_map(|e| e.message).next_back();
    Ok(message.map_or(PodState::Waiting, |m| {
        PodState::Blocked(Trouble::Rejected(format!("no pod could be created: {}", text::clean(&m, 500))))
    }))
}

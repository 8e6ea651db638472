//! The Jobs of an object and how far their pods have come, from the watched stores; asks the API server itself only
//! where the stores leave something open. Does network I/O.

use crate::{
    api::{DatabaseMigration, LABEL_MANAGED_BY, LABEL_OBJECT, MANAGER, RunRecord},
    call::call,
    error::{Call, Error},
    index::{address_key, object_key},
    jobs::{
        CONTAINER, Ended, FrameError, Frames, JobRecord, Joiner, Kind, PodState, Trouble, initializing, is_finished,
        is_made_here, is_replaced, is_slow, job_condition, pod_state, run_name, state_of_pod, tells_why_stuck,
    },
    reconcile::{
        context::Context,
        facts::{ActiveRun, JobView, PodRef},
    },
    text,
};
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use std::{sync::Arc, time::Duration};

/// A Job that has no pod after this many seconds is asked about: its pod was probably refused.
const PATIENCE: i64 = 1;

/// The Jobs of an object.
#[derive(Default)]
pub struct Jobs {
    /// The run that the status says is active.
    pub active: Option<ActiveRun>,
    pub others: Vec<JobView>,
}

/// Reads the watched Jobs.
pub async fn jobs(object: &DatabaseMigration, context: &Context) -> Result<Jobs, Error> {
    let mut others = Vec::new();
    for (job, record) in own_jobs(object, context) {
        others.push(view(&job, record, context).await?);
    }
    let record = object.status.as_ref().and_then(|status| status.runs.active.clone());
    let active = match record {
        Some(record) => Some(active_run(object, context, record, &mut others).await?),
        None => None,
    };
    Ok(Jobs { active, others })
}

/// The Job of the active run, taken out of the others; the API server itself is asked for one that the watch does not show.
async fn active_run(
    object: &DatabaseMigration,
    context: &Context,
    record: RunRecord,
    others: &mut Vec<JobView>,
) -> Result<ActiveRun, Error> {
    let name = run_name(object, &record);
    let mut job = match others.iter().position(|job| job.name == name) {
        Some(place) => Some(others.remove(place)),
        None => live_job(object, context, &name).await?,
    };
    let state = match &mut job {
        Some(job) => std::mem::take(&mut job.state),
        None => without_job(object, context, &name).await?,
    };
    let holder = holder(&state, object.namespace().as_deref(), context);
    Ok(ActiveRun { record, name, job, state, holder })
}

async fn live_job(object: &DatabaseMigration, context: &Context, name: &str) -> Result<Option<JobView>, Error> {
    let api: Api<Job> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let Some(job) = call(&format!("get Job {name}"), api.get_opt(name)).await? else { return Ok(None) };
    let own = |record: &JobRecord| is_made_here(&job) && Some(&record.uid) == object.metadata.uid.as_ref();
    let record = JobRecord::of(&job).filter(own);
    match record {
        Some(record) => Ok(Some(view(&job, record, context).await?)),
        None => Ok(None),
    }
}

/// Where a Job is gone its pod may still be at work for a moment, or have left its word.
async fn without_job(object: &DatabaseMigration, context: &Context, name: &str) -> Result<PodState, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let found = newest(list_pods(&namespace, name, context).await?);
    Ok(match found.map(|pod| pod_state(&pod)) {
        Some(state) => state,
        None => PodState::Ended(Ended {
            ran: true,
            reason: Some("its Job was deleted, and the pod with it".to_owned()),
            ..Ended::default()
        }),
    })
}

/// Bytes of a log that are read for a payload. They pass by: what is held is the payload.
const MAX_LOG: i64 = 48 * 1024 * 1024;

/// How long reading a payload may take.
const PAYLOAD_DEADLINE: Duration = Duration::from_secs(60);

/// What is read out of what a pod left in its log, by what its report says of it. The log is read as it comes.
pub async fn payload<T>(
    object: &DatabaseMigration,
    context: &Context,
    pod: &str,
    frames: &Frames,
    read: impl FnOnce(Vec<u8>) -> T,
) -> Result<Result<T, FrameError>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        tail_lines: Some(frames.tail_lines()),
        limit_bytes: Some(MAX_LOG),
        ..LogParams::default()
    };
    let what = Call::Other(format!("read the log of pod {pod}"));
    let reading = async {
        let Ok(_room) = context.process.payloads.room(frames).await else {
            return Err(Error::Busy(what.to_string()));
        };
        let joiner = match Joiner::new(frames) {
            Ok(joiner) => joiner,
            Err(error) => return Ok(Err(error)),
        };
        let log = call(what.clone(), api.log_stream(pod, &params)).await?;
        let joined =
            joined(log, joiner).await.map_err(|error| Error::Api { what: what.clone(), source: Box::new(error) })?;
        Ok(joined.map(read))
    };
    match tokio::time::timeout(PAYLOAD_DEADLINE, reading).await {
        Ok(read) => read,
        Err(_) => Err(Error::Deadline { what, after: PAYLOAD_DEADLINE }),
    }
}

async fn joined(log: impl AsyncBufRead, mut joiner: Joiner) -> kube::Result<Result<Vec<u8>, FrameError>> {
    let mut log = std::pin::pin!(log);
    loop {
        let piece = log.fill_buf().await.map_err(kube::Error::ReadEvents)?;
        if piece.is_empty() {
            return Ok(joiner.finish());
        }
        joiner.feed(piece);
        let length = piece.len();
        log.consume_unpin(length);
    }
}

/// Masks secrets in what a pod left behind.
pub fn redact(state: &mut PodState, secrets: &[&str]) {
    if let PodState::Ended(Ended { message: Some(message), .. }) = state {
        *message = text::redact(message, secrets);
    }
}

/// The object whose pod has the address of the session that a run waited for; one of another namespace has no name here.
fn holder(state: &PodState, namespace: Option<&str>, context: &Context) -> Option<String> {
    let PodState::Ended(ended) = state else { return None };
    let address = ended.report().ok()?.error?.holder?;
    let mut pods = context.stores.pods.with_key(&address_key(&address)).into_iter();
    let (pod, None) = (pods.next()?, pods.next()) else { return None };
    let object = pod.annotations().get(LABEL_OBJECT)?;
    match pod.namespace() {
        Some(there) if Some(there.as_str()) == namespace => Some(format!("DatabaseMigration {there}/{object}")),
        _ => Some("a DatabaseMigration of another namespace".to_owned()),
    }
}

/// The Jobs that were made for an object, by their records: those of a run have no owner while it works.
fn own_jobs(object: &DatabaseMigration, context: &Context) -> Vec<(Arc<Job>, JobRecord)> {
    let key = object_key(&object.namespace().unwrap_or_default(), &object.name_any());
    let jobs = context.stores.jobs.with_key(&key);
    let own = |job: Arc<Job>| match JobRecord::of(&*job) {
        Some(record) => (Some(&record.uid) == object.metadata.uid.as_ref()).then_some((job, record)),
        None => {
            tracing::warn!(job = job.name_any(), "a Job without a record that this version knows is left alone");
            None
        }
    };
    jobs.into_iter().filter_map(own).collect()
}

async fn view(job: &Job, record: JobRecord, context: &Context) -> Result<JobView, Error> {
    let (state, pod) = state(job, record.kind(), context).await?;
    Ok(JobView {
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        version: job.resource_version().unwrap_or_default(),
        created: job.creation_timestamp().map(|t| t.0),
        suspended: job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false),
        owned: !job.owner_references().is_empty(),
        record,
        state,
        pod,
    })
}

/// How far the newest pod of a Job has come, and which it is.
pub async fn state(job: &Job, kind: Kind, context: &Context) -> Result<(PodState, Option<PodRef>), Error> {
    let uid = job.uid().unwrap_or_default();
    let mut pods = context.stores.pods.with_key(&uid);
    if pods.is_empty() && is_finished(job) {
        // The watch of Jobs can be ahead of the watch of pods.
        pods = list_pods(&job.namespace().unwrap_or_default(), &job.name_any(), context).await?;
        if pods.is_empty() {
            return Ok((as_its_job(job, kind, PodState::Ended(gone(job))), None));
        }
    }
    match newest(pods) {
        Some(pod) if is_replaced(job, &pod) && !is_finished(job) => Ok((PodState::Waiting, None)),
        Some(pod) => {
            let reference = PodRef {
                name: pod.name_any(),
                uid: pod.uid().unwrap_or_default(),
                version: pod.resource_version().unwrap_or_default(),
            };
            let state = with_cause(state_of_pod(kind, &pod), &pod, context).await?;
            Ok((as_its_job(job, kind, state), Some(reference)))
        }
        None => Ok((refused_pod(job, context).await?, None)),
    }
}

fn newest(mut pods: Vec<Arc<Pod>>) -> Option<Arc<Pod>> {
    pods.sort_by_key(|pod| pod.creation_timestamp().map(|t| t.0));
    pods.pop()
}

/// Why a pod on a node does not start is not in its status: the kubelet writes events.
async fn with_cause(state: PodState, pod: &Pod, context: &Context) -> Result<PodState, Error> {
    let now = context.now();
    Ok(match state {
        PodState::Waiting if is_slow(pod, now) => match initializing(pod, now) {
            Some(trouble) => PodState::Blocked(trouble),
            None => why_stuck(pod, context).await?.map_or(PodState::Waiting, |w| PodState::Blocked(Trouble::Stuck(w))),
        },
        PodState::Ended(ended) if ended.timed_out && ended.report().is_err() => {
            PodState::Ended(Ended { stuck: why_stuck(pod, context).await?, ..ended })
        }
        state => state,
    })
}

async fn why_stuck(pod: &Pod, context: &Context) -> Result<Option<String>, Error> {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let mut events = warnings(context, &namespace, "Pod", &name, &pod.uid().unwrap_or_default(), "").await?;
    events.retain(|event| event.reason.as_deref().is_some_and(tells_why_stuck));
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|at| at.0));
    let told = |event: Event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default());
    Ok(events.pop().map(|event| text::clean(&told(event), 500)))
}

/// Where the pod of the user's own command is gone and left no exit code, its Job still shows whether it ended well.
fn as_its_job(job: &Job, kind: Kind, state: PodState) -> PodState {
    match state {
        PodState::Ended(ended)
            if kind.traits().users_command && ended.exit_code.is_none() && job_condition(job, "Complete") =>
        {
            PodState::Ended(Ended { exit_code: Some(0), ran: true, ..ended })
        }
        state => state,
    }
}

/// The pods of a Job as they are now: the watch may be behind.
pub async fn list_pods(namespace: &str, job: &str, context: &Context) -> Result<Vec<Arc<Pod>>, Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let selector =
        ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGER},batch.kubernetes.io/job-name={job}"));
    let pods = call(&format!("list the pods of Job {job}"), api.list(&selector)).await?;
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
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false);
    if suspended || age.is_none_or(|age| age < PATIENCE) {
        return Ok(PodState::Waiting);
    }
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let uid = job.uid().unwrap_or_default();
    let events = warnings(context, &namespace, "Job", &name, &uid, ",reason=FailedCreate").await?;
    let message = events.into_iter().filter_map(|e| e.message).next_back();
    Ok(message.map_or(PodState::Waiting, |m| {
        PodState::Blocked(Trouble::Rejected(format!("no pod could be created: {}", text::clean(&m, 500))))
    }))
}

/// The events about a Job or a pod.
async fn warnings(
    context: &Context,
    namespace: &str,
    kind: &str,
    name: &str,
    uid: &str,
    more: &str,
) -> Result<Vec<Event>, Error> {
    let api: Api<Event> = Api::namespaced(context.client.clone(), namespace);
    let fields = format!("involvedObject.kind={kind},involvedObject.name={name},involvedObject.uid={uid}{more}");
    let selector = ListParams::default().fields(&fields).limit(20);
    Ok(call(&format!("list the events of {kind} {name}"), api.list(&selector)).await?.items)
}

//! What is known of the image that the spec names, and of those that ran before; does network I/O.

use super::jobs::{InspectJob, payload};
use crate::{
    api::{DatabaseMigration, LABEL_INSPECTION, Reason},
    error::Error,
    jobs::{
        Ended, Inspected, Inspection, PodState, Report, RunState, inspected_digest, inspected_image, lacks_owner,
        pinned, read_inspection,
    },
    reconcile::{
        Context,
        api::call,
        checks::{pod_failed, reason_of_class},
        observed::{ImageView, JobView, Problem, Wanted},
    },
    text,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt, api::ListParams};
use std::sync::Arc;

/// Seconds for which an inspection of another object is waited for.
const WAIT_FOR_OTHERS: i64 = 60;

/// What was found.
pub struct Looked {
    pub image: ImageView,
    /// Inspect Jobs that nobody waits for any more.
    pub old_jobs: Vec<String>,
    /// Whether the object should join the owners of what is stored.
    pub joins: bool,
}

/// Looks for the wanted inspection: stored, reported by a Job, or in progress.
pub async fn look(
    object: &DatabaseMigration,
    context: &Context,
    wanted: &Wanted,
    any_stored: bool,
    jobs: &[InspectJob],
    secrets: &[&str],
) -> Result<Looked, Error> {
    let recorded = object.status.as_ref().and_then(|s| s.image.as_ref()).and_then(|i| i.inspection.as_ref());
    let stored =
        if any_stored || recorded == Some(&wanted.id) { stored(object, context, &wanted.key).await? } else { None };
    let mine = jobs.iter().find(|j| j.job.name == wanted.job);
    let (stored, joins) = stored.unzip();
    let image = match (stored, mine) {
        (Some(image), _) => ImageView::Stored(image),
        (None, Some(job)) => inspected(object, context, job, secrets).await?,
        (None, None) if any_stored && others_are_at_it(object, context, &wanted.key) => ImageView::InProgressElsewhere,
        (None, None) => ImageView::Absent,
    };
    let keeps = |job: &InspectJob| job.job.name == wanted.job && !matches!(image, ImageView::Stored(_));
    let old_jobs = jobs.iter().filter(|job| !keeps(job)).map(|job| job.job.name.clone()).collect();
    Ok(Looked { image, old_jobs, joins: joins.unwrap_or(false) })
}

/// The inspections of the images that the object was inspected with, newest first.
pub fn remembered(object: &DatabaseMigration, context: &Context) -> Vec<Arc<Inspected>> {
    let namespace = object.namespace();
    let images = object.status.as_ref().map_or(&[][..], |s| s.images.as_slice());
    let mut maps = context.stores.inspections.state_filter(|map| {
        map.namespace() == namespace && inspected_image(map).is_some_and(|image| images.iter().any(|i| i == image))
    });
    maps.sort_by_key(|map| std::cmp::Reverse(map.creation_timestamp().map(|t| t.0)));
    maps.iter().filter_map(|map| context.process.inspections.read(map)).collect()
}

/// The stored inspection under a key: the one that the status names if it is there, else the newest. And whether the
/// object should join its owners.
async fn stored(
    object: &DatabaseMigration,
    context: &Context,
    key: &str,
) -> Result<Option<(Arc<Inspected>, bool)>, Error> {
    let namespace = object.namespace();
    let mut maps = context.stores.inspections.state_filter(|map| {
        map.namespace() == namespace && map.labels().get(LABEL_INSPECTION).is_some_and(|k| k == key)
    });
    let status = object.status.as_ref().and_then(|s| s.image.as_ref());
    let digest = status.and_then(|i| i.digest.as_ref());
    let recorded = status.and_then(|i| i.inspection.as_ref()).is_some_and(|id| id.starts_with(key));
    let is_named = |map: &ConfigMap| digest.is_some() && inspected_digest(map) == digest.map(String::as_str);
    let there = if digest.is_some() { maps.iter().any(|map| is_named(map)) } else { !maps.is_empty() };
    if recorded && !there {
        // Recorded, so it was stored; the watch may not have brought it yet. An older one would be of other files.
        maps = list(object, context, key).await?;
    }
    maps.sort_by_key(|map| std::cmp::Reverse((is_named(map), map.creation_timestamp().map(|t| t.0))));
    let read = |map: &Arc<ConfigMap>| Some((context.process.inspections.read(map)?, lacks_owner(map.as_ref(), object)));
    Ok(maps.iter().find_map(read))
}

async fn list(object: &DatabaseMigration, context: &Context, key: &str) -> Result<Vec<Arc<ConfigMap>>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let selector = ListParams::default().labels(&format!("{LABEL_INSPECTION}={key}"));
    let maps = call("list the stored inspections", api.list(&selector)).await?;
    Ok(maps.items.into_iter().map(Arc::new).collect())
}

/// Whether a Job of another object inspects the same. Only a young one is waited for: what holds an older one up may be
/// the other object's own Secret.
fn others_are_at_it(object: &DatabaseMigration, context: &Context, key: &str) -> bool {
    let namespace = object.namespace();
    let now = context.now();
    let at_it = context.stores.jobs.find(|job| {
        job.namespace() == namespace
            && job.annotations().get(crate::api::ANNOTATION_KEY).is_some_and(|k| k == key)
            && job.creation_timestamp().is_some_and(|t| now.duration_since(t.0).as_secs() < WAIT_FOR_OTHERS)
            && job.status.as_ref().is_none_or(|s| s.conditions.is_none())
    });
    at_it.is_some()
}

async fn inspected(
    object: &DatabaseMigration,
    context: &Context,
    job: &InspectJob,
    secrets: &[&str],
) -> Result<ImageView, Error> {
    let PodState::Ended(ended) = &job.job.state else { return Ok(ImageView::InProgress(job.job.clone())) };
    let failed = |problem| ImageView::Failed { job: without_texts(&job.job), problem };
    let report = ended.report();
    let report = match report {
        Ok(report) => report,
        Err(error) => return Ok(failed(no_report(ended, &error, secrets))),
    };
    if report.state != RunState::Done {
        return Ok(failed(said(&report, ended, secrets)));
    }
    match (&report.frames, &job.pod) {
        (Some(frames), Some(pod)) => {
            let payload = payload(object, context, pod, frames).await?.map_err(|e| e.to_string());
            let inspection =
                payload.and_then(|json| Inspection::parse(&json).map(Inspection::masked).map_err(|e| e.to_string()));
            Ok(match inspection {
                Ok(inspection) => {
                    let (image, digest) = pinned(&object.spec.image, ended.image_id.as_deref().unwrap_or_default());
                    let image = Arc::new(Inspected::new(image, digest, inspection));
                    ImageView::Reported { job: job.job.name.clone(), image }
                }
                Err(error) => failed(Problem::new(Reason::PodFailed, format!("Job {}: {error}", job.job.name))),
            })
        }
        _ => Ok(failed(Problem::new(Reason::PodFailed, format!("Job {} reported nothing", job.job.name)))),
    }
}

fn without_texts(job: &JobView) -> JobView {
    JobView { state: PodState::Ended(Ended::default()), ..job.clone() }
}

fn said(report: &Report, ended: &Ended, secrets: &[&str]) -> Problem {
    let Some(failure) = &report.error else {
        let why = ended.reason.as_deref().unwrap_or("without a word");
        return Problem::new(Reason::PodFailed, format!("the pod ended ({why}) while it inspected the image"));
    };
    let detail = failure.detail.as_deref().map(|d| format!("\n{d}")).unwrap_or_default();
    let message = text::redact(&format!("{}{detail}", failure.message), secrets);
    Problem::new(reason_of_class(&failure.class), message)
}

fn no_report(ended: &Ended, error: &crate::jobs::ReportError, secrets: &[&str]) -> Problem {
    let why = ended.reason.as_deref().unwrap_or_default();
    let message = match ended.exit_code {
        Some(code) => pod_failed(ended.ran, code, why, error, ended.message.as_deref()),
        None => {
            return Problem::new(
                Reason::RunInterrupted,
                format!("the pod that inspects the image ended early ({why})"),
            );
        }
    };
    Problem::new(Reason::PodFailed, text::redact(&message, secrets))
}

/// Parsed inspections by the UID of their ConfigMap. These are immutable, so an entry never grows old.
#[derive(Default)]
pub struct InspectionCache(std::sync::Mutex<std::collections::HashMap<String, Arc<Inspected>>>);

/// A graph of a thousand revisions takes about a megabyte.
const MAX_CACHED: usize = 64;

impl InspectionCache {
    fn read(&self, map: &ConfigMap) -> Option<Arc<Inspected>> {
        let uid = map.uid()?;
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = lock().get(&uid) {
            return Some(found.clone());
        }
        let Some(inspected) = read_inspection(map) else {
            tracing::warn!(
                config_map = map.name_any(),
                "a stored inspection can't be read; delete it to have it made again"
            );
            return None;
        };
        let inspected = Arc::new(inspected);
        let mut cache = lock();
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        cache.insert(uid, inspected.clone());
        Some(inspected)
    }
}

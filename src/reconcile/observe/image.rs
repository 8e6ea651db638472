//! What is known of the image that the spec names, and of those that ran before; does network I/O.

use super::jobs::payload;
use crate::{
    api::{DatabaseMigration, LABEL_INSPECTION, LABEL_MANAGED_BY, MANAGER, Problem, Reason},
    call::call,
    error::Error,
    index::{image_key, inspection_key},
    jobs::{InspectRequest, Inspected, Inspection, Kind, PodState, inspect_frames, lacks_owner, pinned, pod_state},
    reconcile::{
        context::Context,
        due,
        facts::{Facts, ImageView, JobView},
    },
};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{Api, ResourceExt, api::ListParams};
use std::{collections::BTreeSet, sync::Arc};

/// What was found.
pub struct ImageFacts {
    pub image: ImageView,
    /// Inspect Jobs that nobody waits for any more.
    pub obsolete: Vec<String>,
    /// Whether the object should join the owners of what is stored.
    pub lacks_owner: bool,
}

/// Finds the wanted inspection: stored, reported by a Job, or in progress.
pub async fn look(
    object: &DatabaseMigration,
    context: &Context,
    wanted: &InspectRequest,
    facts: &Facts,
) -> Result<ImageFacts, Error> {
    let recorded = object.status.as_ref().and_then(|s| s.image.as_ref()).and_then(|i| i.inspection.as_ref());
    let any_stored = wanted.any_stored;
    let stored =
        if any_stored || recorded == Some(&wanted.id) { stored(object, context, &wanted.key).await? } else { None };
    let name = wanted.record.name(object);
    let mine = facts.of(Kind::Inspect).find(|job| job.name == name);
    let (stored, lacks_owner) = stored.unzip();
    let image = match (stored, mine) {
        (Some(image), _) => ImageView::Stored(image),
        (None, Some(job)) => inspected(object, context, job).await?,
        (None, None) if any_stored && others_are_at_it(object, context, &wanted.key) => ImageView::InProgressElsewhere,
        (None, None) => ImageView::Absent,
    };
    let obsolete = due::unneeded(facts.of(Kind::Inspect), &name, matches!(image, ImageView::Stored(_)));
    Ok(ImageFacts { image, obsolete, lacks_owner: lacks_owner.unwrap_or(false) })
}

/// The inspections of the images that the object was inspected with, newest first.
pub async fn remembered(object: &DatabaseMigration, context: &Context) -> Result<Vec<Arc<Inspected>>, Error> {
    let images = object.status.as_ref().map_or(&[][..], |s| s.images.as_slice());
    let mut remembered = Vec::new();
    for map in inspections_of(context, object, images.iter().map(String::as_str)) {
        remembered.extend(read(&map, context).await?);
    }
    Ok(remembered)
}

/// The newest inspection of one image.
pub async fn inspected_as(
    context: &Context,
    object: &DatabaseMigration,
    image: &str,
) -> Result<Option<Arc<Inspected>>, Error> {
    for map in inspections_of(context, object, [image]) {
        if let Some(inspected) = read(&map, context).await? {
            return Ok(Some(inspected));
        }
    }
    Ok(None)
}

/// What a ConfigMap holds. The watch keeps only what identifies it, so what was not read lately is requested.
async fn read(map: &ConfigMap, context: &Context) -> Result<Option<Arc<Inspected>>, Error> {
    let inspections = &context.process.inspections;
    if let Some(known) = inspections.known(map) {
        return Ok(Some(known));
    }
    if map.binary_data.is_some() {
        return Ok(inspections.read(map));
    }
    let name = map.name_any();
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &map.namespace().unwrap_or_default());
    let whole = call(&format!("get ConfigMap {name}"), api.get_opt(&name)).await?;
    Ok(whole.filter(|whole| whole.uid() == map.uid()).and_then(|whole| inspections.read(&whole)))
}

/// The stored inspections of these images, newest first.
fn inspections_of<'a>(
    context: &Context,
    object: &DatabaseMigration,
    images: impl IntoIterator<Item = &'a str>,
) -> Vec<Arc<ConfigMap>> {
    let namespace = object.namespace().unwrap_or_default();
    let stored = |image: &str| context.stores.inspections.with_key(&image_key(&namespace, image));
    let mut maps: Vec<_> = BTreeSet::from_iter(images).into_iter().flat_map(stored).collect();
    maps.sort_by_key(|map| std::cmp::Reverse(map.creation_timestamp().map(|t| t.0)));
    maps
}

/// The stored inspection under a key: the one that the status names if it is there, else the newest. And whether the
/// object should join its owners.
async fn stored(
    object: &DatabaseMigration,
    context: &Context,
    key: &str,
) -> Result<Option<(Arc<Inspected>, bool)>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let mut maps = context.stores.inspections.with_key(&inspection_key(&namespace, key));
    if due::is_missing(object, key, &maps) {
        maps = list(object, context, key).await?;
    }
    for map in &due::best_first(object, maps) {
        if let Some(inspected) = read(map, context).await? {
            return Ok(Some((inspected, lacks_owner(map.as_ref(), object))));
        }
    }
    Ok(None)
}

async fn list(object: &DatabaseMigration, context: &Context, key: &str) -> Result<Vec<Arc<ConfigMap>>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let selector = ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGER},{LABEL_INSPECTION}={key}"));
    let maps = call("list the stored inspections", api.list(&selector)).await?;
    Ok(maps.items.into_iter().map(Arc::new).collect())
}

/// Whether a Job of another object inspects the same.
fn others_are_at_it(object: &DatabaseMigration, context: &Context, key: &str) -> bool {
    let jobs = context.stores.jobs.with_key(&inspection_key(&object.namespace().unwrap_or_default(), key));
    jobs.iter().any(|job| due::is_waited_for(job, works(job, context), context.now()))
}

/// Whether the container of its pod runs.
fn works(job: &Job, context: &Context) -> bool {
    let Some(uid) = job.uid() else { return false };
    context.stores.pods.with_key(&uid).iter().any(|pod| pod_state(pod) == PodState::Running)
}

async fn inspected(object: &DatabaseMigration, context: &Context, job: &JobView) -> Result<ImageView, Error> {
    let Some(ended) = job.ended() else { return Ok(ImageView::InProgress(job.clone())) };
    let failed =
        |problem| Ok(ImageView::Failed { job: JobView { state: PodState::default(), ..job.clone() }, problem });
    let unreadable = |why: String| Problem::new(Reason::PodFailed, format!("Job {}: {why}", job.name));
    let frames = match inspect_frames(ended, &job.name) {
        Ok(frames) => frames,
        Err(problem) => return failed(problem),
    };
    let Some(pod) = &job.pod else { return failed(unreadable("its pod is gone".to_owned())) };
    let parse = |json: Vec<u8>| {
        let parsed = Inspection::parse(&json);
        // Both, and what is masked, are not in memory together.
        drop(json);
        parsed.map(Inspection::masked).map_err(|e| e.to_string())
    };
    let read = payload(object, context, &pod.name, &frames, parse).await?;
    let inspection = read.map_err(|e| e.to_string()).and_then(|parsed| parsed);
    match inspection {
        Ok(inspection) => {
            let (image, digest) = pinned(&object.spec.image, ended.image_id.as_deref().unwrap_or_default());
            let image = Arc::new(Inspected::new(image, digest, inspection));
            Ok(ImageView::Reported { job: job.name.clone(), image })
        }
        Err(error) => failed(unreadable(error)),
    }
}

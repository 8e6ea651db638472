//! The passes over the objects, and what triggers them; does network I/O.

use crate::{
    api::{self, DatabaseMigration, LABEL_INSPECTION, LABEL_MANAGED_BY, LABEL_OBJECT, MANAGER, Watched},
    error::{Class, Error},
    fleet,
    http::Synced,
    index::{Indexed, inspection_keys, job_keys, job_works, pod_keys, pod_works},
    reconcile::{Context, Process, Room, Stores, clear_orphans, failed, reconcile, unreadable},
    watches::{Watch, api, events, prune_job, prune_pod, watch, watch_objects},
};
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    channel::mpsc::{UnboundedReceiver, unbounded},
    future::join_all,
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    core::{ApiResource, DynamicObject},
    runtime::{
        Controller, Predicate, WatchStreamExt,
        controller::{self, Action},
        predicates,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc, sync::atomic::Ordering};
use tokio_util::sync::CancellationToken;

/// Runs until told to stop: one controller for each namespace, or one for the whole cluster when none is named.
pub async fn run(
    client: Client,
    namespaces: &[String],
    process: Arc<Process>,
    synced: Synced,
    concurrency: u16,
    stop: CancellationToken,
) {
    let scopes: Vec<_> =
        scopes(namespaces).into_iter().map(|scope| Scope::new(&client, scope, process.clone())).collect();
    let watched: Vec<_> = scopes.iter().map(|scope| (scope.objects_filled.clone(), scope.context.clone())).collect();
    tokio::spawn(async move {
        for (objects, context) in watched {
            objects.cancelled().await;
            context.stores.filled().await;
        }
        tracing::info!("all watches have their first lists");
        synced.store(true, Ordering::Release);
    });
    tokio::select! {
        () = process.line.keep_moving(process.clock) => {}
        _ = join_all(scopes.into_iter().map(|scope| scope.run(concurrency, stop.clone()))) => {}
    }
}

/// The namespaces to watch, each once: two controllers would work on the same objects. `None` is all of them.
fn scopes(namespaces: &[String]) -> BTreeSet<Option<&str>> {
    let named: BTreeSet<_> = namespaces.iter().map(|n| n.trim()).filter(|n| !n.is_empty()).map(Some).collect();
    if named.is_empty() { BTreeSet::from([None]) } else { named }
}

/// One namespace, or all of them.
struct Scope {
    context: Arc<Context>,
    objects: Store<Watched>,
    objects_filled: CancellationToken,
    object_watch: Watch<Watched>,
    job_watch: Watch<Job>,
    pod_watch: Watch<Pod>,
    inspection_watch: Watch<ConfigMap>,
    /// Objects that may start a run now.
    calls: UnboundedReceiver<ObjectRef<Watched>>,
    sets: fleet::Scope,
}

impl Scope {
    fn new(client: &Client, namespace: Option<&str>, process: Arc<Process>) -> Self {
        let made_here = format!("{LABEL_MANAGED_BY}={MANAGER}");
        let (objects, object_watch, objects_filled) = watch_objects(objects(client, namespace, process.clone()));
        process.metrics.watch(objects.clone());
        let (jobs, job_watch, jobs_filled) = watch(
            events::<Job>(api(client, namespace), format!("{made_here},{LABEL_OBJECT}")),
            prune_job,
            Indexed::new(job_keys, job_works),
        );
        let (pods, pod_watch, pods_filled) = watch(
            events::<Pod>(api(client, namespace), format!("{made_here},{LABEL_OBJECT}")),
            prune_pod,
            Indexed::new(pod_keys, pod_works),
        );
        let (inspections, inspection_watch, inspections_filled) = watch(
            events::<ConfigMap>(api(client, namespace), format!("{made_here},{LABEL_INSPECTION}")),
            |map| map.binary_data = None,
            Indexed::new(inspection_keys, |_| true),
        );
        let (call, calls) = unbounded();
        process.line.watch(Room { jobs: jobs.clone(), pods: pods.clone(), objects: objects.clone(), call });
        let stores = Stores { jobs, pods, inspections, lists: [jobs_filled, pods_filled, inspections_filled] };
        let context = Arc::new(Context { client: client.clone(), stores, process });
        let sets = fleet::Scope::new(client, namespace, &context);
        Self { context, objects, objects_filled, object_watch, job_watch, pod_watch, inspection_watch, calls, sets }
    }

    async fn run(self, concurrency: u16, stop: CancellationToken) {
        // A status that the operator itself has written is no news.
        let news = predicates::generation.combine(predicates::annotations).combine(predicates::finalizers);
        let objects = self.object_watch.predicate_filter(news, Default::default());
        tokio::spawn(self.inspection_watch.for_each(|_| async {}));
        let orphans = clear_orphans(self.context.clone(), self.objects.clone());
        let stopped = stop.clone();
        let passes = Controller::for_stream(objects, self.objects)
            .with_config(controller::Config::default().concurrency(concurrency))
            .watches_stream(self.job_watch.inspect(heard(&self.context)), |job| object_of(&job))
            .watches_stream(self.pod_watch.inspect(heard(&self.context)), |pod| object_of(&pod))
            .reconcile_on(self.calls)
            .graceful_shutdown_on(async move { stopped.cancelled().await })
            .run(guarded, failed, self.context)
            .for_each(|outcome| async move { log(outcome) });
        let objects = async {
            tokio::select! {
                () = passes => {}
                () = orphans => {}
            }
        };
        tokio::join!(objects, self.sets.run(stop));
    }
}

/// A Job or a pod that ends may free a place for a run.
fn heard<K>(context: &Arc<Context>) -> impl FnMut(&K) + Send + 'static {
    let process = context.process.clone();
    move |_| process.line.heard()
}

/// The objects, each with the platform's settings under its spec.
fn objects(
    client: &Client,
    namespace: Option<&str>,
    process: Arc<Process>,
) -> impl Stream<Item = Result<watcher::Event<Watched>, watcher::Error>> + Send + 'static {
    let kind = ApiResource::erase::<DatabaseMigration>(&());
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let selector = process.shard.selector();
    let read = move |object| Watched::new(api::read(object, process.defaults.as_ref()));
    events::<DynamicObject>(api, selector).map_ok(move |event| match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(read(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(read(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(read(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
    })
}

/// Pods belong to Jobs, and the Job of a run has no owner while it works. The annotation has the object's whole name, which may
/// be too long for a label.
fn object_of(made: &impl ResourceExt) -> Option<ObjectRef<Watched>> {
    let name = made.annotations().get(LABEL_OBJECT)?;
    Some(ObjectRef::new(name).within(&made.namespace()?))
}

/// A panic is a defect of one pass and must not end the work on all other objects.
async fn guarded(object: Arc<Watched>, context: Arc<Context>) -> Result<Action, Error> {
    let what = object.name_any();
    let pass = async {
        match object.read() {
            Ok(whole) => reconcile(&whole, &context).await,
            Err(error) => unreadable(&object, &error, &context).await,
        }
    };
    match AssertUnwindSafe(pass).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(Error::Internal { what, detail: "the pass panicked; this is a defect of the operator".to_owned() })
        }
    }
}

type Outcome = Result<(ObjectRef<Watched>, Action), controller::Error<Error, watcher::Error>>;

fn log(outcome: Outcome) {
    match outcome {
        Ok((object, _)) => tracing::debug!(%object, "reconciled"),
        // Somebody else has written meanwhile: the next pass works with that.
        Err(controller::Error::ReconcilerFailed(error, object)) if error.class() == Class::Stale => {
            tracing::debug!(%object, %error, "again")
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => tracing::error!(%object, %error, "pass failed"),
        Err(controller::Error::ObjectNotFound(object)) => tracing::debug!(%object, "gone"),
        Err(error) => tracing::error!(%error, "controller"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_watched_once() {
        let scopes_of = |names: &[&str]| -> Vec<Option<String>> {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            scopes(&names).into_iter().map(|scope| scope.map(str::to_owned)).collect()
        };
        assert_eq!(scopes_of(&["b", " a", "b", ""]), [Some("a".to_owned()), Some("b".to_owned())]);
        assert_eq!(scopes_of(&["", " "]), [None]);
    }
}

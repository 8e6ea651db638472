//! The watches of sets, and of the Jobs and pods that are made for them; does network I/O.

use super::reconcile;
use crate::{
    api::{DatabaseMigrationSet, LABEL_MANAGED_BY, LABEL_SET, MANAGER},
    error::{Class, Error},
    index::{Indexed, job_keys, job_works, pod_keys, pod_works},
    reconcile::{Context, Stores},
    watches::{Watch, api, events, prune_job, prune_pod, watch, watch_objects},
};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Client, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Controller, Predicate, WatchStreamExt,
        controller::{self, Action},
        predicates,
        reflector::{ObjectRef, Store},
    },
};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

type Guarded = DeserializeGuard<DatabaseMigrationSet>;

/// Sets that are worked on at a time: each pass may look at thousands of databases.
const CONCURRENCY: u16 = 4;

/// The sets of one namespace, or of all.
pub struct Scope {
    context: Arc<Context>,
    sets: Store<Guarded>,
    set_watch: Watch<Guarded>,
    job_watch: Watch<Job>,
    pod_watch: Watch<Pod>,
}

impl Scope {
    /// Shares the inspections, and what there is one of in the process, with the objects of the same scope.
    pub fn new(client: &Client, namespace: Option<&str>, objects: &Context) -> Self {
        let made_here = format!("{LABEL_MANAGED_BY}={MANAGER},{LABEL_SET}");
        let (sets, set_watch, _) = watch_objects(events::<Guarded>(api(client, namespace), String::new()));
        let (jobs, job_watch, jobs_filled) = watch(
            events::<Job>(api(client, namespace), made_here.clone()),
            prune_job,
            Indexed::new(job_keys, job_works),
        );
        let (pods, pod_watch, pods_filled) =
            watch(events::<Pod>(api(client, namespace), made_here), prune_pod, Indexed::new(pod_keys, pod_works));
        let [_, _, inspections_filled] = objects.stores.lists.clone();
        let stores = Stores {
            jobs,
            pods,
            inspections: objects.stores.inspections.clone(),
            lists: [jobs_filled, pods_filled, inspections_filled],
        };
        objects.process.metrics.watch_sets(sets.clone());
        let context = Arc::new(Context { client: client.clone(), stores, process: objects.process.clone() });
        Self { context, sets, set_watch, job_watch, pod_watch }
    }

    /// Works until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let news = predicates::generation.combine(predicates::annotations).combine(predicates::finalizers);
        let sets = self.set_watch.predicate_filter(news, Default::default());
        let orphans = super::orphans::clear_orphans(self.context.clone(), self.sets.clone());
        let passes = Controller::for_stream(sets, self.sets)
            .with_config(controller::Config::default().concurrency(CONCURRENCY))
            .watches_stream(self.job_watch, |job| set_of(&job))
            .watches_stream(self.pod_watch, |pod| set_of(&pod))
            .graceful_shutdown_on(async move { stop.cancelled().await })
            .run(pass, failed, self.context)
            .for_each(|outcome| async move { log(outcome) });
        tokio::select! {
            () = passes => {}
            () = orphans => {}
        }
    }
}

fn set_of(made: &impl ResourceExt) -> Option<ObjectRef<Guarded>> {
    let name = made.annotations().get(LABEL_SET)?;
    Some(ObjectRef::new(name).within(&made.namespace()?))
}

/// A panic is a defect of one pass and must not end the work on all other sets.
async fn pass(set: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    context.stores.filled().await;
    let what = set.name_any();
    let set = match &set.0 {
        Ok(set) => set,
        Err(error) => {
            tracing::error!(set = what, error = error.error, "a set that can't be read is left alone");
            return Ok(Action::await_change());
        }
    };
    match AssertUnwindSafe(reconcile(set, &context)).catch_unwind().await {
        Ok(Ok(next)) => {
            context.process.back_off.succeeded(&set.uid().unwrap_or_default());
            Ok(next)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            Err(Error::Internal { what, detail: "the pass panicked; this is a defect of the operator".to_owned() })
        }
    }
}

fn failed(set: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    context.process.metrics.failed(error.class());
    match error.class() {
        Class::Stale => Action::requeue(Duration::from_millis(200)),
        Class::Transient | Class::Permanent => {
            Action::requeue(context.process.back_off.failed(&set.uid().unwrap_or_default()))
        }
    }
}

type Outcome = Result<(ObjectRef<Guarded>, Action), controller::Error<Error, kube::runtime::watcher::Error>>;

fn log(outcome: Outcome) {
    match outcome {
        Ok((set, _)) => tracing::debug!(%set, "reconciled"),
        Err(controller::Error::ReconcilerFailed(error, set)) if error.class() == Class::Stale => {
            tracing::debug!(%set, %error, "again")
        }
        Err(controller::Error::ReconcilerFailed(error, set)) => tracing::error!(%set, %error, "pass failed"),
        Err(controller::Error::ObjectNotFound(set)) => tracing::debug!(%set, "gone"),
        Err(error) => tracing::error!(%error, "controller of sets"),
    }
}

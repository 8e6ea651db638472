//! The stores that watches fill, and what is kept of what they bring; does network I/O.

use crate::{backoff::WatchBackOff, index::Indexed};
use futures::{Stream, StreamExt, TryStreamExt, future::ready, stream::BoxStream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::Pod,
    },
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Debug, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Small first pages: the decoded list is what memory peaks at.
const PAGE: u32 = 50;

/// A watch whose errors have been told.
pub type Watch<K> = BoxStream<'static, Result<K, watcher::Error>>;

pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// What happens to the objects with some labels.
pub fn events<K>(
    api: Api<K>,
    labels: String,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, watcher::Config::default().labels(&labels).page_size(PAGE))
}

/// A store of objects, which passes are made from, the stream that fills it as it is polled, and a token that is cancelled once the
/// first list is in it (`Store::wait_until_ready` wakes only the last of several waiters).
pub fn watch_objects<K>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
) -> (Store<K>, Watch<K>, CancellationToken)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let filled = CancellationToken::new();
    let stream = events.backoff(WatchBackOff::default()).reflect(writer).inspect(first_list(&filled)).touched_objects();
    (store, log_errors(stream).boxed(), filled)
}

/// The same for what the operator makes. What nobody reads is dropped before it is stored: managed fields decode to five times the
/// size of everything else.
pub fn watch<K>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    prune: fn(&mut K),
    indexed: Indexed<K>,
) -> (Arc<Indexed<K>>, Watch<K>, CancellationToken)
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let indexed = Arc::new(indexed);
    let index = indexed.clone();
    let filled = CancellationToken::new();
    let stream = events
        .backoff(WatchBackOff::default())
        .modify(move |object| {
            object.meta_mut().managed_fields = None;
            prune(object);
        })
        .inspect_ok(move |event| index.follow(event))
        .inspect(first_list(&filled))
        .touched_objects();
    (indexed, log_errors(stream).boxed(), filled)
}

fn first_list<K>(
    filled: &CancellationToken,
) -> impl FnMut(&Result<watcher::Event<K>, watcher::Error>) + Send + 'static {
    let filled = filled.clone();
    move |event| {
        if matches!(event, Ok(watcher::Event::InitDone)) {
            filled.cancel();
        }
    }
}

/// Errors end here: the watch has its own back-off, and the controller would hold back all of its watches for a growing time at each.
fn log_errors<K: Resource<DynamicType = ()>>(
    stream: impl Stream<Item = Result<K, watcher::Error>>,
) -> impl Stream<Item = Result<K, watcher::Error>> {
    stream.filter(|item| {
        if let Err(error) = item {
            tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted; it is resumed");
        }
        ready(item.is_ok())
    })
}

pub fn prune_job(job: &mut Job) {
    // Whether its pod is replaced, and whether it may begin, is all that is asked of it.
    job.spec = job.spec.take().map(|JobSpec { pod_failure_policy, suspend, .. }| JobSpec {
        pod_failure_policy,
        suspend,
        ..JobSpec::default()
    });
}

pub fn prune_pod(pod: &mut Pod) {
    pod.spec = None;
    let Some(status) = &mut pod.status else { return };
    (status.host_ip, status.host_ips, status.pod_ips, status.qos_class) = (None, None, None, None);
    for container in status.container_statuses.iter_mut().chain(&mut status.init_container_statuses).flatten() {
        (container.allocated_resources, container.allocated_resources_status) = (None, None);
        (container.resources, container.user, container.volume_mounts) = (None, None, None);
    }
}

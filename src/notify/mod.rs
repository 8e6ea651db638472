//! Notifications of what people wait for, to one webhook: a bounded queue, and a task that sends it; does network I/O. A pass
//! only puts something into the queue, and where that is full it is lost: nothing ever waits for a webhook.

mod event;
mod send;

pub use event::{Happened, Kind};
pub use send::{Format, Webhook};

use crate::{
    api::{ConditionType, DatabaseMigration, DatabaseMigrationStatus},
    metrics::Metrics,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

/// Notifications that wait for a slow webhook.
const QUEUE: usize = 256;
/// Objects that are remembered as stalled.
const REMEMBERED: usize = 10_000;
/// For what is still in the queue when the operator stops.
const LAST_WORDS: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// Takes notice of each change of a status that was written.
#[derive(Default)]
pub struct Notifier {
    queue: Option<Queue>,
    /// UIDs of the objects that were stalled and have not been ready since.
    stalled: Mutex<HashSet<String>>,
}

struct Queue {
    sender: Sender<Happened>,
    wanted: Vec<Kind>,
    metrics: Arc<Metrics>,
}

impl Notifier {
    /// One that notifies of the kinds that are wanted, and the task that sends them until it is stopped.
    pub fn new(
        webhook: Webhook,
        wanted: Vec<Kind>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = Queue { sender, wanted, metrics: metrics.clone() };
        (Self { queue: Some(queue), stalled: Mutex::default() }, deliver(webhook, receiver, metrics, stop))
    }

    /// A status was written: `object` has the one before it. Each change is told here once, as each status is written once.
    pub fn changed(&self, object: &DatabaseMigration, after: &DatabaseMigrationStatus, now: Timestamp) {
        let Some(queue) = &self.queue else { return };
        let recovered = self.has_recovered(object, after);
        for happened in event::happened(object, after, recovered, now) {
            if !queue.wanted.contains(&happened.kind) {
                continue;
            }
            let (object, kind) = (happened.subject(), happened.kind.as_str());
            if queue.sender.try_send(happened).is_err() {
                queue.metrics.notified("dropped");
                tracing::warn!(object, kind, "the webhook is too slow: a notification is lost");
            }
        }
    }

    /// Whether it is ready for the first time since it was stalled, as far as this process knows.
    fn has_recovered(&self, object: &DatabaseMigration, after: &DatabaseMigrationStatus) -> bool {
        let is = |status: &DatabaseMigrationStatus, type_| status.condition(type_).is_some_and(|c| c.status == "True");
        let was_stalled = object.status.as_ref().is_some_and(|status| is(status, ConditionType::Stalled));
        let uid = object.uid().unwrap_or_default();
        let mut stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        if is(after, ConditionType::Ready) {
            return stalled.remove(&uid) || was_stalled;
        }
        if (was_stalled || is(after, ConditionType::Stalled)) && stalled.len() < REMEMBERED {
            stalled.insert(uid);
        }
        false
    }
}

async fn deliver(webhook: Webhook, mut receiver: Receiver<Happened>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let one = async |happened: Happened| match webhook.deliver(&happened).await {
        Ok(()) => metrics.notified("sent"),
        Err(error) => {
            metrics.notified("failed");
            tracing::warn!(object = happened.subject(), kind = happened.kind.as_str(), %error, "a notification was not delivered");
        }
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            happened = receiver.recv() => match happened {
                Some(happened) => tokio::select! {
                    () = one(happened) => {}
                    () = stop.cancelled() => break,
                },
                None => return,
            },
        }
    }
    let rest = async {
        while let Ok(happened) = receiver.try_recv() {
            one(happened).await;
        }
    };
    let _ = tokio::time::timeout(LAST_WORDS, rest).await;
}

#[cfg(test)]
mod tests;

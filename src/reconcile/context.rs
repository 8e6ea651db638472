//! What a pass works with: the client, the watched objects, and what there is one of in the process. No I/O of its own.

use super::{
    drift_schedule::DriftSchedule, inspections::InspectionCache, line::Line, payloads::Payloads, servers::Servers,
};
use crate::{
    api::Defaults,
    backoff::BackOff,
    db::{AllowedHosts, Prober},
    index::Indexed,
    lease::Claim,
    metrics::Metrics,
    notify::Notifier,
    shard::Shard,
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, Pod},
    },
    jiff::Timestamp,
};
use kube::{Client, runtime::events::Recorder};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the passes of one namespace work with, or of all.
pub struct Context {
    pub client: Client,
    pub stores: Stores,
    pub process: Arc<Process>,
}

/// What there is one of in the process.
pub struct Process {
    pub inspections: InspectionCache,
    pub servers: Servers,
    /// Who may start a run.
    pub line: Line,
    pub recorder: Recorder,
    pub back_off: BackOff,
    pub checks: DriftSchedule,
    /// The room for what pods leave in their logs.
    pub payloads: Payloads,
    pub metrics: Arc<Metrics>,
    pub notifier: Notifier,
    /// Whether this process may still act.
    pub claim: Claim,
    pub prober: Box<dyn Prober>,
    /// Which database hosts it connects to.
    pub hosts: Arc<AllowedHosts>,
    /// What the platform says for every object.
    pub defaults: Option<Defaults>,
    /// Whether only some may approve, as the chart's admission policies see to.
    pub restricted: bool,
    /// Which objects it works on.
    pub shard: Shard,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

impl Context {
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        (self.process.clock)()
    }
}

/// The watched objects that the operator made, kept up to date by the controller's streams.
pub struct Stores {
    pub jobs: Arc<Indexed<Job>>,
    pub pods: Arc<Indexed<Pod>>,
    pub inspections: Arc<Indexed<ConfigMap>>,
    /// Cancelled once the first list of a store is in.
    pub lists: [CancellationToken; 3],
}

impl Stores {
    /// Waits until every store holds its first list. A pass over empty stores would take an active run
    /// for none.
    pub async fn filled(&self) {
        for list in &self.lists {
            list.cancelled().await;
        }
    }
}

//! Leader election over a Lease: of several operator processes one works, and it stops at once when it can't be sure
//! that it still may. Does network I/O.
//!
//! Times are the process's own monotonic ones (as in client-go's leaderelection): clocks of different nodes are never
//! compared. The leader gives up earlier than others take over.

use crate::call::{call, refusal};
use crate::error::Error;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long others wait after the last sign of the leader.
const LEASE: Duration = Duration::from_secs(15);
/// How long the leader goes on without a renewal that succeeded.
const CLAIM: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);
/// A renewal that takes longer would come too late to be tried once more.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often giving back is tried again after a conflict.
const RELEASES: usize = 3;

/// Whether this process may act.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// Nobody to share with when absent.
    until: Option<Arc<Mutex<Instant>>>,
}

impl Claim {
    fn from(started: Instant) -> Self {
        Self { until: Some(Arc::new(Mutex::new(started + CLAIM))) }
    }

    fn renewed(&self, started: Instant) {
        if let Some(until) = &self.until {
            *until.lock().unwrap_or_else(PoisonError::into_inner) = started + CLAIM;
        }
    }

    /// Whether it is still this process's turn. Checked before irreversible calls.
    pub fn holds(&self) -> bool {
        let ends = |until: &Arc<Mutex<Instant>>| *until.lock().unwrap_or_else(PoisonError::into_inner);
        self.until.as_ref().is_none_or(|until| Instant::now() < ends(until))
    }
}

/// One process in the election.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    clock: fn() -> Timestamp,
}

/// How the work of a leader ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Led {
    /// It was done, or told to stop.
    Done,
    /// The claim was lost: another process leads, or may soon.
    Lost,
}

/// What was seen of the Lease, and since when it has not changed.
struct Seen {
    spec: Option<LeaseSpec>,
    since: Instant,
}

impl Candidate {
    /// In the client's own namespace.
    pub fn new(client: Client, name: &str, identity: &str, clock: fn() -> Timestamp) -> Self {
        Self { api: Api::default_namespaced(client), name: name.to_owned(), identity: identity.to_owned(), clock }
    }

    /// Waits for the leadership and does the work as long as it lasts. The work is dropped where it stands when the
    /// claim can't be renewed in time, and the Lease is given back when the work ends by itself.
    pub async fn lead<Work: Future<Output = ()>>(
        &self,
        stop: CancellationToken,
        work: impl FnOnce(Claim) -> Work,
    ) -> Led {
        let Some((claim, lease)) = stop.run_until_cancelled(self.acquire()).await else { return Led::Done };
        tracing::info!(identity = self.identity, "leading");
        let work = work(claim.clone());
        tokio::pin!(work);
        let kept = self.keep(claim, lease);
        tokio::pin!(kept);
        tokio::select! {
            biased;
            () = &mut kept => Led::Lost,
            () = &mut work => {
                self.release().await;
                Led::Done
            }
        }
    }

    async fn acquire(&self) -> (Claim, Lease) {
        let mut seen = Seen { spec: None, since: Instant::now() };
        loop {
            match self.attempt(&mut seen).await {
                Ok(Some(taken)) => return taken,
                Ok(None) => {}
                Err(error) if refusal(&error) == Some(409) => {}
                Err(error) => tracing::warn!(%error, "no leadership yet"),
            }
            sleep(RETRY).await;
        }
    }

    async fn attempt(&self, seen: &mut Seen) -> Result<Option<(Claim, Lease)>, Error> {
        let started = Instant::now();
        let Some(lease) = call(&format!("get Lease {}", self.name), self.api.get_opt(&self.name)).await? else {
            let fresh = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            let what = format!("create Lease {}", self.name);
            let made = call(&what, self.api.create(&PostParams::default(), &fresh)).await?;
            return Ok(Some((Claim::from(started), made)));
        };
        if lease.spec != seen.spec {
            *seen = Seen { spec: lease.spec.clone(), since: started };
        }
        let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()).unwrap_or_default();
        let lasts = lease.spec.as_ref().and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
        let expired = started.duration_since(seen.since) > lasts.map_or(LEASE, Duration::from_secs);
        if !holder.is_empty() && !expired {
            return Ok(None);
        }
        let taken = self.write(lease, |spec| self.spec(Some(spec))).await?;
        Ok(Some((Claim::from(started), taken)))
    }

    /// Renews until that has not succeeded for too long.
    async fn keep(&self, claim: Claim, mut lease: Lease) {
        while claim.holds() {
            sleep(RETRY).await;
            let started = Instant::now();
            match timeout(PATIENCE, self.renew(&lease)).await {
                Ok(Ok(Some(renewed))) => {
                    claim.renewed(started);
                    lease = renewed;
                }
                Ok(Ok(None)) => {
                    tracing::error!("another process has taken the leadership");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the leadership was not renewed"),
                Err(_) => tracing::warn!("the leadership was not renewed: no answer"),
            }
        }
        tracing::error!("the leadership could not be renewed in time");
    }

    /// `None` when somebody else holds it.
    async fn renew(&self, lease: &Lease) -> Result<Option<Lease>, Error> {
        let renewed = |spec: LeaseSpec| LeaseSpec { renew_time: Some(MicroTime((self.clock)())), ..spec };
        match self.write(lease.clone(), renewed).await {
            Err(error) if refusal(&error) == Some(409) => {
                // A write whose answer was lost looks like one of somebody else.
                let live = call(&format!("get Lease {}", self.name), self.api.get(&self.name)).await?;
                if !self.is_mine(&live) {
                    return Ok(None);
                }
                self.write(live, renewed).await.map(Some)
            }
            Err(error) if refusal(&error) == Some(404) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Lets the next one begin at once. A renewal that was under way when the work ended can still arrive in between.
    async fn release(&self) {
        let mut freed = self.free().await;
        for _ in 0..RELEASES {
            match &freed {
                Err(error) if refusal(error) == Some(409) => freed = self.free().await,
                _ => break,
            }
        }
        match freed {
            Ok(()) => tracing::info!("the leadership is given back"),
            Err(error) => tracing::warn!(%error, "the leadership is not given back; it runs out"),
        }
    }

    async fn free(&self) -> Result<(), Error> {
        let live = call(&format!("get Lease {}", self.name), self.api.get(&self.name)).await?;
        if self.is_mine(&live) {
            let free = |spec: LeaseSpec| LeaseSpec { holder_identity: Some(String::new()), ..spec };
            self.write(live, free).await?;
        }
        Ok(())
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()) == Some(&self.identity)
    }

    async fn write(&self, mut lease: Lease, change: impl FnOnce(LeaseSpec) -> LeaseSpec) -> Result<Lease, Error> {
        lease.spec = Some(change(lease.spec.unwrap_or_default()));
        let what = format!("write Lease {}", self.name);
        call(&what, self.api.replace(&self.name, &PostParams::default(), &lease)).await
    }

    fn spec(&self, before: Option<LeaseSpec>) -> LeaseSpec {
        let now = MicroTime((self.clock)());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(before.map_or(0, |spec| spec.lease_transitions.unwrap_or_default() + 1)),
            ..LeaseSpec::default()
        }
    }
}

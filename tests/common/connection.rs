//! One operator process's way to the API server, and the faults that befall it at chosen requests. No network.

use super::{
    api::{Frozen, View, answer, is_write, refused},
    store::{Refusal, Store},
    strikes::{Counted, Counts, Fault, Plan},
};
use axum::body::Body;
use http::{Request, Response};
use kube::Client;
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// The Lease that the operators elect their leader with.
pub const ELECTION: &str = "alembic-operator";

const STALE: Duration = Duration::from_secs(5);
/// How long one watch is behind the others.
const BEHIND: Duration = Duration::from_secs(30);
const AWAY: Duration = Duration::from_secs(120);
const HANG: Duration = Duration::from_secs(40);

/// The way of one process.
pub struct Connection {
    store: Arc<Store>,
    pub plan: Arc<Plan>,
    dead: AtomicBool,
    away: AtomicBool,
    frozen: watch::Sender<Option<Frozen>>,
    restarts: watch::Sender<u64>,
    /// What has made the process die or stand still.
    struck: watch::Sender<Option<Fault>>,
    /// Told when it may go on.
    pub wake: Notify,
    before: Mutex<u64>,
    /// Until when the process stands still.
    still: Mutex<Option<tokio::time::Instant>>,
}

impl Connection {
    /// A way with what the plan says; `frozen` at first shows the past.
    pub fn new(store: Arc<Store>, plan: Arc<Plan>, frozen: Option<u64>) -> Arc<Self> {
        let connection = Arc::new(Self {
            store,
            plan,
            dead: AtomicBool::new(false),
            away: AtomicBool::new(false),
            frozen: watch::Sender::new(frozen.map(|at| Frozen { at, only: None })),
            restarts: watch::Sender::new(0),
            struck: watch::Sender::new(None),
            wake: Notify::new(),
            before: Mutex::default(),
            still: Mutex::default(),
        });
        if frozen.is_some() {
            connection.thaw(STALE);
        }
        connection
    }

    /// How many requests went through it.
    pub fn counts(&self) -> Counts {
        self.plan.counts()
    }

    /// Waits until the process dies or stands still, and tells by what.
    pub async fn struck(&self) -> Option<Fault> {
        let mut struck = self.struck.subscribe();
        let fault = *struck.wait_for(Option::is_some).await.ok()?;
        self.struck.send_replace(None);
        fault
    }

    /// The store's revision right before the write of the fault.
    pub fn before(&self) -> u64 {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No call of the process gets through any more.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.restarts.send_modify(|n| *n += 1);
    }

    /// A client of kube over it. Built from a bare service, it has none of kube's own retries.
    pub fn client(self: &Arc<Self>, namespace: &str) -> Client {
        let connection = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let connection = connection.clone();
            async move { connection.serve(request).await }
        });
        Client::new(service, namespace)
    }

    /// Lists and watches show the present no longer, or again.
    pub fn freeze(&self, still: bool) {
        self.frozen.send_replace(still.then(|| Frozen { at: self.store.revision(), only: None }));
    }

    fn thaw(self: &Arc<Self>, after: Duration) {
        self.later(after, |connection| {
            connection.frozen.send_replace(None);
        });
    }

    async fn pass(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let view = View { frozen: self.frozen.subscribe(), restarts: self.restarts.subscribe() };
        answer(self.store.clone(), view, request).await
    }

    async fn serve(self: Arc<Self>, request: Request<kube::client::Body>) -> Result<Response<Body>, Failed> {
        self.alive().await;
        // A network takes time, and others get their turn.
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.alive().await;
        self.stand_still().await;
        if self.away.load(Ordering::SeqCst) {
            return Err(Failed("connection refused"));
        }
        let (sorts, request) = sorted(request).await;
        match self.plan.next(sorts) {
            Some(fault) => self.fail(fault, request).await,
            None => {
                let answer = self.pass(request).await;
                self.alive().await;
                Ok(answer)
            }
        }
    }

    async fn stand_still(&self) {
        let until = *self.still.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// A dead process hears nothing.
    async fn alive(&self) {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    async fn fail(
        self: &Arc<Self>,
        fault: Fault,
        request: Request<kube::client::Body>,
    ) -> Result<Response<Body>, Failed> {
        let before = self.store.revision();
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = before;
        match fault {
            Fault::Crash | Fault::CrashStale | Fault::OtherVersion => {
                self.pass(request).await;
                self.kill();
                self.struck.send_replace(Some(fault));
                std::future::pending().await
            }
            Fault::LostAnswer(code) => {
                self.pass(request).await;
                Ok(injected(code))
            }
            Fault::Broken => {
                self.pass(request).await;
                Err(RESET)
            }
            Fault::Refused(code) => Ok(injected(code)),
            Fault::Stale => Ok(self.pass_frozen(Frozen { at: before, only: None }, STALE, request).await),
            Fault::Behind(resource) => {
                Ok(self.pass_frozen(Frozen { at: before, only: Some(resource) }, BEHIND, request).await)
            }
            Fault::Others(deed, after) => {
                self.later(Duration::from_secs(after), move |connection| deed.carry_out(&connection.store));
                Ok(self.pass(request).await)
            }
            Fault::Missed => Ok(self.pass_unseen(before, request).await),
            Fault::Away => {
                self.pass(request).await;
                self.away.store(true, Ordering::SeqCst);
                self.restarts.send_modify(|n| *n += 1);
                self.later(AWAY, |connection| connection.away.store(false, Ordering::SeqCst));
                Err(RESET)
            }
            Fault::Hang => {
                *self.still.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::time::Instant::now() + HANG);
                self.pass_late(request, |connection| async move { connection.stand_still().await }).await
            }
            Fault::Paused => {
                self.struck.send_replace(Some(fault));
                self.pass_late(request, |connection| async move { connection.wake.notified().await }).await
            }
        }
    }

    /// Does something after a time.
    fn later(self: &Arc<Self>, after: Duration, what: impl FnOnce(&Self) + Send + 'static) {
        let connection = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            what(&connection);
        });
    }

    /// Passes a request on, while the watches stand still for a time.
    async fn pass_frozen(
        self: &Arc<Self>,
        frozen: Frozen,
        lasts: Duration,
        request: Request<kube::client::Body>,
    ) -> Response<Body> {
        self.frozen.send_replace(Some(frozen));
        self.thaw(lasts);
        self.pass(request).await
    }

    /// Passes a request on. What the watches miss meanwhile is gone when they come back, so that they have to list again.
    async fn pass_unseen(self: &Arc<Self>, before: u64, request: Request<kube::client::Body>) -> Response<Body> {
        self.frozen.send_replace(Some(Frozen { at: before, only: None }));
        self.later(STALE, |connection| {
            connection.store.compact();
            connection.restarts.send_modify(|n| *n += 1);
            connection.frozen.send_replace(None);
        });
        self.pass(request).await
    }

    /// Passes a request on after something else. It is on its way even when nobody waits for the answer any more.
    async fn pass_late<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        request: Request<kube::client::Body>,
        first: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Result<Response<Body>, Failed> {
        let connection = self.clone();
        let late = tokio::spawn(async move {
            first(connection.clone()).await;
            connection.pass(request).await
        });
        late.await.map_err(|_| RESET)
    }
}

/// As what a request is counted. A Lease that is created has its name in the body alone.
async fn sorted(request: Request<kube::client::Body>) -> (&'static [Counted], Request<kube::client::Body>) {
    let write = is_write(request.method());
    if !request.uri().path().contains("/leases") {
        return (if write { &[Counted::Writes] } else { &[] }, request);
    }
    let (parts, body) = request.into_parts();
    let bytes = body.collect_bytes().await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let named = parts.uri.path().rsplit('/').next() == Some(ELECTION);
    let sorts: &[Counted] = match named || body["metadata"]["name"] == ELECTION {
        true => &[Counted::Election],
        false if write => &[Counted::Writes, Counted::Lock],
        false if parts.uri.path().ends_with("/leases") => &[],
        false => &[Counted::Lock],
    };
    (sorts, Request::from_parts(parts, bytes.into()))
}

/// A connection that broke.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(&'static str);

const RESET: Failed = Failed("connection reset by peer");

fn injected(code: u16) -> Response<Body> {
    refused(&Refusal(code, "Fault", "injected".into()))
}

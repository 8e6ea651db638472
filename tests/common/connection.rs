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
            connection.clone().thaw(STALE);
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

    fn thaw(self: Arc<Self>, after: Duration) {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            self.frozen.send_replace(None);
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
        let refusal = |code| Ok(refused(&Refusal(code, "Fault", "injected".into())));
        match fault {
            Fault::Crash | Fault::CrashStale | Fault::OtherVersion => {
                self.pass(request).await;
                self.kill();
                self.struck.send_replace(Some(fault));
                std::future::pending().await
            }
            Fault::LostAnswer(code) => {
                self.pass(request).await;
                refusal(code)
            }
            Fault::Broken => {
                self.pass(request).await;
                Err(Failed("connection reset by peer"))
            }
            Fault::Refused(code) => refusal(code),
            Fault::Stale => {
                self.frozen.send_replace(Some(Frozen { at: before, only: None }));
                self.clone().thaw(STALE);
                Ok(self.pass(request).await)
            }
            Fault::Behind(resource) => {
                self.frozen.send_replace(Some(Frozen { at: before, only: Some(resource) }));
                self.clone().thaw(BEHIND);
                Ok(self.pass(request).await)
            }
            Fault::Others(deed, after) => {
                let store = self.store.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(after)).await;
                    deed.carry_out(&store);
                });
                Ok(self.pass(request).await)
            }
            Fault::Missed => {
                self.frozen.send_replace(Some(Frozen { at: before, only: None }));
                let connection = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(STALE).await;
                    connection.store.compact();
                    connection.restarts.send_modify(|n| *n += 1);
                    connection.frozen.send_replace(None);
                });
                Ok(self.pass(request).await)
            }
            Fault::Away => {
                self.pass(request).await;
                self.away.store(true, Ordering::SeqCst);
                self.restarts.send_modify(|n| *n += 1);
                let connection = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(AWAY).await;
                    connection.away.store(false, Ordering::SeqCst);
                });
                Err(Failed("connection reset by peer"))
            }
            Fault::Hang => {
                *self.still.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::time::Instant::now() + HANG);
                let connection = self.clone();
                let late = tokio::spawn(async move {
                    connection.stand_still().await;
                    connection.pass(request).await
                });
                late.await.map_err(|_| Failed("connection reset by peer"))
            }
            Fault::Paused => {
                self.struck.send_replace(Some(fault));
                let connection = self.clone();
                // It is on its way even when nobody waits for the answer any more.
                let late = tokio::spawn(async move {
                    connection.wake.notified().await;
                    connection.pass(request).await
                });
                late.await.map_err(|_| Failed("connection reset by peer"))
            }
        }
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

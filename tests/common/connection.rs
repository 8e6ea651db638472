//! One operator process's way to the API server, and the fault that befalls it at a chosen write. No network.

use super::{
    api::{View, answer, is_write, refused},
    store::{Refusal, Store},
};
use axum::body::Body;
use http::{Request, Response};
use kube::Client;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// What goes wrong at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies when the write is stored and before the answer arrives.
    Crash,
    /// The same, and the next process at first sees the world as it was before the write.
    CrashStale,
    /// The write is stored, and the answer is this status code instead.
    LostAnswer(u16),
    /// The write is stored, and the connection breaks.
    Broken,
    /// The write is refused with this status code.
    Refused(u16),
    /// From the write on, lists and watches stand still for a while.
    Stale,
    /// From the write on, watches miss what happens, and then have to begin anew.
    Missed,
    /// The API server is away for two minutes from the write on.
    Away,
    /// The process stands still before the write, for longer than a Lease lasts, and then goes on.
    Hang,
    /// The write hangs; another process takes over and brings everything to its end, and only then is it stored. The
    /// first process works on all the while.
    Paused,
}

impl Fault {
    /// What can befall the leader of two.
    pub const OF_A_LEADER: [Self; 2] = [Self::Crash, Self::Hang];

    /// Every fault of a process that works alone, each tried at every write.
    pub const ALL: [Self; 14] = [
        Self::Crash,
        Self::CrashStale,
        Self::LostAnswer(500),
        Self::LostAnswer(504),
        Self::LostAnswer(429),
        Self::LostAnswer(409),
        Self::Broken,
        Self::Refused(500),
        Self::Refused(429),
        Self::Refused(409),
        Self::Stale,
        Self::Missed,
        Self::Away,
        Self::Paused,
    ];
}

const STALE: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_secs(120);
const HANG: Duration = Duration::from_secs(40);

/// The way of one process.
pub struct Connection {
    store: Arc<Store>,
    /// At which write what happens; the first is 1.
    plan: Option<(usize, Fault)>,
    writes: AtomicUsize,
    dead: AtomicBool,
    away: AtomicBool,
    frozen: watch::Sender<Option<u64>>,
    restarts: watch::Sender<u64>,
    /// Told when the process has died or stands still.
    pub struck: Notify,
    /// Told when it may go on.
    pub wake: Notify,
    before: Mutex<u64>,
    /// Until when the process stands still.
    still: Mutex<Option<tokio::time::Instant>>,
}

impl Connection {
    /// A way without a fault, or with one; `frozen` at first shows the past.
    pub fn new(store: Arc<Store>, plan: Option<(usize, Fault)>, frozen: Option<u64>) -> Arc<Self> {
        let connection = Arc::new(Self {
            store,
            plan,
            writes: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            away: AtomicBool::new(false),
            frozen: watch::Sender::new(frozen),
            restarts: watch::Sender::new(0),
            struck: Notify::new(),
            wake: Notify::new(),
            before: Mutex::default(),
            still: Mutex::default(),
        });
        if frozen.is_some() {
            connection.clone().thaw(STALE);
        }
        connection
    }

    /// How many writes went through it.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
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
        self.frozen.send_replace(still.then(|| self.store.revision()));
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
        if !is_write(request.method()) || request.uri().path().contains("/leases") {
            let answer = self.pass(request).await;
            self.alive().await;
            return Ok(answer);
        }
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        match self.plan.filter(|(at, _)| *at == number) {
            Some((_, fault)) => self.fail(fault, request).await,
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
            Fault::Crash | Fault::CrashStale => {
                self.pass(request).await;
                self.kill();
                self.struck.notify_one();
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
                self.frozen.send_replace(Some(before));
                self.clone().thaw(STALE);
                Ok(self.pass(request).await)
            }
            Fault::Missed => {
                self.frozen.send_replace(Some(before));
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
                self.struck.notify_one();
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

/// A connection that broke.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(&'static str);

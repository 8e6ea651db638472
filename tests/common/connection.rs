//! One operator process's way to the API server, and the faults that befall it at chosen requests. No network.

use super::{
    api::{Frozen, View, answer, is_write, refused},
    others::Deed,
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

/// What goes wrong at a request.
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
    /// From the write on, the watch of one resource stands still for a while, as one that is behind the others.
    Behind(&'static str),
    /// From the write on, watches miss what happens, and then have to begin anew.
    Missed,
    /// The API server is away for two minutes from the write on.
    Away,
    /// The process stands still before the write, for longer than a Lease lasts, and then goes on.
    Hang,
    /// The write hangs; another process takes over and brings everything to its end, and only then is it stored. The
    /// first process works on all the while.
    Paused,
    /// The process dies when the write is stored, and one of another version wrote into the status before the next begins.
    OtherVersion,
    /// Somebody else does something, so many seconds after the write.
    Others(Deed, u64),
}

impl Fault {
    /// What can befall the leader of two.
    pub const OF_A_LEADER: [Self; 2] = [Self::Crash, Self::Hang];

    /// What can befall a request about the Lease.
    pub const OF_A_LEASE: [Self; 9] = [
        Self::Crash,
        Self::LostAnswer(500),
        Self::LostAnswer(409),
        Self::Broken,
        Self::Refused(500),
        Self::Refused(409),
        Self::Refused(404),
        Self::Hang,
        Self::Others(Deed::DeleteLease, 0),
    ];

    /// Resources that are watched, each by a stream of its own.
    pub const WATCHED: [Self; 4] = [
        Self::Behind("databasemigrations.alembic-operator.dev"),
        Self::Behind("jobs.batch"),
        Self::Behind("pods"),
        Self::Behind("configmaps"),
    ];

    /// What befalls a process that works alone, each tried at every write.
    pub const ALONE: [Self; 12] = [
        Self::Crash,
        Self::CrashStale,
        Self::LostAnswer(500),
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

    /// Whether another process takes the place of the one that it befalls.
    pub fn ends_the_process(self) -> bool {
        matches!(self, Self::Crash | Self::CrashStale | Self::Paused | Self::OtherVersion)
    }
}

/// What befalls a process, and at which of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// Counts the writes from 1; with `lease`, the requests about the Lease.
    pub at: usize,
    pub fault: Fault,
    pub lease: bool,
}

/// What befalls the first operator, and those that come after it.
#[derive(Default)]
pub struct Plan {
    strikes: Vec<Strike>,
    writes: AtomicUsize,
    leases: AtomicUsize,
}

impl Plan {
    pub fn new(strikes: &[Strike]) -> Arc<Self> {
        Arc::new(Self { strikes: strikes.to_vec(), ..Self::default() })
    }

    /// Counts a request; what befalls it.
    fn next(&self, lease: bool) -> Option<Fault> {
        let count = if lease { &self.leases } else { &self.writes };
        let at = count.fetch_add(1, Ordering::SeqCst) + 1;
        self.strikes.iter().find(|strike| strike.lease == lease && strike.at == at).map(|strike| strike.fault)
    }
}

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

    /// How many writes went through it.
    pub fn writes(&self) -> usize {
        self.plan.writes.load(Ordering::SeqCst)
    }

    /// How many requests about the Lease did.
    pub fn lease_requests(&self) -> usize {
        self.plan.leases.load(Ordering::SeqCst)
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
        let lease = request.uri().path().contains("/leases");
        let counts = lease || is_write(request.method());
        match counts.then(|| self.plan.next(lease)).flatten() {
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

/// A connection that broke.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(&'static str);

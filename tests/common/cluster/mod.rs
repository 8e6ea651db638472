//! The kubelet, the images and the databases: runs the Jobs that the operator creates as the runner would, on simulated
//! databases, in virtual time; and starts, kills and restarts the operator itself. No network.

mod databases;
mod end;
mod kubelet;
mod reports;
mod words;

use self::{databases::Simulated, kubelet::Kubelet};
use super::{
    connection::{Connection, ELECTION},
    others,
    store::{Key, Store},
    strikes::{Counts, Fault, Plan, Strike},
};
use alembic_operator::{
    api::{Defaults, LABEL_LOCK},
    backoff::BackOff,
    controller,
    lease::{Candidate, Claim},
    notify::Notifier,
    reconcile::{DriftSchedule, InspectionCache, Limits, Line, Payloads, Process, Servers},
    shard::Shard,
};
use futures::future::BoxFuture;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::events::{Recorder, Reporter};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub const NAMESPACE: &str = "shop";
/// Where a pod keeps what it printed.
pub const LOG: &str = "log";
/// How long nothing may be written before the cluster counts as settled: longer than the longest pause of the operator.
const QUIET: Duration = Duration::from_secs(420);
/// How long a run works.
const RUN_TAKES: Duration = Duration::from_secs(20);
/// How long a backup or a verification does.
const STAGE_TAKES: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

thread_local! {
    static BEGUN: Instant = Instant::now();
}

/// Virtual time, as a clock on the wall shows it.
pub fn clock() -> Timestamp {
    let elapsed = BEGUN.with(|begun| Instant::now().duration_since(*begun));
    let start = Timestamp::from_second(1_800_000_000).unwrap_or_default();
    start + SignedDuration::try_from(elapsed).unwrap_or_default()
}

/// A database as the scenarios change it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database {
    /// `None` while there is no version table.
    pub rows: Option<BTreeSet<String>>,
    pub tables: Vec<String>,
    /// The server's own name for it.
    pub identity: Option<String>,
    pub password: String,
    pub down: bool,
    /// Each run that changed it: direction, rows before, rows after; and each `backup` and `verify` that ended well, with the
    /// rows that it saw.
    pub runs: Vec<(String, Vec<String>, Vec<String>)>,
    /// Actions around a run that fail: `backup`, `verify`.
    pub failing: BTreeSet<&'static str>,
    /// Runs at work now, and the most there ever were.
    pub working: usize,
    pub most_working: usize,
    /// Runs whose pod went away while they were at work.
    pub killed: usize,
}

/// What the image behind a reference holds.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Revision ids with their parents.
    pub revisions: Vec<(String, Vec<String>)>,
    /// Revisions whose step fails.
    pub broken: BTreeSet<String>,
    /// Its digest; another content under a tag has another one.
    pub digest: String,
    pub missing: bool,
}

#[derive(Default)]
struct World {
    databases: BTreeMap<String, Database>,
    images: BTreeMap<String, Image>,
    /// Jobs that were ever created, by action.
    jobs: BTreeMap<String, usize>,
    /// The settings that operators start with.
    defaults: Option<Defaults>,
    /// How many runs they let work at a time.
    limits: Limits,
}

/// Everything that one scenario works with.
pub struct Cluster {
    pub store: Arc<Store>,
    world: Arc<Mutex<World>>,
    operators: Mutex<Vec<(Arc<Connection>, JoinHandle<()>)>>,
    kubelet: JoinHandle<()>,
    replicas: usize,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kubelet.abort();
        for (_, operator) in self.operators().iter() {
            operator.abort();
        }
    }
}

impl Cluster {
    /// An empty cluster with some operators, of which the first meets faults.
    pub fn start(strikes: &[Strike], replicas: usize) -> Arc<Self> {
        let store = Store::new(clock);
        let world = Arc::new(Mutex::new(World::default()));
        let kubelet = tokio::spawn(Kubelet { store: store.clone(), world: world.clone() }.work());
        let cluster = Arc::new(Self { store, world, operators: Mutex::default(), kubelet, replicas });
        for number in 0..replicas {
            let plan = if number == 0 { Plan::new(strikes) } else { Arc::default() };
            let connection = cluster.operator(plan, None);
            if number == 0 {
                tokio::spawn(supervise(cluster.clone(), connection));
            }
        }
        cluster
    }

    fn operators(&self) -> MutexGuard<'_, Vec<(Arc<Connection>, JoinHandle<()>)>> {
        self.operators.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one more operator process.
    fn operator(&self, plan: Arc<Plan>, frozen: Option<u64>) -> Arc<Connection> {
        self.operator_of(Shard::default(), plan, frozen)
    }

    /// One that works on the objects of a shard, for as long as nobody takes it away.
    pub fn shard(&self, key: &str) -> Arc<Connection> {
        let shard = key.parse();
        assert!(shard.is_ok(), "{key}");
        self.operator_of(shard.unwrap_or_default(), Arc::default(), None)
    }

    fn operator_of(&self, shard: Shard, plan: Arc<Plan>, frozen: Option<u64>) -> Arc<Connection> {
        let connection = Connection::new(self.store.clone(), plan, frozen);
        let client = connection.client(NAMESPACE);
        let reporter = Reporter { controller: "alembic-operator".to_owned(), instance: None };
        let world = self.world.clone();
        let process = move |client: kube::Client, shard, claim| {
            let (limits, defaults) = {
                let world = world.lock().unwrap_or_else(PoisonError::into_inner);
                (world.limits, world.defaults.clone())
            };
            Arc::new(Process {
                inspections: InspectionCache::default(),
                servers: Servers::new(8),
                line: Line::new(limits, Arc::default()),
                recorder: Recorder::new(client, reporter.clone()),
                back_off: BackOff::seeded(7),
                checks: DriftSchedule::default(),
                payloads: Payloads::default(),
                metrics: Arc::default(),
                notifier: Notifier::default(),
                claim,
                prober: Box::new(Simulated(world.clone())),
                hosts: Arc::default(),
                defaults,
                restricted: false,
                shard,
                clock,
            })
        };
        let elects = self.replicas > 1;
        let identity = format!("operator-{}", self.operators().len());
        let task = tokio::spawn(async move {
            loop {
                let work = |claim| {
                    let synced = Arc::new(AtomicBool::new(false));
                    let process = process(client.clone(), shard.clone(), claim);
                    controller::run(client.clone(), &[], process, synced, 8, CancellationToken::new())
                };
                if !elects {
                    return work(Claim::default()).await;
                }
                // A leader that has lost ends, and the kubelet starts it again.
                let candidate = Candidate::new(client.clone(), &shard.named(ELECTION), &identity, clock);
                candidate.lead(CancellationToken::new(), work).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        self.operators().push((connection.clone(), task));
        connection
    }

    /// Lets the watches of all operators stand still, or go on.
    pub fn freeze(&self, still: bool) {
        for (connection, _) in self.operators().iter() {
            connection.freeze(still);
        }
    }

    /// A client of somebody else.
    pub fn client(&self) -> kube::Client {
        Connection::new(self.store.clone(), Arc::default(), None).client(NAMESPACE)
    }

    /// How many requests the first operator made.
    pub fn counts(&self) -> Counts {
        self.operators().first().map_or_else(Counts::default, |(connection, _)| connection.counts())
    }

    /// The Leases that stand for the lock of a database.
    pub fn locks(&self) -> Vec<String> {
        let leases = self.store.list("leases.coordination.k8s.io", None, u64::MAX);
        let locks = leases.iter().filter(|lease| lease["metadata"]["labels"].get(LABEL_LOCK).is_some());
        locks.filter_map(|lease| lease["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }
}

/// Restarts what died, and lets another one take over from what stands still. What comes after a process meets the rest of
/// the plan.
fn supervise(cluster: Arc<Cluster>, process: Arc<Connection>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Some(fault) = process.struck().await else { return };
        if fault == Fault::Paused {
            let second = cluster.operator(process.plan.clone(), None);
            cluster.settled().await;
            process.wake.notify_one();
            // The second one is told to go, as a leader that lost its lease.
            tokio::time::sleep(Duration::from_secs(60)).await;
            second.kill();
            return supervise(cluster, process).await;
        }
        if let Some((_, task)) = cluster.operators().iter().find(|(connection, _)| Arc::ptr_eq(connection, &process)) {
            task.abort();
        }
        if fault == Fault::OtherVersion {
            others::another_version(&cluster.store);
        }
        // The kubelet starts it again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let frozen = (fault == Fault::CrashStale).then(|| process.before());
        let next = cluster.operator(process.plan.clone(), frozen);
        supervise(cluster, next).await;
    })
}

fn key(resource: &'static str, name: &str) -> Key {
    Key { resource, namespace: NAMESPACE.to_owned(), name: name.to_owned() }
}

/// A table that every database has, and that a revision may drop.
const GOODS: &str = "public.goods";

/// CloudNativePG's backups.
const CNPG: &str = "backups.postgresql.cnpg.io";

fn object(name: &str) -> Key {
    key("databasemigrations.alembic-operator.dev", name)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The kubelet, the images and the databases: runs the Jobs that the operator creates as the runner would, on simulated
//! databases, in virtual time; and starts, kills and restarts the operator itself. No network.

use super::{
    connection::{Connection, Fault, Plan, Strike},
    others,
    store::{Key, Store, seconds},
};
use alembic_operator::{
    api::{DatabaseMigration, Defaults, Enforce},
    backoff::BackOff,
    controller,
    db::{
        Catalog, Endpoint, NoAnswer, ProbeError, Prober, Schema, Sizes, Snapshot, TableSize, VersionRows, VersionTable,
    },
    lease::{Candidate, Claim},
    notify::Notifier,
    reconcile::{DriftSchedule, InspectionCache, Payloads, Process, Servers},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use futures::future::BoxFuture;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::events::{Recorder, Reporter};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
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
        let connection = Connection::new(self.store.clone(), plan, frozen);
        let client = connection.client(NAMESPACE);
        let reporter = Reporter { controller: "alembic-operator".to_owned(), instance: None };
        let world = self.world.clone();
        let process = move |client: kube::Client, claim| {
            Arc::new(Process {
                inspections: InspectionCache::default(),
                servers: Servers::new(8),
                recorder: Recorder::new(client, reporter.clone()),
                back_off: BackOff::seeded(7),
                checks: DriftSchedule::default(),
                payloads: Payloads::default(),
                metrics: Arc::default(),
                notifier: Notifier::default(),
                claim,
                prober: Box::new(Simulated(world.clone())),
                hosts: Arc::default(),
                defaults: world.lock().unwrap_or_else(PoisonError::into_inner).defaults.clone(),
                restricted: false,
                clock,
            })
        };
        let elects = self.replicas > 1;
        let identity = format!("operator-{}", self.operators().len());
        let task = tokio::spawn(async move {
            loop {
                let work = |claim| {
                    let synced = Arc::new(AtomicBool::new(false));
                    let process = process(client.clone(), claim);
                    controller::run(client.clone(), &[], process, synced, 8, CancellationToken::new())
                };
                if !elects {
                    return work(Claim::default()).await;
                }
                // A leader that has lost ends, and the kubelet starts it again.
                let candidate = Candidate::new(client.clone(), "alembic-operator", &identity, clock);
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

    /// How many writes the first operator made.
    pub fn writes(&self) -> usize {
        self.operators().first().map_or(0, |(connection, _)| connection.writes())
    }

    /// How many requests about the Lease it made.
    pub fn lease_requests(&self) -> usize {
        self.operators().first().map_or(0, |(connection, _)| connection.lease_requests())
    }

    // ---- what a scenario says

    /// An image with these revisions: "a b<a c<a" (without a parent named: the one before).
    pub fn image(&self, reference: &str, revisions: &str, broken: &str) {
        let mut before: Option<String> = None;
        let mut list = Vec::new();
        for word in revisions.split_whitespace() {
            let (id, parents) = match word.split_once('<') {
                Some((id, parents)) => (id.to_owned(), parents.split('+').map(str::to_owned).collect()),
                None => (word.to_owned(), before.clone().into_iter().collect()),
            };
            before = Some(id.clone());
            list.push((id, parents));
        }
        let digest = format!("sha256:{}", hex(format!("{reference} {revisions} {broken}").as_bytes()));
        let broken = broken.split_whitespace().map(str::to_owned).collect();
        self.world().images.insert(reference.to_owned(), Image { revisions: list, broken, digest, missing: false });
    }

    /// What a platform team says for every object; before the first wait, since operators start with it.
    pub fn defaults(&self, spec: &Value, enforce: &[Enforce]) {
        let spec = spec.as_object().cloned().unwrap_or_default();
        self.world().defaults = Some(Defaults { hash: "0123456789abcdef".to_owned(), spec, enforce: enforce.to_vec() });
    }

    /// Changes a database, which is there from the first word about it.
    pub fn database(&self, name: &str, change: impl FnOnce(&mut Database)) {
        let mut world = self.world();
        let database = world
            .databases
            .entry(name.to_owned())
            .or_insert_with(|| Database { password: "secret".to_owned(), ..Database::default() });
        change(database);
    }

    /// What a database is like now.
    pub fn seen(&self, name: &str) -> Database {
        self.world().databases.get(name).cloned().unwrap_or_default()
    }

    /// The Secret with the URL of a database.
    pub fn secret(&self, name: &str, database: &str, password: &str) {
        let url = format!("postgresql://app:{password}@db:5432/{database}");
        let data = json!({ "data": { "url": STANDARD.encode(url) } });
        let key = key("secrets", name);
        if self.store.get(&key).is_some() {
            let _ = self.store.delete(&key, &Value::Null);
        }
        let _ = self.store.create(&key, data);
    }

    /// Creates or changes an object as `kubectl apply` does.
    pub fn apply(&self, name: &str, spec: &Value) {
        let mut whole = json!({ "image": "shop:1", "targetRevision": "head",
            "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } });
        super::patch::merge(&mut whole, spec);
        let config =
            json!({ "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "spec": whole });
        let applied = self.store.apply(&object(name), "kubectl", false, &config);
        assert!(applied.is_ok(), "{applied:?}");
    }

    /// A Job of somebody else.
    pub fn job(&self, name: &str) {
        let made = self.store.create(&key("jobs.batch", name), json!({ "spec": { "template": {} } }));
        assert!(made.is_ok(), "{made:?}");
    }

    pub fn delete_job(&self, name: &str) {
        let deleted = self.store.delete(&key("jobs.batch", name), &Value::Null);
        assert!(deleted.is_ok(), "{deleted:?}");
    }

    /// Merges into an object's spec.
    pub fn patch(&self, name: &str, spec: &Value) {
        let patch = json!({ "spec": spec });
        let patched = self.store.update(&object(name), false, |object| {
            super::patch::merge(object, &patch);
            Ok(())
        });
        assert!(patched.is_ok(), "{patched:?}");
    }

    /// Sets the annotation that asks for another look.
    pub fn request(&self, name: &str, value: &str) {
        self.annotate(name, "requestedAt", value);
    }

    /// As a person approves the plan that the status shows.
    pub fn approve(&self, name: &str) {
        let plan = self.object(name).and_then(|object| object.status?.plan);
        self.annotate(name, "approve", &plan.map(|plan| plan.hash).unwrap_or_default());
    }

    fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { format!("alembic-operator.dev/{key}"): value } } });
        let patched = self.store.update(&object(name), false, |object| {
            super::patch::merge(object, &patch);
            Ok(())
        });
        assert!(patched.is_ok(), "{patched:?}");
    }

    pub fn delete(&self, name: &str) {
        let deleted = self.store.delete(&object(name), &Value::Null);
        assert!(deleted.is_ok(), "{deleted:?}");
    }

    /// As a person who can't wait does.
    pub fn take_finalizers(&self, name: &str) {
        let taken = self.store.update(&object(name), false, |object| {
            object["metadata"]["finalizers"] = json!([]);
            Ok(())
        });
        assert!(taken.is_ok(), "{taken:?}");
    }

    /// As `kubectl delete --cascade=foreground` and Argo CD do.
    pub fn delete_in_foreground(&self, name: &str) {
        let deleted = self.store.delete_in_foreground(&object(name));
        assert!(deleted.is_ok(), "{deleted:?}");
    }

    /// Deletes what somebody finds by its beginning, such as the Job of a run.
    pub fn delete_by_prefix(&self, resource: &'static str, prefix: &str) -> usize {
        let found =
            self.store.all().into_iter().filter(|(key, _)| key.resource == resource && key.name.starts_with(prefix));
        found.filter(|(key, _)| self.store.delete(key, &Value::Null).is_ok()).count()
    }

    /// An object as it is now.
    pub fn object(&self, name: &str) -> Option<DatabaseMigration> {
        let value = self.store.get(&object(name))?;
        serde_json::from_value((*value).clone()).ok()
    }

    /// Reason of the Ready condition of an object that need not be readable.
    pub fn raw_reason(&self, name: &str) -> String {
        let object = self.store.get(&object(name));
        let conditions = object.and_then(|o| o["status"]["conditions"].as_array().cloned()).unwrap_or_default();
        let ready =
            conditions.iter().find(|c| c["type"] == "Ready").and_then(|c| c["reason"].as_str().map(str::to_owned));
        ready.unwrap_or_default()
    }

    /// Reason of the Ready condition.
    pub fn reason(&self, name: &str) -> String {
        let object = self.object(name);
        let status = object.and_then(|o| o.status);
        let ready = status.and_then(|s| s.conditions.into_iter().find(|c| c.type_ == "Ready"));
        ready.map(|c| c.reason).unwrap_or_default()
    }

    /// Waits until an object's Ready condition has a reason.
    pub async fn until(&self, name: &str, reason: &str) {
        self.wait(&format!("{name} is {reason}"), || self.reason(name) == reason).await;
    }

    /// Waits until something is so.
    pub async fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.dump());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until nobody has written anything for a long while.
    pub async fn settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut news = self.store.work();
        while tokio::time::timeout(QUIET, news.changed()).await.is_ok() {
            assert!(Instant::now() < deadline, "it never comes to rest\n{}", self.dump());
        }
    }

    fn dump(&self) -> String {
        self.end().into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    /// Everything that must be the same whatever happened on the way: objects without what only names a moment, Jobs
    /// that were ever made, and the databases.
    pub fn end(&self) -> BTreeMap<String, Value> {
        let mut end = BTreeMap::new();
        for (key, object) in self.store.all() {
            if key.resource.starts_with("events") || key.resource.starts_with("leases") {
                continue;
            }
            let mut object = (*object).clone();
            timeless(&mut object);
            // A gate outlives its object, and says what was so at some moment towards the end.
            let of = key.name.strip_suffix("-gate").filter(|_| key.resource == "configmaps");
            if of.is_some_and(|of| self.object(of).is_none()) {
                object["data"] = Value::Null;
                object["metadata"]["annotations"] = Value::Null;
            }
            end.insert(format!("{} {}", key.resource, key.name), object);
        }
        let world = self.world();
        end.insert("Jobs ever created".to_owned(), json!(world.jobs));
        for (name, database) in &world.databases {
            end.insert(format!("database {name}"), json!(format!("{database:?}")));
        }
        end
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

/// Removes what tells when something was, and what follows from it.
fn timeless(value: &mut Value) {
    const MOMENTS: [&str; 11] = [
        "since",
        "completedAt",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "lastTransitionTime",
        "startedAt",
        "finishedAt",
        "startTime",
        "completionTime",
        "takenAt",
    ];
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !MOMENTS.contains(&key.as_str()));
            map.values_mut().for_each(timeless);
        }
        Value::Array(list) => list.iter_mut().for_each(timeless),
        _ => {}
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the simulated databases as the operator reads real ones.
struct Simulated(Arc<Mutex<World>>);

/// Where an endpoint leads, and the name of the database there.
fn named(endpoint: &Endpoint) -> (String, String) {
    let place = endpoint.place();
    let name = place.rsplit('/').next().unwrap_or_default().to_owned();
    (place, name)
}

impl Prober for Simulated {
    fn probe<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _table: &'a VersionTable,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Snapshot, ProbeError>> {
        let (place, name) = named(endpoint);
        let passwords: Vec<String> =
            endpoint.secret_texts().iter().map(|s| secrecy::ExposeSecret::expose_secret(s).to_owned()).collect();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match world.databases.get(&name) {
                Some(database) if database.down => Err(ProbeError::Unreachable { place, why: NoAnswer::Refused }),
                None => Err(ProbeError::NoSuchDatabase { place }),
                Some(database) if !passwords.contains(&database.password) => Err(ProbeError::AuthFailed { place }),
                Some(database) => Ok(Snapshot {
                    dialect: "postgresql".to_owned(),
                    server_version: "15.1".to_owned(),
                    rows: database.rows.clone().map_or(VersionRows::NoTable, VersionRows::Rows),
                    tables: database.tables.clone(),
                    column: None,
                    identity: database.identity.clone(),
                    read_only: false,
                }),
            }
        })
    }

    fn schema<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _table: &'a VersionTable,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Schema, ProbeError>> {
        let (place, name) = named(endpoint);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match world.databases.get(&name) {
                Some(database) if !database.down => Ok(Self::schema_of(database)),
                _ => Err(ProbeError::Unreachable { place, why: NoAnswer::Refused }),
            }
        })
    }

    fn sizes<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _table: &'a VersionTable,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Sizes, ProbeError>> {
        let (place, name) = named(endpoint);
        Box::pin(async move {
            let world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match world.databases.get(&name) {
                Some(database) if !database.down => {
                    let one = || TableSize { rows: 1, ..TableSize::default() };
                    let there = std::iter::once(GOODS.to_owned()).chain(database.tables.iter().cloned());
                    Ok(there.map(|table| (table, one())).collect())
                }
                _ => Err(ProbeError::Unreachable { place, why: NoAnswer::Refused }),
            }
        })
    }
}

impl Simulated {
    /// As many objects as it takes to tell two schemas apart.
    fn schema_of(database: &Database) -> Schema {
        let rows = database.rows.clone().unwrap_or_default();
        let of_revisions = rows.iter().map(|row| format!("of_{row}"));
        // What a revision may drop is there.
        let names = of_revisions.chain(database.tables.iter().cloned()).chain(std::iter::once(GOODS.to_owned()));
        let objects = names.map(|name| ("table".to_owned(), name, String::new()));
        Schema { catalog: Catalog::new("postgresql 15".to_owned(), objects), rows, migrating: database.working > 0 }
    }
}

/// The Job controller, the scheduler, the kubelet and the runner in one.
#[derive(Clone)]
struct Kubelet {
    store: Arc<Store>,
    world: Arc<Mutex<World>>,
}

/// What the runner left behind.
struct Left {
    message: Value,
    log: String,
    code: i32,
}

impl Kubelet {
    async fn work(self) {
        let mut seen = 0;
        let mut news = self.store.news();
        loop {
            let now = self.store.revision();
            for (key, made, new) in self.store.made(seen, now) {
                if self.is_orphan(&made) {
                    let _ = self.store.delete(&key, &Value::Null);
                } else if !new {
                    continue;
                } else if key.resource == "jobs.batch" {
                    tokio::spawn(self.clone().job(key, made));
                } else if key.resource == CNPG {
                    tokio::spawn(self.clone().cnpg(key));
                }
            }
            seen = now;
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the garbage collector takes away: owned by nobody who is there.
    fn is_orphan(&self, object: &Value) -> bool {
        let owners = object["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        !owners.is_empty() && !owners.iter().any(|owner| self.store.has_uid(&owner["uid"]))
    }

    fn is_there(&self, key: &Key, uid: &Value) -> bool {
        self.store.get(key).is_some_and(|object| object["metadata"]["uid"] == *uid)
    }

    fn is_suspended(&self, job: &Key) -> bool {
        self.store.get(job).is_some_and(|job| job["spec"]["suspend"] == true)
    }

    /// CloudNativePG, which backs up the one database that there is.
    async fn cnpg(self, backup: Key) {
        *self.world().jobs.entry("cnpg".to_owned()).or_default() += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.tell(&backup, json!({ "phase": "running" }), None);
        let left = self.around("app", "backup", &backup).await;
        let status = match left.code {
            0 => json!({ "phase": "completed" }),
            _ => json!({ "phase": "failed", "error": left.message }),
        };
        self.tell(&backup, status, None);
    }

    async fn job(self, job_key: Key, job: Arc<Value>) {
        let action = job["metadata"]["labels"]["alembic-operator.dev/action"].as_str().unwrap_or_default().to_owned();
        *self.world().jobs.entry(action).or_default() += 1;
        let uid = job["metadata"]["uid"].clone();
        let mut news = self.store.news();
        while self.is_there(&job_key, &uid) && self.is_suspended(&job_key) {
            if news.changed().await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        if !self.is_there(&job_key, &uid) {
            return;
        }
        let mut pod = job["spec"]["template"].clone();
        let pod_key = Key { resource: "pods", name: format!("{}-pod", job_key.name), ..job_key.clone() };
        pod["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": job_key.name, "uid": uid, "controller": true }]);
        pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = json!(job_key.name);
        pod["status"] = json!({ "phase": "Pending" });
        if self.store.create(&pod_key, pod.clone()).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(900)).await;
        self.mounted(&pod_key, &pod).await;
        if self.store.get(&pod_key).is_none() {
            return self.failed(&job_key).await;
        }
        let container = &pod["spec"]["containers"][0];
        let name = container["name"].clone();
        let reference = container["image"].as_str().unwrap_or_default().to_owned();
        let Some(image) = self.found(&reference) else {
            let waiting = json!({ "reason": "ImagePullBackOff", "message": "no such image" });
            return self.tell(
                &pod_key,
                json!({ "phase": "Pending", "containerStatuses": [{ "name": name, "image": reference,
                "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": waiting } }] }),
                None,
            );
        };
        let image_id = format!("{}@{}", reference.split(['@', ':']).next().unwrap_or_default(), image.digest);
        let status = |phase: &str, state: Value| {
            json!({ "phase": phase, "containerStatuses": [{ "name": name, "image": reference, "imageID": image_id,
                "ready": false, "restartCount": 0, "state": state }] })
        };
        self.tell(&pod_key, status("Running", json!({ "running": { "startedAt": seconds(clock()) } })), None);
        let left = self.run(container, &image, &pod_key).await;
        let ended = json!({ "terminated": { "exitCode": left.code, "reason": if left.code == 0 { "Completed" } else { "Error" },
            "message": left.message.to_string(), "finishedAt": seconds(clock()) } });
        // A pod that somebody deletes has failed, whatever it did.
        if self.store.get(&pod_key).is_none() {
            return self.failed(&job_key).await;
        }
        let phase = if left.code == 0 { "Succeeded" } else { "Failed" };
        self.tell(&pod_key, status(phase, ended), Some(left.log));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let kind = if left.code == 0 { "Complete" } else { "Failed" };
        self.tell(&job_key, json!({ "conditions": [{ "type": kind, "status": "True" }] }), None);
    }

    /// A pod starts once every ConfigMap that it mounts is there.
    async fn mounted(&self, pod_key: &Key, pod: &Value) {
        let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
        let maps: Vec<Key> = volumes
            .iter()
            .filter_map(|v| v["configMap"]["name"].as_str())
            .map(|name| key("configmaps", name))
            .collect();
        let mut news = self.store.news();
        while self.store.get(pod_key).is_some() && maps.iter().any(|map| self.store.get(map).is_none()) {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// What the Job's controller says when a pod has failed; it makes no other one.
    async fn failed(&self, job: &Key) {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        self.tell(job, json!({ "conditions": [{ "type": "Failed", "status": "True" }] }), None);
    }

    /// An image by tag or by digest.
    fn found(&self, reference: &str) -> Option<Image> {
        let world = self.world();
        let by_digest =
            || world.images.values().find(|i| reference.split_once('@').is_some_and(|(_, d)| d == i.digest));
        world.images.get(reference).or_else(by_digest).filter(|image| !image.missing).cloned()
    }

    fn tell(&self, key: &Key, status: Value, log: Option<String>) {
        let told = |object: &mut Value| {
            object["status"] = status;
            Ok(())
        };
        let _ = self.store.update(key, true, told);
        if let Some(log) = log {
            let _ = self.store.update(key, false, |object| {
                object["metadata"]["annotations"][LOG] = json!(log);
                Ok(())
            });
        }
    }

    async fn run(&self, container: &Value, image: &Image, pod: &Key) -> Left {
        let env = |name: &str| container["env"].as_array().into_iter().flatten().find(|e| e["name"] == name).cloned();
        let task = env("ALEMBIC_OPERATOR_TASK").unwrap_or_default();
        let task: Value = serde_json::from_str(task["value"].as_str().unwrap_or_default()).unwrap_or_default();
        let database =
            env("DATABASE_URL").and_then(|e| self.named(&e["valueFrom"]["secretKeyRef"])).unwrap_or_default();
        let stage = self
            .store
            .get(pod)
            .and_then(|pod| pod["metadata"]["labels"]["alembic-operator.dev/action"].as_str().map(str::to_owned));
        match task["action"].as_str().or(stage.as_deref()) {
            Some(stage @ ("backup" | "verify")) => self.around(&database, stage, pod).await,
            Some("inspect") => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                inspected(image)
            }
            Some("probe") => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let world = self.world();
                let rows = world.databases.get(&database).and_then(|d| d.rows.clone());
                let look = json!({ "dialect": "postgresql", "version": "15.1", "table": rows.is_some(),
                    "rows": rows.unwrap_or_default(), "tables": [] });
                let schema = world.databases.get(&database).map(Simulated::schema_of).unwrap_or_default();
                reported(&schema, json!({ "look": look }))
            }
            Some("replay") => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                let end = task["end"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
                let scratch = Database { rows: Some(end.collect()), ..Database::default() };
                reported(&Simulated::schema_of(&scratch), json!({}))
            }
            Some("rehearse") => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                // It does not know the live database.
                if self.world().databases.values().any(|d| d.failing.contains("rehearse")) {
                    let error = json!({ "class": "RehearsalFailed", "message": "downgrade: there is no index" });
                    let found = rehearsal(&task["steps"], Some("downgrade"));
                    return Left { code: 1, ..framed(&found, json!({ "state": "failed", "error": error })) };
                }
                framed(&rehearsal(&task["steps"], None), json!({}))
            }
            Some("run") => self.migrate(&task, image, &database, pod).await,
            _ => Left { message: json!({ "state": "failed" }), log: String::new(), code: 1 },
        }
    }

    /// The database that a pod's URL names, as the Secret has it when the pod starts.
    fn named(&self, reference: &Value) -> Option<String> {
        let secret = self.store.get(&key("secrets", reference["name"].as_str()?))?;
        let url = STANDARD.decode(secret["data"][reference["key"].as_str()?].as_str()?).ok()?;
        String::from_utf8(url).ok()?.rsplit('/').next().map(str::to_owned)
    }

    /// What comes before and after a run: it looks at a database and leaves it as it is.
    async fn around(&self, database: &str, stage: &str, by: &Key) -> Left {
        tokio::time::sleep(STAGE_TAKES).await;
        let alive = self.store.get(by).is_some();
        let mut world = self.world();
        let Some(database) = world.databases.get_mut(database).filter(|_| alive) else {
            return Left { message: json!("killed"), log: String::new(), code: 137 };
        };
        if database.failing.contains(stage) {
            return Left { message: json!("it does not work"), log: String::new(), code: 1 };
        }
        assert_eq!(database.working, 0, "a {stage} while a run is at work");
        let rows: Vec<String> = database.rows.clone().unwrap_or_default().into_iter().collect();
        database.runs.push((stage.to_owned(), rows.clone(), rows));
        done(json!("done"))
    }

    async fn migrate(&self, task: &Value, image: &Image, database: &str, pod: &Key) -> Left {
        let list = |name: &str| -> BTreeSet<String> {
            task[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (from, end) = (list("from"), list("end"));
        let refused = |class: &str, message: &str| Left {
            message: json!({ "state": "refused", "error": { "class": class, "message": message } }),
            log: String::new(),
            code: 3,
        };
        let gives_up = Instant::now() + Duration::from_secs(task["lock_wait_seconds"].as_u64().unwrap_or_default());
        // An engine without a lock lets everybody in.
        let locked = || self.world().databases.get(database).is_some_and(|database| database.working > 0);
        while task["lock"].is_null() && locked() {
            if Instant::now() >= gives_up {
                return refused("LockTimeout", "another migration holds the lock");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        {
            let mut world = self.world();
            let Some(database) = world.databases.get_mut(database) else {
                return refused("ConnectFailed", "there is no such database");
            };
            if database.rows.clone().unwrap_or_default() != from {
                return refused("RowsChanged", "the rows are not those of the plan");
            }
            database.working += 1;
            database.most_working = database.most_working.max(database.working);
        }
        tokio::time::sleep(RUN_TAKES).await;
        let alive = self.store.get(pod).is_some();
        let mut world = self.world();
        let Some(database) = world.databases.get_mut(database) else { return refused("ConnectFailed", "gone") };
        database.working -= 1;
        if !alive {
            database.killed += 1;
            return refused("MigrationFailed", "killed");
        }
        let changed: Vec<&String> = end.symmetric_difference(&from).collect();
        if let Some(broken) = changed.into_iter().find(|id| image.broken.contains(*id)) {
            return Left {
                message: json!({ "state": "failed", "started": true, "running": broken,
                    "error": { "class": "MigrationFailed", "message": "column exists", "revision": broken } }),
                log: String::new(),
                code: 1,
            };
        }
        let ids = |rows: &BTreeSet<String>| rows.iter().cloned().collect::<Vec<_>>();
        database.runs.push((task["direction"].as_str().unwrap_or_default().to_owned(), ids(&from), ids(&end)));
        database.rows = Some(end);
        done(json!({ "state": "done", "started": true, "steps_done": task["steps"] }))
    }
}

fn done(message: Value) -> Left {
    Left { message, log: String::new(), code: 0 }
}

/// The runner's report on an image, with its payload in the log.
fn inspected(image: &Image) -> Left {
    let script = |sql: &str| json!({ "text": sql, "sha256": hex(sql.as_bytes()), "opaque": [] });
    let revision = |(id, down): &(String, Vec<String>)| {
        // Such a one is dangerous.
        let upgrade = if id.starts_with("drop") { "DROP TABLE goods;" } else { "" };
        json!({ "id": id, "down": down, "file": format!("{id}.py"), "sha256": hex(id.as_bytes()), "upgrade": "present", "downgrade": "present",
        "sql": { "upgrade": script(upgrade), "downgrade": script("") } })
    };
    let payload = json!({ "alembic": "1.20.1", "dialect": "postgresql", "version_table": "alembic_version", "version_table_schema": null,
        "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
        "revisions": image.revisions.iter().map(revision).collect::<Vec<_>>() })
    .to_string();
    framed(&payload, json!({}))
}

/// A schema as the runner reports it.
fn reported(schema: &Schema, fields: Value) -> Left {
    let objects = schema.catalog.objects.keys().map(|object| {
        let (kind, name) = object.split_once(' ').unwrap_or_default();
        [kind, name, ""]
    });
    let payload =
        json!({ "engine": schema.catalog.engine, "rows": schema.rows, "objects": objects.collect::<Vec<_>>() });
    framed(&payload.to_string(), fields)
}

/// What a rehearsal found.
fn rehearsal(steps: &Value, failed: Option<&str>) -> String {
    let step = json!({ "revision": format!("all {steps}"), "seconds": 0.012, "rewritten": [], "sampled": false,
        "locks": [{ "table": "public.goods", "mode": "AccessExclusiveLock", "ms": 11 }] });
    let phase = json!({ "name": "upgrade", "seconds": 0.1, "omitted": 0, "differences": null, "leaves": null, "steps": [step] });
    json!({ "source": "dump", "reversible": true, "irreversible": [], "locks_unknown": null, "rows": null, "phases": [phase],
        "failed": failed.map(|phase| json!({ "phase": phase, "revision": null })) })
    .to_string()
}

/// A report with its payload in the log.
fn framed(payload: &str, fields: Value) -> Left {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let _ = packed.write_all(payload.as_bytes());
    let text = STANDARD.encode(packed.finish().unwrap_or_default());
    let mut message = json!({ "state": "done", "nonce": "ab12", "frames": 1, "bytes": payload.len(), "sha256": hex(payload.as_bytes()) });
    super::patch::merge(&mut message, &fields);
    Left { message, log: format!("\n@alembic-operator ab12 0 {text}\n"), code: 0 }
}

//! Counters and gauges of the operator's own work, and the state of each object and set; no I/O.

mod objects;
mod samples;
mod sets;

use self::{objects::Objects, sets::Sets};
use crate::{
    api::{DatabaseMigrationSet, RunStatus, Watched},
    error::Class,
};
use k8s_openapi::jiff::Timestamp;
use kube::{core::DeserializeGuard, runtime::reflector::Store};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The operator's metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    passes: Counter,
    failures: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Histogram,
    runs: Family<[(&'static str, String); 2], Counter>,
    run_seconds: Histogram,
    notifications: Family<[(&'static str, &'static str); 1], Counter>,
    at_work: Gauge,
    waiting: Gauge,
    objects: Arc<Objects>,
    sets: Arc<Sets>,
}

/// From a look that finds everything in place to one that waits for a slow database.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// From a table that is added to a migration that takes hours.
const RUN_BUCKETS: [f64; 8] = [1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0];

/// So many objects have metrics of their own, unless the command line says another number.
pub const OBJECTS: usize = 2000;

impl Default for Metrics {
    fn default() -> Self {
        Self::new(OBJECTS, Timestamp::now)
    }
}

impl Metrics {
    /// At most `limit` objects, and as many sets, have metrics of their own; with 0 none has.
    pub fn new(limit: usize, clock: fn() -> Timestamp) -> Self {
        let mut registry = Registry::with_prefix("alembic_operator");
        let passes = Counter::default();
        let failures = Family::default();
        let seconds = Histogram::new(BUCKETS);
        registry.register("reconcile", "Passes over an object that came to a decision", passes.clone());
        registry.register("reconcile_errors", "Passes that failed, by what follows", failures.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a pass, the look at the database included",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register("build", "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let runs = Family::default();
        let run_seconds = Histogram::new(RUN_BUCKETS);
        registry.register("runs", "Runs that have ended, by direction and result", runs.clone());
        registry.register_with_unit(
            "run_duration",
            "Time of a run, from its Job to its pod's end",
            Unit::Seconds,
            run_seconds.clone(),
        );
        let notifications = Family::default();
        let help = "Notifications for the webhook, by what became of them";
        registry.register("notifications", help, notifications.clone());
        let (at_work, waiting) = (Gauge::default(), Gauge::default());
        registry.register("runs_at_work", "Runs whose pods have not ended", at_work.clone());
        registry.register("runs_waiting", "Objects that wait for a place to run", waiting.clone());
        let objects = Arc::new(Objects::new(limit, clock));
        registry.register_collector(Box::new(objects.clone()));
        let sets = Arc::new(Sets::new(limit, clock));
        registry.register_collector(Box::new(sets.clone()));
        let registry = Mutex::new(registry);
        Self { registry, passes, failures, seconds, runs, run_seconds, notifications, at_work, waiting, objects, sets }
    }

    /// Tells of the objects of one more watch.
    pub fn watch(&self, store: Store<Watched>) {
        self.objects.watch(store);
    }

    /// Tells of the sets of one more watch.
    pub fn watch_sets(&self, store: Store<DeserializeGuard<DatabaseMigrationSet>>) {
        self.sets.watch(store);
    }

    /// Counts a run that has ended.
    pub fn ran(&self, run: &RunStatus) {
        let labels = [("direction", run.direction.clone()), ("result", objects::result(run.result).to_owned())];
        self.runs.get_or_create(&labels).inc();
        if let (Some(started), Some(finished)) = (&run.started_at, &run.finished_at) {
            self.run_seconds.observe((finished.0.as_millisecond() - started.0.as_millisecond()).max(0) as f64 / 1000.0);
        }
    }

    /// How many runs are at work, and how many objects wait for one.
    pub fn line(&self, at_work: usize, waiting: usize) {
        self.at_work.set(i64::try_from(at_work).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Counts a notification that was `sent`, `failed` or `dropped`.
    pub fn notified(&self, result: &'static str) {
        self.notifications.get_or_create(&[("result", result)]).inc();
    }

    /// Counts a pass that came to a decision.
    pub fn passed(&self, took: Duration) {
        self.passes.inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a pass that failed.
    pub fn failed(&self, class: Class) {
        self.failures.get_or_create(&[("class", class.as_str())]).inc();
    }

    /// The OpenMetrics text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RunRecord, RunResult};
    use kube::runtime::{reflector, watcher};
    use serde_json::json;

    #[test]
    fn names_are_those_of_the_documentation() {
        let metrics = Metrics::default();
        metrics.passed(Duration::from_millis(3));
        metrics.failed(Class::Transient);
        metrics.line(50, 7);
        metrics.ran(&RunStatus {
            record: RunRecord { direction: "upgrade".into(), ..RunRecord::default() },
            result: RunResult::Failed,
            ..RunStatus::default()
        });
        let text = metrics.encode().unwrap();
        for line in [
            "alembic_operator_reconcile_total 1",
            "alembic_operator_reconcile_errors_total{class=\"transient\"} 1",
            "alembic_operator_reconcile_duration_seconds_count 1",
            "alembic_operator_build_info{version=",
            "alembic_operator_runs_total{direction=\"upgrade\",result=\"failed\"} 1",
            "alembic_operator_run_duration_seconds_count 0",
            "alembic_operator_runs_at_work 50",
            "alembic_operator_runs_waiting 7",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    fn object(name: &str) -> Watched {
        let condition = |type_: &str, status: &str, reason: &str| json!({ "type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-11-26T20:56:00Z" });
        let object = json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
            "metadata": { "name": name, "namespace": "demo", "uid": name, "generation": 1 },
            "spec": { "image": "shop:1", "targetRevision": "head", "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } },
            "status": { "observedGeneration": 1, "database": { "dialect": "postgresql", "version": "15" }, "pending": { "count": 4 },
                "plan": { "hash": "h", "direction": "upgrade", "hazardSummary": "1H 12L" },
                "conditions": [condition("Ready", "False", "AwaitingApproval"), condition("Approved", "False", "Required")],
                "drift": { "missing": 1, "unexpected": 0, "modified": 2 },
                "lastRun": { "number": 1, "job": "j", "direction": "upgrade", "image": "i", "planHash": "h", "result": "Succeeded",
                    "generation": 1, "finishedAt": "2026-11-26T20:46:55Z" } },
        });
        serde_json::from_value(object).unwrap()
    }

    fn scraped(limit: usize, names: &[&str]) -> String {
        let metrics = Metrics::new(limit, || "2026-11-26T21:00:00Z".parse().unwrap());
        let (store, mut writer) = reflector::store();
        for name in names {
            writer.apply_watcher_event(&watcher::Event::Apply(object(name)));
        }
        metrics.watch(store);
        metrics.encode().unwrap()
    }

    #[test]
    fn each_object_is_told_from_its_status() {
        let text = scraped(10, &["shop"]);
        let shop = "namespace=\"demo\",name=\"shop\"";
        for line in [
            format!("alembic_operator_migration_info{{{shop},dialect=\"postgresql\",reason=\"AwaitingApproval\"}} 1"),
            format!("alembic_operator_migration_ready{{{shop}}} 0"),
            format!("alembic_operator_migration_pending_revisions{{{shop}}} 4"),
            format!("alembic_operator_migration_hazards{{{shop},severity=\"low\"}} 12"),
            format!("alembic_operator_migration_hazards{{{shop},severity=\"critical\"}} 0"),
            format!("alembic_operator_migration_drift_objects{{{shop},change=\"modified\"}} 2"),
            format!("alembic_operator_migration_awaiting_approval_seconds{{{shop}}} 240"),
            format!("alembic_operator_migration_last_run_timestamp_seconds{{{shop},result=\"succeeded\"}} 1"),
            "alembic_operator_migrations{reason=\"AwaitingApproval\"} 1".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    #[test]
    fn their_number_is_bounded() {
        let names: Vec<String> = (0..30).map(|n| format!("shop-{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = scraped(10, &names);
        assert_eq!(text.matches("alembic_operator_migration_ready{").count(), 10);
        assert!(text.contains("alembic_operator_migrations{reason=\"AwaitingApproval\"} 30"), "{text}");
        assert!(!scraped(0, &names).contains("shop-"));
    }
}

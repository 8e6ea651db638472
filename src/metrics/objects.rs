//! Metrics of each object, made from the watched objects' status when somebody scrapes; no I/O. Nothing is kept, so an object that
//! goes takes its metrics with it, and their number is bounded.

use super::samples::{NOT_SEEN, Sample, Samples, Told, encode_counts, encode_samples, samples, whether};
use crate::api::{ConditionType, DatabaseMigration, RunResult, Watched};
use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, runtime::reflector::Store};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use std::{
    fmt::{self, Debug},
    sync::{Arc, Mutex, PoisonError},
};

/// The watched objects, of which at most so many have metrics of their own; how many there are by reason is told of all.
pub struct Objects {
    stores: Mutex<Vec<Store<Watched>>>,
    limit: usize,
    clock: fn() -> Timestamp,
}

impl Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("limit", &self.limit).finish_non_exhaustive()
    }
}

const TOLD: &[Told<DatabaseMigration>] = &[
    ("migration_info", "What an object is; the reason is that of its condition Ready.", info),
    ("migration_ready", "Whether the database is at its target, for this generation of the spec.", ready),
    ("migration_stalled", "Whether nothing happens until somebody changes something.", stalled),
    ("migration_pending_revisions", "Steps between the live database and the target.", pending),
    ("migration_hazards", "Hazards of the plan that nobody allowed, by severity.", hazards),
    ("migration_drift_objects", "Objects of the schema that are not as they should be, by change.", drift),
    (
        "migration_awaiting_approval_seconds",
        "For how long a plan has waited for somebody; absent where none does.",
        awaiting,
    ),
    ("migration_last_run_timestamp_seconds", "When the newest run ended, by its result.", last_run),
    ("migration_suspended", "Whether no new run is started since somebody said so.", suspended),
];

impl Objects {
    pub fn new(limit: usize, clock: fn() -> Timestamp) -> Self {
        Self { stores: Mutex::default(), limit, clock }
    }

    /// Tells of the objects of one more watch, too.
    pub fn watch(&self, store: Store<Watched>) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store);
    }

    fn all(&self) -> Vec<Arc<Watched>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let mut objects: Vec<Arc<Watched>> = stores.iter().flat_map(Store::state).collect();
        objects.sort_by_key(|object| (object.namespace(), object.name_any()));
        objects
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let objects = self.all();
        let reasons = objects.iter().filter(|object| object.is_valid()).map(|object| object.reason());
        let help = "Number of DatabaseMigrations by the reason of their condition Ready.";
        encode_counts(&mut encoder, "migrations", help, reasons)?;
        let now = (self.clock)();
        // Each is unpacked once, and none is held: a scrape costs little memory, whatever their number.
        let read = objects.iter().filter_map(|object| object.read().ok()).take(self.limit);
        let told: Vec<Samples> = read.map(|object| samples(TOLD, &object, now)).collect();
        encode_samples(&mut encoder, TOLD, &told, self.limit)
    }
}

fn reason(object: &DatabaseMigration) -> String {
    let ready = object.status.as_ref().and_then(|status| status.condition(ConditionType::Ready));
    ready.map_or_else(|| NOT_SEEN.to_owned(), |ready| crate::text::clean(&ready.reason, 64))
}

/// Whether a condition is True and about the spec as it is.
fn holds(object: &DatabaseMigration, type_: ConditionType) -> Vec<Sample> {
    let holds = object
        .status
        .as_ref()
        .is_some_and(|status| status.observed_generation >= object.metadata.generation && status.is_true(type_));
    whether(holds)
}

fn info(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    let database = object.status.as_ref().and_then(|status| status.database.as_ref());
    let dialect = database.map(|database| database.dialect.clone()).unwrap_or_default();
    vec![(vec![("dialect", dialect), ("reason", reason(object))], 1.0)]
}

fn ready(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    holds(object, ConditionType::Ready)
}

fn stalled(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    holds(object, ConditionType::Stalled)
}

fn suspended(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    whether(object.suspended_by().is_some())
}

fn pending(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    let pending = object.status.as_ref().and_then(|status| status.pending.as_ref());
    pending.map(|pending| (Vec::new(), f64::from(pending.count))).into_iter().collect()
}

fn hazards(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    let Some(plan) = object.status.as_ref().and_then(|status| status.plan.as_ref()) else { return Vec::new() };
    let summary = plan.hazard_summary.as_deref().unwrap_or_default();
    // `1C 2H` counts all of them; the list has the ten worst.
    let count =
        |letter: char| summary.split(' ').find_map(|part| part.strip_suffix(letter)?.parse().ok()).unwrap_or(0.0);
    let severities = [("critical", 'C'), ("high", 'H'), ("medium", 'M'), ("low", 'L')];
    severities.into_iter().map(|(name, letter)| (vec![("severity", name.to_owned())], count(letter))).collect()
}

fn drift(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    let Some(drift) = object.status.as_ref().and_then(|status| status.drift.as_ref()) else { return Vec::new() };
    let changes = [("missing", drift.missing), ("unexpected", drift.unexpected), ("modified", drift.modified)];
    changes.into_iter().map(|(change, count)| (vec![("change", change.to_owned())], f64::from(count))).collect()
}

fn awaiting(object: &DatabaseMigration, now: Timestamp) -> Vec<Sample> {
    let ready = object.status.as_ref().and_then(|status| status.condition(ConditionType::Ready));
    let waits = ready.filter(|ready| ready.reason == crate::api::Reason::AwaitingApproval.as_str());
    let approved = object.status.as_ref().and_then(|status| status.condition(ConditionType::Approved));
    // The condition Approved has been False for as long as somebody was asked.
    let since = waits.and(approved).map(|approved| approved.last_transition_time.0);
    since.map(|since| (Vec::new(), (now.as_second() - since.as_second()).max(0) as f64)).into_iter().collect()
}

fn last_run(object: &DatabaseMigration, _: Timestamp) -> Vec<Sample> {
    let run = object.status.as_ref().and_then(|status| status.last_run.as_ref());
    let sample = run.and_then(|run| {
        Some((vec![("result", result(run.result).to_owned())], run.finished_at.as_ref()?.0.as_second() as f64))
    });
    sample.into_iter().collect()
}

/// The label of a run's result.
pub fn result(result: RunResult) -> &'static str {
    match result {
        RunResult::Succeeded => "succeeded",
        RunResult::Failed => "failed",
        RunResult::Refused => "refused",
        RunResult::Lost => "lost",
    }
}

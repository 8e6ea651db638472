//! Metrics of each set, made from the watched sets' status when somebody scrapes; no I/O. They count targets and name none: a set has
//! as many series with ten thousand targets as with ten.

use super::samples::{NOT_SEEN, Sample, Samples, Told, encode_counts, encode_samples, samples, whether};
use crate::api::{ConditionType, DatabaseMigrationSet, WaveStatus};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{ResourceExt, core::DeserializeGuard, runtime::reflector::Store};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use std::{
    fmt::{self, Debug},
    sync::{Arc, Mutex, PoisonError},
};

type Guarded = DeserializeGuard<DatabaseMigrationSet>;

/// The watched sets, of which at most so many have metrics of their own.
pub struct Sets {
    stores: Mutex<Vec<Store<Guarded>>>,
    limit: usize,
    clock: fn() -> Timestamp,
}

impl Debug for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sets").field("limit", &self.limit).finish_non_exhaustive()
    }
}

const TOLD: &[Told<DatabaseMigrationSet>] = &[
    ("set_info", "A set; the reason is that of its condition Ready.", info),
    ("set_ready", "Whether every target is at the target revision, for this generation of the spec.", ready),
    ("set_stalled", "Whether nothing happens until somebody changes something.", stalled),
    ("set_suspended", "Whether no new batch is started since somebody said so.", suspended),
    ("set_targets", "Number of targets by where they stand.", targets),
    ("set_wave_targets", "Number of targets of each wave of the rollout by where they stand.", waves),
];

impl Sets {
    pub fn new(limit: usize, clock: fn() -> Timestamp) -> Self {
        Self { stores: Mutex::default(), limit, clock }
    }

    /// Tells of the sets of one more watch, too.
    pub fn watch(&self, store: Store<Guarded>) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store);
    }
}

impl Collector for Sets {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let guarded: Vec<Arc<Guarded>> = stores.iter().flat_map(Store::state).collect();
        let mut sets: Vec<&DatabaseMigrationSet> = guarded.iter().filter_map(|set| set.0.as_ref().ok()).collect();
        sets.sort_by_key(|set| (set.namespace(), set.name_any()));
        let reasons = sets.iter().map(|set| condition(set, ConditionType::Ready).map(|ready| ready.reason.as_str()));
        let help = "Number of DatabaseMigrationSets by the reason of their condition Ready.";
        encode_counts(&mut encoder, "sets", help, reasons)?;
        let now = (self.clock)();
        let told: Vec<Samples> = sets.iter().take(self.limit).map(|set| samples(TOLD, *set, now)).collect();
        encode_samples(&mut encoder, TOLD, &told, self.limit)
    }
}

fn condition(set: &DatabaseMigrationSet, type_: ConditionType) -> Option<&Condition> {
    set.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Whether a condition is True and about the spec as it is.
fn holds(set: &DatabaseMigrationSet, type_: ConditionType) -> Vec<Sample> {
    let observed = set.status.as_ref().and_then(|status| status.observed_generation);
    whether(observed >= set.metadata.generation && condition(set, type_).is_some_and(|found| found.status == "True"))
}

fn info(set: &DatabaseMigrationSet, _: Timestamp) -> Vec<Sample> {
    let reason = condition(set, ConditionType::Ready).map_or(NOT_SEEN, |ready| &ready.reason);
    vec![(vec![("reason", crate::text::clean(reason, 64))], 1.0)]
}

fn ready(set: &DatabaseMigrationSet, _: Timestamp) -> Vec<Sample> {
    holds(set, ConditionType::Ready)
}

fn stalled(set: &DatabaseMigrationSet, _: Timestamp) -> Vec<Sample> {
    holds(set, ConditionType::Stalled)
}

fn suspended(set: &DatabaseMigrationSet, _: Timestamp) -> Vec<Sample> {
    whether(set.suspended_by().is_some())
}

fn targets(set: &DatabaseMigrationSet, _: Timestamp) -> Vec<Sample> {
    let targets = set.status.as_ref().map(|status| status.targets).unwrap_or_default();
    let states = [
        ("at_target", targets.at_target),
        ("pending", targets.pending),
        ("running", targets.running),
        ("failed", targets.failed),
    ];
    states.into_iter().map(|(state, count)| (vec![("state", state.to_owned())], f64::from(count))).collect()
}

fn waves(set: &DatabaseMigrationSet, _: Timestamp) -> Vec<Sample> {
    let rollout = set.status.as_ref().and_then(|status| status.rollout.as_ref());
    let of = |wave: &WaveStatus| {
        let left = wave.total.saturating_sub(wave.done).saturating_sub(wave.failed);
        let name = crate::text::clean(&wave.name, 40);
        [("at_target", wave.done), ("pending", left), ("failed", wave.failed)]
            .map(|(state, count)| (vec![("wave", name.clone()), ("state", state.to_owned())], f64::from(count)))
    };
    rollout.into_iter().flat_map(|rollout| &rollout.waves).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;
    use kube::runtime::{reflector, watcher};
    use serde_json::json;

    fn scraped(limit: usize, count: i32) -> String {
        let metrics = Metrics::new(limit, || "2026-11-26T21:00:00Z".parse().unwrap());
        let (store, mut writer) = reflector::store();
        let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status, "reason": "WaveFailed", "message": "", "lastTransitionTime": "2026-11-26T20:56:00Z" });
        for number in 0..count {
            let set = json!({
                "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet",
                "metadata": { "name": format!("shop-{number}"), "namespace": "demo", "uid": "u", "generation": 1,
                    "annotations": { "alembic-operator.dev/suspend": "true" } },
                "spec": { "template": { "image": "shop:1", "targetRevision": "head" }, "servers": [], "targets": [] },
                "status": { "observedGeneration": 1, "conditions": [condition("Ready", "False"), condition("Stalled", "True")],
                    "targets": { "total": 10_000, "atTarget": 40, "pending": 9_959, "running": 0, "failed": 1 },
                    "failures": [{ "target": "tenant_07", "reason": "MigrationFailed", "attempts": 1, "message": "no" }],
                    "rollout": { "number": 3, "key": "k", "image": "i", "waves": [
                        { "name": "canary", "total": 41, "done": 40, "failed": 1, "state": "Paused" },
                        { "name": "rest", "total": 9_959, "done": 0, "failed": 0, "state": "Waiting" }] } },
            });
            writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(set).unwrap()));
        }
        metrics.watch_sets(store);
        metrics.encode().unwrap()
    }

    #[test]
    fn a_set_counts_its_targets_and_names_none() {
        let text = scraped(10, 1);
        let shop = "namespace=\"demo\",name=\"shop-0\"";
        for line in [
            "alembic_operator_sets{reason=\"WaveFailed\"} 1".to_owned(),
            format!("alembic_operator_set_info{{{shop},reason=\"WaveFailed\"}} 1"),
            format!("alembic_operator_set_ready{{{shop}}} 0"),
            format!("alembic_operator_set_stalled{{{shop}}} 1"),
            format!("alembic_operator_set_suspended{{{shop}}} 1"),
            format!("alembic_operator_set_targets{{{shop},state=\"pending\"}} 9959"),
            format!("alembic_operator_set_wave_targets{{{shop},wave=\"canary\",state=\"failed\"}} 1"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(!text.contains("tenant_07"));
        assert_eq!(text.matches(shop).count(), 4 + 4 + 2 * 3, "{text}");
    }

    #[test]
    fn their_number_is_bounded() {
        let text = scraped(2, 5);
        assert_eq!(text.matches("alembic_operator_set_ready{").count(), 2);
        assert!(text.contains("alembic_operator_sets{reason=\"WaveFailed\"} 5"), "{text}");
        assert!(!scraped(0, 5).contains("shop-"));
    }
}

//! Counters and gauges of the operator's own work; no I/O. Names of objects are no labels here: per-object state is in
//! the objects' status.

use crate::error::Class;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The operator's metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    passes: Counter,
    failures: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Histogram,
}

/// From a look that finds everything in place to one that waits for a slow database.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
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
        Self { registry: Mutex::new(registry), passes, failures, seconds }
    }
}

impl Metrics {
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

    #[test]
    fn names_are_those_of_the_documentation() {
        let metrics = Metrics::default();
        metrics.passed(Duration::from_millis(3));
        metrics.failed(Class::Transient);
        let text = metrics.encode().unwrap();
        for line in [
            "alembic_operator_reconcile_total 1",
            "alembic_operator_reconcile_errors_total{class=\"transient\"} 1",
            "alembic_operator_reconcile_duration_seconds_count 1",
            "alembic_operator_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}

//! What is told of objects, as one table for each kind, and how it is written; no I/O.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, gauge::ConstGauge},
};
use std::{collections::BTreeMap, fmt};

/// Labels of a sample.
pub type Labels = Vec<(&'static str, String)>;

/// A sample of an object: its further labels, and the value.
pub type Sample = (Labels, f64);

/// What is told of each object of a kind: name, help, and how it is read.
pub type Told<T> = (&'static str, &'static str, fn(&T, Timestamp) -> Vec<Sample>);

/// The labels of an object, and its samples in the order of the table.
pub type Samples = (Labels, Vec<Vec<Sample>>);

/// Of an object whose status says nothing yet.
pub const NOT_SEEN: &str = "NotSeen";

/// 1 or 0.
pub fn whether(holds: bool) -> Vec<Sample> {
    vec![(Vec::new(), f64::from(u8::from(holds)))]
}

/// What a table tells of an object.
pub fn samples<T: ResourceExt>(table: &[Told<T>], object: &T, now: Timestamp) -> Samples {
    let names = vec![("namespace", object.namespace().unwrap_or_default()), ("name", object.name_any())];
    (names, table.iter().map(|(_, _, read)| read(object, now)).collect())
}

/// Writes what a table tells of objects; with the limit 0 no metric is named at all.
pub fn encode_samples<T>(
    encoder: &mut DescriptorEncoder,
    table: &[Told<T>],
    told: &[Samples],
    limit: usize,
) -> Result<(), fmt::Error> {
    for (number, (name, help, _)) in table.iter().enumerate().filter(|_| limit > 0) {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (names, samples) in told {
            for (labels, value) in samples.get(number).into_iter().flatten() {
                let all: Labels = names.iter().chain(labels).cloned().collect();
                gauge(&mut metric, &all, *value)?;
            }
        }
    }
    Ok(())
}

/// Writes how many objects there are for each reason of their condition Ready.
pub fn encode_counts<'a>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    reasons: impl Iterator<Item = Option<&'a str>>,
) -> Result<(), fmt::Error> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason.unwrap_or(NOT_SEEN)).or_default() += 1;
    }
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (reason, count) in counts {
        gauge(&mut metric, &vec![("reason", crate::text::clean(reason, 64))], count as f64)?;
    }
    Ok(())
}

fn gauge(metric: &mut MetricEncoder<'_>, labels: &Labels, value: f64) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(metric.encode_family(labels)?)
}

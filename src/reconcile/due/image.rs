//! Which stored inspection of an image is used, who else is waited for, and which inspect Jobs nobody needs any more; no I/O.

use crate::{api::DatabaseMigration, jobs::inspected_digest, reconcile::facts::JobView};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::ConfigMap},
    jiff::Timestamp,
};
use kube::ResourceExt;
use std::sync::Arc;

/// Seconds for which an inspection of another object is waited for.
const WAIT_FOR_OTHERS: i64 = 60;

/// Whether the status remembers an inspection under a key that the watch does not show: an older one would be of other files.
pub fn is_missing(object: &DatabaseMigration, key: &str, stored: &[Arc<ConfigMap>]) -> bool {
    let status = object.status.as_ref().and_then(|status| status.image.as_ref());
    let recorded = status.and_then(|image| image.inspection.as_ref()).is_some_and(|id| id.starts_with(key));
    let there = match recorded_digest(object) {
        Some(digest) => stored.iter().any(|map| inspected_digest(map) == Some(digest)),
        None => !stored.is_empty(),
    };
    recorded && !there
}

/// The inspections under a key, the best first: the one of the digest that the status names, then the newest.
pub fn best_first(object: &DatabaseMigration, mut stored: Vec<Arc<ConfigMap>>) -> Vec<Arc<ConfigMap>> {
    let digest = recorded_digest(object);
    let is_named = |map: &ConfigMap| digest.is_some() && inspected_digest(map) == digest;
    stored.sort_by_key(|map| std::cmp::Reverse((is_named(map), map.creation_timestamp().map(|at| at.0))));
    stored
}

fn recorded_digest(object: &DatabaseMigration) -> Option<&str> {
    object.status.as_ref()?.image.as_ref()?.digest.as_deref()
}

/// Whether the inspect Job of another object is waited for. One whose pod does not start is waited for only while it is young:
/// what holds it up may be the other object's own Secret.
pub fn is_waited_for(job: &Job, pod_runs: bool, now: Timestamp) -> bool {
    let young = job.creation_timestamp().is_some_and(|at| now.duration_since(at.0).as_secs() < WAIT_FOR_OTHERS);
    (young || pod_runs) && job.status.as_ref().is_none_or(|status| status.conditions.is_none())
}

/// The inspect Jobs that nobody waits for any more: those of another request, and all once the inspection is stored.
pub fn unneeded<'a>(jobs: impl Iterator<Item = &'a JobView>, wanted: &str, stored: bool) -> Vec<String> {
    jobs.filter(|job| stored || job.name != wanted).map(|job| job.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(digest: &str, second: i64) -> Arc<ConfigMap> {
        let made = Timestamp::from_second(second).unwrap().to_string();
        let map = json!({"metadata": {"name": digest, "creationTimestamp": made}, "data": {"digest": digest}});
        Arc::new(serde_json::from_value(map).unwrap())
    }

    fn object(inspection: &str, digest: Option<&str>) -> DatabaseMigration {
        serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "shop"},
            "spec": {"image": "i", "targetRevision": "head", "database": {"urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}},
            "status": {"image": {"ref": "i", "inspection": inspection, "digest": digest}},
        }))
        .unwrap()
    }

    #[test]
    fn the_inspection_that_the_status_names_comes_before_a_newer_one() {
        let names = |object: &DatabaseMigration| -> Vec<String> {
            let stored = best_first(object, vec![map("d1", 10), map("d3", 30), map("d2", 20)]);
            stored.iter().map(|map| map.name_any()).collect()
        };
        assert_eq!(names(&object("k", Some("d1"))), ["d1", "d3", "d2"]);
        assert_eq!(names(&object("k", None)), ["d3", "d2", "d1"]);
    }

    #[test]
    fn what_the_status_remembers_and_the_watch_does_not_show_is_asked_for() {
        let stored = [map("d1", 10)];
        assert!(is_missing(&object("k", Some("d2")), "k", &stored));
        assert!(!is_missing(&object("k", Some("d1")), "k", &stored));
        assert!(!is_missing(&object("other", Some("d2")), "k", &stored), "other settings");
        assert!(is_missing(&object("k", None), "k", &[]) && !is_missing(&object("k", None), "k", &stored));
    }

    #[test]
    fn a_pod_that_does_not_start_is_waited_for_a_minute() {
        let now = Timestamp::from_second(1000).unwrap();
        let job = |second: i64, ended: bool| -> Job {
            let made = Timestamp::from_second(second).unwrap().to_string();
            let conditions = if ended { json!([{"type": "Complete", "status": "True"}]) } else { json!(null) };
            serde_json::from_value(
                json!({"metadata": {"creationTimestamp": made}, "status": {"conditions": conditions}}),
            )
            .unwrap()
        };
        assert!(is_waited_for(&job(941, false), false, now) && !is_waited_for(&job(940, false), false, now));
        assert!(is_waited_for(&job(0, false), true, now) && !is_waited_for(&job(999, true), true, now));
    }

    #[test]
    fn an_inspect_job_goes_once_its_answer_is_stored() {
        let jobs = ["mine", "old"].map(|name| JobView { name: name.to_owned(), ..JobView::default() });
        assert_eq!(unneeded(jobs.iter(), "mine", false), ["old"]);
        assert_eq!(unneeded(jobs.iter(), "mine", true), ["mine", "old"]);
    }
}

//! Jobs of batches whose set is gone for good, as when somebody took its finalizer away: they have no owner, and are deleted here once
//! they have ended, or where they were never let begin. Does network I/O.

use crate::{
    api::{DatabaseMigrationSet, LABEL_SET},
    jobs::{BatchRecord, is_finished, is_made_here},
    reconcile::{Context, ORPHANS_EVERY, clear_job_of},
};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    ResourceExt,
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};
use std::sync::Arc;

/// Checks for it again and again, for as long as it is polled.
pub async fn clear_orphans(context: Arc<Context>, sets: Store<DeserializeGuard<DatabaseMigrationSet>>) {
    context.stores.filled().await;
    loop {
        tokio::time::sleep(ORPHANS_EVERY).await;
        let known = |set: &ObjectRef<DeserializeGuard<DatabaseMigrationSet>>| sets.get(set).and_then(|set| set.uid());
        for job in context.stores.jobs.at_work(|job| suspect(job, known).is_some()) {
            let Some((set, uid)) = suspect(&job, known) else { continue };
            if let Err(error) = clear_job_of::<DatabaseMigrationSet>(&job, &set, &uid, &context).await {
                tracing::warn!(job = job.name_any(), %error, "the Job of a set that is gone is not deleted");
            }
        }
    }
}

/// The name and uid of the set of a batch that nobody owns and that does not work, where the watch knows no such set.
fn suspect(
    job: &Job,
    known: impl Fn(&ObjectRef<DeserializeGuard<DatabaseMigrationSet>>) -> Option<String>,
) -> Option<(String, String)> {
    let idle = is_finished(job) || job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
    if !idle || !job.owner_references().is_empty() || !is_made_here(job) {
        return None;
    }
    let record = BatchRecord::of(job)?;
    let set = job.annotations().get(LABEL_SET)?;
    let there = known(&ObjectRef::new(set).within(&job.namespace()?));
    (there.as_ref() != Some(&record.uid)).then(|| (set.clone(), record.uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_batch_that_does_not_work_and_whose_set_is_gone_is_one() {
        let record = json!({"uid": "u1", "number": 3, "server": "main", "members": ["main/a"]}).to_string();
        let job = |suspend: bool, owners: serde_json::Value| -> Job {
            serde_json::from_value(json!({
                "metadata": {"name": "app-batch-3", "namespace": "shop", "ownerReferences": owners,
                    "labels": {"app.kubernetes.io/managed-by": "alembic-operator"},
                    "annotations": {crate::api::ANNOTATION_RECORD: record, LABEL_SET: "app"}},
                "spec": {"suspend": suspend, "template": {}},
            }))
            .unwrap()
        };
        let owner = json!([{"apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet", "name": "app", "uid": "u1"}]);
        let gone = Some(("app".to_owned(), "u1".to_owned()));
        assert_eq!(suspect(&job(true, json!([])), |_| None), gone);
        assert_eq!(suspect(&job(true, json!([])), |_| Some("u2".to_owned())), gone, "another set of the same name");
        assert_eq!(suspect(&job(true, json!([])), |_| Some("u1".to_owned())), None);
        assert_eq!(suspect(&job(false, json!([])), |_| None), None, "it works");
        assert_eq!(suspect(&job(true, owner), |_| None), None, "the cluster deletes it");
    }
}

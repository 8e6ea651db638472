//! What is left over: Jobs of runs whose object is gone for good, as when somebody took its finalizer away, which nobody owns and
//! which are deleted here once their pods have ended; Leases that nobody is left to give back; and inspections that nobody uses.
//! Does network I/O.

use super::{context::Context, database_lock::clear_expired, unused::clear_unused};
use crate::{
    api::{DatabaseMigration, LABEL_OBJECT, Watched},
    call::call,
    error::Error,
    jobs::{JobRecord, Kind, is_finished},
};
use k8s_openapi::{NamespaceResourceScope, api::batch::v1::Job};
use kube::{
    Api, Resource, ResourceExt,
    api::DeleteParams,
    runtime::reflector::{ObjectRef, Store},
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, sync::Arc, time::Duration};

/// They harm nobody, so there is no hurry.
pub const EVERY: Duration = Duration::from_secs(120);

/// Checks for it again and again, for as long as it is polled.
pub async fn clear_orphans(context: Arc<Context>, objects: Store<Watched>) {
    context.stores.filled().await;
    loop {
        tokio::time::sleep(EVERY).await;
        let suspects = context.stores.jobs.at_work(|job| suspect(job, &objects).is_some());
        for job in suspects {
            if let Err(error) = clear(&job, &context).await {
                tracing::warn!(job = job.name_any(), %error, "the Job of an object that is gone is not deleted");
            }
        }
        clear_expired(&context).await;
        clear_unused(&context, &objects).await;
    }
}

/// The name and uid of the object of an ended run that nobody owns, where the watch knows no such object.
fn suspect(job: &Job, objects: &Store<Watched>) -> Option<(String, String)> {
    if !is_finished(job) || !job.owner_references().is_empty() {
        return None;
    }
    let record = JobRecord::of(job).filter(|record| record.kind() == Kind::Run)?;
    let name = job.annotations().get(LABEL_OBJECT)?;
    let object = objects.get(&ObjectRef::new(name).within(&job.namespace()?));
    let known = object.is_some_and(|object| object.uid().as_ref() == Some(&record.uid));
    (!known).then(|| (name.clone(), record.uid))
}

async fn clear(job: &Job, context: &Context) -> Result<(), Error> {
    let Some(record) = JobRecord::of(job) else { return Ok(()) };
    let object = job.annotations().get(LABEL_OBJECT).cloned().unwrap_or_default();
    clear_job_of::<DatabaseMigration>(job, &object, &record.uid, context).await
}

/// Deletes a Job unless the API server knows what it was made for.
pub async fn clear_job_of<K>(job: &Job, owner: &str, uid: &String, context: &Context) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let namespace = job.namespace().unwrap_or_default();
    let owners: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    let live = call(&format!("get {owner}"), owners.get_metadata_opt(owner)).await?;
    if live.is_some_and(|live| live.uid().as_ref() == Some(uid)) || !context.process.claim.holds() {
        return Ok(());
    }
    let name = job.name_any();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    call(&format!("delete Job {name}"), jobs.delete(&name, &DeleteParams::background())).await.map(drop)
}

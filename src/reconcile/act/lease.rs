//! The Lease that stands for the lock of a database whose engine has none: taken before the Job of a run is made, kept while
//! that lives, given back at its end; does network I/O. It lies in the operator's own namespace, so that objects of every
//! namespace meet at it.

use super::{Actor, gone};
use crate::{
    api::{ANNOTATION_LEASE, LockKind},
    call::{call, refusal},
    error::Error,
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        coordination::v1::{Lease, LeaseSpec},
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::SignedDuration,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams, Preconditions},
    runtime::reflector::ObjectRef,
};

/// How long others wait after the last sign of the holder, before they ask for its Job.
const SECONDS: i32 = 60;
/// A sign that is younger is not given again.
const FRESH: SignedDuration = SignedDuration::from_secs(10);

impl Actor<'_> {
    /// Takes the Lease for a Job, or gives another sign of it. Somebody else's is taken over once it has run out and its Job is
    /// gone or has ended.
    pub(super) async fn take_lease(&self, name: &str, job: &str) -> Result<(), Error> {
        let holder = format!("{}/{job}", self.namespace);
        let leases = self.leases();
        let Some(mut lease) = call(&format!("get Lease {name}"), leases.get_opt(name)).await? else {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let fresh = Lease { metadata, spec: Some(self.held_by(holder, LeaseSpec::default())) };
            return call(&format!("create Lease {name}"), leases.create(&PostParams::default(), &fresh))
                .await
                .map(drop);
        };
        let before = lease.spec.take().unwrap_or_default();
        let other = before.holder_identity.clone().unwrap_or_default();
        let told = before.renew_time.as_ref().map(|at| at.0);
        let age = told.map_or(SignedDuration::MAX, |at| self.context.now().duration_since(at));
        if other == holder && age < FRESH {
            return Ok(());
        }
        let lasts = SignedDuration::from_secs(before.lease_duration_seconds.unwrap_or(SECONDS).into());
        if !other.is_empty() && other != holder && (age <= lasts || self.works(&other).await?) {
            return Err(Error::Locked { lease: name.to_owned(), holder: other });
        }
        lease.spec = Some(self.held_by(holder, before));
        call(&format!("write Lease {name}"), leases.replace(name, &PostParams::default(), &lease)).await.map(drop)
    }

    /// Gives another sign of the Lease of a run that works. One that can't be given holds nothing up: the Job lives.
    pub(super) async fn keep_lease(&self, job: &str) {
        if let Err(error) = self.renew_lease(job).await {
            tracing::warn!(object = self.object.name_any(), job, %error, "the Lease is not renewed");
        }
    }

    /// Takes the Lease of a Job once more, if it was made under one.
    pub(super) async fn renew_lease(&self, job: &str) -> Result<(), Error> {
        match self.lease_of(job).await? {
            Some(lease) => self.take_lease(&lease, job).await,
            None => Ok(()),
        }
    }

    /// Gives the Lease of an ended run back, where it is still that run's.
    pub(super) async fn give_lease_back(&self, job: &str) -> Result<(), Error> {
        let Some(name) = self.lease_of(job).await? else { return Ok(()) };
        let leases = self.leases();
        let Some(lease) = call(&format!("get Lease {name}"), leases.get_opt(&name)).await? else { return Ok(()) };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        if holder != Some(&format!("{}/{job}", self.namespace)) {
            return Ok(());
        }
        let as_seen = Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
        let params = DeleteParams { preconditions: Some(as_seen), ..DeleteParams::default() };
        gone(call(&format!("delete Lease {name}"), leases.delete(&name, &params)).await)
    }

    /// Whether the Job of a holder may still work. One that may not be asked for counts as working.
    async fn works(&self, holder: &str) -> Result<bool, Error> {
        let Some((namespace, job)) = holder.split_once('/') else { return Ok(true) };
        let jobs: Api<Job> = Api::namespaced(self.context.client.clone(), namespace);
        match call(&format!("get Job {job}"), jobs.get_opt(job)).await {
            Ok(None) => Ok(false),
            Ok(Some(job)) => Ok(!has_ended(&job)),
            Err(error) if refusal(&error) == Some(403) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The Lease that a Job was made under. The watch may not know the Job yet, and the run has ended nevertheless: then the
    /// API server itself is asked.
    async fn lease_of(&self, job: &str) -> Result<Option<String>, Error> {
        if let Some(seen) = self.context.stores.jobs.get(&ObjectRef::new(job).within(&self.namespace)) {
            return Ok(seen.annotations().get(ANNOTATION_LEASE).cloned());
        }
        if self.object.spec.database.lock != LockKind::Lease {
            return Ok(None);
        }
        let live = call(&format!("get Job {job}"), self.jobs().get_metadata_opt(job)).await?;
        Ok(live.and_then(|job| job.annotations().get(ANNOTATION_LEASE).cloned()))
    }

    fn held_by(&self, holder: String, before: LeaseSpec) -> LeaseSpec {
        let now = MicroTime(self.context.now());
        let same = before.holder_identity.as_ref() == Some(&holder);
        LeaseSpec {
            lease_duration_seconds: Some(SECONDS),
            acquire_time: before.acquire_time.clone().filter(|_| same).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!same)),
            holder_identity: Some(holder),
            ..before
        }
    }

    fn leases(&self) -> Api<Lease> {
        Api::default_namespaced(self.context.client.clone())
    }
}

fn has_ended(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

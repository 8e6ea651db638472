//! The effects on the Lease that stands for a database's lock: taken before the Job of a run is made, renewed while that lives,
//! given back at its end; does network I/O.

use super::Actor;
use crate::{
    api::{ANNOTATION_LEASE, LockKind},
    call::call,
    error::Error,
    reconcile::database_lock::{Standing, give_back, held_by, holder_of, leases, may_work, new_lease, other_under},
};
use kube::{ResourceExt, api::PostParams};

impl Actor<'_> {
    /// Takes the Lease for a Job, or renews it. Somebody else's is taken over once it has expired and its Job is gone or has
    /// ended.
    pub(super) async fn take_lease(&self, name: &str, job: &str) -> Result<(), Error> {
        let holder = holder_of(&self.namespace, job);
        let leases = leases(&self.context.client);
        let params = PostParams::default();
        let now = self.context.now();
        let locked = |holder| Err(Error::Locked { lease: name.to_owned(), holder });
        let Some(lease) = call(&format!("get Lease {name}"), leases.get_opt(name)).await? else {
            if let Some(other) = other_under(name, &holder, self.context) {
                return locked(other);
            }
            let fresh = new_lease(name, &holder, now);
            return call(&format!("create Lease {name}"), leases.create(&params, &fresh)).await.map(drop);
        };
        match Standing::of(&lease, &holder, now) {
            Standing::Fresh => return Ok(()),
            Standing::Held(other) => return locked(other),
            Standing::Expired(other) if may_work(&other, self.context).await? => return locked(other),
            Standing::Free | Standing::Expired(_) => {}
        }
        let taken = held_by(&holder, lease, now);
        call(&format!("write Lease {name}"), leases.replace(name, &params, &taken)).await.map(drop)
    }

    /// Renews the Lease of a run that works. A renewal that fails holds nothing up: the Job lives.
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
        let leases = leases(&self.context.client);
        let Some(lease) = call(&format!("get Lease {name}"), leases.get_opt(&name)).await? else { return Ok(()) };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        match holder == Some(&holder_of(&self.namespace, job)) {
            true => give_back(&lease, self.context).await,
            false => Ok(()),
        }
    }

    /// The Lease that a Job was made under. The watch may not know the Job yet, and the run has ended nevertheless: then the
    /// API server itself is asked.
    async fn lease_of(&self, job: &str) -> Result<Option<String>, Error> {
        if let Some(seen) = self.context.stores.jobs.get(&self.namespace, job) {
            return Ok(seen.annotations().get(ANNOTATION_LEASE).cloned());
        }
        if self.object.spec.database.lock != LockKind::Lease {
            return Ok(None);
        }
        let live = call(&format!("get Job {job}"), self.jobs().get_metadata_opt(job)).await?;
        Ok(live.and_then(|job| job.annotations().get(ANNOTATION_LEASE).cloned()))
    }
}

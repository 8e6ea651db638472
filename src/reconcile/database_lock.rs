//! The Lease that stands for the lock of a database whose engine has none: who holds it, until when, and how one is found that
//! nobody gave back. Does network I/O. It lies in the operator's own namespace, so that objects of every namespace meet at it.

use super::context::Context;
use crate::{
    api::{LABEL_LOCK, LABEL_MANAGED_BY, MANAGER},
    call::{call, refusal},
    error::Error,
    index::lease_key,
    jobs::is_finished,
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        coordination::v1::{Lease, LeaseSpec},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};

/// How long others wait after the last renewal, before they ask for the holder's Job.
const SECONDS: i32 = 60;
/// A renewal that is younger is not repeated.
const FRESH: SignedDuration = SignedDuration::from_secs(10);
/// How many Leases one list reads.
const PAGE: u32 = 100;

/// The Leases of the operator's own namespace.
pub fn leases(client: &Client) -> Api<Lease> {
    Api::default_namespaced(client.clone())
}

/// A new Lease for a database.
pub fn new_lease(name: &str, holder: &str, now: Timestamp) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    held_by(holder, Lease { metadata, spec: None }, now)
}

/// The same Lease in the hands of a holder, renewed now.
pub fn held_by(holder: &str, mut lease: Lease, now: Timestamp) -> Lease {
    let before = lease.spec.take().unwrap_or_default();
    let same = before.holder_identity.as_deref() == Some(holder);
    let transitions = before.lease_transitions.map_or(0, |count| count + i32::from(!same));
    lease.labels_mut().insert(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned());
    lease.labels_mut().insert(LABEL_LOCK.to_owned(), "database".to_owned());
    lease.spec = Some(LeaseSpec {
        lease_duration_seconds: Some(SECONDS),
        acquire_time: before.acquire_time.clone().filter(|_| same).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        holder_identity: Some(holder.to_owned()),
        ..before
    });
    lease
}

/// How a Lease stands to somebody who wants it.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is theirs, and was renewed a moment ago.
    Fresh,
    /// Theirs or nobody's.
    Free,
    /// Somebody else's.
    Held(String),
    /// Somebody else's, who has not renewed it in time.
    Expired(String),
}

impl Standing {
    pub fn of(lease: &Lease, wanted_by: &str, now: Timestamp) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let age = spec.renew_time.map_or(SignedDuration::MAX, |at| now.duration_since(at.0));
        let lasts = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(SECONDS).into());
        match holder {
            holder if holder == wanted_by && age < FRESH => Self::Fresh,
            holder if holder == wanted_by || holder.is_empty() => Self::Free,
            holder if age <= lasts => Self::Held(holder),
            holder => Self::Expired(holder),
        }
    }
}

/// The holder that the Job of a run is.
pub fn holder_of(namespace: &str, job: &str) -> String {
    format!("{namespace}/{job}")
}

/// Who else works under a Lease that is not there: somebody deleted it. Of two Jobs that wait for it, one goes first.
pub fn other_under(name: &str, holder: &str, context: &Context) -> Option<String> {
    let holder_if_first = |job: &Job| {
        let other = holder_of(&job.namespace().unwrap_or_default(), &job.name_any());
        let waits = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
        (other != holder && !is_finished(job) && (!waits || *other < *holder)).then_some(other)
    };
    context.stores.jobs.with_key(&lease_key(name)).iter().find_map(|job| holder_if_first(job))
}

/// Whether the Job of a holder may still work. One that may not be read counts as working.
pub async fn may_work(holder: &str, context: &Context) -> Result<bool, Error> {
    let Some((namespace, job)) = holder.split_once('/') else { return Ok(true) };
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    match call(&format!("get Job {job}"), jobs.get_opt(job)).await {
        Ok(None) => Ok(false),
        Ok(Some(job)) => Ok(!is_finished(&job)),
        Err(error) if refusal(&error) == Some(403) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Deletes the expired Leases whose Job is gone or has ended: nobody is left to give them back.
pub async fn clear_expired(context: &Context) {
    let mut page = ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGER},{LABEL_LOCK}")).limit(PAGE);
    loop {
        let list = match call("list Leases", leases(&context.client).list(&page)).await {
            Ok(list) => list,
            Err(error) => return tracing::warn!(%error, "expired Leases are not looked for"),
        };
        for lease in &list.items {
            if let Err(error) = clear(lease, context).await {
                tracing::warn!(lease = lease.name_any(), %error, "an expired Lease is not deleted");
            }
        }
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return,
        }
    }
}

async fn clear(lease: &Lease, context: &Context) -> Result<(), Error> {
    let nobody = "";
    let abandoned = match Standing::of(lease, nobody, context.now()) {
        Standing::Held(_) | Standing::Fresh => false,
        Standing::Free => true,
        Standing::Expired(holder) => !may_work(&holder, context).await?,
    };
    if abandoned && context.process.claim.holds() { give_back(lease, context).await } else { Ok(()) }
}

/// Deletes a Lease as it was seen: one that was taken or renewed since stays.
pub async fn give_back(lease: &Lease, context: &Context) -> Result<(), Error> {
    let as_seen = Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
    let params = DeleteParams { preconditions: Some(as_seen), ..DeleteParams::default() };
    let name = lease.name_any();
    match call(&format!("delete Lease {name}"), leases(&context.client).delete(&name, &params)).await {
        Err(error) if refusal(&error) == Some(404) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_lease_is_somebodys_until_it_expires() {
        let lease = new_lease("l", "shop/run-1", at(0));
        assert_eq!(Standing::of(&lease, "shop/run-1", at(9)), Standing::Fresh);
        assert_eq!(Standing::of(&lease, "shop/run-1", at(10)), Standing::Free);
        assert_eq!(Standing::of(&lease, "shop/run-2", at(60)), Standing::Held("shop/run-1".to_owned()));
        assert_eq!(Standing::of(&lease, "shop/run-2", at(61)), Standing::Expired("shop/run-1".to_owned()));
        assert_eq!(Standing::of(&lease, "", at(61)), Standing::Expired("shop/run-1".to_owned()));
        let nobodys = Lease { spec: None, ..lease };
        assert_eq!(Standing::of(&nobodys, "shop/run-2", at(0)), Standing::Free);
    }

    #[test]
    fn a_lease_counts_who_had_it() {
        let first = new_lease("l", "a/1", at(0));
        let renewed = held_by("a/1", first.clone(), at(20)).spec.unwrap();
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(0), Some(MicroTime(at(0)))));
        let taken = held_by("b/2", first, at(90)).spec.unwrap();
        assert_eq!((taken.lease_transitions, taken.acquire_time), (Some(1), Some(MicroTime(at(90)))));
    }
}

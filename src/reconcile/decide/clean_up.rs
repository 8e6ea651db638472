//! The part of a decision that comes last: what is no longer needed, whatever was decided; pure.

use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, FINALIZER},
    jobs::Kind,
    reconcile::{
        effects::{Effect, Step, Unstarted, unstarted},
        facts::{Facts, JobView},
        gates::{old_rehearsals, surplus_stages},
    },
};
use kube::ResourceExt;

const DEFAULT_HISTORY: usize = 3;

/// Effects in an order in which a crash after any of them leaves nothing behind.
pub(super) fn clean_up(
    object: &DatabaseMigration,
    facts: &Facts,
    status: &DatabaseMigrationStatus,
    step: &Step,
) -> Vec<Effect> {
    let limit = object.spec.history_limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(DEFAULT_HISTORY);
    let starting = step.before.iter().find_map(|effect| match effect {
        Effect::Start(start) => Some(start.request().record.name(object)),
        _ => None,
    });
    let mut effects = runs(facts, status, limit, starting.as_deref());
    let jobs = facts.obsolete.iter().cloned().chain(surplus_stages(status, facts, limit));
    effects.extend(jobs.map(Effect::DeleteJob));
    effects.extend(old_rehearsals(status, facts).into_iter().map(Effect::DeleteRehearsal));
    let works = status.runs.active.is_some() || starting.is_some();
    if !works && object.finalizers().iter().any(|f| f == FINALIZER) {
        effects.push(Effect::RemoveFinalizer);
    }
    effects
}

/// The Jobs of runs: those that ended go with their object from now on, and the oldest of them at once; those that were never
/// released go, unless one is just being started.
fn runs(facts: &Facts, status: &DatabaseMigrationStatus, limit: usize, starting: Option<&str>) -> Vec<Effect> {
    let just_ended = facts.active.iter().filter(|_| status.runs.active.is_none()).filter_map(|run| run.job.as_ref());
    let (unreleased, released): (Vec<_>, Vec<_>) = facts.of(Kind::Run).partition(|job| job.suspended);
    let mut ended: Vec<&JobView> = just_ended.chain(released).collect();
    ended.sort_by_key(|job| std::cmp::Reverse(job.record.number));
    let surplus = ended.iter().skip(limit).map(|job| Effect::DeleteJob(job.name.clone()));
    let kept = ended.iter().take(limit).filter(|job| !job.owned).map(|job| Effect::OwnJob(job.name.clone()));
    let unreleased = unreleased.iter().filter(|job| Some(job.name.as_str()) != starting);
    // Released meanwhile, it is another version.
    let unreleased = unreleased.map(|job| Effect::Cancel(Box::new(Unstarted { pod: None, ..unstarted(job) })));
    surplus.chain(kept).chain(unreleased).collect()
}

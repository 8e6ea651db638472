//! Which targets are migrated next: one batch for each server that has none, each of one approved plan; no I/O.

use super::{
    cohorts::{Cohort, Planned, Way},
    decide::{Decider, Look},
    member::{State, Target},
    waves,
};
use crate::{
    api::{BatchStatus, DatabaseMigration, RolloutStatus, WaveState},
    jobs::{BatchRecord, BatchRequest, Member},
};
use kube::ResourceExt;

/// Targets of a batch at the most: pause, budget and progress act after each.
const BATCH: usize = 250;
/// Bytes that the targets of a batch may take in its task, which is one environment variable.
const BATCH_BYTES: usize = 60 * 1024;
const WORKERS: i32 = 4;

impl Decider<'_> {
    /// The batches that may begin now: one for each server that has none, of one plan each.
    pub(super) fn next_batches(&self, look: &Look, rollout: &RolloutStatus) -> Vec<BatchRequest> {
        if self.set.suspended_by().is_some() {
            return Vec::new();
        }
        let current = waves::current(&rollout.waves);
        let open = match current {
            Some((number, wave)) if wave.state == WaveState::Running => number,
            // Those that have joined a wave which is through need wait for nobody, but for a rollout that is paused.
            Some((_, wave)) if wave.state == WaveState::Paused => return Vec::new(),
            Some((number, _)) if number > 0 => number - 1,
            Some(_) => return Vec::new(),
            None => look.tallies.len(),
        };
        let mut number = rollout.last_batch;
        let mut requests = Vec::new();
        for server in &self.set.spec.servers {
            if rollout.batches.iter().any(|batch| batch.server == server.name) {
                continue;
            }
            let eligible = |place: &usize| {
                look.members.get(*place).zip(look.states.get(*place)).is_some_and(|(member, state)| {
                    *state == State::Pending
                        && member.target.server == server.name
                        && look.waves.get(*place).is_some_and(|wave| *wave <= open)
                        && member.memory.pause(self.now).is_none()
                })
            };
            let next = look.cohorts.iter().find_map(|cohort| match &cohort.way {
                Way::Planned(planned) if planned.approval.approved => {
                    let places: Vec<usize> = cohort.members.iter().copied().filter(eligible).collect();
                    (!places.is_empty()).then_some((planned, places))
                }
                _ => None,
            });
            let Some((planned, places)) = next else { continue };
            number = number.saturating_add(1);
            let workers = usize::try_from(server.max_concurrent.unwrap_or(WORKERS)).unwrap_or(1).max(1);
            requests.push(self.request(look, planned, &places, (number, &server.name, workers)));
        }
        share(&mut requests, self.failures_left(look, rollout, open));
        requests
    }

    /// How many targets of the open wave may still fail, less what the batches at work may use up.
    fn failures_left(&self, look: &Look, rollout: &RolloutStatus, open: usize) -> usize {
        let tally = look.tallies.get(open.min(look.tallies.len().saturating_sub(1))).copied().unwrap_or_default();
        let given = rollout.batches.iter().map(|batch| usize::try_from(batch.failures_allowed).unwrap_or(0)).sum();
        waves::budget(&self.set.spec.rollout, tally.total).saturating_sub(tally.failed).saturating_sub(given)
    }

    fn request(
        &self,
        look: &Look,
        planned: &Planned,
        places: &[usize],
        (number, server, workers): (i64, &str, usize),
    ) -> BatchRequest {
        let mut bytes = 0;
        let mut targets: Vec<&Target> = Vec::new();
        for target in places.iter().filter_map(|place| look.members.get(*place)).map(|member| &member.target) {
            bytes += 2 * target.key().len()
                + [&target.database, &target.schema].into_iter().flatten().map(String::len).sum::<usize>()
                + 64;
            if targets.len() >= BATCH || bytes > BATCH_BYTES {
                break;
            }
            targets.push(target);
        }
        let record = BatchRecord {
            uid: self.set.uid().unwrap_or_default(),
            number,
            server: server.to_owned(),
            members: targets.iter().map(|target| target.key()).collect(),
        };
        let member = |target: &&Target| Member {
            name: target.name.clone(),
            database: target.database.clone(),
            schema: target.schema.clone(),
        };
        BatchRequest {
            image: planned.chosen.image.image.clone(),
            run: planned.run.clone(),
            members: targets.iter().map(member).collect(),
            workers: workers.min(targets.len()),
            failures_left: 0,
            x_of_each: self.set.spec.per_target.x.clone(),
            record,
        }
    }
}

/// Divides what may fail among batches that begin together: each knows of its own failures alone.
fn share(requests: &mut [BatchRequest], left: usize) {
    let count = requests.len().max(1);
    for (place, request) in requests.iter_mut().enumerate() {
        request.failures_left = left / count + usize::from(place < left % count);
    }
}

/// The batches as the status names them.
pub(super) fn started(object: &DatabaseMigration, batches: &[BatchRequest], cohorts: &[Cohort]) -> Vec<BatchStatus> {
    let transactional = |request: &BatchRequest| {
        let mut planned = cohorts.iter().filter_map(|cohort| match &cohort.way {
            Way::Planned(planned) => Some(planned),
            _ => None,
        });
        planned.any(|planned| planned.run == request.run && planned.transactional)
    };
    let status = |request: &BatchRequest| BatchStatus {
        job: request.name(object),
        number: request.record.number,
        server: request.record.server.clone(),
        targets: waves::number_of(request.members.len()),
        transactional: transactional(request),
        failures_allowed: waves::number_of(request.failures_left),
    };
    batches.iter().map(status).collect()
}

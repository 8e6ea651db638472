//! The decision on a set: from what was observed to batches, pages and the next status. Pure and total.

use super::{
    batches::started,
    cohorts::{Cohort, Way, chosen, cohorts},
    facts::{Facts, Withdrawn},
    left,
    member::{Line, Member, Memory, Seen, State, Target},
    plans, results,
    status::{MOST_REVISIONS, Ready, fitted, next_status},
    waves::{self, Tally},
};
use crate::{
    api::{
        ANNOTATION_PROMOTE, DatabaseMigration, DatabaseMigrationSet, DatabaseMigrationSetStatus, ImageStatus, Problem,
        Reason, RolloutStatus, Settled,
    },
    jobs::{BatchRequest, InspectRequest, Inspected, PodState, short_hash},
    reconcile::{ImageView, requested_at},
    text::{clean, rows_in_line, short_image},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub const WHILE_ACTIVE: Duration = Duration::from_secs(20);
pub(super) const SOON: Duration = Duration::from_secs(30);
/// Ended batches whose Jobs stay, for their logs.
const KEPT: usize = 5;

/// What is to be done, in this order: before the pages and the status are written, and after.
#[derive(Debug, Default)]
pub struct Decision {
    pub keep_inspection: Option<(String, Arc<Inspected>)>,
    pub inspect: Option<(InspectRequest, Target)>,
    pub batches: Vec<BatchRequest>,
    /// Batches that were never let begin and never are: their Jobs go before the status forgets them.
    pub withdraw: Vec<Withdrawn>,
    /// `None` leaves the pages as they are.
    pub lines: Option<Vec<Line>>,
    /// The plans as people read them; `None` leaves what is written of them.
    pub plans: Option<BTreeMap<String, String>>,
    pub status: DatabaseMigrationSetStatus,
    /// Batches that may begin, once the status names them.
    pub release: Vec<String>,
    /// Batches whose end is recorded: their Jobs go with the set from now on.
    pub own: Vec<String>,
    pub delete: Vec<String>,
    /// Whether the set has to stay until its batches have ended.
    pub finalizer: bool,
    pub next: Duration,
}

/// Decides on one set. `object` stands for any of its targets: the template, with the settings of the platform under it.
pub fn decide(set: &DatabaseMigrationSet, object: &DatabaseMigration, facts: &Facts, now: Timestamp) -> Decision {
    let mut decider = Decider::new(set, object, facts, now);
    let ready = decider.decide();
    decider.finish(ready)
}

pub(super) struct Decider<'a> {
    pub(super) set: &'a DatabaseMigrationSet,
    pub(super) object: &'a DatabaseMigration,
    pub(super) facts: &'a Facts,
    pub(super) now: Timestamp,
    pub(super) decision: Decision,
}

impl<'a> Decider<'a> {
    fn new(set: &'a DatabaseMigrationSet, object: &'a DatabaseMigration, facts: &'a Facts, now: Timestamp) -> Self {
        let status = set.status.clone().unwrap_or_default();
        let decision = Decision { status, next: super::interval(set), ..Decision::default() };
        Self { set, object, facts, now, decision }
    }

    fn finish(self, ready: Ready) -> Decision {
        let Self { set, facts, now, mut decision, .. } = self;
        decision.status = fitted(next_status(set, std::mem::take(&mut decision.status), &ready, now));
        let rollout = decision.status.rollout.as_ref();
        let named: BTreeSet<&str> =
            rollout.iter().flat_map(|rollout| rollout.batches.iter().map(|batch| batch.job.as_str())).collect();
        decision.finalizer = !named.is_empty();
        decision.release = facts
            .batches
            .iter()
            .filter(|batch| set.may_begin() && batch.suspended && named.contains(batch.status.job.as_str()))
            .map(|batch| batch.status.job.clone())
            .chain(decision.batches.iter().map(|batch| batch.name(self.object)))
            .collect();
        // One that nobody let begin is of a pass that broke off; the ended ones go one after the other.
        let mut others: Vec<_> = facts.others.iter().filter(|other| !named.contains(other.job.as_str())).collect();
        others.sort_by_key(|other| std::cmp::Reverse((!other.suspended, other.number)));
        let deleting = set.metadata.deletion_timestamp.is_some() && named.is_empty();
        let surplus = others.iter().enumerate().filter(|(place, other)| deleting || other.suspended || *place >= KEPT);
        decision.delete.extend(surplus.map(|(_, other)| other.job.clone()));
        let forgotten = || facts.batches.iter().filter(|batch| !named.contains(batch.status.job.as_str()));
        decision.withdraw = forgotten().filter_map(|batch| batch.withdrawn.clone()).collect();
        let recorded = forgotten().filter(|batch| batch.there && batch.withdrawn.is_none());
        let unowned = others.iter().filter(|other| !other.owned && !decision.delete.contains(&other.job));
        decision.own =
            recorded.map(|batch| &batch.status.job).chain(unowned.map(|other| &other.job)).cloned().collect();
        decision.delete.extend(facts.obsolete.iter().cloned());
        decision
    }

    fn hold(&mut self, problem: Problem) -> Ready {
        self.decision.next = self.decision.next.min(SOON);
        Ready::of(problem)
    }

    fn decide(&mut self) -> Ready {
        let facts = self.facts;
        let at_work = facts.batches.iter().filter(|batch| !batch.has_ended()).count();
        if self.set.metadata.deletion_timestamp.is_some() {
            return self.deleting(at_work);
        }
        if let Some(problem) = &facts.problem {
            return self.hold(problem.clone());
        }
        if !facts.looked {
            self.decision.next = WHILE_ACTIVE;
            return self.working();
        }
        let image = match self.image() {
            Ok(image) => image,
            Err(ready) => return ready,
        };
        // What every target would say is said once.
        if let Err(problem) = chosen(self.object, facts, &image, &BTreeSet::new(), 0) {
            return self.hold(problem);
        }
        self.rollout(&image)
    }

    fn deleting(&mut self, at_work: usize) -> Ready {
        self.decision.next = WHILE_ACTIVE;
        if at_work > 0 {
            return self.working();
        }
        if let Some(rollout) = &mut self.decision.status.rollout {
            rollout.batches.clear();
        }
        Ready::of(Problem::new(Reason::Suspended, "the set is being deleted; no database is touched"))
    }

    /// The image of the spec, or why it is not known.
    fn image(&mut self) -> Result<Arc<Inspected>, Ready> {
        let facts = self.facts;
        let short = short_image(&self.object.spec.image);
        let Some(wanted) = &facts.wanted else {
            return Err(Ready::of(Problem::new(Reason::AtTarget, "there is no target")));
        };
        let image = match &facts.image {
            ImageView::Stored(image) => image,
            ImageView::Reported { job, image } => {
                self.decision.keep_inspection = Some((wanted.key.clone(), image.clone()));
                self.decision.delete.push(job.clone());
                image
            }
            ImageView::Failed { problem, .. } => return Err(self.hold(problem.clone())),
            ImageView::InProgress(job) => {
                self.decision.next = WHILE_ACTIVE;
                let problem = match &job.state {
                    PodState::Blocked(trouble) => trouble.problem(&job.name),
                    _ => Problem::new(
                        Reason::Inspecting,
                        format!("Job {} reads the revision files in {short}", job.name),
                    ),
                };
                return Err(Ready::of(problem));
            }
            ImageView::InProgressElsewhere | ImageView::Absent | ImageView::NotLooked => {
                self.decision.next = WHILE_ACTIVE;
                if let Some(example) = &facts.example {
                    self.decision.inspect = Some((wanted.clone(), example.clone()));
                }
                let message = format!("a Job reads the revision files in {short}");
                return Err(Ready::of(Problem::new(Reason::Inspecting, message)));
            }
        };
        let status = &mut self.decision.status;
        status.image = Some(ImageStatus {
            reference: self.object.spec.image.clone(),
            name: short_image(&self.object.spec.image),
            digest: image.digest.clone(),
            alembic: Some(image.inspection.alembic.clone()),
            inspection: Some(wanted.id.clone()),
        });
        if !status.images.contains(&image.image) {
            status.images.insert(0, image.image.clone());
            status.images.truncate(10);
        }
        Ok(image.clone())
    }

    fn rollout(&mut self, image: &Arc<Inspected>) -> Ready {
        let (set, facts, now) = (self.set, self.facts, self.now);
        let left = left::lines(facts);
        let mut members = facts.members.clone();
        members.extend(left.iter().map(|line| left::member(line)));
        let requested = requested_at(self.object).map(str::to_owned);
        let asked = requested.is_some() && requested != self.decision.status.last_handled_reconcile_at;
        self.decision.status.last_handled_reconcile_at = requested;
        self.decision.status.looked_generation = set.metadata.generation;
        let mut rollout = self.decision.status.rollout.clone().unwrap_or_default();
        results::record(&mut members, &mut rollout, facts, self.object.spec.retry.limit, now);
        let to = to(self.object, facts, image);
        let key = self.key(image, &to);
        let superseded = rollout.key != key && !rollout.batches.is_empty();
        if rollout.key != key && !superseded {
            rollout = RolloutStatus {
                number: rollout.number.saturating_add(1),
                key,
                image: image.image.clone(),
                to: to.iter().take(MOST_REVISIONS).map(|row| clean(row, 64)).collect(),
                last_batch: rollout.last_batch,
                ..RolloutStatus::default()
            };
        }
        // Who says that it is meant that many have gone does not ask for another try of the others.
        if asked && !facts.vanished {
            members.iter_mut().filter(|member| member.memory.batch == 0).for_each(|m| m.memory = Memory::default());
        }
        let left = left::kept(&left, &members.split_off(facts.members.len()), rollout.number);
        let cohorts = cohorts(self.object, facts, image, &members, rollout.number);
        let states = states(&members, &cohorts, &rollout);
        let waves: Vec<usize> = {
            let uid = set.uid().unwrap_or_default();
            members.iter().map(|member| waves::wave_of(&uid, &set.spec.rollout, &member.target)).collect()
        };
        let names = waves::names(&set.spec.rollout);
        let tallies = tallies(&states, &waves, names.len());
        let promoted = |wave: &str| {
            set.annotations()
                .get(ANNOTATION_PROMOTE)
                .is_some_and(|given| given.split(',').any(|one| one.trim() == format!("{}/{wave}", rollout.number)))
        };
        rollout.waves = waves::advance(&set.spec.rollout, &rollout.waves, &tallies, now, promoted);
        rollout.plans = cohorts.iter().filter_map(super::cohorts::shown).take(8).collect();
        self.decision.plans = plans::changed(self.object, &cohorts, self.decision.status.rollout.as_ref(), &rollout);
        rollout.config_map = (!rollout.plans.is_empty()).then(|| plans::name(self.object));
        let look = Look { members: &members, states: &states, waves: &waves, cohorts: &cohorts, tallies: &tallies };
        let batches = if superseded { Vec::new() } else { self.next_batches(&look, &rollout) };
        for request in &batches {
            rollout.last_batch = rollout.last_batch.max(request.record.number);
        }
        let started = started(self.object, &batches, &cohorts);
        rollout.batches.extend(started);
        let ready = self.ready(&look, &rollout, superseded);
        self.write(members, states, &waves, &names, &rollout, &batches);
        self.decision.lines.get_or_insert_default().extend(left);
        if rollout.batches.is_empty()
            && self.decision.status.targets.failed == 0
            && ready.problem.reason == Reason::AtTarget
        {
            self.decision.status.settled =
                Some(Settled { revisions: rollout.to.clone(), image: rollout.image.clone() });
        }
        self.decision.status.rollout = Some(rollout);
        self.decision.batches = batches;
        ready
    }

    /// What a rollout is for. An approval is for one, and so for the servers of the set as they are.
    fn key(&self, image: &Inspected, to: &BTreeSet<String>) -> String {
        let spec = &self.set.spec;
        let template = serde_json::to_string(&spec.template).unwrap_or_default();
        let per_target = serde_json::to_string(&spec.per_target).unwrap_or_default();
        let to = to.iter().cloned().collect::<Vec<_>>().join("\n");
        short_hash(&[&template, &per_target, &image.image, &to, &self.facts.places.join("\n")], 16)
    }

    fn write(
        &mut self,
        mut members: Vec<Member>,
        mut states: Vec<State>,
        waves: &[usize],
        names: &[&str],
        rollout: &RolloutStatus,
        batches: &[BatchRequest],
    ) {
        let given: BTreeMap<&str, i64> = batches
            .iter()
            .flat_map(|batch| batch.record.members.iter().map(|key| (key.as_str(), batch.record.number)))
            .collect();
        for (member, state) in members.iter_mut().zip(&mut states) {
            if let Some(batch) = given.get(member.target.key().as_str()) {
                member.memory = Memory { rollout: rollout.number, batch: *batch, ..member.memory.clone() };
                *state = State::Running;
            } else if *state == State::AtTarget {
                member.memory = Memory::default();
            }
        }
        let name = |wave: &usize| names.get(*wave).copied().unwrap_or(waves::REST);
        let lines = members
            .iter()
            .zip(&states)
            .zip(waves)
            .map(|((member, state), wave)| Line::new(member, state, name(wave)))
            .collect();
        self.decision.lines = Some(lines);
        super::status::count(&mut self.decision.status, &members, &states);
        self.decision.status.to = Some(rows_in_line(&rollout.to.iter().cloned().collect()));
    }
}

/// What a decision looks at again and again.
pub(super) struct Look<'a> {
    pub(super) members: &'a [Member],
    pub(super) states: &'a [State],
    /// The wave of each.
    pub(super) waves: &'a [usize],
    pub(super) cohorts: &'a [Cohort],
    pub(super) tallies: &'a [Tally],
}

/// The rows of a target that is where it should be.
fn to(object: &DatabaseMigration, facts: &Facts, image: &Arc<Inspected>) -> BTreeSet<String> {
    chosen(object, facts, image, &BTreeSet::new(), 0).map(|chosen| chosen.plan.end).unwrap_or_default()
}

/// Where each target stands.
pub fn states(members: &[Member], cohorts: &[Cohort], rollout: &RolloutStatus) -> Vec<State> {
    let mut ways: Vec<Option<&Way>> = vec![None; members.len()];
    for cohort in cohorts {
        for place in &cohort.members {
            if let Some(way) = ways.get_mut(*place) {
                *way = Some(&cohort.way);
            }
        }
    }
    let at_work = |batch: i64| rollout.batches.iter().any(|known| known.number == batch);
    let state = |(member, way): (&Member, Option<&Way>)| {
        let memory = &member.memory;
        let held = memory.held && memory.rollout == rollout.number;
        match (&member.seen, way) {
            _ if memory.batch > 0 && at_work(memory.batch) => State::Running,
            (Seen::Unreadable(problem), _) => State::Held(problem.clone()),
            (Seen::Rows(_), Some(Way::AtTarget)) => State::AtTarget,
            _ if held => State::Held(Problem::new(
                Reason::parse(&memory.reason).unwrap_or(Reason::RunLost),
                memory.message.clone(),
            )),
            (Seen::Rows(_), Some(Way::None(problem))) => State::Held(problem.clone()),
            (Seen::Rows(_), Some(Way::Planned(_)) | None) => State::Pending,
        }
    };
    members.iter().zip(ways).map(state).collect()
}

fn tallies(states: &[State], waves: &[usize], count: usize) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); count];
    for (state, wave) in states.iter().zip(waves) {
        let Some(tally) = tallies.get_mut(*wave) else { continue };
        tally.total += 1;
        tally.done += usize::from(*state == State::AtTarget);
        tally.failed += usize::from(matches!(state, State::Held(_)));
    }
    tallies
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crash_tests;

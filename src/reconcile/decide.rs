//! The decision: from what was observed to the effects, the next status and the time of the next look. Pure and total:
//! no I/O, no clock, no failure.

use super::{
    checks::{
        Chosen, Drift, Gate, choose, describe, direction_name, drift, gate, heads_condition, plan_problem,
        repeats_by_itself, requested_at, run_status, spec_problem, summary_of_run, usable_graph,
    },
    observed::{DatabaseView, ImageView, JobView, Observed, Problem, RunView, Wanted},
    status::{Draft, summary},
};
use crate::{
    api::{
        ConditionType, DatabaseMigration, DatabaseMigrationStatus, FINALIZER, Kind, Reason, RunResult, parse_duration,
    },
    db::VersionRows,
    revisions::{Direction, Target},
    runner::{Inspected, PodState, Run, RunRecord, Trouble},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(30);
const DEFAULT_HISTORY: usize = 3;
/// How soon to look again where a mended Secret, image or database would let things go on.
const SOON: Duration = Duration::from_secs(30);
/// How soon to look again while a pod works; its end is watched, this is for a lost watch event.
const WHILE_ACTIVE: Duration = Duration::from_secs(15);
/// How soon to look again at a Job without a pod: the API server's refusal is an event that is not watched.
const WITHOUT_POD: Duration = Duration::from_secs(2);

/// Something to do to the world. Each is idempotent: a repeated pass may do it again.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Create the Job that inspects the spec's image.
    Inspect(Wanted),
    /// Keep what an inspect Job reported in a ConfigMap.
    KeepInspection { key: String, image: Arc<Inspected> },
    /// Own a stored inspection together with the other objects that use it.
    ShareInspection { key: String, image: Arc<Inspected> },
    /// Create the Job of a run, with everything that it needs around it.
    Run(Box<(RunRecord, Run)>),
    /// Let a deletion go through.
    RemoveFinalizer,
    /// Delete a Job and its pod.
    DeleteJob(String),
    /// Tell people.
    Event { warning: bool, reason: String, note: String },
}

/// When to look again, unless something that is watched changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    After(Duration),
    /// At the probe interval, with a jitter.
    Interval(Duration),
    /// After a pause that grows as long as this goes on.
    BackOff,
}

/// What to do now.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Done before the status is written.
    pub effects: Vec<Effect>,
    pub status: DatabaseMigrationStatus,
    /// Done after it: what relies on the status being stored.
    pub after: Vec<Effect>,
    pub next: Next,
}

/// Decides on one object.
pub fn decide(object: &DatabaseMigration, observed: &Observed, now: Timestamp) -> Decision {
    let mut pass =
        Pass { object, observed, now, draft: Draft::new(object, now), effects: Vec::new(), after: Vec::new() };
    let next = pass.decide();
    pass.clean_up();
    pass.tell_transition();
    Decision { effects: pass.effects, status: pass.draft.status, after: pass.after, next }
}

struct Pass<'a> {
    object: &'a DatabaseMigration,
    observed: &'a Observed,
    now: Timestamp,
    draft: Draft,
    effects: Vec<Effect>,
    after: Vec<Effect>,
}

impl Pass<'_> {
    fn decide(&mut self) -> Next {
        let rows = self.rows();
        let mut ours = false;
        if let Some(run) = &self.observed.run {
            match run_status(run, rows.as_ref()) {
                Some(status) => {
                    self.tell_end(&status);
                    self.draft.record(status);
                    ours = true;
                }
                None => match self.active(run) {
                    Some(next) => return next,
                    None => return Next::After(Duration::ZERO),
                },
            }
        }
        if self.deleting() {
            return Next::Interval(DEFAULT_INTERVAL);
        }
        if let Some(problem) = spec_problem(&self.object.spec) {
            return self.stop(&problem);
        }
        self.handle_database(rows, ours)
    }

    /// A run that has not ended. `None` when it was given up because it could not begin.
    fn active(&mut self, run: &RunView) -> Option<Next> {
        let note = summary_of_run(&run.record, &run.job.name);
        let reason = if run.record.direction == "downgrade" { Reason::Downgrading } else { Reason::Migrating };
        let next = match &run.job.state {
            PodState::Running | PodState::Ended(_) => {
                self.draft.verdict(reason, &note);
                Next::After(WHILE_ACTIVE)
            }
            PodState::Waiting => {
                self.draft.verdict(reason, &note);
                Next::After(WITHOUT_POD)
            }
            PodState::Blocked(_) if self.superseded(run) => {
                self.give_up(run);
                return None;
            }
            PodState::Blocked(trouble) => {
                self.draft.problem(&problem_of(trouble, &run.job));
                Next::After(WHILE_ACTIVE)
            }
        };
        Some(next)
    }

    /// A pod that can't begin holds nothing up once something else is wanted.
    fn superseded(&self, run: &RunView) -> bool {
        self.deleting()
            || Some(run.record.generation) != self.object.metadata.generation
            || run.record.requested_at.as_deref() != requested_at(self.object)
    }

    fn give_up(&mut self, run: &RunView) {
        let job = JobView { state: PodState::Ended(crate::runner::Ended::default()), ..run.job.clone() };
        if let Some(mut status) = run_status(&RunView { job, record: run.record.clone() }, None) {
            status.message = Some("its pod could not start, and something else was asked for meanwhile".to_owned());
            self.draft.record(status);
        }
        self.effects.push(Effect::DeleteJob(run.job.name.clone()));
        self.draft.verdict(Reason::RunInterrupted, "the pod of a run that could not start is taken away");
    }

    fn deleting(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    fn rows(&self) -> Option<BTreeSet<String>> {
        match &self.observed.database {
            DatabaseView::Seen(snapshot) if self.table_is_known() => Some(match &snapshot.rows {
                VersionRows::NoTable => BTreeSet::new(),
                VersionRows::Rows(rows) => rows.clone(),
            }),
            _ => None,
        }
    }

    /// Before the image was inspected nobody knows which table env.py uses, so what was read means nothing.
    fn table_is_known(&self) -> bool {
        self.image().is_some() || self.object.spec.database.version_table.is_some()
    }

    fn image(&self) -> Option<&Arc<Inspected>> {
        match &self.observed.image {
            ImageView::Stored(image) | ImageView::Reported { image, .. } => Some(image),
            _ => None,
        }
    }

    fn handle_database(&mut self, rows: Option<BTreeSet<String>>, ours: bool) -> Next {
        let snapshot = match &self.observed.database {
            DatabaseView::Failed(problem) => return self.stop(&problem.clone()),
            DatabaseView::NotLooked => return Next::After(WHILE_ACTIVE),
            DatabaseView::Seen(snapshot) => snapshot,
        };
        let before = self.object.status.clone().unwrap_or_default();
        if let Some(rows) = &rows {
            self.draft.database(snapshot, rows);
        }
        let Some(image) = self.inspection() else { return self.without_image() };
        let rows = rows.unwrap_or_default();
        let chosen = self.plan(&image, &rows);
        let at_target = chosen.as_ref().is_ok_and(|c| c.plan.direction == Direction::None);
        self.note_drift(&drift(&before, &rows, at_target, ours));
        match chosen {
            Err(problem) => {
                self.draft.unplanned(problem.reason.as_str(), &problem.message);
                self.stop(&problem)
            }
            Ok(chosen) if at_target => self.at_target(&chosen),
            Ok(chosen) => self.towards(&chosen),
        }
    }

    /// The image, once it is known; keeps a fresh report, and a share in a stored one.
    fn inspection(&mut self) -> Option<Arc<Inspected>> {
        let wanted = self.observed.wanted.as_ref()?;
        let image = match &self.observed.image {
            ImageView::Stored(image) => {
                let recorded = self.object.status.as_ref().and_then(|s| s.image.as_ref());
                let news = recorded.is_none_or(|i| i.digest != image.digest || i.reference != self.object.spec.image);
                if news {
                    self.effects.push(Effect::ShareInspection { key: wanted.key.clone(), image: image.clone() });
                }
                image
            }
            ImageView::Reported { job, image } => {
                self.effects.push(Effect::KeepInspection { key: wanted.key.clone(), image: image.clone() });
                self.after.push(Effect::DeleteJob(job.clone()));
                image
            }
            _ => return None,
        };
        self.draft.image(&self.object.spec.image, &wanted.id, image);
        // A request is handled once the image that it asks to look at has been looked at.
        self.draft.status.last_handled_reconcile_at = requested_at(self.object).map(|r| crate::text::clean(r, 256));
        Some(image.clone())
    }

    fn without_image(&mut self) -> Next {
        self.draft.set(ConditionType::Planned, "Unknown", "NotPlanned", "the image is not inspected yet");
        let working = |pass: &mut Self, message: String| pass.draft.verdict(Reason::Inspecting, &message);
        match &self.observed.image {
            ImageView::Failed { job, problem } => {
                let problem = problem.clone();
                let repeat = repeats_by_itself(problem.reason) && self.is_old(job);
                if repeat {
                    self.after.push(Effect::DeleteJob(job.name.clone()));
                }
                self.stop(&problem)
            }
            ImageView::InProgress(job) => {
                if let PodState::Blocked(trouble) = &job.state {
                    self.draft.problem(&problem_of(trouble, job));
                    return Next::After(WHILE_ACTIVE);
                }
                let waiting = job.state == PodState::Waiting;
                working(self, format!("Job {} reads the revision files in {}", job.name, self.object.spec.image));
                Next::After(if waiting { WITHOUT_POD } else { WHILE_ACTIVE })
            }
            ImageView::InProgressElsewhere => {
                working(
                    self,
                    format!("the revision files in {} are being read for another object", self.object.spec.image),
                );
                Next::After(WITHOUT_POD)
            }
            ImageView::Absent => match self.observed.wanted.clone() {
                Some(_) if self.object.spec.suspend => {
                    self.draft.verdict(Reason::Suspended, "suspended, and the image is not inspected yet");
                    self.interval()
                }
                Some(wanted) => {
                    working(self, format!("Job {} reads the revision files in {}", wanted.job, self.object.spec.image));
                    self.effects.push(Effect::Inspect(wanted));
                    Next::After(WITHOUT_POD)
                }
                None => self.interval(),
            },
            _ => self.interval(),
        }
    }

    fn is_old(&self, job: &JobView) -> bool {
        job.created.is_some_and(|created| self.now.duration_since(created).as_secs() >= SOON.as_secs() as i64)
    }

    fn plan(&mut self, image: &Arc<Inspected>, rows: &BTreeSet<String>) -> Result<Chosen, Problem> {
        let graph = usable_graph(image)?;
        let (single, reason, message) = heads_condition(graph, &self.object.spec.target_revision);
        self.draft.set(ConditionType::SingleHead, if single { "True" } else { "False" }, reason, &message);
        let target = Target::parse(&self.object.spec.target_revision)
            .map_err(|e| Problem::new(Reason::InvalidTarget, format!("spec.targetRevision: {e}")))?;
        let resolved = graph.resolve_target(&target).ok();
        self.draft.graph(&graph.heads(), resolved.as_deref());
        let status = self.draft.status.clone();
        let chosen = choose(image, &self.observed.remembered, &status, &target, rows)?;
        self.draft.plan(&chosen);
        Ok(chosen)
    }

    fn note_drift(&mut self, drift: &Drift) {
        if let Drift::Changed { message } = drift {
            self.tell(true, "RevisionChanged", message);
        }
        self.draft.drift(drift);
    }

    fn at_target(&mut self, chosen: &Chosen) -> Next {
        self.draft.verdict(Reason::AtTarget, &format!("the version rows are {}", describe(&chosen.plan.end)));
        self.interval()
    }

    fn towards(&mut self, chosen: &Chosen) -> Next {
        let spec = &self.object.spec;
        if let Some(problem) = plan_problem(chosen, spec.policy.downgrade) {
            return self.stop(&problem);
        }
        if spec.suspend {
            self.draft.verdict(Reason::Suspended, &format!("suspended; {} waits", summary(chosen)));
            return self.interval();
        }
        let generation = self.object.metadata.generation.unwrap_or_default();
        let requested = requested_at(self.object).map(str::to_owned);
        match gate(self.draft.status.last_run.as_ref(), generation, requested.as_deref(), self.now) {
            Gate::Open { attempts } => self.start(chosen, generation, requested, attempts),
            Gate::Closed(problem) => self.stop(&problem),
            Gate::Wait { pause, problem } => {
                let message = format!("{}; tried again in {} s", problem.message, pause.as_secs().max(1));
                // The seconds would make every look another status.
                let known =
                    self.object.status.as_ref().is_some_and(|s| s.has_reason(ConditionType::Ready, problem.reason));
                if !known || self.observed.run.is_some() {
                    self.draft.verdict(problem.reason, &message);
                }
                Next::After(pause)
            }
        }
    }

    fn start(&mut self, chosen: &Chosen, generation: i64, requested_at: Option<String>, attempts: i32) -> Next {
        let plan = &chosen.plan;
        let list = |rows: &BTreeSet<String>| rows.iter().cloned().collect::<Vec<_>>();
        let direction = direction_name(plan.direction).to_owned();
        let record = RunRecord {
            number: self.draft.status.recorded_runs().saturating_add(1),
            plan_hash: chosen.hash.clone(),
            direction: direction.clone(),
            from: list(&plan.from),
            to: list(&plan.end),
            image: chosen.image.image.clone(),
            generation,
            requested_at,
            attempts,
        };
        let lock = self.object.spec.timeouts.lock.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_LOCK_WAIT);
        let run = Run {
            direction,
            from: list(&plan.from),
            targets: plan.targets.clone(),
            branch: plan.branch.clone(),
            end: list(&plan.end),
            steps: plan.steps.len(),
            steps_digest: chosen.steps_digest.clone(),
            lock_wait_seconds: lock.as_secs(),
        };
        let down = plan.direction == Direction::Downgrade;
        let reason = if down { Reason::Downgrading } else { Reason::Migrating };
        self.draft.verdict(reason, &format!("{} in {}", summary(chosen), record.image));
        self.tell(false, "MigrationStarted", &format!("{} in {}", summary(chosen), record.image));
        self.effects.push(Effect::Run(Box::new((record, run))));
        Next::After(WITHOUT_POD)
    }

    /// A problem, and when to see whether it has gone.
    fn stop(&mut self, problem: &Problem) -> Next {
        self.draft.problem(problem);
        match problem.reason {
            Reason::DatabaseUnreachable => Next::BackOff,
            reason if reason.kind() == Kind::Stalled => match self.interval() {
                Next::Interval(interval) => Next::Interval(interval.min(SOON)),
                other => other,
            },
            _ => self.interval(),
        }
    }

    fn interval(&self) -> Next {
        let interval = self.object.spec.database.probe.interval.as_deref().and_then(parse_duration);
        Next::Interval(interval.unwrap_or(DEFAULT_INTERVAL))
    }

    /// Removes what is no longer needed, whatever was decided.
    fn clean_up(&mut self) {
        let ended = self.observed.run.as_ref().is_none_or(|run| matches!(run.job.state, PodState::Ended(_)));
        let starting = self.effects.iter().any(|e| matches!(e, Effect::Run(_)));
        let gave_up = self.effects.iter().any(|e| matches!(e, Effect::DeleteJob(_)));
        if (ended || gave_up) && !starting && self.object.finalizers().iter().any(|f| f == FINALIZER) {
            self.after.push(Effect::RemoveFinalizer);
        }
        let limit = self.object.spec.history_limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(DEFAULT_HISTORY);
        let mut runs = self.observed.old_runs.clone();
        runs.sort_by_key(|run| std::cmp::Reverse(run.number));
        let just_ended = usize::from(self.observed.run.is_some() && ended);
        let surplus = runs.into_iter().skip(limit.saturating_sub(just_ended)).map(|run| Effect::DeleteJob(run.job));
        let inspections = self.observed.old_inspections.iter().cloned().map(Effect::DeleteJob);
        self.after.extend(surplus.chain(inspections));
    }

    fn tell(&mut self, warning: bool, reason: &str, note: &str) {
        self.after.push(Effect::Event { warning, reason: reason.to_owned(), note: crate::text::clean(note, 900) });
    }

    fn tell_end(&mut self, run: &crate::api::RunStatus) {
        let (from, to) = (run.from.join(","), run.to.join(","));
        match run.result {
            RunResult::Succeeded => {
                let note = format!("{} from {} to {} in {}", run.direction, or_base(&from), or_base(&to), run.image);
                self.tell(false, "MigrationSucceeded", &note);
            }
            RunResult::Failed | RunResult::Lost => {
                let note = run.message.clone().unwrap_or_default();
                self.tell(true, "MigrationFailed", &note);
            }
            // The verdict tells a refusal.
            RunResult::Refused => {}
        }
    }

    /// An event for each change of the Ready reason that the run's own events do not tell.
    fn tell_transition(&mut self) {
        let reason =
            |status: &DatabaseMigrationStatus| status.condition(ConditionType::Ready).map(|c| c.reason.clone());
        let before = self.object.status.as_ref().and_then(reason);
        let Some(ready) = self.draft.status.condition(ConditionType::Ready).cloned() else { return };
        let told = ["Migrating", "Downgrading", "Inspecting", "MigrationFailed", "NotChecked"];
        if before.as_deref() == Some(ready.reason.as_str()) || told.contains(&ready.reason.as_str()) {
            return;
        }
        let calm = matches!(Reason::parse(&ready.reason).map(Reason::kind), Some(Kind::Ready | Kind::Held));
        self.tell(!calm, &ready.reason, &ready.message);
    }
}

fn or_base(rows: &str) -> &str {
    if rows.is_empty() { "base" } else { rows }
}

fn problem_of(trouble: &Trouble, job: &JobView) -> Problem {
    match trouble {
        Trouble::ImagePull(message) => Problem::new(Reason::ImagePullFailed, format!("Job {}: {message}", job.name)),
        Trouble::Rejected(message) => Problem::new(Reason::PodRejected, format!("Job {}: {message}", job.name)),
    }
}

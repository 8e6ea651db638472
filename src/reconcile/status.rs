//! The only writer of the status: the next one from the one before it and from what a decision says. Conditions keep their
//! transition times, and what this pass did not compute keeps the generation that it was about; lists stay short. No I/O.

use super::{
    checks::{Chosen, Replaced, direction_name, empty_downgrades, replaced, requested_at},
    effects::{Effect, Note, Step},
    size::fitted,
};
use crate::{
    api::{
        CancelledRun, ConditionType, DatabaseMigration, DatabaseMigrationStatus, DatabaseStatus, ImageStatus, Pending,
        PlanStatus, Problem, Reason, ReasonKind, RunRecord, RunResult, RunStatus, StageResult, SucceededRun,
        UnfinishedRun, Waiting, When,
    },
    db::Snapshot,
    jobs::Inspected,
    lint::{Code, Finding, Severity},
    revisions::Direction,
    text::{self, rows_in_line},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};
use std::collections::BTreeSet;

/// Entries that the status keeps of what could be long; etcd and every watch carry all of it.
const MAX_HISTORY: usize = 10;
const MAX_PENDING: usize = 10;
const MAX_IMAGES: usize = 10;
const MAX_LISTED: usize = 50;
/// Bytes of a condition's message.
const MAX_MESSAGE: usize = 1024;
/// Bytes of the live rows.
const MAX_ROWS: usize = 2048;

/// For how long something may be late before it is a fault: a Secret that is created with the object, an image that is still
/// being pushed, a node that an autoscaler adds.
const GRACE: SignedDuration = SignedDuration::from_mins(5);

/// The status with a run recorded that has just ended: what a decision is made on.
pub fn recorded(mut status: DatabaseMigrationStatus, ended: Option<&RunStatus>) -> DatabaseMigrationStatus {
    let Some(run) = ended else { return status };
    let runs = &mut status.runs;
    let record = runs.active.take().unwrap_or_default();
    runs.cancelled = None;
    match run.result {
        RunResult::Succeeded => {
            runs.last_success = Some(SucceededRun { run: record, job: run.job.clone() });
            runs.unfinished = None;
        }
        RunResult::Failed | RunResult::Lost => {
            let RunRecord { number, direction, from, .. } = record;
            runs.unfinished = Some(UnfinishedRun { number, direction, from });
        }
        RunResult::Refused => {}
    }
    // The image that brought the database where it is must be known even when its inspection was never recorded.
    if !status.images.contains(&run.record.image) {
        remember(&mut status, &run.record.image);
    }
    if let Some(before) = status.last_run.replace(run.clone()) {
        status.history.insert(0, before);
        status.history.truncate(MAX_HISTORY - 1);
    }
    status
}

fn remember(status: &mut DatabaseMigrationStatus, image: &str) {
    status.images.insert(0, image.to_owned());
    status.images.truncate(MAX_IMAGES);
}

/// The next status. `memory` is what [`recorded`] made of the one before.
pub fn next_status(
    object: &DatabaseMigration,
    memory: &DatabaseMigrationStatus,
    step: &Step,
    now: Timestamp,
) -> DatabaseMigrationStatus {
    let mut writer = Writer::new(object, memory.clone(), now);
    for note in &step.notes {
        writer.note(note);
    }
    for effect in &step.before {
        if let Effect::Start(start) = effect {
            let record = start.record();
            writer.status.runs.started = record.number;
            writer.status.runs.active = Some(record);
        }
    }
    if let Some(Problem { reason, message }) = step.stop.as_ref().and_then(|stop| stop.ready.as_ref()) {
        writer.ready(*reason, message);
    }
    writer.forget_rehearsal();
    fitted(writer.status)
}

/// The status in the making.
struct Writer<'a> {
    object: &'a DatabaseMigration,
    status: DatabaseMigrationStatus,
    now: Timestamp,
}

impl<'a> Writer<'a> {
    /// Starts from what is known, with every condition present.
    fn new(object: &'a DatabaseMigration, mut status: DatabaseMigrationStatus, now: Timestamp) -> Self {
        if status.observed_generation != object.metadata.generation {
            status.waiting = None;
        }
        status.observed_generation = object.metadata.generation;
        status.target.get_or_insert_with(|| text::clean(&object.spec.target_revision, 128));
        let mut writer = Self { object, status, now };
        for type_ in ConditionType::ALL {
            if writer.status.condition(type_).is_none() {
                writer.set(type_, "Unknown", "NotChecked", "not looked at yet");
            }
        }
        writer
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Database(snapshot, rows) => self.database(snapshot, rows),
            Note::Image { id, image } => self.image(id, image),
            Note::Graph { heads, target } => self.graph(heads, target.as_deref()),
            Note::Plan(plan, shown) => self.plan(plan, shown),
            Note::Unplanned(problem) => self.unplanned(problem),
            Note::Cancelled(why) => {
                let told = |Problem { reason, message }: Problem| CancelledRun { reason: reason.to_string(), message };
                self.status.runs.cancelled = why.clone().map(told);
            }
            Note::AtWork => self.status.waiting = None,
            Note::Condition(type_, status, reason, message) => self.set(*type_, status, reason, message),
            Note::Stage(change) => self.status.stages.record((**change).clone()),
            Note::Drift(drift) => self.status.drift = drift.clone(),
            Note::Baseline(run) => self.status.runs.baseline = Some(*run),
        }
    }

    /// Sets one condition.
    fn set(&mut self, type_: ConditionType, status: &str, reason: &str, message: &str) {
        let before = self.status.conditions.iter().position(|c| c.type_ == type_.as_str());
        let since = before
            .and_then(|i| self.status.conditions.get(i))
            .filter(|c| c.status == status)
            .map_or_else(|| Time(self.now), |c| c.last_transition_time.clone());
        let condition = Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: text::fit(&text::clean(message, MAX_MESSAGE), MAX_MESSAGE),
            observed_generation: self.object.metadata.generation,
            last_transition_time: since,
        };
        match before.and_then(|i| self.status.conditions.get_mut(i)) {
            Some(existing) => *existing = condition,
            None => self.status.conditions.push(condition),
        }
    }

    /// Sets Ready, Reconciling and Stalled together, so that kstatus reads them as one state.
    fn ready(&mut self, reason: Reason, message: &str) {
        let was_ready = self.status.is_true(ConditionType::Ready)
            || self
                .status
                .condition(ConditionType::Ready)
                .is_some_and(|c| c.status == "Unknown" && c.reason == reason.as_str());
        let (ready, reconciling, stalled) = match reason.kind() {
            ReasonKind::Ready => ("True", "False", "False"),
            // A database that was at its target probably still is; nobody knows.
            ReasonKind::Working if reason == Reason::DatabaseUnreachable && was_ready => ("Unknown", "True", "False"),
            ReasonKind::Working => ("False", "True", "False"),
            ReasonKind::Late if self.is_in_grace(reason) => ("False", "True", "False"),
            ReasonKind::Late | ReasonKind::Stalled => ("False", "False", "True"),
            ReasonKind::Held => ("False", "False", "False"),
        };
        // Something at work in between does not make it new.
        if !matches!(reason.kind(), ReasonKind::Late | ReasonKind::Working) {
            self.status.waiting = None;
        }
        self.set(ConditionType::Ready, ready, reason.as_str(), message);
        for (type_, status) in [(ConditionType::Reconciling, reconciling), (ConditionType::Stalled, stalled)] {
            let message = if status == "True" { message } else { "" };
            self.set(type_, status, reason.as_str(), message);
        }
    }

    /// Whether it is too early to call something a fault that may still pass by itself.
    fn is_in_grace(&mut self, reason: Reason) -> bool {
        let known = self.status.waiting.as_ref().filter(|waiting| waiting.reason == reason.as_str());
        let since = known.map_or(self.now, |waiting| waiting.since.0);
        self.status.waiting = Some(Waiting { reason: reason.to_string(), since: Time(since) });
        self.now.duration_since(since) < GRACE
    }

    /// What the database answered.
    fn database(&mut self, snapshot: &Snapshot, rows: &BTreeSet<String>) {
        let told = snapshot.identity.as_deref();
        let judged = replaced(self.object, &self.status, rows, told);
        let known = self.status.database.take().and_then(|database| database.identity);
        let told = told.map(|identity| text::fit(&text::clean(identity, 256), 256));
        let (identity, replaced) = match judged {
            Replaced::No => (told.or(known), None),
            Replaced::Noticed { request, how: _ } => (known.or(told), Some(request)),
            // Meant, as long as it is empty: then a run has filled it.
            Replaced::Meant { request, how: _ } => (told.or(known), rows.is_empty().then_some(request)),
        };
        self.status.database = Some(DatabaseStatus {
            identity,
            replaced,
            dialect: text::clean(&snapshot.dialect, 32),
            // Distributions add their own words after the number.
            version: text::clean(snapshot.server_version.split_whitespace().next().unwrap_or_default(), 64),
        });
        self.status.current = Some(rows_in_line(rows));
        self.status.current_revisions = shown_rows(rows);
    }

    /// The image as it was inspected. A request is handled once the image that it names has been inspected.
    fn image(&mut self, id: &str, image: &Inspected) {
        self.status.image = Some(ImageStatus {
            reference: self.object.spec.image.clone(),
            name: image_name(&self.object.spec.image, image.digest.as_deref()),
            digest: image.digest.clone(),
            alembic: Some(text::clean(&image.inspection.alembic, 32)),
            inspection: Some(id.to_owned()),
        });
        if self.status.images.first() != Some(&image.image) {
            self.status.images.retain(|known| *known != image.image);
            remember(&mut self.status, &image.image);
        }
        self.status.last_handled_reconcile_at = requested_at(self.object).map(|r| text::clean(r, 256));
    }

    /// The heads of the image, and the revisions that the target means in it.
    fn graph(&mut self, heads: &[String], target: Option<&[String]>) {
        self.status.heads = heads.iter().take(MAX_LISTED).cloned().collect();
        // What can't be resolved is shown as it is asked for.
        let asked = || text::clean(&self.object.spec.target_revision, 128);
        self.status.target = Some(target.map_or_else(asked, |t| rows_in_line(&t.iter().cloned().collect())));
        self.status.target_revisions = target.unwrap_or_default().iter().take(MAX_LISTED).cloned().collect();
    }

    /// No way to the target is known.
    fn unplanned(&mut self, problem: &Problem) {
        self.status.plan = None;
        self.status.pending = None;
        self.set(ConditionType::Planned, "False", problem.reason.as_str(), &problem.message);
        self.set(ConditionType::HazardFree, "Unknown", "NotPlanned", "there is no plan to judge");
        self.set(ConditionType::Approved, "Unknown", "NotPlanned", "there is no plan to approve");
    }

    /// What is dangerous about a plan. Low hazards don't count; SQL that can't be read makes it Unknown.
    fn hazards(&mut self, chosen: &Chosen) {
        let judged = &chosen.judged;
        let findings = &judged.report.findings;
        let told = |finding: &Finding| {
            let revision = finding.revision.as_deref().unwrap_or("?");
            let more = match findings.len() {
                0 | 1 => String::new(),
                many => format!("; {} in all, see status.plan.hazards", many),
            };
            format!("{} in revision {revision}: {}{more}", finding.code.as_str(), finding.message)
        };
        let seen = judged.worst_seen().filter(|worst| worst.severity > Severity::Low);
        let (status, reason, message) = match (seen, judged.blind()) {
            (Some(finding), _) => {
                let reason = match finding.severity {
                    Severity::Critical => "Critical",
                    Severity::High => "High",
                    Severity::Medium | Severity::Low => "Medium",
                };
                ("False", reason, told(finding))
            }
            (None, Some(finding)) => {
                let reason = if finding.code == Code::O01 { "Opaque" } else { "Unparsed" };
                ("Unknown", reason, told(finding))
            }
            (None, None) => ("True", "None", "no hazard from medium on was found".to_owned()),
        };
        self.set(ConditionType::HazardFree, status, reason, &message);
    }

    /// The way to the target.
    fn plan(&mut self, chosen: &Chosen, shown: &PlanStatus) {
        let plan = &chosen.plan;
        let count = |steps: &[String]| i32::try_from(steps.len()).unwrap_or(i32::MAX);
        let revisions = chosen.pending.iter().take(MAX_PENDING).cloned().collect();
        let sign = match plan.direction {
            Direction::Upgrade => "+",
            Direction::Downgrade => "-",
            Direction::None | Direction::Stamp => "",
        };
        let steps = format!("{sign}{}", chosen.pending.len());
        self.status.pending = Some(Pending { count: count(&chosen.pending), steps, revisions });
        if plan.direction == Direction::None {
            self.status.plan = None;
            self.set(ConditionType::Planned, "True", "NothingToDo", "the version rows are the target's");
            self.set(ConditionType::HazardFree, "True", "NothingToDo", "no plan is pending");
            self.set(ConditionType::Approved, "True", "NothingToDo", "no plan is pending");
            return;
        }
        self.status.plan = Some(shown.clone());
        self.hazards(chosen);
        let empty = empty_downgrades(chosen);
        let stays = match empty.as_slice() {
            [] => String::new(),
            some => format!("; downgrade() of {} does nothing, so what they made stays", text::list(some, 5)),
        };
        self.set(ConditionType::Planned, "True", "PlanReady", &(summary(chosen) + &stays));
    }

    /// A rehearsal that nobody waits for any more is not at work.
    fn forget_rehearsal(&mut self) {
        let waits = self.object.spec.stages.rehearsal.when != When::Never && self.status.plan.is_some();
        self.status.stages.rehearsal.take_if(|rehearsal| !waits && rehearsal.stage.result == StageResult::Running);
    }
}

/// The image of a spec in short, with the digest that was inspected where no tag tells it apart: `-o wide` has room for one.
fn image_name(image: &str, digest: Option<&str>) -> String {
    let name = text::short_image(image);
    match digest.filter(|_| !image.contains('@') && !name.contains(':')) {
        Some(digest) => text::short_image(&format!("{image}@{digest}")),
        None => name,
    }
}

/// Version rows as the status lists them: the first of them, each cut.
pub fn shown_rows(rows: &BTreeSet<String>) -> Vec<String> {
    rows.iter().take(MAX_LISTED).map(|row| text::clean(row, 128)).take_while(text::fitting(MAX_ROWS)).collect()
}

/// A plan in one line.
pub fn summary(chosen: &Chosen) -> String {
    let plan = &chosen.plan;
    if plan.direction == Direction::Stamp {
        return format!("stamp of {} into the version table (plan {})", rows_in_line(&plan.end), chosen.hash);
    }
    let of_all = match chosen.pending.len() {
        all if all > plan.steps.len() => format!(", the first of {all}"),
        _ => String::new(),
    };
    format!(
        "{} of {} {} from {} to {}{of_all} (plan {})",
        direction_name(plan.direction),
        plan.steps.len(),
        if plan.steps.len() == 1 { "revision" } else { "revisions" },
        rows_in_line(&plan.from),
        rows_in_line(&plan.end),
        chosen.hash,
    )
}

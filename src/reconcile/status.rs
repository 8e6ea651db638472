//! Building the next status from the one before it: conditions keep their transition times, lists stay short; no I/O.

use super::{
    checks::{Approval, Chosen, describe, direction_name, empty_downgrades},
    observed::Problem,
};
use crate::{
    api::{
        ConditionType, DatabaseMigration, DatabaseMigrationStatus, DatabaseStatus, ImageStatus, Kind, Pending,
        PlanStatus, Reason, RunStatus,
    },
    db::Snapshot,
    jobs::Inspected,
    lint::{Code, Finding, Severity},
    revisions::Direction,
    text,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use std::collections::BTreeSet;

/// Entries that the status keeps of what could be long; etcd and every watch carry all of it.
const MAX_HISTORY: usize = 10;
const MAX_PENDING: usize = 10;
const MAX_IMAGES: usize = 10;
const MAX_LISTED: usize = 50;
const MAX_MESSAGE: usize = 1024;

/// The status in the making.
pub struct Draft {
    pub status: DatabaseMigrationStatus,
    generation: Option<i64>,
    now: Timestamp,
}

impl Draft {
    /// Starts from what the object's status says, with every condition present.
    pub fn new(object: &DatabaseMigration, now: Timestamp) -> Self {
        let mut status = object.status.clone().unwrap_or_default();
        status.observed_generation = object.metadata.generation;
        let mut draft = Self { status, generation: object.metadata.generation, now };
        for type_ in ConditionType::ALL {
            if draft.status.condition(type_).is_none() {
                draft.set(type_, "Unknown", "NotChecked", "not looked at yet");
            }
        }
        draft
    }

    /// Sets one condition.
    pub fn set(&mut self, type_: ConditionType, status: &str, reason: &str, message: &str) {
        let before = self.status.conditions.iter().position(|c| c.type_ == type_.as_str());
        let since = before
            .and_then(|i| self.status.conditions.get(i))
            .filter(|c| c.status == status)
            .map_or_else(|| Time(self.now), |c| c.last_transition_time.clone());
        let condition = Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: text::clean(message, MAX_MESSAGE),
            observed_generation: self.generation,
            last_transition_time: since,
        };
        match before.and_then(|i| self.status.conditions.get_mut(i)) {
            Some(existing) => *existing = condition,
            None => self.status.conditions.push(condition),
        }
    }

    /// Sets Ready, Reconciling and Stalled together, so that kstatus reads them as one state.
    pub fn verdict(&mut self, reason: Reason, message: &str) {
        let was_ready = self.status.is_true(ConditionType::Ready)
            || self
                .status
                .condition(ConditionType::Ready)
                .is_some_and(|c| c.status == "Unknown" && c.reason == reason.as_str());
        let (ready, reconciling, stalled) = match reason.kind() {
            Kind::Ready => ("True", "False", "False"),
            // A database that was at its target probably still is; nobody can tell.
            Kind::Working if reason == Reason::DatabaseUnreachable && was_ready => ("Unknown", "True", "False"),
            Kind::Working => ("False", "True", "False"),
            Kind::Stalled => ("False", "False", "True"),
            Kind::Held => ("False", "False", "False"),
        };
        self.set(ConditionType::Ready, ready, reason.as_str(), message);
        for (type_, status) in [(ConditionType::Reconciling, reconciling), (ConditionType::Stalled, stalled)] {
            let message = if status == "True" { message } else { "" };
            self.set(type_, status, reason.as_str(), message);
        }
        for type_ in ConditionType::ALL {
            self.refresh(type_);
        }
    }

    /// What was looked at for an older generation and not again says so by its observedGeneration, but a condition
    /// that does not depend on the spec stays valid.
    fn refresh(&mut self, type_: ConditionType) {
        let generation = self.generation;
        if let Some(condition) = self.status.conditions.iter_mut().find(|c| c.type_ == type_.as_str()) {
            condition.observed_generation = generation;
        }
    }

    /// A problem: the verdict, and no plan.
    pub fn problem(&mut self, problem: &Problem) {
        self.verdict(problem.reason, &problem.message);
    }

    /// What the database answered.
    pub fn database(&mut self, snapshot: &Snapshot, rows: &BTreeSet<String>) {
        self.status.database = Some(DatabaseStatus {
            dialect: text::clean(&snapshot.dialect, 32),
            // Distributions add their own words after the number.
            version: text::clean(snapshot.server_version.split_whitespace().next().unwrap_or_default(), 64),
        });
        self.status.current = Some(describe(rows));
        self.status.current_revisions = rows.iter().take(MAX_LISTED).map(|r| text::clean(r, 128)).collect();
    }

    /// The image as it was inspected.
    pub fn image(&mut self, reference: &str, id: &str, image: &Inspected) {
        self.status.image = Some(ImageStatus {
            reference: reference.to_owned(),
            digest: image.digest.clone(),
            alembic: Some(text::clean(&image.inspection.alembic, 32)),
            inspection: Some(id.to_owned()),
        });
        if self.status.images.first() != Some(&image.image) {
            self.status.images.retain(|known| *known != image.image);
            self.remember(&image.image);
        }
    }

    fn remember(&mut self, image: &str) {
        self.status.images.insert(0, image.to_owned());
        self.status.images.truncate(MAX_IMAGES);
    }

    /// The heads of the image, and the revisions that the target means in it.
    pub fn graph(&mut self, heads: &[String], target: Option<&[String]>) {
        self.status.heads = heads.iter().take(MAX_LISTED).cloned().collect();
        self.status.target = target.map(|t| describe(&t.iter().cloned().collect()));
        self.status.target_revisions = target.unwrap_or_default().iter().take(MAX_LISTED).cloned().collect();
    }

    /// No way to the target is known.
    pub fn unplanned(&mut self, reason: &str, message: &str) {
        self.status.plan = None;
        self.status.pending = None;
        self.set(ConditionType::Planned, "False", reason, message);
        self.set(ConditionType::HazardFree, "Unknown", "NotPlanned", "there is no plan to judge");
        self.set(ConditionType::Approved, "Unknown", "NotPlanned", "there is no plan to approve");
    }

    /// What is dangerous about a plan. Low hazards are none to this condition, and what can't be seen is not safe.
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

    /// Whether the plan may run.
    pub fn approval(&mut self, approval: &Approval) {
        let status = if approval.approved { "True" } else { "False" };
        self.set(ConditionType::Approved, status, approval.reason, &approval.message);
    }

    /// The way to the target.
    pub fn plan(&mut self, chosen: &Chosen, shown: PlanStatus) {
        let plan = &chosen.plan;
        let count = |steps: &[String]| i32::try_from(steps.len()).unwrap_or(i32::MAX);
        let revisions = chosen.pending.iter().take(MAX_PENDING).cloned().collect();
        self.status.pending = Some(Pending { count: count(&chosen.pending), revisions });
        if plan.direction == Direction::None {
            self.status.plan = None;
            self.set(ConditionType::Planned, "True", "NothingToDo", "the version rows are the target's");
            self.set(ConditionType::HazardFree, "True", "NothingToDo", "no plan is pending");
            self.set(ConditionType::Approved, "True", "NothingToDo", "no plan is pending");
            return;
        }
        self.status.plan = Some(shown);
        self.hazards(chosen);
        let empty = empty_downgrades(chosen);
        let stays = match empty.as_slice() {
            [] => String::new(),
            some => format!("; downgrade() of {} does nothing, so what they made stays", text::list(some, 5)),
        };
        self.set(ConditionType::Planned, "True", "PlanReady", &(summary(chosen) + &stays));
    }

    /// Records a run that has ended; once only, since its number is newer than what is recorded.
    pub fn record(&mut self, run: RunStatus) {
        // The image that brought the database where it is must be known even when its inspection was never recorded.
        if !self.status.images.contains(&run.image) {
            self.remember(&run.image);
        }
        if let Some(before) = self.status.last_run.replace(run) {
            self.status.history.insert(0, before);
            self.status.history.truncate(MAX_HISTORY - 1);
        }
    }
}

/// A plan in one line.
pub fn summary(chosen: &Chosen) -> String {
    let plan = &chosen.plan;
    if plan.direction == Direction::Stamp {
        return format!("stamp of {} into the version table (plan {})", describe(&plan.end), chosen.hash);
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
        describe(&plan.from),
        describe(&plan.end),
        chosen.hash,
    )
}

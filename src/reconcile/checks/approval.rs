//! Whether a plan may run as it is, or somebody has to say so first; no I/O.

use super::Chosen;
use crate::{
    api::{
        ANNOTATION_APPROVE, ANNOTATION_REJECT, ApprovalMode, DatabaseMigration, DatabaseMigrationStatus, Problem,
        Reason, RunApproval, TO_APPROVE,
    },
    lint::Severity,
    revisions::Direction,
    text::clean,
};
use kube::ResourceExt;

/// The condition Approved, and what keeps the plan from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub approved: bool,
    /// The reason of the condition.
    pub reason: &'static str,
    pub message: String,
    pub problem: Option<Problem>,
    /// What is worth an event: an approval that is void, or that never was one.
    pub news: Option<String>,
}

impl Approval {
    fn given(reason: &'static str, message: String) -> Self {
        Self { approved: true, reason, message, problem: None, news: None }
    }

    fn held(reason: &'static str, message: String, why: Reason) -> Self {
        let problem = Some(Problem::new(why, message.clone()));
        Self { approved: false, reason, message, problem, news: None }
    }
}

/// Judges by `spec.policy` and the annotations. An approval names a plan by its hash: of any other it says nothing.
pub fn approval(object: &DatabaseMigration, chosen: &Chosen) -> Approval {
    approval_of(object, chosen, "databasemigration")
}

/// The same; `resource` is what people approve by its annotation.
pub fn approval_of(object: &DatabaseMigration, chosen: &Chosen, resource: &str) -> Approval {
    let policy = &object.spec.policy;
    let hash = &chosen.hash;
    if policy.approval.mode == ApprovalMode::Never {
        let message = format!("spec.policy.approval.mode is Never: plan {hash} is shown, and no plan runs");
        return Approval::held("Never", message, Reason::PlanOnly);
    }
    if object.rejected_plan() == Some(hash) {
        return rejected(object, hash);
    }
    let Some(why) = asks(object, chosen) else {
        return Approval::given("AutoApproved", format!("plan {hash} needs no approval"));
    };
    match approved_in(object, hash) {
        Some(Place::Spec) => return Approval::given("ApprovedInSpec", format!("spec.policy.approvedPlan is {hash}")),
        Some(Place::Annotation) => {
            let message = format!("the annotation {ANNOTATION_APPROVE} is {hash}");
            return Approval::given("ApprovedByAnnotation", message);
        }
        None => {}
    }
    let command = format!(
        "kubectl annotate --overwrite -n {} {resource} {} {ANNOTATION_APPROVE}={hash}",
        object.namespace().unwrap_or_default(),
        object.name_any(),
    );
    let message = format!("plan {hash} waits for approval, since {why}{TO_APPROVE}{command}");
    match void(object) {
        Some((Void::Outdated, given)) => {
            told("Stale", format!("the approval of plan {given} is void: the plan is {hash} now"), &message)
        }
        Some((Void::Unknown, given)) => {
            told("UnknownPlan", format!("no plan of this object has the hash {given}, which is approved"), &message)
        }
        None => Approval::held("Required", message, Reason::AwaitingApproval),
    }
}

/// Waits, and says why an approval does not count.
fn told(reason: &'static str, news: String, message: &str) -> Approval {
    let held = Approval::held(reason, format!("{news}; {message}"), Reason::AwaitingApproval);
    Approval { news: Some(news), ..held }
}

/// Who let a plan run, where somebody had to.
pub fn approver(object: &DatabaseMigration, chosen: &Chosen) -> Option<RunApproval> {
    asks(object, chosen)?;
    let place = approved_in(object, &chosen.hash)?;
    Some(object.approval_of(matches!(place, Place::Spec)))
}

fn rejected(object: &DatabaseMigration, hash: &str) -> Approval {
    let why = object.given_reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = format!(
        "plan {hash} was rejected{why}; change spec.targetRevision or the image, or remove the annotation {ANNOTATION_REJECT}"
    );
    Approval::held("Rejected", message, Reason::PlanRejected)
}

/// Where an approval stands.
enum Place {
    Spec,
    Annotation,
}

fn approved_in(object: &DatabaseMigration, hash: &str) -> Option<Place> {
    if object.spec.policy.approved_plan.as_deref() == Some(hash) {
        return Some(Place::Spec);
    }
    (object.approved_plan() == Some(hash)).then_some(Place::Annotation)
}

/// Why an approval that is not the plan's is worth a word.
enum Void {
    /// It was for a plan that has become another one.
    Outdated,
    /// No plan is known by it: a mistake in typing.
    Unknown,
}

/// An approval of another plan. One whose plan has run was used, and is no news.
fn void(object: &DatabaseMigration) -> Option<(Void, String)> {
    let given = [object.spec.policy.approved_plan.as_deref(), object.approved_plan()];
    let status = object.status.clone().unwrap_or_default();
    let given = given.into_iter().flatten().find(|given| !given.is_empty() && !was_used(&status, given))?;
    let outdated =
        status.plan.as_ref().is_some_and(|plan| plan.hash == *given || plan.replaces.as_deref() == Some(given));
    Some((if outdated { Void::Outdated } else { Void::Unknown }, clean(given, 64)))
}

/// Whether a plan with this hash was started, and so its approval used.
fn was_used(status: &DatabaseMigrationStatus, hash: &str) -> bool {
    let ended = status.last_run.iter().chain(&status.history).map(|run| &run.plan_hash);
    let success = status.runs.last_success.iter().map(|success| &success.run.plan_hash);
    let active = status.runs.active.iter().map(|run| &run.plan_hash);
    ended.chain(success).chain(active).any(|known| known == hash)
}

/// Why somebody has to be asked, if so.
fn asks(object: &DatabaseMigration, chosen: &Chosen) -> Option<String> {
    let approval = &object.spec.policy.approval;
    match approval.mode {
        ApprovalMode::Auto | ApprovalMode::Never => None,
        ApprovalMode::Always => Some("spec.policy.approval.mode is Always".to_owned()),
        ApprovalMode::OnHazard => {
            let threshold = approval.threshold.unwrap_or(Severity::High);
            if let Some(worst) =
                chosen.judged.report.findings.iter().filter(|f| f.severity >= threshold).max_by_key(|f| f.severity)
            {
                let revision = worst.revision.as_deref().unwrap_or("?");
                return Some(format!(
                    "revision {revision} has a {} hazard ({}: {})",
                    worst.severity,
                    worst.code.as_str(),
                    worst.message
                ));
            }
            let losing = chosen.judged.losing();
            let down = chosen.plan.direction == Direction::Downgrade;
            (down && !losing.is_empty()).then(|| format!("the downgrade of {} loses data", losing.join(", ")))
        }
    }
}

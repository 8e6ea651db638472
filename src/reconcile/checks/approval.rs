//! Whether a plan may run as it is, or somebody has to say so first; no I/O.

use super::Chosen;
use crate::{
    api::{ANNOTATION_APPROVE, ApprovalMode, DatabaseMigration, Problem, Reason},
    lint::Severity,
    revisions::Direction,
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
}

/// Judges by `spec.policy` and the annotation. An approval names a plan by its hash: of any other it says nothing.
pub fn approval(object: &DatabaseMigration, chosen: &Chosen) -> Approval {
    let policy = &object.spec.policy;
    let hash = &chosen.hash;
    let yes = |reason, message: String| Approval { approved: true, reason, message, problem: None };
    if policy.approval.mode == ApprovalMode::Never {
        let message = format!("spec.policy.approval.mode is Never: plan {hash} is shown, and no plan runs");
        let problem = Some(Problem::new(Reason::PlanOnly, message.clone()));
        return Approval { approved: false, reason: "Never", message, problem };
    }
    let Some(why) = asks(object, chosen) else {
        return yes("AutoApproved", format!("plan {hash} needs no approval"));
    };
    if policy.approved_plan.as_ref() == Some(hash) {
        return yes("ApprovedInSpec", format!("spec.policy.approvedPlan is {hash}"));
    }
    let annotation = object.annotations().get(ANNOTATION_APPROVE);
    if annotation == Some(hash) {
        return yes("ApprovedByAnnotation", format!("the annotation {ANNOTATION_APPROVE} is {hash}"));
    }
    let given = [policy.approved_plan.as_deref(), annotation.map(String::as_str)];
    let stale = given.into_iter().flatten().find(|given| !given.is_empty());
    let command = format!(
        "kubectl annotate --overwrite -n {} databasemigration {} {ANNOTATION_APPROVE}={hash}",
        object.namespace().unwrap_or_default(),
        object.name_any(),
    );
    let mut message = format!("plan {hash} waits for approval, since {why}; if it is meant: {command}");
    if let Some(given) = stale {
        let given = crate::text::clean(given, 64);
        message = format!("the approval of plan {given} is void, the plan is another one now; {message}");
    }
    let problem = Some(Problem::new(Reason::AwaitingApproval, message.clone()));
    let reason = if stale.is_some() { "Stale" } else { "Required" };
    Approval { approved: false, reason, message, problem }
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

//! The gate of approval, and the condition Approved; no I/O.

use super::{Ctx, hold_over};
use crate::{
    api::{ConditionType, DatabaseMigrationStatus},
    reconcile::{
        checks::{Approval, approval},
        effects::{Note, Step},
    },
};

/// Says whether the plan may run, whatever the other gates say.
pub fn shown(ctx: &Ctx) -> Step {
    let approval = approval(ctx.object, ctx.plan);
    let status = if approval.approved { "True" } else { "False" };
    let note = Note::condition(ConditionType::Approved, status, approval.reason, &approval.message);
    let step = Step::default().note(note);
    match is_news(ctx.object.status.as_ref(), &approval) {
        true => step.event(true, event(approval.reason), approval.news.as_deref().unwrap_or_default(), None),
        false => step,
    }
}

/// What an approval of another plan is called as an event.
fn event(reason: &str) -> &'static str {
    if reason == "Stale" { "ApprovalStale" } else { "ApprovalUnknown" }
}

/// An approval that counts no longer, or never did, gets one event.
fn is_news(before: Option<&DatabaseMigrationStatus>, approval: &Approval) -> bool {
    let known = before.and_then(|status| status.condition(ConditionType::Approved));
    approval.news.is_some() && !known.is_some_and(|c| c.reason == approval.reason && c.message == approval.message)
}

pub(super) fn approved(ctx: &Ctx) -> Step {
    hold_over(ctx, approval(ctx.object, ctx.plan).problem)
}

//! `approve` and `reject`: what is asked, what an answer means, and the annotations that say it; no I/O.

use super::{
    document::PlanDocument,
    status::Look,
    text::{Line, Tone},
    view::{self, full_name},
};
use crate::{
    api::{ANNOTATION_APPROVE, ANNOTATION_REASON, ANNOTATION_REJECT, DatabaseMigration, HazardStatus, Reason},
    text::{clean, list},
};
use serde_json::{Value, json};

/// What is to be said of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    Approve,
    Reject,
}

impl Say {
    pub fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    fn annotation(self) -> &'static str {
        match self {
            Self::Approve => ANNOTATION_APPROVE,
            Self::Reject => ANNOTATION_REJECT,
        }
    }
}

/// Why a plan can't be approved or rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    #[error("the plan is {is} now, and not {given}: read it again with `kubectl dbmigration plan {name}`")]
    Another { is: String, given: String, name: String },
    #[error("nothing waits for an approval: {state}")]
    NotWaiting { state: String },
    #[error("that is not its beginning: nothing was changed")]
    Mistyped,
    #[error("there is no terminal to ask at: give --yes if {0} is what you mean")]
    NoTerminal(String),
}

/// Checks that a plan is the one that somebody means. `given` may be its beginning, from four characters on.
pub fn meant(object: &DatabaseMigration, plan: &PlanDocument, given: Option<&str>, say: Say) -> Result<(), Unasked> {
    let state = view::State::of(object);
    let waits = matches!(state.reason(), Some(Reason::AwaitingApproval | Reason::PlanRejected));
    if say == Say::Approve && !waits {
        return Err(Unasked::NotWaiting { state: format!("{}: {}", state.word, state.message) });
    }
    match given {
        Some(given) if given.len() < 4 || !plan.hash.starts_with(given) => Err(Unasked::Another {
            is: plan.hash.clone(),
            given: clean(given, 64),
            name: full_name(object).rsplit('/').next().unwrap_or_default().to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What is shown before somebody answers.
pub fn question(whose: &str, plan: &PlanDocument, look: Look) -> Vec<Line> {
    let count = plan.steps.len();
    let noun = if count == 1 { "revision" } else { "revisions" };
    let to = if plan.to.is_empty() { "base".to_owned() } else { list(&plan.to, 3) };
    let head = Line::of(Tone::Bold, whose)
        .text(format!("  {} of {count} {noun} to ", plan.direction))
        .and(Tone::Name, to)
        .text(", plan ")
        .and(Tone::Name, plan.hash.clone());
    let mut lines = vec![head];
    let grave = |hazard: &&HazardStatus| hazard.severity != "low";
    for hazard in plan.hazards.iter().filter(grave).take(12) {
        let word = format!("  {:<4} {}   ", view::severity_word(&hazard.severity), hazard.code);
        let revision = hazard.revision.as_deref().map(|id| format!("{}   ", clean(id, 32))).unwrap_or_default();
        let line = Line::of(view::severity_tone(&hazard.severity), word).and(Tone::Name, revision);
        lines.extend(line.wrapped(
            Tone::Plain,
            &view::with_table(hazard.table.as_deref(), &hazard.message),
            look.width,
        ));
    }
    if !plan.losses.is_empty() {
        let words = if plan.direction == "downgrade" { "  It loses" } else { "  Afterwards a downgrade loses" };
        lines.push(Line::of(Tone::Bad, words));
        lines.extend(super::plan::losses(&plan.losses, "    ", look.width));
    }
    lines
}

/// What is to be typed.
pub fn prompt(hash: &str, verb: &str, what: &str) -> String {
    format!("Type the first 4 characters of the {what} ({hash}) to {verb} it: ")
}

/// Whether somebody typed the beginning of a hash.
pub fn agreed(hash: &str, typed: &str) -> Result<(), Unasked> {
    let typed = typed.trim();
    if typed.len() >= 4 && hash.starts_with(typed) { Ok(()) } else { Err(Unasked::Mistyped) }
}

/// The change of the object that says it. The other answer is withdrawn by the same change.
pub fn patch(say: Say, hash: &str, reason: Option<&str>) -> Value {
    let other = match say {
        Say::Approve => Say::Reject,
        Say::Reject => Say::Approve,
    };
    json!({ "metadata": { "annotations": {
        say.annotation(): hash,
        other.annotation(): null,
        ANNOTATION_REASON: reason.map(|reason| clean(&reason.replace('\n', " "), 400)),
    } } })
}

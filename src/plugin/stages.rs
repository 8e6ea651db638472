//! The stages on the way to the target, and where an object is among them; no I/O.

use super::{
    text::{Line, Tone},
    view::{State, Verdict, status_of},
};
use crate::api::{ApprovalMode, ConditionType, DatabaseMigration, Reason, When};

/// A stage, in the order in which they are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Inspect,
    Plan,
    Rehearse,
    Approve,
    BackUp,
    Run,
    Verify,
    Ready,
}

impl Stage {
    const ALL: [Self; 8] =
        [Self::Inspect, Self::Plan, Self::Rehearse, Self::Approve, Self::BackUp, Self::Run, Self::Verify, Self::Ready];

    fn name(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Plan => "plan",
            Self::Rehearse => "rehearse",
            Self::Approve => "approve",
            Self::BackUp => "back up",
            Self::Run => "run",
            Self::Verify => "verify",
            Self::Ready => "ready",
        }
    }

    /// Whether the spec asks for it.
    fn wanted(self, object: &DatabaseMigration) -> bool {
        let spec = &object.spec;
        match self {
            Self::Rehearse => spec.stages.rehearsal.when != When::Never,
            Self::Approve => spec.policy.approval.mode != ApprovalMode::Auto,
            Self::BackUp => spec.stages.backup.when != When::Never,
            Self::Verify => spec.stages.verify.when != When::Never,
            Self::Inspect | Self::Plan | Self::Run | Self::Ready => true,
        }
    }

    /// The stage that a reason is about. What a pod of any kind may say is about the run while there is one.
    fn of(reason: Reason, object: &DatabaseMigration) -> Self {
        let status = status_of(object);
        let of_pod = match (&status.runs.active, &status.plan) {
            (Some(_), _) => Self::Run,
            (None, Some(_)) => Self::Approve,
            (None, None) => Self::Inspect,
        };
        match reason {
            Reason::Inspecting | Reason::NoRevisions | Reason::RevisionGraphInvalid | Reason::DuplicateRevision => {
                Self::Inspect
            }
            Reason::Rehearsing | Reason::RehearsalFailed => Self::Rehearse,
            Reason::AwaitingApproval | Reason::PlanOnly | Reason::PlanRejected => Self::Approve,
            Reason::BackingUp | Reason::BackupFailed => Self::BackUp,
            Reason::Migrating | Reason::Downgrading | Reason::Adopting | Reason::Suspended => Self::Run,
            Reason::MigrationFailed | Reason::StatementTimeout | Reason::PartiallyApplied | Reason::RolledBack => {
                Self::Run
            }
            Reason::RunLost
            | Reason::RunInterrupted
            | Reason::Queued
            | Reason::TableLocked
            | Reason::DatabaseLocked => Self::Run,
            Reason::Verifying | Reason::VerifyFailed => Self::Verify,
            Reason::AtTarget => Self::Ready,
            Reason::DriftBlocked | Reason::DriftUnknown if status.plan.is_none() => Self::Ready,
            Reason::ImagePullFailed
            | Reason::PodRejected
            | Reason::PodFailed
            | Reason::PodUnschedulable
            | Reason::PodStuck
            | Reason::InitContainerFailed
            | Reason::AlembicMissing
            | Reason::AlembicTooOld
            | Reason::ConfigNotFound
            | Reason::EnvPyFailed
            | Reason::EnvPyDidNotRun
            | Reason::RevisionFileFailed
            | Reason::DriverMissing
            | Reason::ConnectFailed
            | Reason::MultipleDatabases
            | Reason::VersionTableMismatch => of_pod,
            // Everything else keeps the plan from being made or from being started.
            _ => Self::Plan,
        }
    }
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// The object is here.
    Here(Verdict),
    Ahead,
}

/// The stages that the spec asks for, and how far each is.
pub fn stages(object: &DatabaseMigration) -> Vec<(&'static str, Progress)> {
    let state = State::of(object);
    let here = state.reason().map(|reason| Stage::of(reason, object));
    let ready = status_of(object).is_true(ConditionType::Ready) && state.verdict == Verdict::Ready;
    let wanted = Stage::ALL.into_iter().filter(|stage| stage.wanted(object) || here == Some(*stage));
    let progress = |stage: Stage| match here {
        _ if ready => Progress::Done,
        Some(here) if stage < here => Progress::Done,
        Some(here) if stage == here => Progress::Here(state.verdict),
        _ => Progress::Ahead,
    };
    wanted.map(|stage| (stage.name(), progress(stage))).collect()
}

/// The symbol of a stage.
pub fn symbol(progress: Progress) -> (Tone, &'static str) {
    match progress {
        Progress::Done => (Tone::Good, "✓"),
        Progress::Here(verdict) => (verdict.tone(), verdict.symbol()),
        Progress::Ahead => (Tone::Faint, "○"),
    }
}

/// All stages in a line, or in several where the terminal is narrow.
pub fn lines(object: &DatabaseMigration, indent: &str, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::new().text(indent);
    for (number, (name, progress)) in stages(object).into_iter().enumerate() {
        let name = if matches!(progress, Progress::Here(_)) { name.to_uppercase() } else { name.to_owned() };
        let (tone, symbol) = symbol(progress);
        let piece = Line::of(tone, format!("{symbol} {name}"));
        let gap = if number > 0 { " ── " } else { "" };
        if width.is_some_and(|width| line.width() + gap.chars().count() + piece.width() > width) {
            lines.push(std::mem::replace(&mut line, Line::new().text(indent)));
        } else {
            line = line.and(Tone::Faint, gap);
        }
        line.0.extend(piece.0);
    }
    lines.push(line);
    lines
}

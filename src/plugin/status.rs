//! `status` of one object, with what to do next; from the object alone, no I/O.

use super::{
    drift, stages,
    summary::Revisions,
    text::{Line, Tone},
    thing::Shown,
    view::{self, State, full_name, status_of},
};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, PlanStatus, Reason, Reversible, RunResult},
    text::clean,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How a command's answer is to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Columns of the terminal; none where the answer goes into a pipe or a file.
    pub width: Option<usize>,
    pub now: Timestamp,
}

/// A command of the plugin about an object, to be pasted.
pub fn command(object: &impl Shown, verb: &str) -> String {
    format!("kubectl dbmigration {verb} {} -n {}", object.argument(), object.namespace().unwrap_or_default())
}

/// What somebody types who was shown a plan.
pub fn answers(object: &impl Shown, hash: &str) -> [String; 2] {
    [format!("{} --plan {hash}", command(object, "approve")), format!("{} --plan {hash}", command(object, "reject"))]
}

/// One object: where it stands, what will run, and what to do next.
pub fn one(object: &DatabaseMigration, titles: &Revisions, look: Look) -> Vec<Line> {
    let status = status_of(object);
    let state = State::of(object);
    let mut lines = vec![head(object, &status, &state, look)];
    lines.extend(places(object, &status, titles).into_iter().map(|line| line.cut(look.width)));
    lines.extend(stages::lines(object, "  ", look.width));
    lines.extend(status.plan.iter().flat_map(|plan| grave_hazards(plan, look.width)));
    let told = matches!(state.word.as_str(), "AtTarget" | "AwaitingApproval") || state.message.is_empty();
    if !told {
        lines.extend(Line::new().text("  ").wrapped(state.verdict.tone(), &clean(&state.message, 900), look.width));
    }
    lines.extend(left_by(&status, &state));
    if view::drifted_objects(&status) > 0 {
        lines.extend(drift::listed(&status, look.width));
    }
    lines.extend(next(object, &state, &status, look.width));
    lines
}

/// The spec that holds, as YAML: the object's own with the settings of the platform under it.
pub fn effective(object: &DatabaseMigration) -> serde_yaml::Result<String> {
    let from = match object.status.as_ref().and_then(|status| status.defaults.as_ref()) {
        Some(defaults) => {
            let enforced: Vec<String> = defaults.enforce.iter().map(|each| format!("{each:?}")).collect();
            let enforced = if enforced.is_empty() { "nothing".to_owned() } else { enforced.join(", ") };
            format!("with the settings {} of the platform; enforced: {enforced}", defaults.hash)
        }
        None => "the platform adds nothing".to_owned(),
    };
    let spec = serde_yaml::to_string(&json!({ "spec": object.spec }))?;
    Ok(format!("# {}: {from}\n{spec}", full_name(object)))
}

fn head(object: &DatabaseMigration, status: &DatabaseMigrationStatus, state: &State, look: Look) -> Line {
    let mut line = Line::of(Tone::Bold, full_name(object)).text("   ");
    line.push(state.span());
    if let Some(since) = state.since {
        line = line.text(format!("  for {}", view::span(look.now.as_second() - since.as_second())));
    }
    let mut facts: Vec<String> = view::server(status).into_iter().collect();
    facts.push(match view::drift(status).text.as_str() {
        "–" => "drift: none".to_owned(),
        "?" => "drift: not known".to_owned(),
        _ if view::drifted_objects(status) > 0 => {
            format!("drift: {}", view::counted(view::drifted_objects(status), "object"))
        }
        _ => "drift: the version rows were changed".to_owned(),
    });
    if let Some(by) = object.suspended_by() {
        facts.push(format!("suspended by {by}"));
    }
    line.and(Tone::Faint, format!("      {}", facts.join("   "))).cut(look.width)
}

/// Where the database is, where it should be, and the plan between.
fn places(object: &DatabaseMigration, status: &DatabaseMigrationStatus, titles: &Revisions) -> Vec<Line> {
    let line = |label: &str| Line::new().and(Tone::Faint, format!("  {label:<10} "));
    let titled = |line: Line, rows: &[String]| match rows {
        [row] => match titles.get(row) {
            Some(known) => line.text(format!("   {}", clean(&known.title, 90))),
            None => line,
        },
        _ => line,
    };
    let current = match (State::of(object).reason(), status.current.as_deref()) {
        (Some(Reason::DatabaseUnmanaged), _) => "no version row".to_owned(),
        (_, Some(current)) => clean(current, 120),
        (_, None) => "not known yet".to_owned(),
    };
    let database = line("database").and(Tone::Name, current);
    let target = view::target(object);
    let mut wanted = line("target").and(Tone::Name, target.clone());
    let unknown = State::of(object).reason() == Some(Reason::UnknownTarget);
    wanted = match target == object.spec.target_revision {
        true if unknown => wanted.text(format!("   not in {}", view::image(object))),
        true => wanted.text(format!("   of {}", view::image(object))),
        false => wanted.text(format!("   {} of {}", clean(&object.spec.target_revision, 60), view::image(object))),
    };
    if let Some(pending) = status.pending.as_ref().filter(|pending| pending.count > 0) {
        let down = status.plan.as_ref().is_some_and(|plan| plan.direction == "downgrade");
        let noun = if pending.count == 1 { "revision" } else { "revisions" };
        wanted = wanted.and(Tone::Busy, format!("   {} {} {noun}", if down { "↓" } else { "↑" }, pending.count));
    }
    let mut lines = vec![titled(database, &status.current_revisions), wanted];
    if let Some(plan) = &status.plan {
        let hazards = view::hazards_in_words(plan);
        let tone = view::risk(status).tone;
        let line = line("plan").and(Tone::Name, plan.hash.clone()).and(tone, format!("   {hazards}"));
        lines.push(match way_back(plan) {
            Some(words) => line.text(format!("    {words}")),
            None => line,
        });
    }
    lines
}

/// Where a run that failed has left the database.
fn left_by(status: &DatabaseMigrationStatus, state: &State) -> Option<Line> {
    let run = status.last_run.as_ref().filter(|run| run.result == RunResult::Failed)?;
    if state.reason() != Some(Reason::MigrationFailed) {
        return None;
    }
    let place = |rows: &[String]| if rows.is_empty() { "base".to_owned() } else { clean(&rows.join(", "), 120) };
    let is_same = run.from.iter().collect::<BTreeSet<_>>() == status.current_revisions.iter().collect();
    let words = if is_same { "is where it was before" } else { "is on the way: not where it was before" };
    Some(Line::new().text(format!(
        "  the database {words} run {}: at {}",
        run.number,
        place(&status.current_revisions)
    )))
}

/// What undoing a plan costs, or what a downgrade itself loses.
pub fn way_back(plan: &PlanStatus) -> Option<&'static str> {
    let has = |what: Reversible| plan.steps.iter().any(|step| step.reversible == what);
    if plan.direction != "upgrade" || plan.steps.is_empty() {
        return None;
    }
    Some(match () {
        () if has(Reversible::Irreversible) => "later downgrade: not possible",
        () if has(Reversible::LosesData) => "later downgrade: loses data",
        () if has(Reversible::Unknown) => "later downgrade: not known",
        () => "later downgrade: clean",
    })
}

/// The hazards that make people stop, the worst first.
fn grave_hazards(plan: &PlanStatus, width: Option<usize>) -> Vec<Line> {
    let grave = plan.hazards.iter().filter(|hazard| matches!(hazard.severity.as_str(), "critical" | "high"));
    let line = |hazard: &crate::api::HazardStatus| {
        let tone = view::severity_tone(&hazard.severity);
        let word = format!("  {:<4} {}   ", view::severity_word(&hazard.severity), hazard.code);
        let revision = hazard.revision.as_deref().map(|id| format!("{}   ", clean(id, 32))).unwrap_or_default();
        Line::of(tone, word).and(Tone::Name, revision).wrapped(
            Tone::Plain,
            &view::with_table(hazard.table.as_deref(), &hazard.message),
            width,
        )
    };
    grave.take(5).flat_map(line).collect()
}

/// What a person does now.
fn next(
    object: &DatabaseMigration,
    state: &State,
    status: &DatabaseMigrationStatus,
    width: Option<usize>,
) -> Vec<Line> {
    let line = Line::new().and(Tone::Bold, "  Next:  ");
    let further = |command: String| Line::new().text(format!("         {command}"));
    match state.reason() {
        Some(Reason::AwaitingApproval) => {
            let plan = status.plan.as_ref().map(|plan| plan.hash.as_str()).unwrap_or_default();
            let first = line.text(command(object, "plan"));
            std::iter::once(first).chain(answers(object, plan).into_iter().map(further)).collect()
        }
        Some(Reason::AtTarget) if view::drifted_objects(status) > 0 => vec![line.text(command(object, "drift"))],
        Some(Reason::Migrating | Reason::Downgrading) => vec![line.text(command(object, "logs -f"))],
        None if state.word == "NotSeen" => vec![line.text("kubectl dbmigration version")],
        Some(Reason::AtTarget) | None => Vec::new(),
        Some(reason) => {
            let mut lines = line.wrapped(Tone::Plain, &advice(reason, object), width);
            lines.extend(shows(reason).map(|verb| further(command(object, verb))));
            lines
        }
    }
}

/// The command that shows more of it, or does what is advised.
fn shows(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::UnknownTarget | Reason::AmbiguousTarget | Reason::InvalidTarget | Reason::RevisionNotInImage => "graph",
        Reason::DatabaseAhead | Reason::HistoryDiverged | Reason::RedundantParent => "graph",
        Reason::MultipleHeads => "merge",
        Reason::DriftBlocked => "drift",
        Reason::DatabaseUnmanaged => "adopt",
        Reason::Suspended => "resume",
        Reason::PlanOnly | Reason::PlanRejected | Reason::DowngradeNotAllowed | Reason::IrreversibleRevision => "plan",
        Reason::MigrationFailed | Reason::StatementTimeout | Reason::PartiallyApplied | Reason::RolledBack => "logs",
        Reason::RehearsalFailed | Reason::BackupFailed | Reason::VerifyFailed | Reason::RunLost => "logs",
        Reason::PodFailed | Reason::EnvPyFailed | Reason::ConnectFailed | Reason::InitContainerFailed => "logs",
        _ => return None,
    })
}

/// What to do, by the plugin's own commands where the operator's words name an annotation.
pub fn advice(reason: Reason, object: &impl Shown) -> String {
    let retry = format!("run `{}`", command(object, "retry"));
    let words = [
        "set the annotation `alembic-operator.dev/requestedAt`",
        "the annotation `alembic-operator.dev/requestedAt` tries again",
    ];
    words.iter().fold(reason.advice().to_owned(), |advice, words| advice.replace(words, &retry))
}

/// For programs.
pub fn json(object: &DatabaseMigration) -> Value {
    let status = status_of(object);
    let state = State::of(object);
    json!({
        "kind": "DatabaseMigration",
        "namespace": object.namespace(),
        "name": object.name_any(),
        "state": state.word,
        "verdict": format!("{:?}", state.verdict),
        "exitCode": state.verdict.exit_code(),
        "message": state.message,
        "current": status.current_revisions,
        "target": status.target_revisions,
        "pending": view::steps(&status).text,
        "plan": status.plan,
        "drift": status.drift,
        "lastRun": status.last_run,
        "image": { "ref": object.spec.image, "digest": status.image.as_ref().and_then(|image| image.digest.clone()) },
    })
}

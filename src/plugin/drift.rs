//! `drift`: how the live schema differs from what it should be, as text and as what the operator stored; no I/O.

use super::{
    status::Look,
    text::{Line, Tone},
    view::{self, full_name, status_of},
};
use crate::{
    api::{Change, ConditionType, DatabaseMigration, DatabaseMigrationStatus, DriftMode, DriftedObject, OnDrift},
    text::clean,
};

/// In a few words.
pub fn summary(status: &DatabaseMigrationStatus) -> String {
    let condition = status.condition(ConditionType::Drifted);
    match (condition.map(|c| c.status.as_str()), view::drifted_objects(status)) {
        (Some("False"), _) => "none".to_owned(),
        (Some("True"), 0) => clean(condition.map(|c| c.message.as_str()).unwrap_or_default(), 300),
        (Some("True"), 1) => "1 object is not as it should be".to_owned(),
        (Some("True"), count) => format!("{count} objects are not as they should be"),
        _ => "not known".to_owned(),
    }
}

/// All of it, and what to do about it.
pub fn page(object: &DatabaseMigration, look: Look) -> Vec<Line> {
    let status = status_of(object);
    let drifted = status.condition(ConditionType::Drifted);
    let mode = match object.spec.drift.mode {
        DriftMode::Snapshot => "compared with the schema after the last run",
        DriftMode::Models => "compared with the models",
        DriftMode::Replay => "compared with what the revisions make of an empty database",
        DriftMode::Disabled => "the schema is not compared",
    };
    let effect = match object.spec.drift.on_drift {
        OnDrift::Report => "Ready unaffected",
        OnDrift::Block => "blocks runs",
    };
    let bad = drifted.is_some_and(|c| c.status == "True");
    let mut head = Line::of(Tone::Bold, full_name(object)).text("   ");
    head = head.and(if bad { Tone::Bad } else { Tone::Plain }, format!("drift: {}", summary(&status)));
    let mut lines = vec![head.and(Tone::Faint, format!("     {mode}, {effect}")).cut(look.width)];
    lines.extend(listed(&status, look.width));
    if let Some(condition) = drifted.filter(|c| c.status == "Unknown" || view::drifted_objects(&status) == 0) {
        lines.extend(Line::new().text("  ").wrapped(Tone::Plain, &condition.message, look.width));
    }
    if let Some(fingerprint) = status.drift.as_ref().filter(|_| bad).and_then(|drift| drift.fingerprint.as_ref()) {
        let short: String = fingerprint.chars().take(12).collect();
        let command = super::status::command(object, "accept-drift");
        lines.push(Line::new().text(format!("Undo it, or accept it:  {command}   ({short}: this schema only)")));
        let revision = format!("{} -o revision --keep", super::status::command(object, "drift"));
        lines.push(Line::new().text(format!("As a revision's file:   {revision}   (or --roll-back)")));
    }
    lines
}

/// The objects that differ, as the status lists them.
pub fn listed(status: &DatabaseMigrationStatus, width: Option<usize>) -> Vec<Line> {
    let Some(drift) = &status.drift else { return Vec::new() };
    let longest = drift.objects.iter().map(|object| object.object.chars().count()).max().unwrap_or(0).min(40);
    let mut lines: Vec<Line> = drift.objects.iter().flat_map(|object| difference(object, longest, width)).collect();
    let told = i32::try_from(drift.objects.len()).unwrap_or(i32::MAX);
    let more = view::drifted_objects(status) - told;
    if more > 0 {
        lines.push(Line::of(Tone::Faint, format!("  … and {more} more: -o diff shows all")));
    }
    lines
}

fn difference(object: &DriftedObject, longest: usize, width: Option<usize>) -> Vec<Line> {
    let (tone, sign) = match object.change {
        Change::Missing => (Tone::Bad, "-"),
        Change::Unexpected => (Tone::Busy, "+"),
        Change::Modified => (Tone::Busy, "~"),
    };
    let name = clean(&object.object.replace('\n', " "), 200);
    let line = Line::new().text("  ").and(tone, sign).text(" ").text(name);
    let line = if line.width() < longest + 4 { line.padded(longest + 4) } else { line };
    let indent = line.width();
    let mut lines = Vec::new();
    let definitions = [(Tone::Bad, "- ", &object.expected), (Tone::Good, "+ ", &object.actual)];
    let mut line = Some(line);
    for (tone, sign, definition) in definitions {
        let Some(definition) = definition else { continue };
        let start = line.take().unwrap_or_else(|| Line::new().text(" ".repeat(indent))).text("   ");
        let start = start.and(tone, sign);
        lines.push(start.and(tone, clean(&definition.replace('\n', " "), 300)).cut(width));
    }
    lines.extend(line);
    lines
}

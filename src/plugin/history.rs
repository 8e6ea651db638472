//! `history`: the runs that have ended, newest first; no I/O.

use super::{
    status::Look,
    table::{Column, table},
    text::{Line, Span, Tone, cut},
    view::{self, status_of},
};
use crate::api::{DatabaseMigration, RunResult, RunStatus};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::tz::TimeZone};

const COLUMNS: [Column; 8] = [
    Column::right("RUN", 0),
    Column::new("STARTED", 2),
    Column::right("TOOK", 3),
    Column::new("WAY", 1),
    Column::new("FROM → TO", 1),
    Column::new("RESULT", 0),
    Column::new("APPROVED", 4),
    Column::new("WHY", 5),
];

/// The runs in a table, and what the newest said where it did not succeed.
pub fn page(object: &DatabaseMigration, look: Look) -> Vec<Line> {
    let status = status_of(object);
    let runs: Vec<&RunStatus> = status.last_run.iter().chain(&status.history).collect();
    if runs.is_empty() {
        return vec![Line::new().text("no run has ended yet")];
    }
    let rows: Vec<Vec<Span>> = runs.iter().map(|run| row(run, look)).collect();
    let mut lines = table(&COLUMNS, &rows, look.width);
    if let Some(message) = runs[0].message.as_ref().filter(|_| runs[0].result != RunResult::Succeeded) {
        lines.push(Line::new());
        lines.extend(Line::of(Tone::Bad, format!("run {}: ", runs[0].number)).wrapped(
            Tone::Plain,
            message,
            look.width,
        ));
    }
    lines
}

fn row(run: &RunStatus, look: Look) -> Vec<Span> {
    let (tone, arrow) = match run.direction.as_str() {
        "downgrade" => (Tone::Busy, "↓ down"),
        "upgrade" => (Tone::Plain, "↑ up"),
        _ => (Tone::Plain, "= adopt"),
    };
    let rows = |rows: &[String]| match rows {
        [] => "base".to_owned(),
        [row] => cut(row, 20),
        [row, more @ ..] => format!("{} +{}", cut(row, 20), more.len()),
    };
    let result = match (run.result, &run.reason) {
        (RunResult::Succeeded, _) => Span::new(Tone::Good, "✓"),
        (_, Some(reason)) => Span::new(Tone::Bad, format!("✗ {reason}")),
        (result, None) => Span::new(Tone::Bad, format!("✗ {result:?}")),
    };
    vec![
        Span::plain(run.number.to_string()),
        Span::plain(run.started_at.as_ref().map_or_else(String::new, |time| moment(time, look))),
        Span::plain(view::took(run).unwrap_or_default()),
        Span::new(tone, arrow),
        Span::plain(format!("{} → {}", rows(&run.from), rows(&run.to))),
        result,
        approved(run),
        Span::plain(
            run.approval.as_ref().and_then(|a| a.reason.as_deref()).map(|why| cut(why, 60)).unwrap_or_default(),
        ),
    ]
}

/// Who approved a run's plan.
fn approved(run: &RunStatus) -> Span {
    match &run.approval {
        Some(approval) => Span::plain(cut(approval.manager.as_deref().unwrap_or(&approval.how), 40)),
        None => Span::new(Tone::Faint, "not asked"),
    }
}

/// The time of day of what was today, the day of what was before; in UTC, as in the log.
pub fn moment(time: &Time, look: Look) -> String {
    let (then, now) = (time.0.to_zoned(TimeZone::UTC), look.now.to_zoned(TimeZone::UTC));
    if then.date() == now.date() {
        then.strftime("%H:%M:%S").to_string()
    } else {
        then.strftime("%Y-%m-%d").to_string()
    }
}

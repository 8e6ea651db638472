//! `targets`: where each target of a set is, by the ConfigMaps that have them; no I/O.

use crate::{
    fleet::{Line as Target, TARGETS, read_page},
    plugin::{
        cli::{TargetState, TargetsArgs},
        status::Look,
        table::{Column, table},
        text::{Line, Span, Tone, cut},
    },
    text::{clean, list},
};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use serde_json::{Value, json};

const COLUMNS: [Column; 9] = [
    Column::new("TARGET", 0),
    Column::new("SERVER", 6),
    Column::new("WAVE", 3),
    Column::new("STATE", 0),
    Column::new("AT", 1),
    Column::new("REASON", 0),
    Column::right("TRIED", 4),
    Column::right("AGO", 5),
    Column::new("MESSAGE", 2),
];

/// Columns of a message where there is room for the rest.
const MESSAGE: usize = 60;

/// The targets in all pages, by their names.
pub fn all(pages: &[ConfigMap]) -> Vec<Target> {
    let texts = pages.iter().filter_map(|map| map.data.as_ref()?.get(TARGETS));
    let mut targets: Vec<Target> = texts.flat_map(|text| read_page(text)).collect();
    targets.sort_by(|a, b| (&a.name, &a.server).cmp(&(&b.name, &b.server)));
    targets
}

/// Those that somebody asks for.
pub fn chosen(mut targets: Vec<Target>, args: &TargetsArgs) -> Vec<Target> {
    targets.retain(|target| args.state.is_none_or(|state| state.word() == target.state));
    targets.retain(|target| args.wave.as_ref().is_none_or(|wave| *wave == target.wave));
    targets
}

impl TargetState {
    /// The word in the pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::AtTarget => "AtTarget",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Failed => "Failed",
        }
    }
}

/// Revisions in a line; `base` for none.
pub fn rows_of(rows: &[String]) -> String {
    if rows.is_empty() { "base".to_owned() } else { clean(&list(rows, 2), 80) }
}

/// The tone of a state.
pub fn tone(state: &str) -> Tone {
    match state {
        "AtTarget" => Tone::Good,
        "Failed" => Tone::Bad,
        "Running" => Tone::Busy,
        _ => Tone::Plain,
    }
}

/// Where a target is: its rows, or that nobody could read them.
pub fn at(target: &Target) -> String {
    match (target.state.as_str(), target.rows.as_slice()) {
        ("Failed", []) => "–".to_owned(),
        (_, rows) => rows_of(rows),
    }
}

/// The targets in a table, one each line.
pub fn page(targets: &[Target], look: Look) -> Vec<Line> {
    let row = |target: &Target| {
        let memory = &target.memory;
        let tried = if memory.attempts > 0 { memory.attempts.to_string() } else { String::new() };
        let message = clean(&memory.message, 300).replace('\n', " ");
        vec![
            Span::new(Tone::Bold, clean(&target.name, 128)),
            Span::plain(clean(&target.server, 40)),
            Span::plain(clean(&target.wave, 40)),
            Span::new(tone(&target.state), clean(&target.state, 16)),
            Span::plain(cut(&at(target), 25)),
            Span::plain(clean(&memory.reason, 64)),
            Span::plain(tried),
            Span::plain(ago(memory.since, look.now)),
            Span::plain(if look.width.is_some() { cut(&message, MESSAGE) } else { message }),
        ]
    };
    let rows: Vec<Vec<Span>> = targets.iter().map(row).collect();
    table(&COLUMNS, &rows, look.width)
}

fn ago(since: i64, now: Timestamp) -> String {
    if since == 0 { String::new() } else { crate::plugin::view::span(now.as_second() - since) }
}

/// For programs.
pub fn json(targets: &[Target]) -> Value {
    json!(targets)
}

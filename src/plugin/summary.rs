//! `status -o md`: a report to paste after a change, with the revisions' files, whether they are applied, where the database is,
//! and what to know; no I/O.

use super::{
    drift,
    view::{self, State, Verdict, full_name, status_of},
};
use crate::{
    api::{Change, DatabaseMigration, DatabaseMigrationStatus, RunResult, RunStatus},
    jobs::Inspected,
    text::{clean, list},
};
use std::collections::{BTreeMap, BTreeSet};

/// What an image says of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub title: String,
    pub file: String,
    /// The revisions that it builds on.
    pub down: Vec<String>,
}

/// What is known of revisions, by their ids.
pub type Revisions = BTreeMap<String, Known>;

/// Of every revision that one of the images holds.
pub fn revisions(images: &[Inspected]) -> Revisions {
    let all = images.iter().flat_map(|image| &image.inspection.revisions);
    let known = |title: &str, file: &str, down: &[String]| Known {
        title: clean(title, 120),
        file: clean(file, 200),
        down: down.to_vec(),
    };
    all.map(|revision| (revision.id.clone(), known(&revision.message, &revision.file, &revision.down))).collect()
}

/// So many revisions, and so many warnings, are listed.
const LISTED: usize = 30;

/// The report.
pub fn markdown(object: &DatabaseMigration, known: &Revisions) -> String {
    let status = status_of(object);
    let state = State::of(object);
    let mut out = format!("### {} {}: {}\n\n", state.verdict.symbol(), full_name(object), state.word);
    out += &format!("- database: {}\n", place(status.current.as_deref(), &status.current_revisions, known));
    out += &format!("- target: `{}` of `{}`\n", view::target(object), view::image(object));
    if let Some(run) = &status.last_run {
        out += &last_run(run, known);
    }
    if let Some(plan) = &status.plan {
        let hazards = view::hazards_in_words(plan);
        let (direction, count) = (&plan.direction, plan.step_count);
        let word = if direction == "downgrade" { "Not rolled back yet" } else { "Not applied yet" };
        out += &format!("\n**{word}**: {direction} of {count} revisions by plan `{}`, {hazards}\n\n", plan.hash);
        for step in &plan.steps {
            out += &item(false, &step.revision, &step.title, known);
        }
    }
    let warnings = warnings(object, &status, &state);
    if !warnings.is_empty() {
        out += "\n**Warnings**\n\n";
        out += &warnings.iter().take(LISTED).map(|line| format!("- {line}\n")).collect::<String>();
        if warnings.len() > LISTED {
            out += &format!("- … and {} more\n", warnings.len() - LISTED);
        }
    }
    out
}

fn place(current: Option<&str>, rows: &[String], known: &Revisions) -> String {
    let title = match rows {
        [row] => known.get(row).map(|known| format!(" {}", escaped(&known.title))),
        _ => None,
    };
    match current {
        Some(current) => format!("`{}`{}", clean(current, 200), title.unwrap_or_default()),
        None => "not known".to_owned(),
    }
}

/// The newest run, and the files that it went through.
fn last_run(run: &RunStatus, known: &Revisions) -> String {
    let took = view::took(run).map(|took| format!(" in {took}")).unwrap_or_default();
    let to = if run.to.is_empty() { "base".to_owned() } else { list(&run.to, 5) };
    let result = match run.result {
        RunResult::Succeeded => "succeeded",
        RunResult::Failed => "failed",
        RunResult::Refused => "was refused, and changed nothing",
        RunResult::Lost => "was lost: its end is not known",
    };
    let mut out = format!("- last run: {} {} to `{to}` {result}{took}\n", run.direction, run.number);
    if run.result == RunResult::Succeeded {
        let down = run.direction == "downgrade";
        let (lower, upper) = if down { (&run.to, &run.from) } else { (&run.from, &run.to) };
        let passed = between(lower, upper, known);
        if !passed.is_empty() {
            out += if down { "\n**Rolled back**\n\n" } else { "\n**Applied**\n\n" };
            out += &passed.iter().take(LISTED).map(|id| item(!down, id, "", known)).collect::<String>();
            if passed.len() > LISTED {
                out += &format!("- … and {} more\n", passed.len() - LISTED);
            }
        }
    }
    out
}

/// The revisions above some rows up to others, newest first.
fn between(lower: &[String], upper: &[String], known: &Revisions) -> Vec<String> {
    let above = |rows: &[String], stop: &BTreeSet<String>| {
        let (mut found, mut waiting): (Vec<String>, Vec<String>) = (Vec::new(), rows.to_vec());
        while let Some(id) = waiting.pop() {
            if !stop.contains(&id) && !found.contains(&id) {
                waiting.extend(known.get(&id).into_iter().flat_map(|known| known.down.clone()));
                found.push(id);
            }
        }
        found
    };
    let below: BTreeSet<String> = above(lower, &BTreeSet::new()).into_iter().collect();
    above(upper, &below)
}

fn item(done: bool, id: &str, title: &str, known: &Revisions) -> String {
    let revision = known.get(id);
    let title = revision.map_or(title, |known| &known.title);
    let file = revision.map(|known| format!(" (`{}`)", known.file)).unwrap_or_default();
    let line = format!("- [{}] `{id}` {}", if done { "x" } else { " " }, escaped(title));
    line.trim_end().to_owned() + &file + "\n"
}

/// What somebody should know who reads no further.
fn warnings(object: &DatabaseMigration, status: &DatabaseMigrationStatus, state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    if state.verdict != Verdict::Ready {
        lines.push(escaped(&clean(&state.message, 900).replace('\n', " ")));
    }
    let hazards = status.plan.iter().flat_map(|plan| &plan.hazards).filter(|hazard| hazard.severity != "low");
    lines.extend(hazards.map(|hazard| {
        let revision = hazard.revision.as_deref().map(|id| format!(" `{id}`")).unwrap_or_default();
        let said = view::with_table(hazard.table.as_deref(), &hazard.message);
        format!("{} {}{revision}: {}", view::severity_word(&hazard.severity), hazard.code, escaped(&said))
    }));
    if view::drifted_objects(status) > 0 {
        lines.push(format!("drift: {}", drift::summary(status)));
    }
    lines.extend(status.drift.iter().flat_map(|drift| &drift.objects).map(|object| {
        let change = match object.change {
            Change::Missing => "missing",
            Change::Unexpected => "unexpected",
            Change::Modified => "modified",
        };
        format!("{change}: `{}`", clean(&object.object.replace('`', "'"), 200))
    }));
    if let Some(by) = object.suspended_by() {
        lines.push(format!("suspended by {by}"));
    }
    lines
}

/// Titles come out of an image, and must not become markup.
fn escaped(text: &str) -> String {
    let special = |c: char| matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '|' | '#');
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if special(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_went_through_what_lies_between() {
        let known =
            |down: &[&str]| Known { down: down.iter().map(|id| (*id).to_owned()).collect(), ..Known::default() };
        let all: Revisions = [("a", known(&[])), ("b", known(&["a"])), ("c", known(&["a"])), ("d", known(&["b", "c"]))]
            .map(|(id, known)| (id.to_owned(), known))
            .into();
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(between(&ids(&["a"]), &ids(&["d"]), &all), ids(&["d", "c", "b"]));
        assert_eq!(between(&[], &ids(&["b"]), &all), ids(&["b", "a"]));
        assert_eq!(between(&ids(&["d"]), &ids(&["d"]), &all), ids(&[]));
    }

    #[test]
    fn titles_are_no_markup() {
        assert_eq!(escaped("drop *all* `x` <b>"), "drop \\*all\\* \\`x\\` \\<b>");
    }
}

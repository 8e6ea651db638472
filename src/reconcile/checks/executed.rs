//! What a rehearsal saw the steps execute whose SQL is not known beforehand, and the hazards in it; no I/O.

use super::{before::Before, hazards, plan::Chosen};
use crate::{
    api::{ExecutedHazard, ExecutedStatus, RehearsalStatus, StageResult},
    jobs::{Rehearsal, RehearsedStep, Revision},
    lint::{Code, Dialect, Fact, Finding, Severity, lint, mask},
    reconcile::facts::RehearsalView,
    revisions::Direction,
    text,
};
use std::collections::HashMap;

/// Bytes of it in the status. A step whose hazards have no room stays one that nobody can judge.
const MOST: usize = 5_000;
/// Bytes of the statements in the ConfigMap, which the plan needs too.
const MOST_SQL: usize = 40_000;

/// What the rehearsal of this very plan saw: as it is recorded, or as its log has just shown.
pub fn executed(
    recorded: Option<&RehearsalStatus>,
    rehearsals: &[RehearsalView],
    chosen: &Chosen,
    before: &Before,
    restricted: bool,
) -> Option<ExecutedStatus> {
    let recorded = recorded.filter(|rehearsal| rehearsal.stage.plan_hash == chosen.hash)?;
    match recorded.stage.result {
        StageResult::Succeeded => recorded.executed.clone(),
        StageResult::Running => {
            let view = rehearsals.iter().find(|view| view.job.name == recorded.stage.job)?;
            let end = view.end.as_ref().filter(|end| end.verdict.is_ok())?;
            judged(end.found.as_ref()?, chosen, before, restricted)
        }
        _ => None,
    }
}

/// The hazards in what the opaque steps executed, beside the SQL of the others.
fn judged(found: &Rehearsal, chosen: &Chosen, before: &Before, restricted: bool) -> Option<ExecutedStatus> {
    let dialect = Dialect::of(&chosen.image.inspection.dialect, before.server_version())?;
    let down = chosen.plan.direction == Direction::Downgrade;
    let steps = heard(found, chosen, down);
    if steps.is_empty() {
        return None;
    }
    let revisions: Vec<&Revision> = chosen.revisions().collect();
    let sql = |revision: &Revision| match steps.get(revision.id.as_str()) {
        Some(step) => script(step),
        None => revision.script(down).text.clone().unwrap_or_default(),
    };
    let mut input = hazards::input(&revisions, chosen, dialect, before, sql);
    input.comments_allow = !restricted;
    let report = lint(&input).ok().filter(|report| report.omitted == 0)?;
    let mut room = MOST;
    let mut seen = ExecutedStatus::default();
    for revision in revisions {
        let Some(step) = steps.get(revision.id.as_str()) else { continue };
        let of_it = report.findings.iter().filter(|f| f.revision.as_ref() == Some(&revision.id));
        let hazards: Vec<ExecutedHazard> = of_it.flat_map(hazards_of).collect();
        let size = serde_json::to_string(&hazards).map_or(MOST, |text| text.len()) + 2 * revision.id.len();
        let Some(left) = room.checked_sub(size) else { break };
        room = left;
        seen.revisions.push(revision.id.clone());
        seen.reading.extend(step.reads.then(|| revision.id.clone()));
        seen.hazards.extend(hazards);
    }
    Some(seen)
}

/// The steps whose SQL does not show everything, and of which the runner heard every statement.
fn heard<'a>(found: &'a Rehearsal, chosen: &Chosen, down: bool) -> HashMap<&'a str, &'a RehearsedStep> {
    let opaque = |id: &str| chosen.image.revision(id).is_some_and(|r| !r.script(down).opaque.is_empty());
    let first = found.phases.first().map(|phase| phase.steps.as_slice()).unwrap_or_default();
    first
        .iter()
        .filter(|step| step.executed.is_some() && opaque(&step.revision))
        .map(|step| (step.revision.as_str(), step))
        .collect()
}

/// A comment at the end of a statement must not hide the semicolon.
fn script(step: &RehearsedStep) -> String {
    step.executed.iter().flatten().map(|statement| format!("{statement}\n;\n")).collect()
}

fn hazards_of(finding: &Finding) -> impl Iterator<Item = ExecutedHazard> {
    let hazard = |code: Code, message: &str, severity: Severity| ExecutedHazard {
        code: code.as_str().to_owned(),
        severity: severity.to_string(),
        revision: finding.revision.clone().unwrap_or_default(),
        table: finding.table.clone(),
        statement: text::clean(&finding.statement, 100),
        message: text::clean(message, 200),
    };
    let also = finding.also.iter().map(move |also| hazard(also.code, &also.message, Severity::Low));
    std::iter::once(hazard(finding.code, &finding.message, finding.severity)).chain(also)
}

/// The hazards of a step that was seen, as far as the linter can still be told.
pub(super) fn facts<'a>(seen: &'a ExecutedStatus, id: &'a str) -> impl Iterator<Item = Fact> + 'a {
    let known = |hazard: &ExecutedHazard| Some((hazard.code.parse().ok()?, hazard.severity.parse().ok()?));
    seen.hazards.iter().filter(move |hazard| hazard.revision == id).map(move |hazard| {
        // What can't be read any more is as bad as what nobody saw.
        let (code, severity) = known(hazard).unwrap_or((Code::O01, Severity::High));
        Fact {
            code,
            severity,
            revision: hazard.revision.clone(),
            message: hazard.message.clone(),
            table: hazard.table.clone(),
            statement: hazard.statement.clone(),
        }
    })
}

/// What was executed, for people to read: values masked.
pub fn executed_sql(found: &Rehearsal, chosen: &Chosen) -> String {
    let down = chosen.plan.direction == Direction::Downgrade;
    let dialect = Dialect::of(&chosen.image.inspection.dialect, "");
    let heard = heard(found, chosen, down);
    let mut out = String::new();
    for revision in chosen.revisions() {
        let Some(step) = heard.get(revision.id.as_str()) else { continue };
        let sql = dialect.map(|dialect| mask(&script(step), dialect)).unwrap_or_default();
        let sql = if sql.is_empty() { "-- nothing" } else { sql.as_str() };
        let part = format!("-- executed by {}\n{}\n\n", text::clean(&revision.id, 128), text::clean(sql, MOST_SQL));
        if out.len() + part.len() > MOST_SQL {
            return out + "-- ... and more\n";
        }
        out += &part;
    }
    out
}

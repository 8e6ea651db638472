//! `target`: Alembic's forms, the relative ones too, as the id that they mean now, and the line to commit; no I/O.

use super::{
    text::{Line, Tone},
    view::{full_name, status_of},
};
use crate::{
    api::DatabaseMigration,
    jobs::Inspected,
    revisions::{AlembicError, Direction, Graph, Plan, PlanError, Step, Target, decide},
    text::{clean, list},
};
use std::collections::BTreeSet;

/// What a form means.
#[derive(Debug)]
pub struct Meaning {
    /// What to write into spec.targetRevision.
    pub revision: String,
    /// How the database would come there, if there is a way.
    pub plan: Result<Plan, PlanError>,
}

/// Why a form means nothing here.
#[derive(Debug, thiserror::Error)]
pub enum Meaningless {
    #[error("{0}: {1}")]
    Alembic(String, AlembicError),
    #[error("the image's revisions can't be used: {0}")]
    Graph(String),
    #[error("the database is at {0}, which the image does not know: {1} can't be counted from there")]
    UnknownRow(String, String),
}

/// What a form of Alembic's means for an object: `-1` and `+2` count from the live database, `branch@+1` on a branch.
pub fn meaning(object: &DatabaseMigration, image: &Inspected, form: &str) -> Result<Meaning, Meaningless> {
    let graph = image.graph.as_ref().map_err(|error| Meaningless::Graph(error.to_string()))?;
    let rows: BTreeSet<String> = status_of(object).current_revisions.iter().cloned().collect();
    let refused = |error| Meaningless::Alembic(clean(form, 64), error);
    let ids = match Target::parse(form) {
        Ok(target) => graph.resolve_target(&target).map_err(refused)?,
        Err(_) => {
            if let Some(row) = rows.iter().find(|row| !graph.contains(row)) {
                return Err(Meaningless::UnknownRow(clean(row, 64), clean(form, 64)));
            }
            relative(graph, &rows.iter().cloned().collect::<Vec<_>>(), form).map_err(refused)?
        }
    };
    let plan = decide(graph, &rows, &Target::revisions(ids.clone()));
    let revision = if ids.is_empty() { "base".to_owned() } else { ids.join(",") };
    Ok(Meaning { revision, plan })
}

/// The rows that the command with this form would end with.
fn relative(graph: &Graph, rows: &[String], form: &str) -> Result<Vec<String>, AlembicError> {
    let symbol = form.rsplit('@').next().unwrap_or(form);
    let steps: Vec<Step> = match symbol.starts_with('-') {
        true => graph.downgrade(rows, form)?.into_iter().map(Step::Downgrade).collect(),
        false if symbol.starts_with('+') => graph.upgrade(rows, form)?.into_iter().map(Step::Upgrade).collect(),
        // It counts from a revision that it names: what an upgrade from nothing would reach.
        false => {
            let last = graph.upgrade(&[], form)?.pop();
            return Ok(last.into_iter().collect());
        }
    };
    graph.follow(rows, &steps).map_err(|(_, error)| error)
}

/// The answer with the line to commit.
pub fn page(
    object: &DatabaseMigration,
    image: &Inspected,
    form: &str,
    meaning: &Meaning,
    width: Option<usize>,
) -> Vec<Line> {
    let title = image.revision(&meaning.revision).map(|revision| clean(&revision.message, 80)).unwrap_or_default();
    let head = Line::of(Tone::Bold, full_name(object))
        .text(format!("   {} is ", clean(form, 64)))
        .and(Tone::Name, meaning.revision.clone())
        .text(format!("   {title}"));
    let mut lines = vec![head.cut(width)];
    let rows = status_of(object).current.clone().unwrap_or_else(|| "not known".to_owned());
    match &meaning.plan {
        Ok(plan) => {
            let count = plan.steps.len();
            let noun = if count == 1 { "revision" } else { "revisions" };
            let (tone, way) = match plan.direction {
                Direction::None => (Tone::Good, "the database is there already".to_owned()),
                Direction::Upgrade => (Tone::Busy, format!("↑ upgrade of {count} {noun} from {rows}")),
                Direction::Downgrade => {
                    (Tone::Busy, format!("↓ downgrade of {count} {noun} from {rows}: {}", list(&plan.steps, 5)))
                }
                Direction::Stamp => (Tone::Busy, "it would be written into the version table".to_owned()),
            };
            lines.extend(Line::new().text("  ").wrapped(tone, &way, width));
        }
        Err(error) => lines.extend(Line::new().text("  ").wrapped(
            Tone::Bad,
            &format!("from {rows} there is no way: {error}"),
            width,
        )),
    }
    lines.push(Line::new().and(Tone::Faint, "Commit:  ").text(format!("targetRevision: \"{}\"", meaning.revision)));
    lines
}

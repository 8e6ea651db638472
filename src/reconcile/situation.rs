//! What the facts mean, by one name; no I/O.

use super::{
    checks::{
        Before, Chosen, Drift, Route, Unmanaged, adoption, choose, drift, executed, judge, may_be_stamped_over,
        replaced, replaced_problem, restamp, spec_problem, unmanaged, usable_graph,
    },
    facts::{ActiveRun, DatabaseView, Facts, ImageView, JobView, SchemaView},
};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, Problem, Reason},
    jobs::Inspected,
    revisions::{Direction, Target},
};
use std::{collections::BTreeSet, sync::Arc};

/// Where an object stands. Each is a state that a person would name, and what follows from it is decided in one place.
#[derive(Debug)]
pub enum Situation<'a> {
    /// A run is at work, or waits for its pod.
    Running(&'a ActiveRun),
    /// A run has ended without a report, and the database does not answer: nobody can judge it yet.
    Unjudged(&'a Problem),
    /// The object is being deleted, and no run works.
    Deleting,
    /// The spec asks for what can't be done.
    Invalid(Problem),
    /// The database can't be read.
    Unreadable(&'a Problem),
    /// The database was not read, since something else comes first.
    NotLooked,
    /// The image is not known yet, or can't be.
    NoImage,
    /// A Job has to read the version rows.
    Probing(Option<&'a JobView>),
    /// No way to the target is known.
    Unplannable(World, Problem),
    /// The version rows are the target's.
    AtTarget(World, Box<Chosen>),
    /// A plan leads to the target.
    Away(World, Box<Chosen>),
}

/// The live database beside the image of the spec.
#[derive(Clone, Debug)]
pub struct World {
    /// The version rows.
    pub rows: BTreeSet<String>,
    pub image: Arc<Inspected>,
    /// Whether something else than this operator changed the rows.
    pub rows_changed: Drift,
}

impl<'a> Situation<'a> {
    /// `memory` is the status with a run recorded that has just ended; `ours` says whether one has.
    pub fn of(object: &'a DatabaseMigration, facts: &'a Facts, memory: &DatabaseMigrationStatus, ours: bool) -> Self {
        if let (Some(run), false) = (&facts.active, ours) {
            return match &facts.database {
                DatabaseView::Failed(problem) if run.ended().is_some() => Self::Unjudged(problem),
                _ => Self::Running(run),
            };
        }
        if object.metadata.deletion_timestamp.is_some() {
            return Self::Deleting;
        }
        if let Some(problem) = spec_problem(&object.spec) {
            return Self::Invalid(problem);
        }
        let image = known_image(facts);
        match (&facts.database, image) {
            (DatabaseView::Failed(problem), _) => Self::Unreadable(problem),
            (DatabaseView::NotLooked | DatabaseView::Busy, _) => Self::NotLooked,
            (_, None) => Self::NoImage,
            (DatabaseView::Looking(job), Some(_)) => Self::Probing(job.as_ref()),
            (DatabaseView::Seen(_), Some(image)) => {
                let rows = live_rows(object, facts).unwrap_or_default();
                let world = World { rows, image: image.clone(), rows_changed: Drift::Unchanged };
                planned(object, facts, memory, world, ours)
            }
        }
    }
}

fn planned<'a>(
    object: &DatabaseMigration,
    facts: &Facts,
    memory: &DatabaseMigrationStatus,
    mut world: World,
    ours: bool,
) -> Situation<'a> {
    let before = object.status.clone().unwrap_or_default();
    let foreign = drift(&before, &world.rows, false, ours).is_change();
    let plan = plan(object, facts, memory, &world, foreign);
    let at_target = plan.as_ref().is_ok_and(|plan| plan.plan.direction == Direction::None);
    world.rows_changed = drift(&before, &world.rows, at_target, ours);
    match plan {
        Err(problem) => Situation::Unplannable(world, problem),
        Ok(plan) if at_target => Situation::AtTarget(world, Box::new(judged(object, facts, plan))),
        Ok(plan) => Situation::Away(world, Box::new(judged(object, facts, plan))),
    }
}

fn plan(
    object: &DatabaseMigration,
    facts: &Facts,
    memory: &DatabaseMigrationStatus,
    world: &World,
    foreign: bool,
) -> Result<Chosen, Problem> {
    usable_graph(&world.image)?;
    let spec = &object.spec;
    let target = Target::parse(&spec.target_revision)
        .map_err(|e| Problem::new(Reason::InvalidTarget, format!("spec.targetRevision: {e}")))?;
    let tables = match &facts.database {
        DatabaseView::Seen(snapshot) => snapshot.tables.as_slice(),
        _ => &[],
    };
    let database = facts.database_id();
    let judged = replaced(object, memory, &world.rows, database.identity);
    if let Some(problem) = replaced_problem(&judged, memory, &world.rows, database.place) {
        return Err(problem);
    }
    match unmanaged(&world.rows, tables, memory, spec.adopt.as_ref()) {
        Unmanaged::No => choose(&Route {
            image: &world.image,
            remembered: &facts.remembered,
            ran: facts.ran.as_ref(),
            status: memory,
            target: &target,
            rows: &world.rows,
            strategy: spec.strategy,
            foreign,
            database,
        })
        .or_else(|problem| match restamp(spec.adopt.as_ref(), &world.rows) {
            Some(adopt) if may_be_stamped_over(&problem) => {
                adoption(&world.image, adopt, &world.rows, memory, database)
            }
            _ => Err(problem),
        }),
        Unmanaged::Adopt(adopt) => adoption(&world.image, adopt, &world.rows, memory, database),
        Unmanaged::Unsaid(problem) => Err(problem),
    }
}

/// A plan with its hazards.
pub fn judged(object: &DatabaseMigration, facts: &Facts, plan: Chosen) -> Chosen {
    let snapshot = match &facts.database {
        DatabaseView::Seen(snapshot) => Some(snapshot),
        _ => None,
    };
    let schema = match &facts.schema {
        SchemaView::Seen(seen) => Some(&seen.schema.catalog),
        _ => facts.catalog.as_ref(),
    };
    let before = Before { snapshot, sizes: facts.sizes.as_ref(), schema };
    let rehearsal = object.status.as_ref().and_then(|status| status.stages.rehearsal.as_ref());
    let executed = executed(rehearsal, &facts.rehearsals, &plan, &before, facts.restricted);
    let judged = judge(&plan, &object.spec.policy.hazards.allow, &before, facts.restricted, executed);
    Chosen { judged, ..plan }
}

/// The image of the spec, where it is known.
pub fn known_image(facts: &Facts) -> Option<&Arc<Inspected>> {
    match &facts.image {
        ImageView::Stored(image) | ImageView::Reported { image, .. } => Some(image),
        _ => None,
    }
}

/// The version rows, where they mean anything: before the image was inspected nobody knows which table env.py uses.
pub fn live_rows(object: &DatabaseMigration, facts: &Facts) -> Option<BTreeSet<String>> {
    let table_is_known = known_image(facts).is_some() || object.spec.database.version_table.is_some();
    match &facts.database {
        DatabaseView::Seen(snapshot) if table_is_known => Some(snapshot.rows.clone().into_set()),
        _ => None,
    }
}

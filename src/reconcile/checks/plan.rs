//! Which steps lead to the target, and in which image they run; no I/O.

use crate::{
    api::{DatabaseMigrationStatus, DowngradePolicy, Problem, Reason, Strategy},
    jobs::{Implementation, Inspected, Limit, Reads, Revision, Run, hex},
    lint::Severity,
    reconcile::{
        checks::{
            hazards::Judged,
            history::{left_behind, ran_before, rewritten},
        },
        facts::DatabaseId,
    },
    revisions::{AlembicError, Direction, Graph, Plan, PlanError, Target, decide, first_step, steps_digest},
    text::{self, rows_in_line, short_image},
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// A plan, the image that it runs in, and what identifies it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What runs next.
    pub plan: Plan,
    /// Every step on the way to the target; more than the plan's own where each runs by itself.
    pub pending: Vec<String>,
    pub image: Arc<Inspected>,
    pub steps_digest: String,
    pub hash: String,
    /// What it does, as far as anybody can tell; judged once it is known that it is to run.
    pub judged: Judged,
}

impl Chosen {
    /// What the runner is asked to do.
    pub fn run(
        &self,
        lock_wait: Duration,
        lock_timeout: Limit,
        statement_timeout: Option<Limit>,
        verify_models: bool,
    ) -> Run {
        let plan = &self.plan;
        Run {
            direction: direction_name(plan.direction).to_owned(),
            from: plan.from.iter().cloned().collect(),
            targets: plan.targets.clone(),
            branch: plan.branch.clone(),
            end: plan.end.iter().cloned().collect(),
            steps: plan.steps.len(),
            steps_digest: self.steps_digest.clone(),
            reads: self.reads(),
            lock_wait_seconds: lock_wait.as_secs(),
            lock_timeout,
            statement_timeout,
            verify_models,
            env_commits: self.image.inspection.env_commits,
        }
    }

    /// Its steps, as the image has them.
    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.plan.steps.iter().filter_map(|step| self.image.revision(step))
    }

    /// The files that its steps read beside their own.
    pub fn reads(&self) -> Reads {
        let paths = |r: &Revision| r.reads.iter().map(|read| read.path.clone()).collect();
        self.revisions().filter(|r| !r.reads.is_empty()).map(|r| (r.id.clone(), paths(r))).collect()
    }

    /// Whether it has a high hazard or a worse one that nobody allowed.
    pub fn dangerous(&self) -> bool {
        self.judged.report.worst().is_some_and(|worst| worst >= Severity::High)
    }

    /// The same before anybody saw what it executes: a rehearsal must not be the reason why none is asked for.
    pub fn dangerous_unrehearsed(&self) -> bool {
        self.dangerous() || self.judged.unrehearsed.is_some_and(|worst| worst >= Severity::High)
    }
}

/// What a plan is made of.
pub struct Route<'a> {
    /// The spec's own.
    pub image: &'a Arc<Inspected>,
    pub remembered: &'a [Arc<Inspected>],
    /// The image of the newest run that succeeded, where it is another one.
    pub ran: Option<&'a Arc<Inspected>>,
    pub status: &'a DatabaseMigrationStatus,
    pub target: &'a Target,
    pub rows: &'a BTreeSet<String>,
    pub strategy: Strategy,
    /// Whether something else than this operator wrote the rows.
    pub foreign: bool,
    pub database: DatabaseId<'a>,
}

/// Plans the way from the live rows to the target, which is resolved in the spec's own image. When that image does
/// not know the live rows, as after a reverted commit, an image that was inspected before and knows them is used.
pub fn choose(route: &Route) -> Result<Chosen, Problem> {
    let Route { image, remembered, ran: _, status, target, rows, strategy, foreign: _, database } = *route;
    let graph = usable_graph(image)?;
    if let Err(error @ AlembicError::NotFound { .. }) = graph.resolve_target(target) {
        return Err(not_in_image(&error, image, remembered, target));
    }
    let unknown: Vec<&String> = rows.iter().filter(|row| !graph.contains(row)).collect();
    let (plan, image) = if unknown.is_empty() {
        over_known_rows(route, graph)?
    } else {
        going_back(graph, image, remembered, status, target, rows).ok_or_else(|| not_known(&unknown, route))?
    };
    let pending = plan.steps.clone();
    let plan = match (strategy, &image.graph) {
        (Strategy::Stepwise, Ok(graph)) => first_step(graph, &plan).map_err(|e| refused(&e, image))?,
        _ => plan,
    };
    identified(plan, pending, image, database, status.runs.succeeded())
}

/// The way from rows that the image knows. What has run there may be another thing than what the image has below the rows:
/// then only what has run can be undone, by the files that did it.
fn over_known_rows<'a>(route: &Route<'a>, graph: &Graph) -> Result<(Plan, &'a Arc<Inspected>), Problem> {
    let Route { image, ran, status, target, rows, .. } = *route;
    let plan = decide(graph, rows, target).map_err(|e| refused(&e, image))?;
    let rewritten = ran_before(image, ran, status).and_then(|ran| Some((ran, rewritten(image, ran, rows)?)));
    let Some((ran, problem)) = rewritten else { return Ok((plan, image)) };
    let down = |plan: &Plan| plan.direction == Direction::Downgrade;
    let back = down(&plan).then(|| going_back(graph, image, std::slice::from_ref(ran), status, target, rows)).flatten();
    back.filter(|(plan, _)| down(plan)).ok_or(problem)
}

/// The graph of an image that can be planned with.
pub fn usable_graph(image: &Inspected) -> Result<&Graph, Problem> {
    let graph = image
        .graph
        .as_ref()
        .map_err(|e| Problem::new(Reason::RevisionGraphInvalid, format!("{e} ({})", short_image(&image.image))))?;
    if graph.is_empty() {
        let message = format!(
            "no revision files are in {}; Alembic would do nothing and call it a success",
            short_image(&image.image)
        );
        return Err(Problem::new(Reason::NoRevisions, message));
    }
    Ok(graph)
}

fn going_back<'a>(
    graph: &Graph,
    image: &Inspected,
    remembered: &'a [Arc<Inspected>],
    status: &DatabaseMigrationStatus,
    target: &Target,
    rows: &BTreeSet<String>,
) -> Option<(Plan, &'a Arc<Inspected>)> {
    let ids = Target::revisions(graph.resolve_target(target).ok()?);
    let plan_in = |candidate: &'a Arc<Inspected>| {
        let graph = candidate.graph.as_ref().ok().filter(|_| candidate.image != image.image)?;
        let plan = decide(graph, rows, &ids).ok()?;
        // Anything but a way down would need the spec's own image.
        matches!(plan.direction, Direction::None | Direction::Downgrade).then_some((plan, candidate))
    };
    by_preference(remembered, status).into_iter().find_map(plan_in)
}

/// Rows that no image leads away from: left by a newer release, or written by something else.
fn not_known(unknown: &[&String], route: &Route) -> Problem {
    let Route { image, remembered, status, rows, foreign, .. } = *route;
    let known = by_preference(remembered, status).into_iter().find_map(|ran| left_behind(image, ran, rows));
    if let Some(problem) = known {
        return problem;
    }
    let names: Vec<String> = unknown.iter().map(|r| text::clean(r, 64)).collect();
    let at = rows_in_line(rows);
    let message = format!(
        "the database is at {at}, and revision {} is not in {}; no image that was inspected before has it: use one that has, or say with spec.adopt.from: {at} which revision of this image the schema is at (spec.adopt.revision)",
        text::list(&names, 5),
        short_image(&image.image),
    );
    Problem::new(if foreign { Reason::UnknownRevision } else { Reason::DatabaseAhead }, message)
}

/// A target that this image lacks: another one may have it.
fn not_in_image(error: &AlembicError, image: &Inspected, remembered: &[Arc<Inspected>], target: &Target) -> Problem {
    let has = |other: &&Arc<Inspected>| other.graph.as_ref().is_ok_and(|g| g.resolve_target(target).is_ok());
    match remembered.iter().find(has) {
        Some(other) => {
            let message = format!("{error} in {}; {} has it", short_image(&image.image), short_image(&other.image));
            Problem::new(Reason::RevisionNotInImage, message)
        }
        None => {
            let heads = image.graph.as_ref().map(Graph::heads).unwrap_or_default();
            let noun = if heads.len() == 1 { "the head is" } else { "the heads are" };
            let mut message = format!("{error} in {}; {noun} {}", short_image(&image.image), text::list(&heads, 5));
            if let Some(close) = close_to(error, &image.inspection.revisions) {
                message += &format!("; {close} is spelled almost alike");
            }
            Problem::new(Reason::UnknownTarget, message)
        }
    }
}

/// The revision or label that a mistyped target is likely to be: of four characters one differs at most, and three in all.
fn close_to<'a>(error: &AlembicError, revisions: &'a [Revision]) -> Option<&'a str> {
    let AlembicError::NotFound { argument: written } = error else { return None };
    let far = |name: &str| strsim::damerau_levenshtein(written, name);
    let names = revisions.iter().flat_map(|revision| revision.labels.iter().chain([&revision.id]));
    let (distance, name) = names.map(|name| (far(name), name.as_str())).min()?;
    (distance * 4 <= written.len() && distance <= 3).then_some(name)
}

/// The image of the newest run that succeeded first, since it is what brought the database to where it is.
fn by_preference<'a>(remembered: &'a [Arc<Inspected>], status: &DatabaseMigrationStatus) -> Vec<&'a Arc<Inspected>> {
    let ran = status.runs.last_success.as_ref().map(|success| success.run.image.as_str());
    let known = |image: &str| status.images.iter().position(|other| other == image).unwrap_or(usize::MAX);
    let mut images: Vec<_> = remembered.iter().collect();
    images.sort_by_key(|image| (Some(image.image.as_str()) != ran, known(&image.image)));
    images
}

/// What stands in the way of a plan that is not empty.
pub fn plan_problem(chosen: &Chosen, policy: DowngradePolicy, column: Option<u32>) -> Option<Problem> {
    let plan = &chosen.plan;
    let down = plan.direction == Direction::Downgrade;
    if down && policy == DowngradePolicy::Deny {
        let message = format!(
            "going from {} to {} is a downgrade of {} revisions, which can lose data; set spec.policy.downgrade: Allow if it is intended",
            rows_in_line(&plan.from),
            rows_in_line(&plan.end),
            plan.steps.len(),
        );
        return Some(Problem::new(Reason::DowngradeNotAllowed, message));
    }
    // Where all of it is rolled back nothing is lost by a try, and the rows show what happened.
    if chosen.image.inspection.external_transaction && !chosen.image.inspection.transactional_ddl {
        let message = format!(
            "env.py in {} runs a statement before context.configure() and never commits: the version rows would be lost while it exits with code 0, and this database does not roll back the rest; commit the connection before context.configure(), or connect with engine.begin()",
            short_image(&chosen.image.image),
        );
        return Some(Problem::new(Reason::ExternalTransaction, message));
    }
    if let Some(problem) = too_long(chosen, column) {
        return Some(problem);
    }
    plan.steps.iter().find_map(|step| step_problem(chosen, step, down))
}

/// Whether every id that the steps write into the version table fits there. PostgreSQL would find out after the step
/// and take it back; MySQL would leave it half done.
fn too_long(chosen: &Chosen, column: Option<u32>) -> Option<Problem> {
    let plan = &chosen.plan;
    let width = column.map_or(crate::db::ALEMBICS_WIDTH, |width| width as usize);
    if chosen.image.inspection.dialect == "sqlite" {
        return None;
    }
    let written = plan.steps.iter().filter(|_| plan.direction != Direction::Downgrade).chain(&plan.end);
    let id = written.into_iter().find(|id| id.chars().count() > width)?;
    let message = format!(
        "the id {} has {} characters, and the version table's column holds {width}; nothing was run",
        text::clean(id, 128),
        id.chars().count(),
    );
    Some(Problem::new(Reason::RevisionIdTooLong, message))
}

/// Revisions of a downgrade that take nothing back: what they made stays.
pub fn empty_downgrades(chosen: &Chosen) -> Vec<String> {
    let empty = |step: &&String| chosen.image.revision(step).is_some_and(|r| r.downgrade == Implementation::Empty);
    let steps = chosen.plan.steps.iter().filter(|_| chosen.plan.direction == Direction::Downgrade);
    steps.filter(empty).cloned().collect()
}

fn step_problem(chosen: &Chosen, step: &str, down: bool) -> Option<Problem> {
    let revision = chosen.image.revision(step)?;
    let (what, implementation, reason) = if down {
        ("downgrade", revision.downgrade, Reason::IrreversibleRevision)
    } else {
        ("upgrade", revision.upgrade, Reason::UnusableRevision)
    };
    let broken = revision.script(down).broken.as_deref().filter(|_| down);
    let why = match implementation {
        Implementation::Present if broken.is_some() => {
            format!("has a {what}() that can't work: {}", text::clean(broken.unwrap_or_default(), 200))
        }
        Implementation::Missing => format!("has no {what}()"),
        Implementation::Raises => format!("has a {what}() that only raises"),
        Implementation::Present | Implementation::Empty => return None,
    };
    Some(Problem::new(reason, format!("revision {step} ({}) {why}; nothing was run", text::clean(&revision.file, 200))))
}

/// A plan with what it is known by.
pub(super) fn identified(
    plan: Plan,
    pending: Vec<String>,
    image: &Arc<Inspected>,
    database: DatabaseId,
    turn: i64,
) -> Result<Chosen, Problem> {
    let file = |step: &String| Some((step.clone(), image.revision(step)?.content()));
    let digest = steps_digest(plan.steps.iter().filter_map(file));
    let direction = direction_name(plan.direction);
    let down = plan.direction == Direction::Downgrade;
    let sql: Vec<Option<&String>> =
        plan.steps.iter().map(|step| image.revision(step).and_then(|r| r.script(down).sha256.as_ref())).collect();
    // Where not all of the SQL is known, what runs is in the image beside the revision files: in helpers, and in env.py.
    let is_seen = |step: &String| image.revision(step).is_some_and(|r| r.script(down).opaque.is_empty());
    let unseen = (!plan.steps.iter().all(is_seen)).then(|| image.digest.as_ref().unwrap_or(&image.image));
    let identity = serde_json::json!([
        4,
        direction,
        plan.from,
        plan.targets,
        plan.end,
        digest,
        sql,
        unseen,
        turn,
        database.place,
        database.identity
    ]);
    let mut hash = hex(&Sha256::digest(identity.to_string().as_bytes()));
    hash.truncate(16);
    Ok(Chosen { plan, pending, image: image.clone(), steps_digest: digest, hash, judged: Judged::default() })
}

/// The way that leads an empty database to these rows.
pub(super) fn from_base(
    image: &Arc<Inspected>,
    rows: &BTreeSet<String>,
    impossible: impl Fn(String) -> Problem,
) -> Result<Chosen, Problem> {
    let target = Target::revisions(rows.iter().cloned().collect());
    let plan = decide(usable_graph(image)?, &BTreeSet::new(), &target).map_err(|e| impossible(e.to_string()))?;
    // It runs on a database of its own.
    identified(plan, Vec::new(), image, DatabaseId::default(), 0)
}

/// The way from one revision to another, whatever database it is for.
pub fn between(image: &Arc<Inspected>, rows: &BTreeSet<String>, target: &Target) -> Result<Chosen, Problem> {
    let plan = decide(usable_graph(image)?, rows, target).map_err(|error| refused(&error, image))?;
    identified(plan, Vec::new(), image, DatabaseId::default(), 0)
}

/// The word for a direction in the status and in the runner's task.
pub fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::None => "none",
        Direction::Upgrade => "upgrade",
        Direction::Downgrade => "downgrade",
        Direction::Stamp => "stamp",
    }
}

fn refused(error: &PlanError, image: &Inspected) -> Problem {
    let message = format!("{error} ({})", short_image(&image.image));
    let reason = match error {
        PlanError::Target(error) => match error {
            AlembicError::MultipleHeads { .. } => Reason::MultipleHeads,
            AlembicError::Ambiguous { .. } => Reason::AmbiguousTarget,
            AlembicError::NotFound { .. } | AlembicError::NotOnBranch { .. } => Reason::UnknownTarget,
            _ => Reason::InvalidTarget,
        },
        PlanError::OverlappingRows { .. } => Reason::OverlappingRows,
        PlanError::UnknownRow { .. } => Reason::DatabaseAhead,
        PlanError::RedundantParent { .. } | PlanError::HalfWay { .. } => Reason::RedundantParent,
        PlanError::OverlappingTargets { .. } | PlanError::Mixed { .. } | PlanError::Inseparable { .. } => {
            Reason::InvalidTarget
        }
    };
    Problem::new(reason, message)
}

//! Which steps lead to the target, and in which image they run; no I/O.

use crate::{
    api::{DatabaseMigrationStatus, DowngradePolicy, Reason},
    reconcile::{checks::drift::describe, observed::Problem},
    revisions::{AlembicError, Direction, Graph, Plan, PlanError, Target, decide, steps_digest},
    runner::{Implementation, Inspected, hex},
    text,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc};

/// A plan, the image that it runs in, and what identifies it.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub plan: Plan,
    pub image: Arc<Inspected>,
    pub steps_digest: String,
    pub hash: String,
}

/// Plans the way from the live rows to the target, which is resolved in the spec's own image. When that image does
/// not know the live rows, as after a reverted commit, an image that was inspected before and knows them is used.
pub fn choose(
    image: &Arc<Inspected>,
    remembered: &[Arc<Inspected>],
    status: &DatabaseMigrationStatus,
    target: &Target,
    rows: &BTreeSet<String>,
) -> Result<Chosen, Problem> {
    let graph = usable_graph(image)?;
    let unknown: Vec<&String> = rows.iter().filter(|row| !graph.contains(row)).collect();
    let (plan, image) = if unknown.is_empty() {
        (decide(graph, rows, target).map_err(|e| refused(&e, image))?, image)
    } else {
        going_back(graph, image, remembered, status, target, rows, &unknown)?
    };
    identified(plan, image)
}

/// The graph of an image that can be planned with.
pub fn usable_graph(image: &Inspected) -> Result<&Graph, Problem> {
    let graph = image
        .graph
        .as_ref()
        .map_err(|e| Problem::new(Reason::RevisionGraphInvalid, format!("{}: {e}", image.image)))?;
    if graph.is_empty() {
        let message =
            format!("{} holds no revision files; Alembic would do nothing and call it a success", image.image);
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
    unknown: &[&String],
) -> Result<(Plan, &'a Arc<Inspected>), Problem> {
    let targets = graph.resolve_target(target).map_err(|e| refused(&e.into(), image))?;
    let ids = Target::revisions(targets);
    let plan_in = |candidate: &'a Arc<Inspected>| {
        let graph = candidate.graph.as_ref().ok()?;
        let plan = decide(graph, rows, &ids).ok()?;
        // Anything but a way down would need the spec's own image.
        (plan.direction != Direction::Upgrade).then_some((plan, candidate))
    };
    by_preference(remembered, status).into_iter().find_map(plan_in).ok_or_else(|| {
        let names: Vec<String> = unknown.iter().map(|r| text::clean(r, 64)).collect();
        let message = format!(
            "the database is at {}, and {} does not know revision {}; no image that was inspected before leads from there to the target",
            describe(rows), image.image, text::list(&names, 5),
        );
        Problem::new(Reason::DatabaseAhead, message)
    })
}

/// The images of recorded runs first, since they are what brought the database to where it is.
fn by_preference<'a>(remembered: &'a [Arc<Inspected>], status: &DatabaseMigrationStatus) -> Vec<&'a Arc<Inspected>> {
    let runs: Vec<&str> = status.last_run.iter().chain(&status.history).map(|run| run.image.as_str()).collect();
    let mut images: Vec<_> = remembered.iter().collect();
    images.sort_by_key(|image| runs.iter().position(|run| *run == image.image).unwrap_or(usize::MAX));
    images
}

/// What stands in the way of a plan that is not empty.
pub fn plan_problem(chosen: &Chosen, policy: DowngradePolicy) -> Option<Problem> {
    let plan = &chosen.plan;
    let down = plan.direction == Direction::Downgrade;
    if down && policy == DowngradePolicy::Deny {
        let message = format!(
            "going from {} to {} is a downgrade of {} revisions, which can lose data; set spec.policy.downgrade: Allow if it is meant",
            describe(&plan.from),
            describe(&plan.end),
            plan.steps.len(),
        );
        return Some(Problem::new(Reason::DowngradeNotAllowed, message));
    }
    if chosen.image.inspection.external_transaction {
        let message = format!(
            "env.py in {} runs a statement before context.configure() and never commits: Alembic's work would be rolled back while it exits with code 0; commit the connection before context.configure(), or connect with engine.begin()",
            chosen.image.image,
        );
        return Some(Problem::new(Reason::ExternalTransaction, message));
    }
    plan.steps.iter().find_map(|step| step_problem(chosen, step, down))
}

fn step_problem(chosen: &Chosen, step: &str, down: bool) -> Option<Problem> {
    let revision = chosen.image.revision(step)?;
    let (what, implementation, reason) = if down {
        ("downgrade", revision.downgrade, Reason::IrreversibleRevision)
    } else {
        ("upgrade", revision.upgrade, Reason::UnusableRevision)
    };
    let why = match implementation {
        Implementation::Missing => format!("has no {what}()"),
        Implementation::Raises => format!("has a {what}() that only raises"),
        Implementation::Present | Implementation::Empty => return None,
    };
    Some(Problem::new(reason, format!("revision {step} ({}) {why}; nothing was run", text::clean(&revision.file, 200))))
}

fn identified(plan: Plan, image: &Arc<Inspected>) -> Result<Chosen, Problem> {
    let file = |step: &String| Some((step.clone(), image.revision(step)?.sha256.clone()));
    let digest = steps_digest(plan.steps.iter().filter_map(file));
    let direction = direction_name(plan.direction);
    let identity = serde_json::json!([1, direction, plan.from, plan.targets, plan.end, digest]);
    let mut hash = hex(&Sha256::digest(identity.to_string().as_bytes()));
    hash.truncate(16);
    Ok(Chosen { plan, image: image.clone(), steps_digest: digest, hash })
}

/// The word for a direction in the status and in the runner's task.
pub fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::None => "none",
        Direction::Upgrade => "upgrade",
        Direction::Downgrade => "downgrade",
    }
}

fn refused(error: &PlanError, image: &Inspected) -> Problem {
    let message = format!("{}: {error}", image.image);
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
        PlanError::OverlappingTargets { .. } | PlanError::Mixed { .. } => Reason::InvalidTarget,
    };
    Problem::new(reason, message)
}

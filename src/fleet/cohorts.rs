//! Targets at the same rows: one plan, one hash, one approval for all of them. The planner, the linter and the approval are those of a
//! single object. No I/O.

use super::{facts::Facts, member::Member};
use crate::{
    api::{
        ANNOTATION_APPROVE, ANNOTATION_REJECT, DatabaseMigration, DatabaseMigrationStatus, Problem, Reason, SetPlan,
    },
    db::{Snapshot, VersionRows},
    jobs::{Inspected, Run},
    reconcile::{
        Approval, Before, Chosen, DatabaseId, Route, approval_of, choose, direction_name, hazard_summary, judge,
        limits, plan_problem,
    },
    revisions::{Direction, Target},
};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a set is called in commands.
pub const RESOURCE: &str = "databasemigrationset";

/// The targets that stand at the same rows.
#[derive(Debug)]
pub struct Cohort {
    pub rows: BTreeSet<String>,
    /// Their places among the members.
    pub members: Vec<usize>,
    pub way: Way,
}

/// What leads from the rows of a cohort to the target.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are a few for each pass")]
pub enum Way {
    /// They are there.
    AtTarget,
    Planned(Planned),
    /// No way is known, or it may not be gone.
    None(Problem),
}

/// A plan that can run once it is approved.
#[derive(Debug)]
pub struct Planned {
    pub chosen: Chosen,
    pub approval: Approval,
    pub transactional: bool,
    pub run: Run,
}

/// Every cohort, the largest first. `number` is the rollout's: an approval is for one.
pub fn cohorts(
    object: &DatabaseMigration,
    facts: &Facts,
    image: &Arc<Inspected>,
    members: &[Member],
    number: i64,
) -> Vec<Cohort> {
    let mut by_rows: BTreeMap<BTreeSet<String>, Vec<usize>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        if let Some(rows) = member.rows() {
            by_rows.entry(rows.clone()).or_default().push(place);
        }
    }
    let mut cohorts: Vec<Cohort> = by_rows
        .into_iter()
        .map(|(rows, members)| Cohort { way: way(object, facts, image, &rows, number), rows, members })
        .collect();
    cohorts.sort_by_key(|cohort| std::cmp::Reverse(cohort.members.len()));
    cohorts
}

/// The way from these rows, or why the target can't be meant at all where the rows are none.
fn way(object: &DatabaseMigration, facts: &Facts, image: &Arc<Inspected>, rows: &BTreeSet<String>, number: i64) -> Way {
    let chosen = match chosen(object, facts, image, rows, number) {
        Ok(chosen) => chosen,
        Err(problem) => return Way::None(problem),
    };
    if chosen.plan.direction == Direction::None {
        return Way::AtTarget;
    }
    if let Some(problem) = plan_problem(&chosen, object.spec.policy.downgrade, None) {
        return Way::None(problem);
    }
    let snapshot = Snapshot {
        dialect: image.inspection.dialect.clone(),
        server_version: facts.server_version.clone(),
        rows: VersionRows::Rows(rows.clone()),
        tables: Vec::new(),
        column: None,
        identity: None,
        read_only: false,
    };
    let before = Before { snapshot: Some(&snapshot), sizes: facts.sizes.as_ref(), schema: None };
    let judged = judge(&chosen, &object.spec.policy.hazards.allow, &before, facts.restricted, None);
    let chosen = Chosen { judged, ..chosen };
    let approval = approval_of(&approving(object, &chosen.hash), &chosen, RESOURCE);
    let autocommit = |step: &String| chosen.image.revision(step).is_some_and(|revision| revision.autocommit);
    let transactional = chosen.image.inspection.transactional_ddl && !chosen.plan.steps.iter().any(autocommit);
    let (lock_wait, lock, statement) = limits(&object.spec, transactional);
    let run = chosen.run(lock_wait, lock, statement, false);
    Way::Planned(Planned { chosen, approval, transactional, run })
}

/// The plan from these rows, by the planner of a single object.
pub fn chosen(
    object: &DatabaseMigration,
    facts: &Facts,
    image: &Arc<Inspected>,
    rows: &BTreeSet<String>,
    number: i64,
) -> Result<Chosen, Problem> {
    let target = Target::parse(&object.spec.target_revision)
        .map_err(|error| Problem::new(Reason::InvalidTarget, format!("spec.template.targetRevision: {error}")))?;
    let known = object.status.as_ref().map(|status| status.images.clone()).unwrap_or_default();
    let status = DatabaseMigrationStatus { images: known, ..DatabaseMigrationStatus::default() };
    let servers = facts.places.join("\n");
    let place = format!("set {} rollout {number} on {servers}", object.uid().unwrap_or_default());
    choose(&Route {
        image,
        remembered: &facts.remembered,
        ran: None,
        status: &status,
        target: &target,
        rows,
        strategy: object.spec.strategy,
        foreign: false,
        database: DatabaseId { place: &place, identity: None },
    })
}

/// The annotations of a set may approve and reject several plans, separated by commas: the object with what they say of this one.
fn approving(object: &DatabaseMigration, hash: &str) -> DatabaseMigration {
    let mut one = object.clone();
    one.status = None;
    for annotation in [ANNOTATION_APPROVE, ANNOTATION_REJECT] {
        let given = one.annotations().get(annotation).cloned().unwrap_or_default();
        if given.split(',').any(|given| given.trim() == hash) {
            one.annotations_mut().insert(annotation.to_owned(), hash.to_owned());
        } else {
            // What is said of another cohort is nothing to tell of this one.
            one.annotations_mut().remove(annotation);
        }
    }
    one
}

/// A cohort as the status shows it; nothing where there is no plan.
pub fn shown(cohort: &Cohort) -> Option<SetPlan> {
    let Way::Planned(Planned { chosen, approval, .. }) = &cohort.way else { return None };
    Some(SetPlan {
        hash: chosen.hash.clone(),
        direction: direction_name(chosen.plan.direction).to_owned(),
        from: cohort.rows.iter().take(8).map(|row| crate::text::clean(row, 64)).collect(),
        steps: super::waves::number_of(chosen.plan.steps.len()),
        targets: super::waves::number_of(cohort.members.len()),
        hazard_summary: hazard_summary(chosen).unwrap_or_default(),
        approved: approval.approved,
        message: (!approval.approved).then(|| crate::text::clean(&approval.message, 500)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_speaks_of_several_plans() {
        let mut object = DatabaseMigration::new("app", crate::api::DatabaseMigrationSpec::default());
        object.annotations_mut().insert(ANNOTATION_APPROVE.to_owned(), "a, b".to_owned());
        object.annotations_mut().insert(ANNOTATION_REJECT.to_owned(), "b,c".to_owned());
        let said = |hash| {
            let one = approving(&object, hash);
            (one.approved_plan() == Some(hash), one.rejected_plan() == Some(hash), one.annotations().len())
        };
        assert_eq!(
            ["a", "b", "c", "d"].map(said),
            [(true, false, 1), (true, true, 2), (false, true, 1), (false, false, 0)]
        );
    }
}

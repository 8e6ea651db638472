//! The plans of a set as people read them before they approve one: all of them in one ConfigMap; no I/O.

use super::cohorts::{Cohort, Way};
use crate::{
    api::{DatabaseMigration, RolloutStatus},
    jobs::own_name,
    reconcile::plan_texts,
};
use std::collections::BTreeMap;

/// Bytes of all of them; a ConfigMap holds a megabyte.
const MOST: usize = 900 * 1024;

/// The parts of a plan in the ConfigMap, behind its hash.
pub const PARTS: [&str; 3] = ["sql", "undo.sql", "json"];

/// Name of the ConfigMap: one for each set, with the newest plans.
pub fn name(object: &DatabaseMigration) -> String {
    own_name(object, "plans")
}

/// What is to be written where the plans are others than the status shows: those for the most targets, as many as there is room for.
pub fn changed(
    object: &DatabaseMigration,
    cohorts: &[Cohort],
    before: Option<&RolloutStatus>,
    now: &RolloutStatus,
) -> Option<BTreeMap<String, String>> {
    // The hash says which steps, the hazards are judged by the tables as they are.
    let essence = |rollout: &RolloutStatus| -> Vec<(String, String)> {
        rollout.plans.iter().map(|plan| (plan.hash.clone(), plan.hazard_summary.clone())).collect()
    };
    if now.plans.is_empty() || before.is_some_and(|before| essence(before) == essence(now)) {
        return None;
    }
    let mut data = BTreeMap::new();
    let mut room = MOST;
    for cohort in cohorts {
        let Way::Planned(planned) = &cohort.way else { continue };
        let hash = &planned.chosen.hash;
        if !now.plans.iter().any(|plan| plan.hash == *hash) {
            continue;
        }
        let texts = plan_texts(object, &planned.chosen);
        let size: usize = texts.iter().map(String::len).sum();
        if size > room {
            continue;
        }
        room -= size;
        data.extend(PARTS.iter().zip(texts).map(|(part, text)| (format!("{hash}.{part}"), text)));
    }
    Some(data)
}

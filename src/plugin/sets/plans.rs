//! The plans of a set, one for all targets at the same rows: which is meant, and its document; no I/O.

use super::status_of;
use crate::{
    api::{DatabaseMigrationSet, DatabaseMigrationSetStatus, SetPlan},
    lint::Dialect,
    plugin::{
        document::{NoPlan, PlanDocument},
        plan::About,
        status::answers,
        text::{Line, Tone},
        view::{self, State},
    },
    text::clean,
};
use k8s_openapi::api::core::v1::ConfigMap;

/// Why no plan of a set is meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmeant {
    #[error("{given} is the beginning of {count} plans of the set, which has {has}")]
    NotOne { given: String, count: usize, has: String },
    #[error("the beginning of a plan has four characters at least: {0}")]
    TooShort(String),
}

/// The plans of a set's rollout.
pub fn all(status: &DatabaseMigrationSetStatus) -> &[SetPlan] {
    status.rollout.as_ref().map(|rollout| rollout.plans.as_slice()).unwrap_or_default()
}

/// The plans that somebody means by the beginnings of their hashes, separated by commas; all of them where nobody says.
pub fn meant<'a>(plans: &'a [SetPlan], given: Option<&str>) -> Result<Vec<&'a SetPlan>, Unmeant> {
    let Some(given) = given else { return Ok(plans.iter().collect()) };
    let one = |given: &str| {
        let given = given.trim();
        if given.len() < 4 {
            return Err(Unmeant::TooShort(clean(given, 64)));
        }
        match plans.iter().filter(|plan| plan.hash.starts_with(given)).collect::<Vec<_>>().as_slice() {
            [plan] => Ok(*plan),
            found => {
                let hashes: Vec<String> = plans.iter().map(|plan| clean(&plan.hash, 64)).collect();
                let has = if hashes.is_empty() { "none".to_owned() } else { hashes.join(", ") };
                Err(Unmeant::NotOne { given: clean(given, 64), count: found.len(), has })
            }
        }
    };
    given.split(',').map(one).collect()
}

/// The document of a plan; without the ConfigMap, what the status shows of it.
pub fn document(set: &DatabaseMigrationSet, plan: &SetPlan, map: Option<&ConfigMap>) -> Result<PlanDocument, NoPlan> {
    let data = map.and_then(|map| map.data.as_ref());
    let texts = crate::fleet::PLAN_PARTS.map(|part| data?.get(&format!("{}.{part}", plan.hash)).cloned());
    if let [Some(sql), Some(undo), Some(json)] = texts {
        return PlanDocument::of_texts(&plan.hash, [sql, undo, json], |dialect| Dialect::of(dialect, ""));
    }
    let to = status_of(set).rollout.as_ref().map(|rollout| rollout.to.clone()).unwrap_or_default();
    let (hash, direction, from) = (plan.hash.clone(), plan.direction.clone(), plan.from.clone());
    Ok(PlanDocument { hash, direction, from, to, ..PlanDocument::default() })
}

/// What is shown before somebody answers, of a plan whose document is not stored.
pub fn question(whose: &str, plan: &SetPlan) -> Vec<Line> {
    let hazards = view::summary_in_words(Some(&plan.hazard_summary));
    vec![
        Line::of(Tone::Bold, whose).text(format!("  {}, plan {}", super::status::plan_words(plan), plan.hash)),
        Line::of(Tone::Bad, format!("  {hazards}; its SQL is not stored")),
    ]
}

/// What is told of it beside its document.
pub fn about(set: &DatabaseMigrationSet, plan: &SetPlan) -> About {
    let state = State::of(set);
    let standing = match (&plan.message, plan.approved) {
        (Some(message), false) => {
            (Tone::Busy, clean(message.split(crate::api::TO_APPROVE).next().unwrap_or_default(), 600))
        }
        _ => (state.verdict.tone(), format!("{}: {}", state.word, clean(&state.message, 600))),
    };
    About {
        image: super::status::image(set),
        of: format!("   for {}", super::status::targets_of(plan)),
        steps: usize::try_from(plan.steps).unwrap_or(0),
        hazards: view::summary_in_words(Some(&plan.hazard_summary)),
        standing,
        answers: if plan.approved { Vec::new() } else { answers(set, &plan.hash).to_vec() },
    }
}

//! What somebody says about a set: which plans are approved or rejected, and which wave is promoted; no I/O.

use super::{plans::Unmeant, promotable, status_of};
use crate::{
    api::{
        ANNOTATION_APPROVE, ANNOTATION_PROMOTE, ANNOTATION_REASON, ANNOTATION_REJECT, DatabaseMigrationSet, SetPlan,
    },
    plugin::{approve::Say, view::State},
    text::clean,
};
use kube::ResourceExt;
use serde_json::{Value, json};

/// Why nothing is said.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsaid {
    #[error(transparent)]
    Unmeant(#[from] Unmeant),
    #[error("no plan of the set waits for an approval: {0}")]
    NothingWaits(String),
    #[error("a rejection is of one plan; name it with --plan: {0}")]
    Several(String),
    #[error("plan {0} was rejected while you read it: nothing was changed")]
    RejectedMeanwhile(String),
    #[error("no wave waits for a promotion: {0}")]
    NoPromotion(String),
    #[error("the wave that waits is {is}, and not {given}")]
    AnotherWave { is: String, given: String },
    #[error("the rollout is {is} now, and not {given}: nothing was changed")]
    AnotherRollout { is: i64, given: i64 },
    #[error("that is not its name: nothing was changed")]
    Mistyped,
}

/// The plans that an answer is about.
pub fn meant<'a>(
    set: &DatabaseMigrationSet,
    plans: &'a [SetPlan],
    given: Option<&str>,
    say: Say,
) -> Result<Vec<&'a SetPlan>, Unsaid> {
    let mut meant = super::plans::meant(plans, given)?;
    meant.retain(|plan| !plan.approved || say == Say::Reject && given.is_some());
    match (meant.as_slice(), say) {
        ([], _) => {
            let state = State::of(set);
            Err(Unsaid::NothingWaits(format!("{}: {}", state.word, state.message)))
        }
        ([_, _, ..], Say::Reject) => {
            Err(Unsaid::Several(meant.iter().map(|plan| plan.hash.as_str()).collect::<Vec<_>>().join(", ")))
        }
        _ => Ok(meant),
    }
}

/// The hashes of an annotation.
fn given(set: &DatabaseMigrationSet, annotation: &str) -> Vec<String> {
    let text = set.annotations().get(annotation).map(String::as_str).unwrap_or_default();
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn joined(all: &[String]) -> Option<String> {
    (!all.is_empty()).then(|| all.join(","))
}

/// The change that says it. What was said of other plans that are still there stays; the other answer is withdrawn.
pub fn patch(set: &DatabaseMigrationSet, say: Say, meant: &[&SetPlan], reason: Option<&str>) -> Value {
    let status = status_of(set);
    let there = |hash: &String| status.rollout.iter().flat_map(|rollout| &rollout.plans).any(|plan| plan.hash == *hash);
    let is_meant = |hash: &String| meant.iter().any(|plan| plan.hash == *hash);
    let (mut approved, mut rejected) = (given(set, ANNOTATION_APPROVE), given(set, ANNOTATION_REJECT));
    approved.retain(|hash| there(hash) && !is_meant(hash));
    rejected.retain(|hash| there(hash) && !is_meant(hash));
    let hashes = meant.iter().map(|plan| plan.hash.clone());
    match say {
        Say::Approve => approved.extend(hashes),
        Say::Reject => rejected.extend(hashes),
    }
    json!({ "metadata": { "annotations": {
        ANNOTATION_APPROVE: joined(&approved),
        ANNOTATION_REJECT: joined(&rejected),
        ANNOTATION_REASON: reason.map(|reason| clean(&reason.replace('\n', " "), 400)),
    } } })
}

/// The same for the set as it is `now`, after somebody has answered questions about it as it was `read`: the plans with these hashes
/// have to wait still. A rejection that came between was not read, and is not withdrawn.
pub fn patch_now(
    read: &DatabaseMigrationSet,
    now: &DatabaseMigrationSet,
    say: Say,
    hashes: &str,
    reason: Option<&str>,
) -> Result<Value, Unsaid> {
    let status = status_of(now);
    let meant = meant(now, super::plans::all(&status), Some(hashes), say)?;
    let before = given(read, ANNOTATION_REJECT);
    let is_new = |hash: &String| !before.contains(hash) && meant.iter().any(|plan| plan.hash == *hash);
    match given(now, ANNOTATION_REJECT).into_iter().find(is_new) {
        Some(hash) if say == Say::Approve => Err(Unsaid::RejectedMeanwhile(clean(&hash, 64))),
        _ => Ok(patch(now, say, &meant, reason)),
    }
}

/// The wave to be promoted, with the number of its rollout.
pub fn promotion(set: &DatabaseMigrationSet, wave: Option<&str>) -> Result<(i64, String), Unsaid> {
    let status = status_of(set);
    let Some((number, waits)) = promotable(&status) else {
        let state = State::of(set);
        return Err(Unsaid::NoPromotion(format!("{}: {}", state.word, state.message)));
    };
    match wave {
        Some(given) if given != waits.name => {
            Err(Unsaid::AnotherWave { is: clean(&waits.name, 40), given: clean(given, 40) })
        }
        _ => Ok((number, waits.name.clone())),
    }
}

/// The change that promotes it, if it still waits; the promotions of the same rollout stay.
pub fn promote(set: &DatabaseMigrationSet, number: i64, wave: &str) -> Result<Value, Unsaid> {
    let (is, _) = promotion(set, Some(wave))?;
    if is != number {
        return Err(Unsaid::AnotherRollout { is, given: number });
    }
    let said = format!("{number}/{wave}");
    let mut all = given(set, ANNOTATION_PROMOTE);
    all.retain(|one| one.starts_with(&format!("{number}/")) && *one != said);
    all.push(said);
    Ok(json!({ "metadata": { "annotations": { ANNOTATION_PROMOTE: joined(&all) } } }))
}

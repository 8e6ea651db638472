//! Which inspection of the image an object needs, and what its heads mean; no I/O.

use crate::{
    api::{ANNOTATION_ACCEPT_DRIFT, ANNOTATION_REQUESTED_AT, DatabaseMigration, Reason, RunResult},
    jobs::{inspection_key, inspection_name, is_pinned},
    reconcile::observed::Wanted,
    revisions::Graph,
    text,
};
use kube::ResourceExt;

/// Why an inspection is wanted, and what follows for the stored ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub wanted: Wanted,
    /// Whether an inspection that is stored under the key will do, whenever it was made.
    pub any_stored: bool,
}

/// The inspection that an object needs, given the dialect that its URL names. A tag is looked at again when a run
/// found other files behind it, and when the user asks for a reconcile.
pub fn wanted(object: &DatabaseMigration, dialect: &str) -> Wish {
    let key = inspection_key(object, dialect);
    let refresh = refresh(object);
    let id = refresh.as_deref().map_or_else(|| key.clone(), |why| format!("{key}/{why}"));
    // A failed inspection is repeated when the spec changes or the user asks.
    let generation = object.metadata.generation.unwrap_or_default();
    let job = inspection_name(object, &format!("{id}/{generation}/{}", requested_at(object).unwrap_or_default()));
    Wish { wanted: Wanted { key, id, job }, any_stored: refresh.is_none() }
}

/// The value of the requestedAt annotation.
pub fn requested_at(object: &DatabaseMigration) -> Option<&str> {
    object.annotations().get(ANNOTATION_REQUESTED_AT).map(String::as_str)
}

/// Fingerprints of schemas that may stay as they are.
pub fn accepted_drift(object: &DatabaseMigration) -> Vec<&str> {
    let annotation = object.annotations().get(ANNOTATION_ACCEPT_DRIFT).map(String::as_str);
    let accepted = annotation.into_iter().chain(object.spec.drift.accepted_fingerprint.as_deref());
    accepted.map(str::trim).filter(|accepted| !accepted.is_empty()).collect()
}

fn refresh(object: &DatabaseMigration) -> Option<String> {
    let status = object.status.as_ref();
    let last = status.and_then(|s| s.last_run.as_ref());
    let outdated = last
        .filter(|run| run.result == RunResult::Refused && run.reason.as_deref() == Some(Reason::ImageChanged.as_str()));
    if let Some(run) = outdated {
        return Some(format!("run-{}", run.number));
    }
    let request = requested_at(object)?;
    let handled = status.and_then(|s| s.last_handled_reconcile_at.as_deref()) == Some(request);
    (!handled && !is_pinned(&object.spec.image)).then(|| format!("request-{}", text::clean(request, 100)))
}

/// What the SingleHead condition says of a graph: its status, reason and message.
pub fn heads_condition(graph: &Graph, target: &str) -> (bool, &'static str, String) {
    let heads = graph.versioned_heads();
    match heads.len() {
        0 | 1 => (true, "SingleHead", format!("head {}", text::list(&heads, 1))),
        n if target.contains(['@', ',']) || target.trim() == "heads" => {
            (true, "BranchesDeclared", format!("{n} heads, and the target names its branches"))
        }
        n => (false, "MultipleHeads", format!("{n} heads: {}", text::list(&heads, 10))),
    }
}

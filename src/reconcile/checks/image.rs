//! What an object's annotations ask for, and what the heads of its image mean; no I/O.

use crate::{
    api::{ANNOTATION_ACCEPT_DRIFT, ANNOTATION_REQUESTED_AT, DatabaseMigration},
    revisions::Graph,
    text,
};
use kube::ResourceExt;

/// Bytes of a request that count.
const MAX_REQUEST: usize = 256;

/// The value of the requestedAt annotation.
pub fn requested_at(object: &DatabaseMigration) -> Option<&str> {
    // It is remembered with each run; what differs only behind this is the same request.
    object
        .annotations()
        .get(ANNOTATION_REQUESTED_AT)
        .map(|request| &request[..request.floor_char_boundary(MAX_REQUEST)])
}

/// Fingerprints of schemas that may stay as they are.
pub fn accepted_drift(object: &DatabaseMigration) -> Vec<&str> {
    let annotation = object.annotations().get(ANNOTATION_ACCEPT_DRIFT).map(String::as_str);
    let accepted = annotation.into_iter().chain(object.spec.drift.accepted_fingerprint.as_deref());
    accepted.map(str::trim).filter(|accepted| !accepted.is_empty()).collect()
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

//! What the API server lets a write change, and what it keeps by itself. No I/O.

use super::store::Key;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// Resources whose objects have a generation and a status of its own.
pub fn counts_generations(resource: &str) -> bool {
    matches!(resource, "databasemigrations.alembic-operator.dev" | "jobs.batch")
}

/// The parts that a write may not touch stay as they were; a changed spec is a new generation.
pub fn restricted(key: &Key, before: &Value, mut after: Value, status: bool) -> Value {
    for field in ["uid", "name", "namespace", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion"]
    {
        match before["metadata"].get(field) {
            Some(value) => after["metadata"][field] = value.clone(),
            None => drop(after["metadata"].as_object_mut().map(|m| m.remove(field))),
        }
    }
    if counts_generations(key.resource) {
        let kept: &[&str] = if status { &["spec", "metadata"] } else { &["status"] };
        for field in kept {
            match before.get(*field) {
                Some(value) => after[*field] = value.clone(),
                None => drop(after.as_object_mut().map(|o| o.remove(*field))),
            }
        }
        if before["spec"] != after["spec"] {
            bump(&mut after);
        }
    }
    for field in ["finalizers", "ownerReferences"] {
        if after["metadata"][field].as_array().is_some_and(Vec::is_empty) {
            drop(after["metadata"].as_object_mut().map(|m| m.remove(field)));
        } else if after["metadata"][field].is_null() {
            drop(after["metadata"].as_object_mut().map(|m| m.remove(field)));
        }
    }
    after
}

pub fn bump(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_i64();
    if let Some(generation) = generation {
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

pub fn no_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
}

/// What a manager can own of a configuration.
pub fn owned(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(object) = config.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    if let Some(metadata) = config["metadata"].as_object_mut() {
        for field in ["name", "namespace", "uid", "resourceVersion"] {
            metadata.remove(field);
        }
    }
    config
}

/// A time as the API server writes it.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

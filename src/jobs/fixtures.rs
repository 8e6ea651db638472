//! The object that the tests of the kinds ask Jobs for; no I/O.

use super::pod_template::merge;
use crate::api::DatabaseMigration;
use serde_json::{Value, json};

/// The object `shop` with more in its spec.
pub(super) fn object(extra: Value) -> DatabaseMigration {
    let mut spec = json!({"image": "shop:1", "targetRevision": "head",
        "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}});
    merge(&mut spec, extra);
    serde_json::from_value(json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
        "metadata": {"name": "shop", "namespace": "shop", "uid": "u", "generation": 1}, "spec": spec,
    }))
    .unwrap()
}

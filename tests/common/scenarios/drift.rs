//! Schemas that somebody changed by hand. No network.

use super::{drifted, ran, shop};
use crate::common::cluster::Cluster;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn drift(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    assert_eq!(drifted(&cluster), "InSync");
    cluster.database("app", |database| database.tables.push("by_hand".to_owned()));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("AtTarget", "Unexpected"));
    cluster.image("shop:2", "a b c d e", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    // The run has not made the table, so it is as unexpected as before.
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("AtTarget", "Unexpected"));
    cluster.database("app", |database| database.tables.clear());
    cluster.settled().await;
    assert_eq!(drifted(&cluster), "InSync");
    ran(&cluster, &[("upgrade", "c", "e")]);
}

pub(super) async fn blocking_drift(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "drift": { "onDrift": "Block" } }));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("AtTarget", "InSync"));
    cluster.database("app", |database| database.tables.push("by_hand".to_owned()));
    cluster.image("shop:2", "a b c d e", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "DriftBlocked");
    let found = cluster.object("shop").and_then(|object| object.status).and_then(|status| status.drift);
    let fingerprint = found.and_then(|drift| drift.fingerprint).unwrap_or_default();
    cluster.patch("shop", &json!({ "drift": { "acceptedFingerprint": fingerprint } }));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("AtTarget", "InSync"));
    ran(&cluster, &[("upgrade", "a", "c"), ("upgrade", "c", "e")]);
}

pub(super) async fn replayed_drift(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    // It was there before the operator.
    cluster.database("app", |database| database.tables.push("by_hand".to_owned()));
    cluster.apply("shop", &json!({ "drift": { "mode": "Replay" }, "scratch": { "image": "postgres:15" } }));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("AtTarget", "Unexpected"));
    cluster.image("shop:2", "a b c d e", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("AtTarget", "Unexpected"));
    cluster.database("app", |database| database.tables.clear());
    cluster.settled().await;
    assert_eq!(drifted(&cluster), "InSync");
    ran(&cluster, &[("upgrade", "c", "e")]);
}

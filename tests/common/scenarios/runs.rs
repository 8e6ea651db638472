//! Runs: their images, targets and failures, and the objects that ask for them. No network.

use super::{ran, shop};
use crate::common::cluster::Cluster;
use serde_json::json;
use std::{sync::Arc, time::Duration};

pub(super) async fn first_upgrade(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c")]);
}

pub(super) async fn new_image(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.image("shop:2", "a b c d e", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "c", "e")]);
}

pub(super) async fn remembered_image(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    cluster.image("shop:2", "a b c d e", "");
    cluster.apply("shop", &json!({ "image": "shop:2", "policy": { "downgrade": "Allow" } }));
    cluster.settled().await;
    cluster.patch("shop", &json!({ "image": "shop:1", "targetRevision": "b" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "c", "e"), ("downgrade", "e", "b")]);
}

pub(super) async fn failure(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("shop:1", "a b c", "c");
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "MigrationFailed");
    cluster.image("shop:2", "a b c", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn suspend(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "suspend": true }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "Suspended");
    ran(&cluster, &[]);
    cluster.patch("shop", &json!({ "suspend": false }));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.patch("shop", &json!({ "suspend": true }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn deletion(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    // The pod is at work.
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.delete("shop");
    cluster.settled().await;
    assert!(cluster.object("shop").is_none(), "the object is gone");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn foreground_deletion(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.delete_in_foreground("shop");
    cluster.settled().await;
    assert!(cluster.object("shop").is_none(), "the object is gone");
    assert!(!cluster.end().keys().any(|name| name.starts_with("jobs.")), "no Job is left");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn orphaned(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.delete("shop");
    cluster.take_finalizers("shop");
    cluster.settled().await;
    assert!(cluster.object("shop").is_none(), "the object is gone");
    assert!(!cluster.end().keys().any(|name| name.starts_with("jobs.")), "no Job is left");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn change_during_run(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("shop:2", "a b c d", "");
    cluster.apply("shop", &json!({ "targetRevision": "b" }));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.patch("shop", &json!({ "image": "shop:2", "targetRevision": "d" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "b"), ("upgrade", "b", "d")]);
}

pub(super) async fn stepwise(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({ "strategy": "Stepwise" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "a"), ("upgrade", "a", "b"), ("upgrade", "b", "c")]);
}

pub(super) async fn unused_inspection(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    // Other settings ask for another inspection of the same image.
    cluster.patch("shop", &json!({ "alembic": { "section": "other" } }));
    cluster.settled().await;
    let stored = || cluster.end().keys().filter(|name| name.contains("alembic-inspection")).count();
    assert_eq!(stored(), 2);
    // Each is kept for an hour in any case.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    cluster.wait("one of them has gone", || stored() == 1).await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c")]);
}

pub(super) async fn no_image(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "image": "nowhere:1" }));
    cluster.until("shop", "ImagePullFailed").await;
    cluster.patch("shop", &json!({ "image": "shop:1" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn history(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({ "policy": { "downgrade": "Allow" }, "historyLimit": 2 }));
    cluster.settled().await;
    for target in ["a", "c", "b"] {
        cluster.patch("shop", &json!({ "targetRevision": target }));
        cluster.settled().await;
        assert_eq!(cluster.reason("shop"), "AtTarget");
    }
    ran(&cluster, &[("upgrade", "", "c"), ("downgrade", "c", "a"), ("upgrade", "a", "c"), ("downgrade", "c", "b")]);
}

/// Lists in the status hold ten: runs, images, steps.
pub(super) async fn long_history(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "policy": { "downgrade": "Allow" }, "historyLimit": 1 }));
    cluster.settled().await;
    let mut revisions = "a b c".to_owned();
    let mut made = vec![("upgrade".to_owned(), "a".to_owned(), "c".to_owned())];
    for number in 1..=12 {
        revisions = format!("{revisions} r{number}");
        let image = format!("shop:r{number}");
        cluster.image(&image, &revisions, "");
        cluster.patch("shop", &json!({ "image": image }));
        cluster.settled().await;
        assert_eq!(cluster.reason("shop"), "AtTarget");
        let before = made.last().map(|(_, _, to)| to.clone()).unwrap_or_default();
        made.push(("upgrade".to_owned(), before, format!("r{number}")));
    }
    // An image of long ago lacks what is there now; the one that ran last leads back.
    cluster.patch("shop", &json!({ "image": "shop:r1" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    made.push(("downgrade".to_owned(), "r12".to_owned(), "r1".to_owned()));
    let made: Vec<_> = made.iter().map(|(d, from, to)| (d.as_str(), from.as_str(), to.as_str())).collect();
    ran(&cluster, &made);
    let status = cluster.object("shop").and_then(|object| object.status).unwrap_or_default();
    assert!(status.history.len() <= 10 && status.images.len() <= 10, "lists are bounded");
}

pub(super) async fn requested(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    // Another content under the same tag.
    cluster.image("shop:1", "a b c d", "");
    cluster.request("shop", "now");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c"), ("upgrade", "c", "d")]);
}

pub(super) async fn unreadable(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    // As a CRD without today's rules would have let it through.
    cluster.apply("odd", &json!({ "historyLimit": "many" }));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    assert_eq!(cluster.raw_reason("odd"), "InvalidSpec");
    cluster.patch("odd", &json!({ "historyLimit": 3 }));
    cluster.settled().await;
    assert_eq!(cluster.reason("odd"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

//! What is done around a run: approval, rehearsal, backup, verification. No network.

use super::{dump, ran, shop};
use crate::common::cluster::Cluster;
use alembic_operator::api::Enforce;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn approval(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("dump:1", "", "");
    cluster.apply("shop", &json!({ "backup": dump("OnHazard") }));
    cluster.settled().await;
    cluster.image("shop:2", "a b c drop1", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AwaitingApproval");
    // Another plan: what would be approved now is not what was seen before.
    cluster.image("shop:3", "a b c drop2", "");
    let seen = cluster.object("shop").and_then(|object| object.status?.plan).map(|plan| plan.hash);
    cluster.patch("shop", &json!({ "image": "shop:3", "policy": { "approvedPlan": seen } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AwaitingApproval");
    ran(&cluster, &[("upgrade", "a", "c")]);
    cluster.approve("shop");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c"), ("backup", "c", "c"), ("upgrade", "c", "drop2")]);
}

pub(super) async fn enforced_approval(cluster: Arc<Cluster>) {
    cluster.defaults(&json!({ "policy": { "approval": { "mode": "Always" } } }), &[Enforce::Approval]);
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "policy": { "approval": { "mode": "Auto" } } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AwaitingApproval");
    let told = cluster.object("shop").and_then(|object| object.status?.defaults);
    assert_eq!(told.map(|defaults| defaults.enforce), Some(vec![Enforce::Approval]), "the status says why");
    ran(&cluster, &[]);
    cluster.approve("shop");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn rehearsal(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    let spec = json!({ "rehearsal": { "when": "Always" }, "scratch": { "image": "postgres:15" } });
    cluster.database("app", |database| database.failing = ["rehearse"].into());
    cluster.apply("shop", &spec);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "RehearsalFailed");
    ran(&cluster, &[]);
    cluster.database("app", |database| database.failing.clear());
    cluster.request("shop", "again");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    let rehearsed = cluster.object("shop").and_then(|object| object.status?.stages.rehearsal);
    assert!(rehearsed.is_some_and(|rehearsed| rehearsed.steps.len() == 1 && rehearsed.stage.message.is_none()));
    // Approved is what was rehearsed.
    cluster.image("shop:2", "a b c drop1", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AwaitingApproval");
    let status = cluster.object("shop").and_then(|object| object.status).unwrap_or_default();
    let rehearsal = status.stages.rehearsal.map(|rehearsal| rehearsal.stage.job);
    // In the spec as through Git, which is no other plan to rehearse.
    let plan = status.plan.map(|plan| plan.hash);
    cluster.patch("shop", &json!({ "policy": { "approvedPlan": plan } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    let status = cluster.object("shop").and_then(|object| object.status).unwrap_or_default();
    assert_eq!(status.stages.rehearsal.map(|rehearsal| rehearsal.stage.job), rehearsal);
    ran(&cluster, &[("upgrade", "a", "c"), ("upgrade", "c", "drop1")]);
}

pub(super) async fn backup(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("dump:1", "", "");
    cluster.image("shop:2", "a b c d e", "");
    cluster.apply("shop", &json!({ "backup": dump("Always"), "historyLimit": 1 }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("backup", "a", "a"), ("upgrade", "a", "c"), ("backup", "c", "c"), ("upgrade", "c", "e")]);
}

pub(super) async fn failing_backup(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("dump:1", "", "");
    cluster.database("app", |database| database.failing = ["backup"].into());
    cluster.apply("shop", &json!({ "backup": dump("Always") }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "BackupFailed");
    ran(&cluster, &[]);
    cluster.database("app", |database| database.failing.clear());
    cluster.request("shop", "again");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("backup", "a", "a"), ("upgrade", "a", "c")]);
}

pub(super) async fn backup_by_cnpg(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    let backup = json!({ "when": "Always", "cnpg": { "cluster": "main" } });
    cluster.apply("shop", &json!({ "backup": backup, "policy": { "downgrade": "Allow" } }));
    cluster.settled().await;
    cluster.patch("shop", &json!({ "targetRevision": "a" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    cluster.patch("shop", &json!({ "targetRevision": "b" }));
    cluster.settled().await;
    ran(&cluster, &[("backup", "c", "c"), ("downgrade", "c", "a"), ("backup", "a", "a"), ("upgrade", "a", "b")]);
    cluster.delete("shop");
    cluster.settled().await;
    assert!(cluster.end().keys().any(|name| name.starts_with("backups.")), "a backup outlives the object");
}

pub(super) async fn backup_once(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("dump:1", "", "");
    cluster.apply("shop", &json!({ "backup": dump("Always"), "timeouts": { "lock": "1s" } }));
    cluster.wait("a backup", || !cluster.seen("app").runs.is_empty()).await;
    // Somebody else migrates, so the run is refused and tried again.
    cluster.database("app", |database| database.working = 1);
    cluster.until("shop", "DatabaseLocked").await;
    cluster.database("app", |database| database.working = 0);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("backup", "a", "a"), ("upgrade", "a", "c")]);
}

pub(super) async fn change_during_backup(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    // The image of the backup is not there, so that it can't begin.
    cluster.apply("shop", &json!({ "backup": dump("Always") }));
    cluster.until("shop", "ImagePullFailed").await;
    ran(&cluster, &[]);
    cluster.image("dump:1", "", "");
    cluster.patch("shop", &json!({ "targetRevision": "b" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("backup", "a", "a"), ("upgrade", "a", "b")]);
}

pub(super) async fn failing_verification(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.database("app", |database| database.failing = ["verify"].into());
    cluster.apply("shop", &json!({ "verify": { "when": "Always", "command": ["./smoke"] } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "VerifyFailed");
    ran(&cluster, &[("upgrade", "a", "c")]);
    cluster.database("app", |database| database.failing.clear());
    cluster.request("shop", "again");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c"), ("verify", "c", "c")]);
}

pub(super) async fn rolled_back(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("dump:1", "", "");
    cluster.database("app", |database| database.failing = ["verify"].into());
    let spec = json!({ "verify": { "when": "Always", "command": ["./smoke"], "onFailure": "Downgrade" },
        "policy": { "downgrade": "Allow" }, "backup": dump("Always") });
    cluster.apply("shop", &spec);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "VerifyFailed");
    let there = [("backup", "a", "a"), ("upgrade", "a", "c"), ("backup", "c", "c"), ("downgrade", "c", "a")];
    ran(&cluster, &there);
    cluster.database("app", |database| database.failing.clear());
    cluster.image("shop:2", "a b c d", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[&there[..], &[("backup", "a", "a"), ("upgrade", "a", "d"), ("verify", "d", "d")]].concat());
}

//! What happens to the database of an object, and to those of two: other rows, other places, other holders of its lock. No network.

use super::{drifted, leased, ran, rows, shop};
use crate::common::{cluster::Cluster, patch};
use alembic_operator::{
    api::{DatabaseMigration, RunRecord},
    jobs::run_name,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

pub(super) async fn lost_run(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    assert_eq!(cluster.delete_by_prefix("jobs.batch", "shop-run-"), 1);
    cluster.until("shop", "RunLost").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(cluster.reason("shop"), "RunLost");
    ran(&cluster, &[]);
    cluster.request("shop", "the rows were looked at");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn lost_baseline(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    cluster.apply("shop", &json!({ "drift": { "onDrift": "Block" } }));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("AtTarget", "InSync"));
    cluster.database("app", |database| database.tables.push("by_hand".to_owned()));
    assert_eq!(cluster.delete_by_prefix("configmaps", "shop-schema-"), 1);
    cluster.image("shop:2", "a b c d e", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), drifted(&cluster).as_str()), ("DriftUnknown", "BaselineLost"));
    ran(&cluster, &[]);
}

pub(super) async fn moved_database(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("shop:1", "a drop1", "");
    cluster.database("production", |database| database.rows = rows("a"));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AwaitingApproval");
    let plan = cluster.object("shop").and_then(|object| object.status?.plan).map(|plan| plan.hash);
    cluster.secret("db", "production", "secret");
    cluster.patch("shop", &json!({ "policy": { "approvedPlan": plan } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AwaitingApproval");
    ran(&cluster, &[]);
    assert_eq!(cluster.seen("production").runs.len(), 0, "the approval was for another database");
}

pub(super) async fn emptied_database(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.database("app", |database| database.rows = None);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "DatabaseReplaced");
    ran(&cluster, &[("upgrade", "", "c")]);
    cluster.request("shop", "it is meant");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c"), ("upgrade", "", "c")]);
    // The word was for that time.
    cluster.database("app", |database| database.rows = None);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "DatabaseReplaced");
}

pub(super) async fn exchanged_database(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.database("app", |database| database.identity = Some("1".to_owned()));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.database("app", |database| {
        database.identity = Some("2".to_owned());
        database.rows = rows("b");
    });
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "DatabaseReplaced");
    cluster.request("shop", "it is meant");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c"), ("upgrade", "b", "c")]);
}

pub(super) async fn inserted_revision(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({ "policy": { "downgrade": "Allow" } }));
    cluster.settled().await;
    cluster.image("shop:2", "a x b c", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "RevisionInserted");
    cluster.patch("shop", &json!({ "targetRevision": "a" }));
    cluster.settled().await;
    cluster.patch("shop", &json!({ "targetRevision": "head" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c"), ("downgrade", "c", "a"), ("upgrade", "a", "c")]);
}

pub(super) async fn squashed_history(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.image("shop:2", "s t", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "HistoryRewritten");
    cluster.patch("shop", &json!({ "adopt": { "from": "c", "revision": "s" } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c"), ("stamp", "c", "s"), ("upgrade", "s", "t")]);
}

pub(super) async fn rotation(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "targetRevision": "b" }));
    cluster.settled().await;
    cluster.database("app", |database| database.password = "other".to_owned());
    cluster.request("shop", "1");
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AuthFailed");
    cluster.secret("db", "app", "other");
    cluster.patch("shop", &json!({ "targetRevision": "c" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "b"), ("upgrade", "b", "c")]);
}

pub(super) async fn database_away(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.database("app", |database| database.down = true);
    cluster.apply("shop", &json!({}));
    cluster.until("shop", "DatabaseUnreachable").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    cluster.database("app", |database| database.down = false);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn out_of_band(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.database("app", |database| database.rows = rows("b"));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c"), ("upgrade", "b", "c")]);
}

pub(super) async fn adoption(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.database("app", |database| database.tables = vec!["users".to_owned()]);
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "DatabaseUnmanaged");
    cluster.patch("shop", &json!({ "adopt": { "revision": "b" } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("stamp", "", "b"), ("upgrade", "b", "c")]);
}

pub(super) async fn two_objects(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.database("other", |database| database.rows = rows("b"));
    cluster.secret("other", "other", "secret");
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.apply("other", &json!({ "database": { "urlFrom": { "secretKeyRef": { "name": "other" } } } }));
    cluster.settled().await;
    cluster.delete("shop");
    cluster.settled().await;
    assert_eq!(cluster.reason("other"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c")]);
    assert_eq!(cluster.seen("other").runs.len(), 1);
}

pub(super) async fn one_database(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.apply("twin", &json!({}));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), cluster.reason("twin").as_str()), ("AtTarget", "AtTarget"));
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn one_lease(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &leased());
    cluster.apply("twin", &leased());
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), cluster.reason("twin").as_str()), ("AtTarget", "AtTarget"));
    ran(&cluster, &[("upgrade", "a", "c")]);
    assert_eq!(cluster.locks(), [""; 0], "given back");
}

pub(super) async fn under_a_lease(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    let mut spec = leased();
    patch::merge(&mut spec, &json!({ "policy": { "downgrade": "Allow" } }));
    cluster.apply("shop", &spec);
    cluster
        .wait("a run at work that holds it", || cluster.seen("app").working == 1 && cluster.locks().len() == 1)
        .await;
    cluster.settled().await;
    cluster.patch("shop", &json!({ "targetRevision": "b" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    assert_eq!(cluster.locks(), [""; 0], "given back");
    ran(&cluster, &[("upgrade", "a", "c"), ("downgrade", "c", "b")]);
}

/// Nobody is left to give it back.
pub(super) async fn abandoned_lease(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &leased());
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    assert_eq!(cluster.delete_by_prefix("jobs.batch", "shop-run-"), 1);
    cluster.until("shop", "RunLost").await;
    cluster.wait("the Lease is gone", || cluster.locks().is_empty()).await;
    assert_eq!(cluster.reason("shop"), "RunLost");
    ran(&cluster, &[]);
}

pub(super) async fn by_jobs(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({ "database": { "probe": { "mode": "Job", "interval": "24h" } } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c")]);
}

/// Runs that were refused push those that mattered out of the list.
pub(super) async fn long_lock(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("shop:1", "a b", "");
    cluster.apply("shop", &json!({ "timeouts": { "lock": "1s" } }));
    cluster.settled().await;
    cluster.database("app", |database| database.working = 1);
    cluster.image("shop:2", "a b drop1", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    cluster.approve("shop");
    let refused = || cluster.object("shop").and_then(|o| o.status).is_some_and(|s| s.recorded_runs() > 13);
    cluster.wait("more runs than the list holds", refused).await;
    cluster.database("app", |database| database.working = 0);
    cluster.settled().await;
    // The approval of the one plan stands.
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "b"), ("upgrade", "b", "drop1")]);
}

pub(super) async fn foreign_job(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "targetRevision": "a" }));
    cluster.settled().await;
    cluster.patch("shop", &json!({ "targetRevision": "head", "suspend": true }));
    cluster.wait("a plan", || cluster.object("shop").is_some_and(|o| o.status.is_some_and(|s| s.plan.is_some()))).await;
    let object = cluster.object("shop").unwrap_or_else(|| DatabaseMigration::new("shop", Default::default()));
    let plan_hash = object.status.as_ref().and_then(|s| s.plan.as_ref()).map(|plan| plan.hash.clone());
    let record = RunRecord { number: 1, plan_hash: plan_hash.unwrap_or_default(), ..RunRecord::default() };
    let name = run_name(&object, &record);
    cluster.job(&name);
    cluster.patch("shop", &json!({ "suspend": false }));
    cluster.until("shop", "PodRejected").await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    ran(&cluster, &[]);
    cluster.delete_job(&name);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

pub(super) async fn stale_suspend(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    // Somebody else migrates, so the runs are refused and tried again after a pause, by the operator's own timer.
    cluster.database("app", |database| database.working = 1);
    cluster.apply("shop", &json!({ "timeouts": { "lock": "1s" } }));
    cluster.until("shop", "DatabaseLocked").await;
    cluster.freeze(true);
    cluster.patch("shop", &json!({ "suspend": true }));
    cluster.wait("no run at work", || cluster.seen("app").working == 1).await;
    cluster.database("app", |database| database.working = 0);
    tokio::time::sleep(Duration::from_secs(120)).await;
    cluster.freeze(false);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "Suspended");
    ran(&cluster, &[]);
}

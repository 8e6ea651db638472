//! What people do with the operator, step by step; each must end the same whatever fails on the way. No network.

use super::cluster::Cluster;
use alembic_operator::{
    api::{ConditionType, DatabaseMigration, Enforce, RunRecord},
    jobs::run_name,
};
use futures::future::BoxFuture;
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// A scenario.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(Arc<Cluster>) -> BoxFuture<'static, ()>,
    pub extent: Extent,
}

/// How much of a scenario is tried and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// It depends on who is faster how many runs there are, so that the databases alone are compared.
    Race,
    /// It goes on for so long that only some faults are tried.
    Long,
}

/// What changed a database: direction, rows before, rows after.
pub type Changes = &'static [(&'static str, &'static str, &'static str)];

macro_rules! scenarios {
    ($($name:literal => $function:ident $($extent:ident)?,)*) => {
        /// Every scenario.
        pub const ALL: &[Scenario] = &[$(Scenario {
            name: $name,
            run: |cluster| Box::pin($function(cluster)),
            extent: [$(Extent::$extent,)? Extent::Whole][0],
        }),*];
    };
}

scenarios! {
    "first upgrade" => first_upgrade,
    "upgrade to a new image" => new_image,
    "downgrade with a remembered image" => remembered_image,
    "failure, then a mended image" => failure,
    "suspend and resume" => suspend,
    "deletion during a run" => deletion,
    "deletion in the foreground during a run" => foreground_deletion,
    "the finalizer is taken away during a run" => orphaned,
    "the Job of a run is deleted in the middle" => lost_run Race,
    "the baseline is deleted" => lost_baseline Race,
    "the Secret leads to another database" => moved_database,
    "the database is emptied" => emptied_database,
    "the database is exchanged" => exchanged_database,
    "a revision is inserted below the live one" => inserted_revision,
    "the history is squashed" => squashed_history,
    "image and target changed during a run" => change_during_run,
    "Secret rotated" => rotation,
    "database away and back" => database_away,
    "rows changed by somebody else" => out_of_band,
    "adoption" => adoption,
    "stepwise" => stepwise,
    "two objects, one image" => two_objects,
    "two objects, one database" => one_database Race,
    "two objects, one database without a lock" => one_lease Race,
    "probed by Jobs" => by_jobs,
    "an image that does not exist" => no_image,
    "many runs, few kept" => history,
    "more runs and images than every list holds" => long_history Long,
    "locked out for longer than the list of runs" => long_lock Long,
    "requested again" => requested,
    "an object that can't be read" => unreadable,
    "a Job of the same name" => foreign_job,
    "suspended while the watch stands still" => stale_suspend Race,
    "drift, and a run over it" => drift,
    "drift that blocks" => blocking_drift,
    "drift from the history" => replayed_drift,
    "a dangerous plan, backed up once it is approved" => approval,
    "an approval that the platform asks for" => enforced_approval,
    "a plan that is rehearsed" => rehearsal,
    "a backup by Job before each run" => backup,
    "a backup that fails, then asked anew" => failing_backup,
    "a backup by CloudNativePG" => backup_by_cnpg,
    "one backup for several attempts" => backup_once Race,
    "a backup that can't begin gives way" => change_during_backup,
    "not verified, then asked anew" => failing_verification,
    "not verified, and rolled back" => rolled_back,
    "an inspection that nobody uses any more" => unused_inspection,
}

fn rows(ids: &str) -> Option<BTreeSet<String>> {
    Some(ids.split_whitespace().map(str::to_owned).collect())
}

/// A database at some rows, its Secret, and an image of three revisions.
pub(super) fn shop(cluster: &Cluster, at: Option<&str>) {
    cluster.image("shop:1", "a b c", "");
    cluster.database("app", |database| database.rows = at.and_then(rows));
    cluster.secret("db", "app", "secret");
}

fn ran(cluster: &Cluster, expected: &[(&str, &str, &str)]) {
    let database = cluster.seen("app");
    let runs: Vec<(String, String, String)> =
        database.runs.iter().map(|(d, from, to)| (d.clone(), from.join(","), to.join(","))).collect();
    let expected: Vec<_> =
        expected.iter().map(|(d, f, t)| ((*d).to_owned(), (*f).to_owned(), (*t).to_owned())).collect();
    assert_eq!(runs, expected, "what was done to the database");
    assert!(database.most_working <= 1, "two runs at once");
}

async fn first_upgrade(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c")]);
}

async fn new_image(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.image("shop:2", "a b c d e", "");
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "c", "e")]);
}

async fn remembered_image(cluster: Arc<Cluster>) {
    shop(&cluster, Some("c"));
    cluster.image("shop:2", "a b c d e", "");
    cluster.apply("shop", &json!({ "image": "shop:2", "policy": { "downgrade": "Allow" } }));
    cluster.settled().await;
    cluster.patch("shop", &json!({ "image": "shop:1", "targetRevision": "b" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "c", "e"), ("downgrade", "e", "b")]);
}

async fn failure(cluster: Arc<Cluster>) {
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

async fn suspend(cluster: Arc<Cluster>) {
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

async fn deletion(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    // The pod is at work.
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.delete("shop");
    cluster.settled().await;
    assert!(cluster.object("shop").is_none(), "the object is gone");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

async fn foreground_deletion(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.delete_in_foreground("shop");
    cluster.settled().await;
    assert!(cluster.object("shop").is_none(), "the object is gone");
    assert!(!cluster.end().keys().any(|name| name.starts_with("jobs.")), "no Job is left");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

async fn orphaned(cluster: Arc<Cluster>) {
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

async fn lost_run(cluster: Arc<Cluster>) {
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

async fn lost_baseline(cluster: Arc<Cluster>) {
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

async fn moved_database(cluster: Arc<Cluster>) {
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

async fn emptied_database(cluster: Arc<Cluster>) {
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

async fn exchanged_database(cluster: Arc<Cluster>) {
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

async fn inserted_revision(cluster: Arc<Cluster>) {
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

async fn squashed_history(cluster: Arc<Cluster>) {
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

async fn change_during_run(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.image("shop:2", "a b c d", "");
    cluster.apply("shop", &json!({ "targetRevision": "b" }));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.patch("shop", &json!({ "image": "shop:2", "targetRevision": "d" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "b"), ("upgrade", "b", "d")]);
}

async fn rotation(cluster: Arc<Cluster>) {
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

async fn database_away(cluster: Arc<Cluster>) {
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

async fn out_of_band(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.settled().await;
    cluster.database("app", |database| database.rows = rows("b"));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c"), ("upgrade", "b", "c")]);
}

async fn adoption(cluster: Arc<Cluster>) {
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

async fn stepwise(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({ "strategy": "Stepwise" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "a"), ("upgrade", "a", "b"), ("upgrade", "b", "c")]);
}

async fn two_objects(cluster: Arc<Cluster>) {
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

async fn one_database(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({}));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    cluster.apply("twin", &json!({}));
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), cluster.reason("twin").as_str()), ("AtTarget", "AtTarget"));
    ran(&cluster, &[("upgrade", "a", "c")]);
}

async fn one_lease(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    let leased = json!({ "database": { "lock": "Lease" } });
    cluster.apply("shop", &leased);
    cluster.apply("twin", &leased);
    cluster.settled().await;
    assert_eq!((cluster.reason("shop").as_str(), cluster.reason("twin").as_str()), ("AtTarget", "AtTarget"));
    ran(&cluster, &[("upgrade", "a", "c")]);
    let left = cluster.store.list("leases.coordination.k8s.io", None, u64::MAX);
    let names = left.iter().filter_map(|lease| lease["metadata"]["name"].as_str());
    assert_eq!(names.filter(|name| *name != "alembic-operator").count(), 0, "given back");
}

async fn unused_inspection(cluster: Arc<Cluster>) {
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

async fn by_jobs(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    cluster.apply("shop", &json!({ "database": { "probe": { "mode": "Job", "interval": "24h" } } }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c")]);
}

async fn no_image(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.apply("shop", &json!({ "image": "nowhere:1" }));
    cluster.until("shop", "ImagePullFailed").await;
    cluster.patch("shop", &json!({ "image": "shop:1" }));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "a", "c")]);
}

async fn history(cluster: Arc<Cluster>) {
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
async fn long_history(cluster: Arc<Cluster>) {
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

/// Runs that were refused push those that mattered out of the list.
async fn long_lock(cluster: Arc<Cluster>) {
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

async fn requested(cluster: Arc<Cluster>) {
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

async fn unreadable(cluster: Arc<Cluster>) {
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

async fn foreign_job(cluster: Arc<Cluster>) {
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

async fn stale_suspend(cluster: Arc<Cluster>) {
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

fn drifted(cluster: &Cluster) -> String {
    let status = cluster.object("shop").and_then(|object| object.status).unwrap_or_default();
    status.condition(ConditionType::Drifted).map(|c| c.reason.clone()).unwrap_or_default()
}

async fn drift(cluster: Arc<Cluster>) {
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

async fn blocking_drift(cluster: Arc<Cluster>) {
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

async fn replayed_drift(cluster: Arc<Cluster>) {
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

pub(super) fn dump(when: &str) -> serde_json::Value {
    let env = json!([{ "name": "DATABASE_URL", "valueFrom": { "secretKeyRef": { "name": "db", "key": "url" } } }]);
    let pod = json!({ "containers": [{ "name": "dump", "image": "dump:1", "env": env }] });
    json!({ "when": when, "job": { "template": { "spec": pod } } })
}

async fn approval(cluster: Arc<Cluster>) {
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

async fn enforced_approval(cluster: Arc<Cluster>) {
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

async fn rehearsal(cluster: Arc<Cluster>) {
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

async fn backup(cluster: Arc<Cluster>) {
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

async fn failing_backup(cluster: Arc<Cluster>) {
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

async fn backup_by_cnpg(cluster: Arc<Cluster>) {
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

async fn backup_once(cluster: Arc<Cluster>) {
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

async fn change_during_backup(cluster: Arc<Cluster>) {
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

async fn failing_verification(cluster: Arc<Cluster>) {
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

async fn rolled_back(cluster: Arc<Cluster>) {
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

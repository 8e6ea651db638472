//! What people do with the operator, step by step; each must end the same whatever fails on the way. No network.

mod databases;
mod drift;
mod runs;
mod scale;
mod stages;

use self::{databases::*, drift::*, runs::*, scale::*, stages::*};
use super::cluster::Cluster;
use alembic_operator::api::ConditionType;
use futures::future::BoxFuture;
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

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
    "more objects than runs at a time" => queued Long,
    "two shards, a moved object, and a lost shard" => shards Long,
    "two objects, one database" => one_database Race,
    "two objects, one database without a lock" => one_lease Race,
    "an upgrade and a downgrade under a Lease" => under_a_lease,
    "the Job of a run under a Lease is deleted" => abandoned_lease Race,
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

pub fn rows(ids: &str) -> Option<BTreeSet<String>> {
    Some(ids.split_whitespace().map(str::to_owned).collect())
}

/// A database at some rows, its Secret, and an image of three revisions.
pub fn shop(cluster: &Cluster, at: Option<&str>) {
    cluster.image("shop:1", "a b c", "");
    cluster.database("app", |database| database.rows = at.and_then(rows));
    cluster.secret("db", "app", "secret");
}

pub fn ran(cluster: &Cluster, expected: &[(&str, &str, &str)]) {
    let database = cluster.seen("app");
    let runs: Vec<(String, String, String)> =
        database.runs.iter().map(|(d, from, to)| (d.clone(), from.join(","), to.join(","))).collect();
    let expected: Vec<_> =
        expected.iter().map(|(d, f, t)| ((*d).to_owned(), (*f).to_owned(), (*t).to_owned())).collect();
    assert_eq!(runs, expected, "what was done to the database");
    assert!(database.most_working <= 1, "two runs at once");
}

/// A database whose engine has no lock.
pub fn leased() -> serde_json::Value {
    json!({ "database": { "lock": "Lease" } })
}

pub fn drifted(cluster: &Cluster) -> String {
    let status = cluster.object("shop").and_then(|object| object.status).unwrap_or_default();
    status.condition(ConditionType::Drifted).map(|c| c.reason.clone()).unwrap_or_default()
}

pub fn dump(when: &str) -> serde_json::Value {
    let env = json!([{ "name": "DATABASE_URL", "valueFrom": { "secretKeyRef": { "name": "db", "key": "url" } } }]);
    let pod = json!({ "containers": [{ "name": "dump", "image": "dump:1", "env": env }] });
    json!({ "when": when, "job": { "template": { "spec": pod } } })
}

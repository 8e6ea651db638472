//! What must be the same in the end, whatever happened on the way. No network.

use super::{Cluster, PATIENCE, QUIET};
use alembic_operator::api::LABEL_LOCK;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::time::Instant;

impl Cluster {
    /// Waits until nobody has written anything for a long while.
    pub async fn settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut news = self.store.work();
        while tokio::time::timeout(QUIET, news.changed()).await.is_ok() {
            assert!(Instant::now() < deadline, "it never comes to rest\n{}", self.dump());
        }
    }

    pub(super) fn dump(&self) -> String {
        self.end().into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    /// Everything that must be the same whatever happened on the way: objects without what only names a moment, Jobs
    /// that were ever made, and the databases.
    pub fn end(&self) -> BTreeMap<String, Value> {
        let mut end = BTreeMap::new();
        for (key, object) in self.store.all() {
            let elects = key.resource.starts_with("leases") && object["metadata"]["labels"].get(LABEL_LOCK).is_none();
            if key.resource.starts_with("events") || elects {
                continue;
            }
            let mut object = (*object).clone();
            timeless(&mut object);
            // A gate outlives its object, and says what was so at some moment towards the end.
            let of = key.name.strip_suffix("-gate").filter(|_| key.resource == "configmaps");
            if of.is_some_and(|of| self.object(of).is_none()) {
                object["data"] = Value::Null;
                object["metadata"]["annotations"] = Value::Null;
            }
            end.insert(format!("{} {}", key.resource, key.name), object);
        }
        let world = self.world();
        end.insert("Jobs ever created".to_owned(), json!(world.jobs));
        for (name, database) in &world.databases {
            end.insert(format!("database {name}"), json!(format!("{database:?}")));
        }
        end
    }
}

/// Removes what tells when something was, and what follows from it.
fn timeless(value: &mut Value) {
    const MOMENTS: [&str; 11] = [
        "since",
        "completedAt",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "lastTransitionTime",
        "startedAt",
        "finishedAt",
        "startTime",
        "completionTime",
        "takenAt",
    ];
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !MOMENTS.contains(&key.as_str()));
            map.values_mut().for_each(timeless);
        }
        Value::Array(list) => list.iter_mut().for_each(timeless),
        _ => {}
    }
}

//! More objects than may work at a time. No network.

use super::{rows, shop};
use crate::common::cluster::Cluster;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn queued(cluster: Arc<Cluster>) {
    shop(&cluster, Some("a"));
    cluster.limits(1, 1);
    let names = ["app", "second", "third"];
    for name in names {
        cluster.database(name, |database| database.rows = rows("a"));
        cluster.secret(name, name, "secret");
        cluster.apply(name, &json!({ "database": { "urlFrom": { "secretKeyRef": { "name": name } } } }));
    }
    cluster.settled().await;
    for name in names {
        assert_eq!((cluster.reason(name).as_str(), cluster.seen(name).runs.len()), ("AtTarget", 1), "{name}");
    }
    let states = cluster.store.past("databasemigrations.alembic-operator.dev");
    assert!(states.iter().any(|state| state.to_string().contains("Queued")), "nobody had to wait");
}

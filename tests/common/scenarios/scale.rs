//! More objects than may work at a time, and operators that share them. No network.

use super::{ran, rows, shop};
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

pub(super) async fn shards(cluster: Arc<Cluster>) {
    shop(&cluster, None);
    let other = cluster.shard("b");
    cluster.image("shop:2", "a b c d", "");
    cluster.image("shop:3", "a b c d e", "");
    cluster.apply("shop", &json!({}));
    cluster.until("shop", "AtTarget").await;
    // Nobody's object is left alone, and the other one's is his.
    cluster.move_to("shop", Some("nobody"));
    cluster.settled().await;
    cluster.patch("shop", &json!({ "image": "shop:2" }));
    cluster.settled().await;
    ran(&cluster, &[("upgrade", "", "c")]);
    cluster.move_to("shop", Some("b"));
    cluster.wait("a run at work", || cluster.seen("app").working > 0).await;
    // In the middle of a run it comes back, and the shard that began it is lost.
    other.kill();
    cluster.move_to("shop", None);
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c"), ("upgrade", "c", "d")]);
    // Moved while both work on it.
    cluster.shard("b");
    cluster.patch("shop", &json!({ "image": "shop:3" }));
    cluster.move_to("shop", Some("b"));
    cluster.settled().await;
    assert_eq!(cluster.reason("shop"), "AtTarget");
    ran(&cluster, &[("upgrade", "", "c"), ("upgrade", "c", "d"), ("upgrade", "d", "e")]);
}

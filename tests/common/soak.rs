//! Many releases, one after the other: what the operator keeps does not grow with them. No network.

use super::{cluster::Cluster, scenarios::shop};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// After so many releases as much is there as after many more.
const FEW: usize = 15;
const MANY: usize = 40;
/// Longer than anything is kept for its age.
const A_WHILE: Duration = Duration::from_secs(3 * 3600);
const NAMES: [&str; 2] = ["first", "second"];

/// How many things of each kind there are after few releases, and after many.
pub async fn soak(cluster: Arc<Cluster>) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    shop(&cluster, Some("a"));
    let mut revisions = "a b c".to_owned();
    let mut few = BTreeMap::new();
    for number in 1..=MANY {
        revisions = format!("{revisions} r{number}");
        let image = format!("shop:r{number}");
        cluster.image(&image, &revisions, "");
        for name in NAMES {
            if number == 1 {
                cluster.database(name, |_| {});
                cluster.secret(name, name, "secret");
                let database = json!({ "urlFrom": { "secretKeyRef": { "name": name } } });
                cluster.apply(name, &json!({ "image": image, "database": database }));
            } else {
                cluster.patch(name, &json!({ "image": image }));
            }
        }
        cluster.settled().await;
        for name in NAMES {
            assert_eq!((cluster.reason(name).as_str(), cluster.seen(name).runs.len()), ("AtTarget", number), "{name}");
        }
        if number == FEW {
            tokio::time::sleep(A_WHILE).await;
            few = kinds(&cluster);
        }
    }
    tokio::time::sleep(A_WHILE).await;
    (few, kinds(&cluster))
}

/// Events go by themselves, by the API server's own clock.
fn kinds(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for (key, _) in cluster.store.all() {
        if !key.resource.starts_with("events") {
            *kinds.entry(key.resource.to_owned()).or_default() += 1;
        }
    }
    kinds
}

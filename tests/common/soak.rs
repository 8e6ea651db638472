//! Many releases: one after the other, after which no more is kept than after few; and of many objects at once, of which only so many
//! run at a time. No network.

use super::{cluster::Cluster, scenarios::shop};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How much of both there is.
pub struct Extent {
    pub objects: usize,
    /// After so many releases of each object as much is there as after many more.
    pub few: usize,
    pub many: usize,
    /// Objects whose image changes at once.
    pub at_once: usize,
}

/// What every sweep tries.
pub const SHORT: Extent = Extent { objects: 2, few: 15, many: 40, at_once: 60 };
/// What `make soak` tries: 2,000 releases, and a storm of 1,000 objects.
pub const LONG: Extent = Extent { objects: 20, few: 15, many: 100, at_once: 1000 };

/// Longer than anything is kept for its age.
const A_WHILE: Duration = Duration::from_secs(3 * 3600);
/// The most runs at a time in a storm.
const RUNS: usize = 10;

/// How many things of each kind there are after few releases, and after many.
pub async fn soak(cluster: Arc<Cluster>, extent: &Extent) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    shop(&cluster, Some("a"));
    let names = names(extent.objects);
    let mut revisions = "a b c".to_owned();
    let mut few = BTreeMap::new();
    for number in 1..=extent.many {
        revisions = format!("{revisions} r{number}");
        let image = format!("shop:r{number}");
        cluster.image(&image, &revisions, "");
        for name in &names {
            if number == 1 {
                begin(&cluster, name, &image);
            } else {
                cluster.patch(name, &json!({ "image": image }));
            }
        }
        cluster.settled().await;
        for name in &names {
            let done = (cluster.reason(name).as_str() == "AtTarget", cluster.seen(name).runs.len());
            assert_eq!(done, (true, number), "{name}: {:#}", json!(cluster.object(name).map(|o| o.status)));
        }
        if number == extent.few {
            tokio::time::sleep(A_WHILE).await;
            few = kinds(&cluster);
        }
    }
    tokio::time::sleep(A_WHILE).await;
    (few, kinds(&cluster))
}

/// The image of all objects changes at once. No more than may run do so at any moment, and every object has its turn.
pub async fn storm(cluster: Arc<Cluster>, extent: &Extent) {
    shop(&cluster, None);
    cluster.limits(RUNS, RUNS);
    cluster.image("shop:2", "a b c d", "");
    let names = names(extent.at_once);
    names.iter().for_each(|name| begin(&cluster, name, "shop:1"));
    cluster.settled().await;
    let most = Arc::new(AtomicUsize::new(0));
    let watching = tokio::spawn({
        let (cluster, names, most) = (cluster.clone(), names.clone(), most.clone());
        async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let working = names.iter().map(|name| cluster.seen(name).working).sum();
                most.fetch_max(working, Ordering::Relaxed);
            }
        }
    });
    names.iter().for_each(|name| cluster.patch(name, &json!({ "image": "shop:2" })));
    cluster.settled().await;
    watching.abort();
    for name in &names {
        assert_eq!((cluster.reason(name).as_str(), cluster.seen(name).runs.len()), ("AtTarget", 2), "{name}");
    }
    let most = most.load(Ordering::Relaxed);
    assert!((1..=RUNS).contains(&most), "{most} runs at a time");
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("db{number}")).collect()
}

fn begin(cluster: &Cluster, name: &str, image: &str) {
    cluster.database(name, |_| {});
    cluster.secret(name, name, "secret");
    let database = json!({ "urlFrom": { "secretKeyRef": { "name": name } } });
    cluster.apply(name, &json!({ "image": image, "database": database }));
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

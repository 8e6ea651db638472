//! Stored inspections that no object uses any more: each is up to a megabyte, and a new one comes with every image. Does network
//! I/O.

use super::context::Context;
use crate::{
    api::{DatabaseMigration, DatabaseMigrationSet, Watched, read},
    call::call,
    error::Error,
    jobs::{inspected_image, inspection_key_of},
};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions},
    runtime::reflector::Store,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// Seconds for which one is kept in any case: an object may be about to use it.
const YOUNG: i64 = 3600;
/// Objects that are listed at a time.
const PAGE: u32 = 50;

/// Deletes them.
pub async fn clear_unused(context: &Context, objects: &Store<Watched>) {
    let maps = context.stores.inspections.at_work(|_| true);
    let mut uses = Uses::default();
    for (number, object) in objects.state().iter().enumerate() {
        uses.add(object);
        // Unpacking thousands must not hold up passes.
        if number % 100 == 99 {
            tokio::task::yield_now().await;
        }
    }
    let candidates = unused(maps.clone(), &uses, context.now());
    if candidates.is_empty() {
        return;
    }
    // Objects of other shards share them.
    if let Err(error) = add_others(&candidates, &mut uses, context).await {
        tracing::warn!(%error, "inspections that nobody uses are not deleted");
        return;
    }
    // All of them once more: which one is the newest of an image shows beside the others.
    for map in unused(maps, &uses, context.now()) {
        if let Err(error) = delete(&map, context).await {
            tracing::warn!(config_map = map.name_any(), %error, "an inspection that nobody uses is not deleted");
        }
    }
}

/// The objects that this process does not watch, in the namespaces of these inspections.
async fn add_others(maps: &[Arc<ConfigMap>], uses: &mut Uses, context: &Context) -> Result<(), Error> {
    let kind = ApiResource::erase::<DatabaseMigration>(&());
    let namespaces: BTreeSet<String> = maps.iter().filter_map(|map| map.namespace()).collect();
    for namespace in namespaces {
        let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &kind);
        let mut page = ListParams::default().labels(&context.process.shard.others()).limit(PAGE);
        loop {
            let list = call("list the objects of other shards", api.list(&page)).await?;
            let next = list.metadata.continue_.clone().filter(|next| !next.is_empty());
            list.items.into_iter().for_each(|object| uses.add(&Watched::new(read(object, None))));
            let Some(next) = next else { break };
            page = page.continue_token(&next);
        }
    }
    Ok(())
}

async fn delete(map: &ConfigMap, context: &Context) -> Result<(), Error> {
    if !context.process.claim.holds() {
        return Ok(());
    }
    let name = map.name_any();
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &map.namespace().unwrap_or_default());
    // Somebody who joins its owners makes another version of it.
    let as_seen = DeleteParams {
        preconditions: Some(Preconditions { uid: map.uid(), resource_version: map.resource_version() }),
        ..DeleteParams::default()
    };
    call(&format!("delete ConfigMap {name}"), api.delete(&name, &as_seen)).await.map(drop)
}

/// What objects use, by namespace.
#[derive(Default)]
struct Uses(HashMap<String, Used>);

/// What the objects of a namespace use.
#[derive(Default)]
struct Used {
    images: BTreeSet<String>,
    keys: BTreeSet<String>,
    /// One of them can't be read.
    unknown: bool,
}

impl Uses {
    fn add(&mut self, object: &Watched) {
        let used = self.0.entry(object.namespace().unwrap_or_default()).or_default();
        match object.read() {
            Err(_) => used.unknown = true,
            Ok(object) => {
                let Some(status) = object.status else { return };
                let image = status.image.and_then(|image| image.inspection);
                used.keys.extend(image.and_then(|id| Some(id.split('/').next()?.to_owned())));
                used.images.extend(status.images);
            }
        }
    }
}

/// The inspections that no object uses: neither as its image is inspected now, nor as the newest of an image that it remembers.
fn unused(mut maps: Vec<Arc<ConfigMap>>, uses: &Uses, now: Timestamp) -> Vec<Arc<ConfigMap>> {
    maps.sort_by_key(|map| std::cmp::Reverse(map.creation_timestamp().map(|t| t.0)));
    let mut newest_of_image = BTreeSet::new();
    let mut newest_of_key = BTreeSet::new();
    maps.retain(|map| {
        let namespace = map.namespace().unwrap_or_default();
        let (image, key) = (inspected_image(map).unwrap_or_default(), inspection_key_of(map).unwrap_or_default());
        let first_of_image = newest_of_image.insert((namespace.clone(), image.to_owned()));
        let first_of_key = newest_of_key.insert((namespace.clone(), key.to_owned()));
        let young = map.creation_timestamp().is_none_or(|at| now.duration_since(at.0).as_secs() < YOUNG);
        let used = uses.0.get(&namespace).is_some_and(|uses| {
            let remembered = uses.images.contains(image);
            uses.unknown || remembered && first_of_image || uses.keys.contains(key) && (remembered || first_of_key)
        });
        // Those of a set go with it.
        let of_a_set = map.owner_references().iter().any(|owner| owner.kind == DatabaseMigrationSet::kind(&()));
        !young && !used && !of_a_set
    });
    maps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LABEL_INSPECTION;
    use serde_json::{Value, json};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn map(namespace: &str, key: &str, image: &str, second: i64) -> Arc<ConfigMap> {
        let made = at(second).to_string();
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": format!("{key}-{image}"), "namespace": namespace, "creationTimestamp": made,
                             "labels": {LABEL_INSPECTION: key}},
                "data": {"image": image},
            }))
            .unwrap(),
        )
    }

    fn object(namespace: &str, inspection: &str, images: &[&str]) -> Value {
        json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
            "metadata": {"name": "shop", "namespace": namespace},
            "spec": {"image": "i", "targetRevision": "head", "database": {"urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}},
            "status": {"image": {"ref": "i", "inspection": inspection}, "images": images},
        })
    }

    fn names(maps: &[Arc<ConfigMap>], objects: &[Value], now: i64) -> Vec<String> {
        let mut uses = Uses::default();
        objects.iter().for_each(|value| uses.add(&serde_json::from_value(value.clone()).unwrap()));
        unused(maps.to_vec(), &uses, at(now)).iter().map(|map| map.name_any()).collect()
    }

    #[test]
    fn what_some_object_uses_is_kept() {
        let maps = [
            map("shop", "k2", "i2", 50),
            map("shop", "k1", "i1", 40),
            map("shop", "old-settings", "i1", 30),
            map("shop", "k0", "i0", 20),
            map("other", "k1", "i1", 10),
        ];
        let mine = object("shop", "k2/request-now", &["i2", "i1"]);
        assert_eq!(names(&maps, std::slice::from_ref(&mine), 4000), ["old-settings-i1", "k0-i0", "k1-i1"]);
        // Another object's settings are others, with the same image.
        let other = object("shop", "old-settings", &["i1"]);
        assert_eq!(names(&maps, &[mine.clone(), other, object("other", "k1", &["i1"])], 4000), ["k0-i0"]);
        assert_eq!(names(&maps, &[mine], 3620), ["k0-i0", "k1-i1"], "young ones are left alone");
    }

    #[test]
    fn nothing_is_deleted_beside_an_object_that_can_not_be_read() {
        let maps = [map("shop", "k0", "i0", 0)];
        let mut odd = object("shop", "k1", &[]);
        odd["spec"]["historyLimit"] = json!("many");
        assert_eq!(names(&maps, &[odd], 9000), [""; 0]);
        assert_eq!(names(&maps, &[], 9000), ["k0-i0"]);
    }
}

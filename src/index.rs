//! Watched things found by what they belong to, so that a pass over one object does not walk those of all the others. No I/O.

use crate::{
    api::{LABEL_ACTION, LABEL_INSPECTION, LABEL_OBJECT},
    jobs::{JobRecord, Kind, Request, has_begun, is_finished},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Resource, ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Where things stand in the store, by key.
type Places<K> = HashMap<String, Vec<ObjectRef<K>>>;

/// A store with an index. Its watch alone writes to both, to the store first; passes read.
pub struct Indexed<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    keys: fn(&K) -> Vec<String>,
    index: Mutex<Index<K>>,
}

struct Index<K: Resource<DynamicType = ()>> {
    places: Places<K>,
    /// What a list that is not complete has brought so far.
    listed: Places<K>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Indexed<K> {
    /// A store, found in by these keys of what it holds.
    pub fn new(store: Store<K>, keys: fn(&K) -> Vec<String>) -> Self {
        Self { store, keys, index: Mutex::new(Index { places: HashMap::new(), listed: HashMap::new() }) }
    }

    /// The store itself.
    pub fn store(&self) -> &Store<K> {
        &self.store
    }

    /// What has a key. The cost depends on nothing else that is watched.
    pub fn with_key(&self, key: &str) -> Vec<Arc<K>> {
        let mut index = self.lock();
        let Some(places) = index.places.get_mut(key) else { return Vec::new() };
        let mut found = Vec::new();
        // What has changed its keys is forgotten under the old ones here.
        places.retain(|place| {
            let there = self.store.get(place).filter(|there| (self.keys)(there).iter().any(|known| known == key));
            let stays = there.is_some();
            found.extend(there);
            stays
        });
        if places.is_empty() {
            index.places.remove(key);
        }
        found
    }

    /// Follows the watch, once the store has followed it.
    pub fn follow(&self, event: &Event<K>) {
        let mut index = self.lock();
        match event {
            Event::Init => index.listed.clear(),
            Event::InitApply(thing) => self.add(&mut index.listed, thing),
            Event::InitDone => index.places = std::mem::take(&mut index.listed),
            Event::Apply(thing) => self.add(&mut index.places, thing),
            Event::Delete(thing) => self.remove(&mut index.places, thing),
        }
    }

    fn add(&self, places: &mut Places<K>, thing: &K) {
        let place = place(thing);
        for key in (self.keys)(thing) {
            let known = places.entry(key).or_default();
            if !known.contains(&place) {
                known.push(place.clone());
            }
        }
    }

    fn remove(&self, places: &mut Places<K>, thing: &K) {
        let place = place(thing);
        for key in (self.keys)(thing) {
            let Some(known) = places.get_mut(&key) else { continue };
            known.retain(|other| *other != place);
            if known.is_empty() {
                places.remove(&key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Index<K>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Deref for Indexed<K> {
    type Target = Store<K>;

    fn deref(&self) -> &Store<K> {
        &self.store
    }
}

/// Without version and UID: a name is a place in the store.
fn place<K: Resource<DynamicType = ()>>(thing: &K) -> ObjectRef<K> {
    let place = ObjectRef::new(&thing.name_any());
    match thing.namespace() {
        Some(namespace) => place.within(&namespace),
        None => place,
    }
}

/// The key of the Jobs of an object.
pub fn object_key(namespace: &str, name: &str) -> String {
    format!("object {namespace}/{name}")
}

/// The key of the Jobs that make an inspection, and of the ConfigMaps that hold it.
pub fn inspection_key(namespace: &str, key: &str) -> String {
    format!("inspection {namespace}/{key}")
}

/// The key of the Jobs of runs that have begun and are not finished.
pub const AT_WORK: &str = "runs at work";

/// The object that a Job is for, what it inspects, and whether it is a run at work.
pub fn job_keys(job: &Job) -> Vec<String> {
    let namespace = job.namespace().unwrap_or_default();
    // The annotation has the object's whole name, which may be too long for a label.
    let object = job.annotations().get(LABEL_OBJECT).map(|name| object_key(&namespace, name));
    let inspects = job.labels().get(LABEL_ACTION).is_some_and(|action| action == Kind::Inspect.as_str());
    let request = inspects.then(|| JobRecord::of(job)).flatten().map(|record| record.request);
    let inspection = match request {
        Some(Request::Inspect { inspection }) => Some(inspection_key(&namespace, &inspection)),
        _ => None,
    };
    let runs = job.labels().get(LABEL_ACTION).is_some_and(|action| action == Kind::Run.as_str());
    let at_work = (runs && has_begun(job) && !is_finished(job)).then(|| AT_WORK.to_owned());
    object.into_iter().chain(inspection).chain(at_work).collect()
}

/// The UIDs of the Jobs that a pod is of.
pub fn pod_keys(pod: &Pod) -> Vec<String> {
    pod.owner_references().iter().map(|owner| owner.uid.clone()).collect()
}

/// The inspection that a ConfigMap holds.
pub fn inspection_keys(map: &ConfigMap) -> Vec<String> {
    let namespace = map.namespace().unwrap_or_default();
    map.labels().get(LABEL_INSPECTION).map(|key| inspection_key(&namespace, key)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector::store::{Writer, store};
    use serde_json::json;

    fn pod(name: &str, owner: &str) -> Pod {
        let owner = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": owner }]);
        serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "shop", "ownerReferences": owner } }))
            .unwrap()
    }

    struct Watch(Indexed<Pod>, Writer<Pod>);

    impl Watch {
        fn new(events: Vec<Event<Pod>>) -> Self {
            let (reader, writer) = store();
            let mut watch = Self(Indexed::new(reader, pod_keys), writer);
            watch.see(events);
            watch
        }

        fn see(&mut self, events: Vec<Event<Pod>>) {
            for event in events {
                self.1.apply_watcher_event(&event);
                self.0.follow(&event);
            }
        }

        fn names(&self, key: &str) -> Vec<String> {
            let mut names: Vec<String> = self.0.with_key(key).iter().map(|pod| pod.name_any()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_index_follows_the_watch() {
        let first =
            vec![Event::Init, Event::InitApply(pod("a", "1")), Event::InitApply(pod("b", "2")), Event::InitDone];
        let mut watch = Watch::new(first);
        assert_eq!((watch.names("1"), watch.names("2")), (vec!["a".to_owned()], vec!["b".to_owned()]));
        watch.see(vec![Event::Apply(pod("c", "1")), Event::Apply(pod("c", "1")), Event::Delete(pod("b", "2"))]);
        assert_eq!((watch.names("1"), watch.names("2")), (vec!["a".to_owned(), "c".to_owned()], vec![]));
        // A new list is complete before it counts, and takes the place of all that was known.
        watch.see(vec![Event::Init, Event::InitApply(pod("d", "1"))]);
        assert_eq!(watch.names("1"), ["a", "c"]);
        watch.see(vec![Event::InitDone]);
        assert_eq!(watch.names("1"), ["d"]);
    }

    #[test]
    fn nothing_is_kept_of_what_is_gone() {
        let mut watch = Watch::new(vec![Event::Init, Event::InitDone]);
        for number in 0..1000 {
            let name = format!("p{number}");
            let owner = number.to_string();
            watch.see(vec![Event::Apply(pod(&name, &owner)), Event::Delete(pod(&name, &owner))]);
        }
        // Another owner than before.
        watch.see(vec![Event::Apply(pod("a", "1")), Event::Apply(pod("a", "2"))]);
        assert_eq!((watch.names("1").len(), watch.names("2").len()), (0, 1));
        assert_eq!(watch.0.lock().places.len(), 1);
    }
}

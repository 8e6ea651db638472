//! Watched things found by what they belong to, so that a pass over one object does not walk those of all the others. No I/O.

use crate::{
    api::{ANNOTATION_LEASE, LABEL_ACTION, LABEL_INSPECTION, LABEL_OBJECT, LABEL_SET},
    jobs::{JobRecord, Kind, Request, has_begun, has_ended, inspected_image, is_finished},
    zlib,
};
use flate2::Compression;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{Resource, ResourceExt, runtime::watcher::Event};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes that a packed thing has unpacked: more than the API server takes.
const MOST: u64 = 16 * 1024 * 1024;

/// Things by place, and found by their keys. Their watch alone writes to it; passes read. What is done with is kept packed: there
/// are many of those, and each is read by the passes over its own object alone.
pub struct Indexed<K> {
    keys: fn(&K) -> Vec<String>,
    /// Whether somebody may ask for it at any time.
    works: fn(&K) -> bool,
    hasher: RandomState,
    all: Mutex<All<K>>,
}

struct All<K> {
    known: Known<K>,
    /// What a list that is not complete has brought so far.
    listed: Known<K>,
}

/// Namespace and name.
type Place = Arc<str>;

struct Known<K> {
    things: HashMap<Place, Kept<K>>,
    /// By the hash of a key: what has the same one by chance is told apart by its keys.
    places: HashMap<u64, Vec<Place>>,
}

enum Kept<K> {
    Whole(Arc<K>),
    Packed(Box<[u8]>),
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { things: HashMap::new(), places: HashMap::new() }
    }
}

impl<K: DeserializeOwned> Kept<K> {
    fn read(&self) -> Option<Arc<K>> {
        match self {
            Self::Whole(thing) => Some(thing.clone()),
            Self::Packed(packed) => serde_json::from_slice(&zlib::unpack(packed, MOST)?).ok().map(Arc::new),
        }
    }
}

impl<K> Indexed<K>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned,
{
    /// A store, found in by these keys of what it holds.
    pub fn new(keys: fn(&K) -> Vec<String>, works: fn(&K) -> bool) -> Self {
        let all = All { known: Known::default(), listed: Known::default() };
        Self { keys, works, hasher: RandomState::new(), all: Mutex::new(all) }
    }

    /// What has a key. The cost depends on nothing else that is watched.
    pub fn with_key(&self, key: &str) -> Vec<Arc<K>> {
        let All { known: Known { things, places }, .. } = &*self.lock();
        let there = places.get(&self.hasher.hash_one(key)).into_iter().flatten();
        let things = there.filter_map(|place| things.get(place)?.read());
        things.filter(|thing| (self.keys)(thing).iter().any(|known| known == key)).collect()
    }

    /// What has this name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.lock().known.things.get(&*place(namespace, name)).and_then(Kept::read)
    }

    /// What works and is so.
    pub fn at_work(&self, is_so: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let whole = |kept: &Kept<K>| match kept {
            Kept::Whole(thing) => Some(thing.clone()),
            Kept::Packed(_) => None,
        };
        self.lock().known.things.values().filter_map(whole).filter(|thing| is_so(thing)).collect()
    }

    /// Follows the watch.
    pub fn follow(&self, event: &Event<K>) {
        let All { known, listed } = &mut *self.lock();
        match event {
            Event::Init => *listed = Known::default(),
            Event::InitApply(thing) => self.add(listed, thing),
            Event::InitDone => *known = std::mem::take(listed),
            Event::Apply(thing) => self.add(known, thing),
            Event::Delete(thing) => self.forget(known, &place_of(thing)),
        }
    }

    fn add(&self, known: &mut Known<K>, thing: &K) {
        let place = place_of(thing);
        self.forget(known, &place);
        for key in (self.keys)(thing) {
            let there = known.places.entry(self.hasher.hash_one(key.as_str())).or_default();
            if !there.contains(&place) {
                there.reserve_exact(1);
                there.push(place.clone());
            }
        }
        known.things.insert(place, self.kept(thing));
    }

    fn kept(&self, thing: &K) -> Kept<K> {
        let pack = |thing: &K| zlib::pack(&serde_json::to_vec(thing).ok()?, Compression::fast()).ok();
        match (self.works)(thing) {
            true => Kept::Whole(Arc::new(thing.clone())),
            false => pack(thing).map_or_else(|| Kept::Whole(Arc::new(thing.clone())), |p| Kept::Packed(p.into())),
        }
    }

    /// Drops what is known under a place, with the keys that it has had: the next state may have others.
    fn forget(&self, known: &mut Known<K>, place: &Place) {
        let Some(before) = known.things.remove(place).and_then(|kept| kept.read()) else { return };
        for key in (self.keys)(&before) {
            let hash = self.hasher.hash_one(key.as_str());
            let Some(there) = known.places.get_mut(&hash) else { continue };
            there.retain(|other| other != place);
            if there.is_empty() {
                known.places.remove(&hash);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, All<K>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(namespace: &str, name: &str) -> Place {
    format!("{namespace}/{name}").into()
}

fn place_of<K: Resource<DynamicType = ()>>(thing: &K) -> Place {
    place(&thing.namespace().unwrap_or_default(), &thing.name_any())
}

/// The key of the Jobs of an object.
pub fn object_key(namespace: &str, name: &str) -> String {
    format!("object {namespace}/{name}")
}

/// The key of the Jobs of a set.
pub fn set_key(namespace: &str, name: &str) -> String {
    format!("set {namespace}/{name}")
}

/// The key of the Jobs that make an inspection, and of the ConfigMaps that hold it.
pub fn inspection_key(namespace: &str, key: &str) -> String {
    format!("inspection {namespace}/{key}")
}

/// The key of the Jobs of runs that have begun and are not finished.
pub const AT_WORK: &str = "runs at work";

/// The key of the Jobs that work under a Lease.
pub fn lease_key(lease: &str) -> String {
    format!("lease {lease}")
}

/// The key of the running pods that have an address.
pub fn address_key(address: &str) -> String {
    format!("address {address}")
}

/// The key of the ConfigMaps that hold an inspection of an image.
pub fn image_key(namespace: &str, image: &str) -> String {
    format!("image {namespace}/{image}")
}

/// The object that a Job is for, what it inspects, its Lease, and whether it is a run at work.
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
    let set = job.annotations().get(LABEL_SET).map(|name| set_key(&namespace, name));
    let runs = job.labels().get(LABEL_ACTION).is_some_and(|action| action == Kind::Run.as_str());
    let at_work = (runs && has_begun(job) && !is_finished(job)).then(|| AT_WORK.to_owned());
    let lease = job.annotations().get(ANNOTATION_LEASE).map(|lease| lease_key(lease));
    object.into_iter().chain(inspection).chain(set).chain(lease).chain(at_work).collect()
}

/// The UIDs of the Jobs that a pod is of, and its address while it runs: later another pod may have it.
pub fn pod_keys(pod: &Pod) -> Vec<String> {
    let running = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Running"));
    let address = running.and_then(|status| status.pod_ip.as_deref()).map(address_key);
    pod.owner_references().iter().map(|owner| owner.uid.clone()).chain(address).collect()
}

/// The inspection that a ConfigMap holds, and its image.
pub fn inspection_keys(map: &ConfigMap) -> Vec<String> {
    let namespace = map.namespace().unwrap_or_default();
    let inspection = map.labels().get(LABEL_INSPECTION).map(|key| inspection_key(&namespace, key));
    inspection.into_iter().chain(inspected_image(map).map(|image| image_key(&namespace, image))).collect()
}

/// Whether a Job works, or is one that nobody owns though it has ended.
pub fn job_works(job: &Job) -> bool {
    !is_finished(job) || job.owner_references().is_empty()
}

/// Whether a pod has not ended.
pub fn pod_works(pod: &Pod) -> bool {
    !pod.status.as_ref().is_some_and(has_ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, owner: &str) -> Pod {
        let owner = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": owner }]);
        serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "shop", "ownerReferences": owner } }))
            .unwrap()
    }

    struct Watch(Indexed<Pod>);

    impl Watch {
        fn new(events: Vec<Event<Pod>>) -> Self {
            let mut watch = Self(Indexed::new(pod_keys, pod_works));
            watch.see(events);
            watch
        }

        fn see(&mut self, events: Vec<Event<Pod>>) {
            for event in events {
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
        let all = watch.0.lock();
        assert_eq!((all.known.places.len(), all.known.things.len()), (1, 1));
    }

    #[test]
    fn what_has_ended_is_packed_and_the_same_when_it_is_read() {
        let mut ended = pod("a", "1");
        ended.metadata.resource_version = Some("7".to_owned());
        ended.status = serde_json::from_value(json!({ "phase": "Failed", "message": "x".repeat(4000) })).unwrap();
        let watch = Watch::new(vec![
            Event::Init,
            Event::InitApply(ended.clone()),
            Event::InitApply(pod("b", "1")),
            Event::InitDone,
        ]);
        assert_eq!(*watch.0.get("shop", "a").unwrap(), ended);
        assert_eq!(watch.names("1"), ["a", "b"]);
        assert_eq!(watch.0.at_work(|_| true).len(), 1);
        let bytes = |kept: &Kept<Pod>| match kept {
            Kept::Packed(packed) => packed.len(),
            Kept::Whole(_) => 0,
        };
        let all = watch.0.lock();
        assert!((1..400).contains(&bytes(&all.known.things["shop/a"])) && bytes(&all.known.things["shop/b"]) == 0);
    }

    #[test]
    fn only_a_running_pod_is_found_by_its_address() {
        let with = |phase: &str| {
            let status = serde_json::from_value(json!({ "phase": phase, "podIP": "10.0.0.7" })).unwrap();
            Pod { status: Some(status), ..pod("a", "1") }
        };
        let mut watch = Watch::new(vec![Event::Apply(with("Running"))]);
        assert_eq!(watch.names(&address_key("10.0.0.7")), ["a"]);
        watch.see(vec![Event::Apply(with("Succeeded"))]);
        assert_eq!(watch.0.lock().known.places.len(), 1, "the key of its Job is left");
        assert!(watch.names(&address_key("10.0.0.7")).is_empty() && watch.names("1") == ["a"]);
        watch.see(vec![Event::Apply(with("Running")), Event::Delete(with("Failed"))]);
        assert_eq!(watch.0.lock().known.places.len(), 0);
    }

    #[test]
    fn an_inspection_is_found_by_its_image_and_a_job_by_its_lease() {
        let (namespace, name) = ("shop", "a");
        let map = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": namespace, "labels": { LABEL_INSPECTION: "k" } },
            "data": { "image": "shop:1" },
        }));
        assert_eq!(inspection_keys(&map.unwrap()), [inspection_key("shop", "k"), image_key("shop", "shop:1")]);
        let annotations = json!({ ANNOTATION_LEASE: "db-1", LABEL_OBJECT: "orders" });
        let job = json!({ "metadata": { "name": name, "namespace": namespace, "annotations": annotations } });
        assert_eq!(job_keys(&serde_json::from_value(job).unwrap()), [object_key("shop", "orders"), lease_key("db-1")]);
    }
}

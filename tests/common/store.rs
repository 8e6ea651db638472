//! What the API server keeps: objects with revisions, and every change in its order, so that a watch or a list can be
//! served as of any moment. No I/O.

use super::restricted::{bump, counts_generations, no_finalizers, owned, restricted, seconds};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// Where an object is: resource (with its group), namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub resource: &'static str,
    pub namespace: String,
    pub name: String,
}

/// A change, with the object before and after it.
#[derive(Clone)]
pub struct Change {
    pub revision: u64,
    pub key: Key,
    pub before: Option<Arc<Value>>,
    pub after: Option<Arc<Value>>,
}

/// What each manager applied last, by manager and subresource.
type Applied = BTreeMap<(String, String), Value>;

/// The objects of one resource and their changes, apart from all others: a list or a watch asks for one resource.
#[derive(Default)]
struct Kind {
    objects: BTreeMap<Key, Arc<Value>>,
    changes: Vec<Change>,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// Revisions up to here can no longer be watched from.
    compacted: u64,
    kinds: BTreeMap<&'static str, Kind>,
    applied: HashMap<Key, Applied>,
    /// How often each name was created: uids are made of it, so that a repeated scenario gets the same ones.
    created: HashMap<Key, u32>,
}

impl State {
    fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.kinds.get(key.resource)?.objects.get(key)
    }

    fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.kinds.values().flat_map(|kind| &kind.objects)
    }
}

/// The objects, shared between everybody who talks to the server.
pub struct Store {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
    /// The last revision that is not a sign of life of a leader.
    work: watch::Sender<u64>,
    clock: fn() -> Timestamp,
}

/// Why a write was refused: the API server's code, reason and message.
#[derive(Debug, PartialEq)]
pub struct Refusal(pub u16, pub &'static str, pub String);

pub fn not_found(key: &Key) -> Refusal {
    let (resource, name) = (key.resource, &key.name);
    Refusal(404, "NotFound", format!("{resource} \"{name}\" not found"))
}

pub fn conflict(key: &Key, why: &str) -> Refusal {
    let (resource, name) = (key.resource, &key.name);
    Refusal(409, "Conflict", format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"))
}

/// Why a write that names another resource version is refused.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Store {
    pub fn new(clock: fn() -> Timestamp) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), revision: watch::Sender::new(0), work: watch::Sender::new(0), clock })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// Tells of each new revision.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// The same, but of leases.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Forgets the past: watches from before get 410.
    pub fn compact(&self) {
        let mut state = self.state();
        state.compacted = state.revision;
    }

    pub fn compacted(&self) -> u64 {
        self.state().compacted
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.state().get(key).cloned()
    }

    /// Every object of a resource as it ever was.
    pub fn past(&self, resource: &str) -> Vec<Arc<Value>> {
        let state = self.state();
        let changes = state.kinds.get(resource).into_iter().flat_map(|kind| &kind.changes);
        changes.filter_map(|change| change.after.clone()).collect()
    }

    /// The objects of a resource as they were at a revision.
    pub fn list(&self, resource: &str, namespace: Option<&str>, at: u64) -> Vec<Arc<Value>> {
        let state = self.state();
        let Some(kind) = state.kinds.get(resource) else { return Vec::new() };
        let wanted = |key: &Key| namespace.is_none_or(|n| n == key.namespace);
        if kind.changes.last().is_none_or(|change| change.revision <= at) {
            return kind.objects.iter().filter(|(key, _)| wanted(key)).map(|(_, object)| object.clone()).collect();
        }
        let mut objects: BTreeMap<&Key, &Arc<Value>> = kind.objects.iter().collect();
        for change in kind.changes.iter().rev().take_while(|change| change.revision > at) {
            match &change.before {
                Some(before) => objects.insert(&change.key, before),
                None => objects.remove(&change.key),
            };
        }
        objects.into_iter().filter(|(key, _)| wanted(key)).map(|(_, object)| object.clone()).collect()
    }

    /// The changes of a resource after one revision and up to another.
    pub fn changes(&self, resource: &str, after: u64, to: u64) -> Vec<Change> {
        let state = self.state();
        let changes = state.kinds.get(resource).map_or(&[][..], |kind| &kind.changes);
        let from = changes.partition_point(|change| change.revision <= after);
        changes[from..].iter().take_while(|change| change.revision <= to).cloned().collect()
    }

    /// The objects of every resource that were created, or got other owners, after one revision and up to another, in their
    /// order; and whether they are new.
    pub fn made(&self, after: u64, to: u64) -> Vec<(Key, Arc<Value>, bool)> {
        let state = self.state();
        let newer = |kind: &Kind| kind.changes.partition_point(|change| change.revision <= after);
        let changes = state.kinds.values().flat_map(|kind| &kind.changes[newer(kind)..]);
        let owners = |object: &Option<Arc<Value>>| object.as_ref().map(|o| o["metadata"]["ownerReferences"].clone());
        let mut made: Vec<&Change> =
            changes.filter(|c| c.revision <= to && owners(&c.before) != owners(&c.after)).collect();
        made.sort_by_key(|change| change.revision);
        let new = |change: &Change| Some((change.key.clone(), change.after.clone()?, change.before.is_none()));
        made.into_iter().filter_map(new).collect()
    }

    /// Whether an object with this uid is there.
    pub fn has_uid(&self, uid: &Value) -> bool {
        self.state().all().any(|(_, object)| object["metadata"]["uid"] == *uid)
    }

    /// Every object there is.
    pub fn all(&self) -> Vec<(Key, Arc<Value>)> {
        self.state().all().map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// Creates an object.
    pub fn create(&self, key: &Key, mut object: Value) -> Result<Arc<Value>, Refusal> {
        let mut state = self.state();
        if state.get(key).is_some() {
            let message = format!("{} \"{}\" already exists", key.resource, key.name);
            return Err(Refusal(409, "AlreadyExists", message));
        }
        let count = state.created.entry(key.clone()).or_default();
        *count += 1;
        let uid = format!("{}/{}/{}/{count}", key.resource, key.namespace, key.name);
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        metadata["namespace"] = json!(key.namespace);
        metadata["uid"] = json!(uid);
        metadata["creationTimestamp"] = json!(seconds((self.clock)()));
        if counts_generations(key.resource) {
            metadata["generation"] = json!(1);
            if let Some(object) = object.as_object_mut() {
                object.remove("status");
            }
        }
        if key.resource.starts_with("databasemigrations.") {
            object["status"] = json!({ "observedGeneration": -1 }); // the default of the CRD
        }
        Ok(self.put(&mut state, key, Some(object)).unwrap_or_default())
    }

    /// Changes an object. `status` tells which part the change may touch.
    pub fn update(
        &self,
        key: &Key,
        status: bool,
        change: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let mut state = self.state();
        let Some(before) = state.get(key).cloned() else { return Err(not_found(key)) };
        let mut after = (*before).clone();
        change(&mut after)?;
        let after = restricted(key, &before, after, status);
        if after == *before {
            return Ok(before);
        }
        let finalized = after["metadata"]["deletionTimestamp"].is_string() && no_finalizers(&after);
        if finalized {
            self.put(&mut state, key, Some(after.clone()));
            self.remove(&mut state, key);
            return Ok(Arc::new(after));
        }
        Ok(self.put(&mut state, key, Some(after)).unwrap_or_default())
    }

    /// Server-side apply: creates what is not there.
    pub fn apply(&self, key: &Key, manager: &str, status: bool, config: &Value) -> Result<Arc<Value>, Refusal> {
        let uid = config["metadata"]["uid"].clone();
        let Some(there) = self.get(key) else {
            if status {
                return Err(not_found(key));
            }
            if !uid.is_null() {
                return Err(conflict(
                    key,
                    "uid mismatch: the provided object specified a uid, and no existing object was found",
                ));
            }
            let created = self.create(key, config.clone())?;
            self.remember(key, manager, status, config);
            return Ok(created);
        };
        if !status && !uid.is_null() && uid != there["metadata"]["uid"] {
            let message = format!("{} \"{}\" is invalid: metadata.uid: field is immutable", key.resource, key.name);
            return Err(Refusal(422, "Invalid", message));
        }
        let version = &config["metadata"]["resourceVersion"];
        if !version.is_null() && *version != there["metadata"]["resourceVersion"] {
            return Err(conflict(key, MODIFIED));
        }
        let (before, others) = {
            let state = self.state();
            let applied = state.applied.get(key);
            let mine = (manager.to_owned(), status.to_string());
            let before = applied.and_then(|a| a.get(&mine)).cloned().unwrap_or_default();
            let others = applied.into_iter().flatten().filter(|(who, _)| **who != mine);
            (before, others.map(|(_, config)| config.clone()).collect::<Vec<_>>())
        };
        let config = owned(config);
        let changed = self.update(key, status, |object| {
            super::patch::apply(object, &before, &config, &others);
            Ok(())
        })?;
        self.remember(key, manager, status, &config);
        Ok(changed)
    }

    fn remember(&self, key: &Key, manager: &str, status: bool, config: &Value) {
        let mut state = self.state();
        if state.get(key).is_some() {
            let applied = state.applied.entry(key.clone()).or_default();
            applied.insert((manager.to_owned(), status.to_string()), owned(config));
        }
    }

    /// Deletes an object, or marks it where finalizers hold it.
    pub fn delete(&self, key: &Key, preconditions: &Value) -> Result<Arc<Value>, Refusal> {
        let mut state = self.state();
        let Some(there) = state.get(key).cloned() else { return Err(not_found(key)) };
        for field in ["uid", "resourceVersion"] {
            let wanted = &preconditions[field];
            if !wanted.is_null() && *wanted != there["metadata"][field] {
                return Err(conflict(key, &format!("Precondition failed: {field}")));
            }
        }
        if no_finalizers(&there) {
            self.remove(&mut state, key);
            return Ok(there);
        }
        if there["metadata"]["deletionTimestamp"].is_string() {
            return Ok(there);
        }
        let mut marked = (*there).clone();
        marked["metadata"]["deletionTimestamp"] = json!(seconds((self.clock)()));
        marked["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        bump(&mut marked);
        Ok(self.put(&mut state, key, Some(marked)).unwrap_or_default())
    }

    /// The garbage collector deletes all dependents at once, whatever finalizers hold the object itself.
    pub fn delete_in_foreground(&self, key: &Key) -> Result<Arc<Value>, Refusal> {
        let uid = self.get(key).ok_or_else(|| not_found(key))?["metadata"]["uid"].clone();
        let mine = |owner: &Value| owner["uid"] == uid;
        let dependents: Vec<Key> = self
            .all()
            .into_iter()
            .filter(|(_, object)| object["metadata"]["ownerReferences"].as_array().is_some_and(|o| o.iter().all(mine)))
            .map(|(key, _)| key)
            .collect();
        let deleted = self.delete(key, &Value::Null)?;
        for dependent in dependents {
            let _ = self.delete(&dependent, &Value::Null);
        }
        Ok(deleted)
    }

    fn remove(&self, state: &mut State, key: &Key) {
        let Some(object) = state.get(key).cloned() else { return };
        self.put(state, key, None);
        state.applied.remove(key);
        // The garbage collector: what has lost its last owner goes too.
        let uid = &object["metadata"]["uid"];
        let owned: Vec<Key> = state
            .all()
            .filter(|(_, o)| {
                o["metadata"]["ownerReferences"].as_array().is_some_and(|r| r.iter().any(|r| r["uid"] == *uid))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in owned {
            let Some(mut orphan) = state.get(&key).map(|o| (**o).clone()) else { continue };
            if let Some(owners) = orphan["metadata"]["ownerReferences"].as_array_mut() {
                owners.retain(|owner| owner["uid"] != *uid);
                if owners.is_empty() {
                    self.remove(state, &key);
                } else {
                    self.put(state, &key, Some(orphan));
                }
            }
        }
    }

    fn put(&self, state: &mut State, key: &Key, object: Option<Value>) -> Option<Arc<Value>> {
        state.revision += 1;
        let revision = state.revision;
        let after = object.map(|mut object| {
            object["metadata"]["resourceVersion"] = json!(revision.to_string());
            Arc::new(object)
        });
        let kind = state.kinds.entry(key.resource).or_default();
        let before = match &after {
            Some(object) => kind.objects.insert(key.clone(), object.clone()),
            None => kind.objects.remove(key),
        };
        kind.changes.push(Change { revision, key: key.clone(), before, after: after.clone() });
        self.revision.send_replace(revision);
        if !key.resource.starts_with("leases") {
            self.work.send_replace(revision);
        }
        after
    }
}

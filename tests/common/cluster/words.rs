//! What a scenario says and asks. No network.

use super::{Cluster, Database, Image, PATIENCE, hex, key, object};
use crate::common::patch;
use alembic_operator::{
    api::{DatabaseMigration, Defaults, Enforce},
    reconcile::Limits,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
impl Cluster {
    /// An image with these revisions: "a b<a c<a" (without a parent named: the one before).
    pub fn image(&self, reference: &str, revisions: &str, broken: &str) {
        let mut before: Option<String> = None;
        let mut list = Vec::new();
        for word in revisions.split_whitespace() {
            let (id, parents) = match word.split_once('<') {
                Some((id, parents)) => (id.to_owned(), parents.split('+').map(str::to_owned).collect()),
                None => (word.to_owned(), before.clone().into_iter().collect()),
            };
            before = Some(id.clone());
            list.push((id, parents));
        }
        let digest = format!("sha256:{}", hex(format!("{reference} {revisions} {broken}").as_bytes()));
        let broken = broken.split_whitespace().map(str::to_owned).collect();
        self.world().images.insert(reference.to_owned(), Image { revisions: list, broken, digest, missing: false });
    }

    /// What a platform team says for every object; before the first wait, since operators start with it.
    pub fn defaults(&self, spec: &Value, enforce: &[Enforce]) {
        let spec = spec.as_object().cloned().unwrap_or_default();
        self.world().defaults = Some(Defaults { hash: "0123456789abcdef".to_owned(), spec, enforce: enforce.to_vec() });
    }

    /// How many runs may be at work at a time; before the first wait, too.
    pub fn limits(&self, all: usize, server: usize) {
        self.world().limits = Limits { all, server };
    }

    /// Changes a database, which is there from the first word about it.
    pub fn database(&self, name: &str, change: impl FnOnce(&mut Database)) {
        let mut world = self.world();
        let database = world
            .databases
            .entry(name.to_owned())
            .or_insert_with(|| Database { password: "secret".to_owned(), ..Database::default() });
        change(database);
    }

    /// What a database is like now.
    pub fn seen(&self, name: &str) -> Database {
        self.world().databases.get(name).cloned().unwrap_or_default()
    }

    /// The Secret with the URL of a database.
    pub fn secret(&self, name: &str, database: &str, password: &str) {
        let url = format!("postgresql://app:{password}@db:5432/{database}");
        let data = json!({ "data": { "url": STANDARD.encode(url) } });
        let key = key("secrets", name);
        if self.store.get(&key).is_some() {
            let _ = self.store.delete(&key, &Value::Null);
        }
        let _ = self.store.create(&key, data);
    }

    /// Creates or changes an object as `kubectl apply` does.
    pub fn apply(&self, name: &str, spec: &Value) {
        let mut whole = json!({ "image": "shop:1", "targetRevision": "head",
            "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } });
        patch::merge(&mut whole, spec);
        let config =
            json!({ "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "spec": whole });
        let applied = self.store.apply(&object(name), "kubectl", false, &config);
        assert!(applied.is_ok(), "{applied:?}");
    }

    /// A Job of somebody else.
    pub fn job(&self, name: &str) {
        let made = self.store.create(&key("jobs.batch", name), json!({ "spec": { "template": {} } }));
        assert!(made.is_ok(), "{made:?}");
    }

    pub fn delete_job(&self, name: &str) {
        let deleted = self.store.delete(&key("jobs.batch", name), &Value::Null);
        assert!(deleted.is_ok(), "{deleted:?}");
    }

    /// Merges into an object's spec.
    pub fn patch(&self, name: &str, spec: &Value) {
        let patch = json!({ "spec": spec });
        let patched = self.store.update(&object(name), false, |object| {
            patch::merge(object, &patch);
            Ok(())
        });
        assert!(patched.is_ok(), "{patched:?}");
    }

    /// Sets the annotation that asks for another look.
    pub fn request(&self, name: &str, value: &str) {
        self.annotate(name, "requestedAt", value);
    }

    /// Gives an object to the operator of a shard, or back to the one without.
    pub fn move_to(&self, name: &str, shard: Option<&str>) {
        let label = json!({ "metadata": { "labels": { "alembic-operator.dev/shard": shard } } });
        let patched = self.store.update(&object(name), false, |object| {
            patch::merge(object, &label);
            Ok(())
        });
        assert!(patched.is_ok(), "{patched:?}");
    }

    /// As a person approves the plan that the status shows.
    pub fn approve(&self, name: &str) {
        let plan = self.object(name).and_then(|object| object.status?.plan);
        self.annotate(name, "approve", &plan.map(|plan| plan.hash).unwrap_or_default());
    }

    fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { format!("alembic-operator.dev/{key}"): value } } });
        let patched = self.store.update(&object(name), false, |object| {
            patch::merge(object, &patch);
            Ok(())
        });
        assert!(patched.is_ok(), "{patched:?}");
    }

    pub fn delete(&self, name: &str) {
        let deleted = self.store.delete(&object(name), &Value::Null);
        assert!(deleted.is_ok(), "{deleted:?}");
    }

    /// As a person who can't wait does.
    pub fn take_finalizers(&self, name: &str) {
        let taken = self.store.update(&object(name), false, |object| {
            object["metadata"]["finalizers"] = json!([]);
            Ok(())
        });
        assert!(taken.is_ok(), "{taken:?}");
    }

    /// As `kubectl delete --cascade=foreground` and Argo CD do.
    pub fn delete_in_foreground(&self, name: &str) {
        let deleted = self.store.delete_in_foreground(&object(name));
        assert!(deleted.is_ok(), "{deleted:?}");
    }

    /// Deletes what somebody finds by its beginning, such as the Job of a run.
    pub fn delete_by_prefix(&self, resource: &'static str, prefix: &str) -> usize {
        let found =
            self.store.all().into_iter().filter(|(key, _)| key.resource == resource && key.name.starts_with(prefix));
        found.filter(|(key, _)| self.store.delete(key, &Value::Null).is_ok()).count()
    }

    /// An object as it is now.
    pub fn object(&self, name: &str) -> Option<DatabaseMigration> {
        let value = self.store.get(&object(name))?;
        serde_json::from_value((*value).clone()).ok()
    }

    /// Reason of the Ready condition of an object that need not be readable.
    pub fn raw_reason(&self, name: &str) -> String {
        let object = self.store.get(&object(name));
        let conditions = object.and_then(|o| o["status"]["conditions"].as_array().cloned()).unwrap_or_default();
        let ready =
            conditions.iter().find(|c| c["type"] == "Ready").and_then(|c| c["reason"].as_str().map(str::to_owned));
        ready.unwrap_or_default()
    }

    /// Reason of the Ready condition.
    pub fn reason(&self, name: &str) -> String {
        let object = self.object(name);
        let status = object.and_then(|o| o.status);
        let ready = status.and_then(|s| s.conditions.into_iter().find(|c| c.type_ == "Ready"));
        ready.map(|c| c.reason).unwrap_or_default()
    }

    /// Waits until an object's Ready condition has a reason.
    pub async fn until(&self, name: &str, reason: &str) {
        self.wait(&format!("{name} is {reason}"), || self.reason(name) == reason).await;
    }

    /// Waits until something is so.
    pub async fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.dump());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

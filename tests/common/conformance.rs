//! What the operator relies on in an API server, asked of the one in memory and, in tests/e2e, of a real one: what is
//! not the same in both would make the sweeps worthless.

use alembic_operator::api::DatabaseMigration;
use futures::{StreamExt, TryStreamExt, future::LocalBoxFuture};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams},
    core::PartialObjectMeta,
};
use serde_json::{Value, json};
use std::time::Duration;

/// An API server under test: its client, and a namespace that is empty.
#[derive(Clone)]
pub struct Server {
    pub client: Client,
    pub namespace: String,
}

type Case = (&'static str, fn(Server) -> LocalBoxFuture<'static, ()>);

/// Every case.
pub const CASES: [Case; 14] = [
    ("create", |s| Box::pin(create(s))),
    ("get what is not there", |s| Box::pin(missing(s))),
    ("generation", |s| Box::pin(generation(s))),
    ("status is a part of its own", |s| Box::pin(status(s))),
    ("apply gives up what it no longer has", |s| Box::pin(apply(s))),
    ("apply with preconditions", |s| Box::pin(apply_preconditions(s))),
    ("finalizers of two managers", |s| Box::pin(finalizers(s))),
    ("owners are merged", |s| Box::pin(owners(s))),
    ("replace with an old version", |s| Box::pin(replace(s))),
    ("merge into an old version", |s| Box::pin(merge(s))),
    ("delete with preconditions", |s| Box::pin(delete(s))),
    ("what has lost its owner goes", |s| Box::pin(garbage(s))),
    ("lists by label", |s| Box::pin(labels(s))),
    ("watch", |s| Box::pin(watch(s))),
];

impl Server {
    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn objects(&self) -> Api<DatabaseMigration> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn map(&self, name: &str, labels: Value) -> ConfigMap {
        self.maps().create(&PostParams::default(), &map(name, labels)).await.unwrap()
    }

    async fn object(&self, name: &str) -> DatabaseMigration {
        self.objects().create(&PostParams::default(), &object(name)).await.unwrap()
    }
}

fn map(name: &str, labels: Value) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels }, "data": { "a": "1" } })).unwrap()
}

fn object(name: &str) -> DatabaseMigration {
    serde_json::from_value(json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": { "name": name },
        "spec": { "image": "i", "targetRevision": "head", "suspend": true,
                  "database": { "urlFrom": { "secretKeyRef": { "name": "s", "key": "k" } } } },
        "status": { "current": "made up" },
    }))
    .unwrap()
}

fn applied(name: &str, rest: &Value) -> Value {
    let mut whole = json!({ "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": { "name": name } });
    super::patch::merge(&mut whole, rest);
    whole
}

fn code<T: std::fmt::Debug>(answer: kube::Result<T>) -> u16 {
    match answer {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

fn by(manager: &str) -> PatchParams {
    PatchParams::apply(manager).force()
}

async fn create(server: Server) {
    let made = server.object("one").await;
    assert!(made.uid().is_some() && made.resource_version().is_some() && made.creation_timestamp().is_some());
    let status = made.status.unwrap_or_default();
    assert_eq!((made.metadata.generation, status.current), (Some(1), None), "a status can't be created");
    assert_eq!(status.observed_generation, Some(-1), "the CRD's default");
    let again = server.objects().create(&PostParams::default(), &object("one")).await;
    assert!(matches!(&again, Err(kube::Error::Api(status)) if status.reason == "AlreadyExists"), "{again:?}");
    assert_eq!(code(again), 409);
    let nameless = server.maps().create(&PostParams::default(), &ConfigMap::default()).await;
    assert_eq!(code(nameless), 422);
}

async fn missing(server: Server) {
    assert_eq!(code(server.maps().get("none").await), 404);
    assert!(server.maps().get_opt("none").await.unwrap().is_none());
    assert!(server.maps().get_metadata_opt("none").await.unwrap().is_none());
    server.map("one", json!({ "x": "y" })).await;
    let metadata: PartialObjectMeta<ConfigMap> = server.maps().get_metadata_opt("one").await.unwrap().unwrap();
    assert_eq!(metadata.labels().get("x").map(String::as_str), Some("y"));
    assert_eq!(code(server.maps().delete("none", &DeleteParams::default()).await), 404);
}

async fn generation(server: Server) {
    let made = server.object("one").await;
    let patch = |value: Value| {
        let objects = server.objects();
        async move { objects.patch("one", &PatchParams::default(), &Patch::Merge(&value)).await.unwrap() }
    };
    let annotated = patch(json!({ "metadata": { "annotations": { "a": "b" } } })).await;
    assert_eq!(annotated.metadata.generation, Some(1));
    assert_ne!(annotated.resource_version(), made.resource_version());
    let same = patch(json!({ "metadata": { "annotations": { "a": "b" } } })).await;
    assert_eq!(same.resource_version(), annotated.resource_version(), "no change is no write");
    let changed = patch(json!({ "spec": { "targetRevision": "base" } })).await;
    assert_eq!(changed.metadata.generation, Some(2));
    let removed = patch(json!({ "spec": { "suspend": null } })).await;
    assert_eq!((removed.metadata.generation, removed.spec.suspend), (Some(3), false));
}

async fn status(server: Server) {
    server.object("one").await;
    let config = applied("one", &json!({ "spec": { "image": "other" }, "status": { "current": "a" } }));
    let written = server.objects().patch_status("one", &by("m"), &Patch::Apply(&config)).await.unwrap();
    assert_eq!((written.spec.image.as_str(), written.metadata.generation), ("i", Some(1)));
    assert_eq!(written.status.as_ref().and_then(|s| s.current.as_deref()), Some("a"));
    let ignored = json!({ "status": { "current": "b" } });
    let unchanged = server.objects().patch("one", &PatchParams::default(), &Patch::Merge(&ignored)).await.unwrap();
    assert_eq!(unchanged.status.and_then(|s| s.current).as_deref(), Some("a"));
    let again = server.objects().patch_status("one", &by("m"), &Patch::Apply(&config)).await.unwrap();
    assert_eq!(again.resource_version(), unchanged.metadata.resource_version, "applied again is no write");
}

async fn apply(server: Server) {
    server.object("one").await;
    let write = |manager: &'static str, status: Value| {
        let objects = server.objects();
        async move {
            let config = applied("one", &json!({ "status": status }));
            objects.patch_status("one", &by(manager), &Patch::Apply(&config)).await.unwrap().status.unwrap_or_default()
        }
    };
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let first = json!({ "current": "a", "target": "b", "heads": ["x", "y"], "conditions": [condition("Ready"), condition("Drifted")] });
    let written = write("m", first).await;
    assert_eq!((written.conditions.len(), written.heads.len()), (2, 2));
    let second = write("m", json!({ "current": "a", "heads": ["z"], "conditions": [condition("Ready")] })).await;
    assert_eq!((second.target, second.heads, second.conditions.len()), (None, vec!["z".to_owned()], 1));
    let both = write("other", json!({ "target": "t", "conditions": [condition("Stalled")] })).await;
    assert_eq!((both.current.as_deref(), both.target.as_deref(), both.conditions.len()), (Some("a"), Some("t"), 2));
    let left = write("other", json!({})).await;
    assert_eq!((left.current.as_deref(), left.target, left.conditions.len()), (Some("a"), None, 1));
}

async fn apply_preconditions(server: Server) {
    let made = server.object("one").await;
    let status = |metadata: Value, name: &'static str| {
        let objects = server.objects();
        async move {
            let config = applied(name, &json!({ "metadata": metadata, "status": { "current": "a" } }));
            objects.patch_status(name, &by("m"), &Patch::Apply(&config)).await
        }
    };
    // The status of a custom resource is written whatever uid the patch names: only the version protects a namesake.
    let unprotected = status(json!({ "uid": "7e0a3b52-0000-4000-8000-000000000000" }), "one").await.unwrap();
    assert_eq!(unprotected.uid(), made.uid());
    assert_eq!(code(status(json!({}), "none").await), 404);
    let version = unprotected.resource_version();
    let written = status(json!({ "resourceVersion": version }), "one").await.unwrap();
    let annotation = json!({ "metadata": { "annotations": { "a": "b" } } });
    let written_since =
        server.objects().patch("one", &PatchParams::default(), &Patch::Merge(&annotation)).await.unwrap();
    assert_ne!(written.resource_version(), written_since.resource_version());
    let old = applied("one", &json!({ "metadata": { "resourceVersion": version }, "status": { "current": "b" } }));
    assert_eq!(
        code(server.objects().patch_status("one", &by("m"), &Patch::Apply(&old)).await),
        409,
        "written over a newer one"
    );
    let live = server.objects().get("one").await.unwrap();
    assert_eq!(live.resource_version(), written_since.resource_version());
    let other = json!({ "metadata": { "uid": "7e0a3b52-0000-4000-8000-000000000000", "finalizers": ["alembic-operator.dev/x"] } });
    let other = applied("one", &other);
    assert_eq!(code(server.objects().patch_metadata("one", &by("m"), &Patch::Apply(&other)).await), 422);
    // A finalizer is not set on the namesake of an object that is gone.
    let finalizer =
        applied("none", &json!({ "metadata": { "uid": made.uid(), "finalizers": ["alembic-operator.dev/x"] } }));
    assert_eq!(code(server.objects().patch_metadata("none", &by("m"), &Patch::Apply(&finalizer)).await), 409);
}

async fn finalizers(server: Server) {
    let made = server.object("one").await;
    let set = |manager: &'static str, list: Value| {
        let (objects, uid) = (server.objects(), made.uid());
        async move {
            let config = applied("one", &json!({ "metadata": { "uid": uid, "finalizers": list } }));
            let metadata = objects.patch_metadata("one", &by(manager), &Patch::Apply(&config)).await.unwrap();
            metadata.metadata.finalizers.unwrap_or_default()
        }
    };
    let (ours, theirs) = ("alembic-operator.dev/ours", "example.com/theirs");
    assert_eq!(set("us", json!([ours])).await, [ours]);
    assert_eq!(set("them", json!([theirs])).await.len(), 2);
    assert_eq!(set("us", json!([])).await, [theirs]);
    set("us", json!([ours])).await;
    server.objects().delete("one", &DeleteParams::default()).await.unwrap();
    let marked = server.objects().get("one").await.unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(marked.metadata.generation, Some(2), "the mark is a new generation");
    assert_eq!(set("them", json!([])).await, [ours]);
    set("us", json!([])).await;
    assert!(server.objects().get_opt("one").await.unwrap().is_none(), "the last finalizer's end is the object's");
}

fn owner(of: &ConfigMap) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": of.name_any(), "uid": of.uid() })
}

async fn owners(server: Server) {
    let (first, second) = (server.map("first", json!({})).await, server.map("second", json!({})).await);
    server.map("shared", json!({})).await;
    for one in [&first, &second, &first] {
        let patch = json!({ "metadata": { "ownerReferences": [owner(one)] } });
        server.maps().patch_metadata("shared", &PatchParams::default(), &Patch::Strategic(&patch)).await.unwrap();
    }
    let shared = server.maps().get("shared").await.unwrap();
    assert_eq!(shared.owner_references().len(), 2);
    server.object("custom").await;
    let patch = json!({ "metadata": { "labels": { "a": "b" } } });
    let refused = server.objects().patch("custom", &PatchParams::default(), &Patch::Strategic(&patch)).await;
    assert_eq!(code(refused), 415, "custom resources know no strategic merge");
}

async fn replace(server: Server) {
    let first = server.map("one", json!({})).await;
    let mut second = first.clone();
    second.data = Some([("a".to_owned(), "2".to_owned())].into());
    server.maps().replace("one", &PostParams::default(), &second).await.unwrap();
    assert_eq!(code(server.maps().replace("one", &PostParams::default(), &first).await), 409);
    let mut unknown = first;
    unknown.metadata.name = Some("none".into());
    assert!(matches!(code(server.maps().replace("none", &PostParams::default(), &unknown).await), 404 | 409));
}

async fn merge(server: Server) {
    let old = server.map("one", json!({})).await;
    let patch = |version: Option<String>, text: Option<&str>| {
        let maps = server.maps();
        let body =
            json!({ "metadata": { "resourceVersion": version }, "data": { "a": text }, "binaryData": { "b": "AAE=" } });
        async move { maps.patch("one", &PatchParams::default(), &Patch::Merge(&body)).await }
    };
    let new = patch(old.resource_version(), Some("x")).await.unwrap();
    assert_eq!(new.binary_data.unwrap_or_default().get("b").map(|bytes| bytes.0.clone()), Some(vec![0, 1]));
    assert_eq!(code(patch(old.resource_version(), Some("y")).await), 409, "written over a newer one");
    let without = patch(new.metadata.resource_version, None).await.unwrap();
    assert_eq!(without.data.unwrap_or_default().get("a"), None);
}

async fn delete(server: Server) {
    server.map("one", json!({})).await;
    let other = Preconditions { uid: Some("7e0a3b52-0000-4000-8000-000000000000".into()), resource_version: None };
    let params = DeleteParams { preconditions: Some(other), ..DeleteParams::default() };
    assert_eq!(code(server.maps().delete("one", &params).await), 409);
    server.maps().delete("one", &DeleteParams::default()).await.unwrap();
    assert!(server.maps().get_opt("one").await.unwrap().is_none());
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

async fn garbage(server: Server) {
    let (first, second) = (server.map("first", json!({})).await, server.map("second", json!({})).await);
    let mut owned = map("owned", json!({}));
    owned.metadata.owner_references = serde_json::from_value(json!([owner(&first), owner(&second)])).unwrap();
    server.maps().create(&PostParams::default(), &owned).await.unwrap();
    server.maps().delete("first", &DeleteParams::background()).await.unwrap();
    let owners = async || server.maps().get_opt("owned").await.unwrap().map_or(0, |map| map.owner_references().len());
    eventually("one owner is left", async || owners().await == 1).await;
    server.maps().delete("second", &DeleteParams::background()).await.unwrap();
    eventually("it is gone", async || owners().await == 0).await;
    // A Job is deleted in the background too.
    let job = json!({ "metadata": { "name": "job" }, "spec": { "suspend": true, "backoffLimit": 0, "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } } } });
    let job: Job = serde_json::from_value(job).unwrap();
    let made = server.jobs().create(&PostParams::default(), &job).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    server.jobs().delete("job", &DeleteParams::background()).await.unwrap();
    eventually("the Job is gone", async || server.jobs().get_opt("job").await.unwrap().is_none()).await;
}

async fn labels(server: Server) {
    server.map("one", json!({ "a": "1", "b": "x" })).await;
    server.map("two", json!({ "a": "2" })).await;
    let names = async |selector: &str| {
        let list = server.maps().list(&ListParams::default().labels(selector)).await.unwrap();
        list.items.iter().map(ResourceExt::name_any).filter(|name| !name.starts_with("kube-")).collect::<Vec<_>>()
    };
    assert_eq!(names("a=1").await, ["one"]);
    assert_eq!(names("a").await, ["one", "two"]);
    assert_eq!(names("a=1,b").await, ["one"]);
    assert!(names("a=2,b").await.is_empty());
}

async fn watch(server: Server) {
    server.map("before", json!({ "w": "1" })).await;
    let list = server.maps().list(&ListParams::default().labels("w=1")).await.unwrap();
    let version = list.metadata.resource_version.unwrap_or_default();
    let params = WatchParams::default().labels("w=1").timeout(20);
    let mut events = server.maps().watch(&params, &version).await.unwrap().boxed();
    let mut next = async || {
        loop {
            let event =
                tokio::time::timeout(Duration::from_secs(10), events.try_next()).await.unwrap().unwrap().unwrap();
            return match event {
                WatchEvent::Added(map) => format!("added {}", map.name_any()),
                WatchEvent::Modified(map) => format!("modified {}", map.name_any()),
                WatchEvent::Deleted(map) => format!("deleted {}", map.name_any()),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => format!("error {}", status.code),
            };
        }
    };
    let label = async |name: &str, value: Value| {
        let patch = json!({ "metadata": { "labels": { "w": value } } });
        server.maps().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    server.map("one", json!({ "w": "1" })).await;
    assert_eq!(next().await, "added one", "what was listed does not come again");
    server.map("other", json!({ "w": "2" })).await;
    let patch = json!({ "data": { "a": "3" } });
    server.maps().patch("one", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(next().await, "modified one");
    label("one", Value::Null).await;
    assert_eq!(next().await, "deleted one", "what no longer matches is gone");
    label("other", json!("1")).await;
    assert_eq!(next().await, "added other");
    server.maps().delete("other", &DeleteParams::default()).await.unwrap();
    assert_eq!(next().await, "deleted other");
}

//! The Job controller, the scheduler, the kubelet and the runner in one, on simulated databases. No network.

use super::{
    CNPG, Database, Image, LOG, RUN_TAKES, STAGE_TAKES, World, clock,
    databases::Simulated,
    key,
    reports::{Left, done, framed, inspected, rehearsal, reported},
};
use crate::common::{
    restricted::seconds,
    store::{Key, Store},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
/// The Job controller, the scheduler, the kubelet and the runner in one.
#[derive(Clone)]
pub(super) struct Kubelet {
    pub store: Arc<Store>,
    pub world: Arc<Mutex<World>>,
}

impl Kubelet {
    pub(super) async fn work(self) {
        let mut seen = 0;
        let mut news = self.store.news();
        loop {
            let now = self.store.revision();
            for (key, made, new) in self.store.made(seen, now) {
                if self.is_orphan(&made) {
                    let _ = self.store.delete(&key, &Value::Null);
                } else if !new {
                    continue;
                } else if key.resource == "jobs.batch" {
                    tokio::spawn(self.clone().job(key, made));
                } else if key.resource == CNPG {
                    tokio::spawn(self.clone().cnpg(key));
                }
            }
            seen = now;
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the garbage collector takes away: owned by nobody who is there.
    fn is_orphan(&self, object: &Value) -> bool {
        let owners = object["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        !owners.is_empty() && !owners.iter().any(|owner| self.store.has_uid(&owner["uid"]))
    }

    fn is_there(&self, key: &Key, uid: &Value) -> bool {
        self.store.get(key).is_some_and(|object| object["metadata"]["uid"] == *uid)
    }

    fn is_suspended(&self, job: &Key) -> bool {
        self.store.get(job).is_some_and(|job| job["spec"]["suspend"] == true)
    }

    /// CloudNativePG, which backs up the one database that there is.
    async fn cnpg(self, backup: Key) {
        *self.world().jobs.entry("cnpg".to_owned()).or_default() += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.tell(&backup, json!({ "phase": "running" }), None);
        let left = self.around("app", "backup", &backup).await;
        let status = match left.code {
            0 => json!({ "phase": "completed" }),
            _ => json!({ "phase": "failed", "error": left.message }),
        };
        self.tell(&backup, status, None);
    }

    async fn job(self, job_key: Key, job: Arc<Value>) {
        let action = job["metadata"]["labels"]["alembic-operator.dev/action"].as_str().unwrap_or_default().to_owned();
        *self.world().jobs.entry(action).or_default() += 1;
        let uid = job["metadata"]["uid"].clone();
        let mut news = self.store.news();
        while self.is_there(&job_key, &uid) && self.is_suspended(&job_key) {
            if news.changed().await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        if !self.is_there(&job_key, &uid) {
            return;
        }
        let mut pod = job["spec"]["template"].clone();
        let pod_key = Key { resource: "pods", name: format!("{}-pod", job_key.name), ..job_key.clone() };
        pod["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": job_key.name, "uid": uid, "controller": true }]);
        pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = json!(job_key.name);
        pod["status"] = json!({ "phase": "Pending" });
        if self.store.create(&pod_key, pod.clone()).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(900)).await;
        self.mounted(&pod_key, &pod).await;
        if self.store.get(&pod_key).is_none() {
            return self.failed(&job_key).await;
        }
        let container = &pod["spec"]["containers"][0];
        let name = container["name"].clone();
        let reference = container["image"].as_str().unwrap_or_default().to_owned();
        let Some(image) = self.found(&reference) else {
            let waiting = json!({ "reason": "ImagePullBackOff", "message": "no such image" });
            return self.tell(
                &pod_key,
                json!({ "phase": "Pending", "containerStatuses": [{ "name": name, "image": reference,
                "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": waiting } }] }),
                None,
            );
        };
        let image_id = format!("{}@{}", reference.split(['@', ':']).next().unwrap_or_default(), image.digest);
        let status = |phase: &str, state: Value| {
            json!({ "phase": phase, "containerStatuses": [{ "name": name, "image": reference, "imageID": image_id,
                "ready": false, "restartCount": 0, "state": state }] })
        };
        self.tell(&pod_key, status("Running", json!({ "running": { "startedAt": seconds(clock()) } })), None);
        let left = self.run(container, &image, &pod_key).await;
        let ended = json!({ "terminated": { "exitCode": left.code, "reason": if left.code == 0 { "Completed" } else { "Error" },
            "message": left.message.to_string(), "finishedAt": seconds(clock()) } });
        // A pod that somebody deletes has failed, whatever it did.
        if self.store.get(&pod_key).is_none() {
            return self.failed(&job_key).await;
        }
        let phase = if left.code == 0 { "Succeeded" } else { "Failed" };
        self.tell(&pod_key, status(phase, ended), Some(left.log));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let kind = if left.code == 0 { "Complete" } else { "Failed" };
        self.tell(&job_key, json!({ "conditions": [{ "type": kind, "status": "True" }] }), None);
    }

    /// A pod starts once every ConfigMap that it mounts is there.
    async fn mounted(&self, pod_key: &Key, pod: &Value) {
        let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
        let maps: Vec<Key> = volumes
            .iter()
            .filter_map(|v| v["configMap"]["name"].as_str())
            .map(|name| key("configmaps", name))
            .collect();
        let mut news = self.store.news();
        while self.store.get(pod_key).is_some() && maps.iter().any(|map| self.store.get(map).is_none()) {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// What the Job's controller says when a pod has failed; it makes no other one.
    async fn failed(&self, job: &Key) {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        self.tell(job, json!({ "conditions": [{ "type": "Failed", "status": "True" }] }), None);
    }

    /// An image by tag or by digest.
    fn found(&self, reference: &str) -> Option<Image> {
        let world = self.world();
        let by_digest =
            || world.images.values().find(|i| reference.split_once('@').is_some_and(|(_, d)| d == i.digest));
        world.images.get(reference).or_else(by_digest).filter(|image| !image.missing).cloned()
    }

    fn tell(&self, key: &Key, status: Value, log: Option<String>) {
        let told = |object: &mut Value| {
            object["status"] = status;
            Ok(())
        };
        let _ = self.store.update(key, true, told);
        if let Some(log) = log {
            let _ = self.store.update(key, false, |object| {
                object["metadata"]["annotations"][LOG] = json!(log);
                Ok(())
            });
        }
    }

    async fn run(&self, container: &Value, image: &Image, pod: &Key) -> Left {
        let env = |name: &str| container["env"].as_array().into_iter().flatten().find(|e| e["name"] == name).cloned();
        let task = env("ALEMBIC_OPERATOR_TASK").unwrap_or_default();
        let task: Value = serde_json::from_str(task["value"].as_str().unwrap_or_default()).unwrap_or_default();
        let database =
            env("DATABASE_URL").and_then(|e| self.named(&e["valueFrom"]["secretKeyRef"])).unwrap_or_default();
        let stage = self
            .store
            .get(pod)
            .and_then(|pod| pod["metadata"]["labels"]["alembic-operator.dev/action"].as_str().map(str::to_owned));
        match task["action"].as_str().or(stage.as_deref()) {
            Some(stage @ ("backup" | "verify")) => self.around(&database, stage, pod).await,
            Some("inspect") => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                inspected(image)
            }
            Some("probe") => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let world = self.world();
                let rows = world.databases.get(&database).and_then(|d| d.rows.clone());
                let look = json!({ "dialect": "postgresql", "version": "15.1", "table": rows.is_some(),
                    "rows": rows.unwrap_or_default(), "tables": [] });
                let schema = world.databases.get(&database).map(Simulated::schema_of).unwrap_or_default();
                reported(&schema, json!({ "look": look }))
            }
            Some("replay") => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                let end = task["end"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
                let scratch = Database { rows: Some(end.collect()), ..Database::default() };
                reported(&Simulated::schema_of(&scratch), json!({}))
            }
            Some("rehearse") => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                // It does not know the live database.
                if self.world().databases.values().any(|d| d.failing.contains("rehearse")) {
                    let error = json!({ "class": "RehearsalFailed", "message": "downgrade: there is no index" });
                    let found = rehearsal(&task["steps"], Some("downgrade"));
                    return Left { code: 1, ..framed(&found, json!({ "state": "failed", "error": error })) };
                }
                framed(&rehearsal(&task["steps"], None), json!({}))
            }
            Some("run") => self.migrate(&task, image, &database, pod).await,
            _ => Left { message: json!({ "state": "failed" }), log: String::new(), code: 1 },
        }
    }

    /// The database that a pod's URL names, as the Secret has it when the pod starts.
    fn named(&self, reference: &Value) -> Option<String> {
        let secret = self.store.get(&key("secrets", reference["name"].as_str()?))?;
        let url = STANDARD.decode(secret["data"][reference["key"].as_str()?].as_str()?).ok()?;
        String::from_utf8(url).ok()?.rsplit('/').next().map(str::to_owned)
    }

    /// What comes before and after a run: it looks at a database and leaves it as it is.
    async fn around(&self, database: &str, stage: &str, by: &Key) -> Left {
        tokio::time::sleep(STAGE_TAKES).await;
        let alive = self.store.get(by).is_some();
        let mut world = self.world();
        let Some(database) = world.databases.get_mut(database).filter(|_| alive) else {
            return Left { message: json!("killed"), log: String::new(), code: 137 };
        };
        if database.failing.contains(stage) {
            return Left { message: json!("it does not work"), log: String::new(), code: 1 };
        }
        assert_eq!(database.working, 0, "a {stage} while a run is at work");
        let rows: Vec<String> = database.rows.clone().unwrap_or_default().into_iter().collect();
        database.runs.push((stage.to_owned(), rows.clone(), rows));
        done(json!("done"))
    }

    async fn migrate(&self, task: &Value, image: &Image, database: &str, pod: &Key) -> Left {
        let list = |name: &str| -> BTreeSet<String> {
            task[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (from, end) = (list("from"), list("end"));
        let refused = |class: &str, message: &str| Left {
            message: json!({ "state": "refused", "error": { "class": class, "message": message } }),
            log: String::new(),
            code: 3,
        };
        let gives_up = Instant::now() + Duration::from_secs(task["lock_wait_seconds"].as_u64().unwrap_or_default());
        // An engine without a lock lets everybody in.
        let locked = || self.world().databases.get(database).is_some_and(|database| database.working > 0);
        while task["lock"].is_null() && locked() {
            if Instant::now() >= gives_up {
                return refused("LockTimeout", "another migration holds the lock");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        {
            let mut world = self.world();
            let Some(database) = world.databases.get_mut(database) else {
                return refused("ConnectFailed", "there is no such database");
            };
            if database.rows.clone().unwrap_or_default() != from {
                return refused("RowsChanged", "the rows are not those of the plan");
            }
            database.working += 1;
            database.most_working = database.most_working.max(database.working);
        }
        tokio::time::sleep(RUN_TAKES).await;
        let alive = self.store.get(pod).is_some();
        let mut world = self.world();
        let Some(database) = world.databases.get_mut(database) else { return refused("ConnectFailed", "gone") };
        database.working -= 1;
        if !alive {
            database.killed += 1;
            return refused("MigrationFailed", "killed");
        }
        let changed: Vec<&String> = end.symmetric_difference(&from).collect();
        if let Some(broken) = changed.into_iter().find(|id| image.broken.contains(*id)) {
            return Left {
                message: json!({ "state": "failed", "started": true, "running": broken,
                    "error": { "class": "MigrationFailed", "message": "column exists", "revision": broken } }),
                log: String::new(),
                code: 1,
            };
        }
        let ids = |rows: &BTreeSet<String>| rows.iter().cloned().collect::<Vec<_>>();
        database.runs.push((task["direction"].as_str().unwrap_or_default().to_owned(), ids(&from), ids(&end)));
        database.rows = Some(end);
        done(json!({ "state": "done", "started": true, "steps_done": task["steps"] }))
    }
}

//! Carrying out of a decision on a set; does network I/O. Jobs are made suspended, then the pages and the status are written, and only
//! then a batch begins: a crash between any two of these leaves nothing behind that nobody remembers.

use super::{
    decide::Decision,
    facts::Withdrawn,
    member::{Line, page_text, pages as into_pages},
    object, observe,
};
use crate::{
    api::{
        ANNOTATION_RELEASED, DatabaseMigration, DatabaseMigrationSet, DatabaseMigrationSetStatus, FINALIZER,
        LABEL_MANAGED_BY, LABEL_SET, MANAGER,
    },
    call::{call, refusal},
    error::{Call, Error},
    jobs::{
        INSPECT_DEADLINE, inspection_config_map, is_made_here, label_value, program_config_map, set_inspection,
        short_hash,
    },
    reconcile::{Context, as_manager},
};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;
use std::collections::BTreeMap;

/// The key of a page.
pub const TARGETS: &str = "targets";

/// Carries out a decision, in its order.
pub async fn act(
    set: &DatabaseMigrationSet,
    object: &DatabaseMigration,
    decision: &Decision,
    context: &Context,
) -> Result<(), Error> {
    let namespace = set.namespace().unwrap_or_default();
    let mut actor = Actor { set, context, namespace, version: set.resource_version() };
    if let Some((key, image)) = &decision.keep_inspection {
        let map = inspection_config_map(object, key, &image.image, image.digest.as_deref(), &image.inspection);
        actor.ensure_shared(map.map_err(|error| actor.internal("the inspection", &error))?).await?;
    }
    if let Some((request, example)) = &decision.inspect {
        let with_x = with_places(set, object, context)?;
        let target = object::of_target(set, &with_x, example);
        let image = &target.spec.image;
        let job = set_inspection(&target, &request.record, image, example.database.clone(), INSPECT_DEADLINE);
        let mut job = job.map_err(|error| actor.internal("the inspect Job", &error))?;
        job.metadata.owner_references = Some(vec![actor.owner(true)]);
        actor.confirm().await?;
        actor.ensure_shared(program_config_map(object)).await?;
        actor.create_job(job).await?;
    }
    if decision.finalizer {
        actor.set_finalizer(true).await?;
    }
    for request in &decision.batches {
        let server = set.spec.servers.iter().find(|server| server.name == request.record.server);
        let Some(server) = server else { continue };
        let defaults = context.process.defaults.as_ref();
        let of_server = object::of_server(set, server, defaults)
            .map_err(|problem| Error::Internal { what: "the batch".to_owned(), detail: problem.message })?;
        let job = request.job(&object::of_batch(set, &of_server));
        let job = job.map_err(|error| actor.internal("the batch Job", &error))?;
        actor.confirm().await?;
        actor.ensure_shared(program_config_map(object)).await?;
        actor.create_job(job).await?;
    }
    for seen in &decision.withdraw {
        actor.withdraw(seen).await?;
    }
    if let Some(lines) = &decision.lines {
        actor.write_pages(lines.clone()).await?;
    }
    if let Some(plans) = &decision.plans {
        actor.write_plans(super::plans::name(object), plans).await?;
    }
    actor.write_status(&decision.status).await?;
    for job in &decision.release {
        actor.release(job).await?;
    }
    for job in &decision.own {
        let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": [actor.owner(true)] } }));
        gone(call(&format!("own Job {job}"), actor.jobs().patch_metadata(job, &as_manager(), &patch)).await)?;
    }
    for job in &decision.delete {
        let what = format!("delete Job {job}");
        gone(call(&what, actor.jobs().delete(job, &DeleteParams::background())).await)?;
    }
    if !decision.finalizer && set.finalizers().iter().any(|name| name == FINALIZER) {
        actor.set_finalizer(false).await?;
    }
    Ok(())
}

/// The object with the arguments of each target still to be filled in.
fn with_places(
    set: &DatabaseMigrationSet,
    object: &DatabaseMigration,
    context: &Context,
) -> Result<DatabaseMigration, Error> {
    let Some(server) = set.spec.servers.first() else { return Ok(object.clone()) };
    object::of_server(set, server, context.process.defaults.as_ref())
        .map_err(|problem| Error::Internal { what: "the inspection".to_owned(), detail: problem.message })
}

fn gone<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(error) if refusal(&error) == Some(404) => Ok(()),
        other => other.map(drop),
    }
}

struct Actor<'a> {
    set: &'a DatabaseMigrationSet,
    context: &'a Context,
    namespace: String,
    /// The set's resource version as this pass knows it.
    version: Option<String>,
}

impl Actor<'_> {
    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }

    fn sets(&self) -> Api<DatabaseMigrationSet> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }

    fn internal(&self, what: &str, error: &dyn std::error::Error) -> Error {
        Error::Internal { what: format!("{what} of {}", self.set.name_any()), detail: error.to_string() }
    }

    fn owner(&self, controls: bool) -> OwnerReference {
        let controller = self.set.controller_owner_ref(&()).filter(|_| controls);
        controller.or_else(|| self.set.owner_ref(&())).unwrap_or_default()
    }

    /// The decision was made on a watched copy. Before a Job is made of it the API server is asked whether the set is still so.
    async fn confirm(&self) -> Result<(), Error> {
        let name = self.set.name_any();
        let live = call(&format!("get {name}"), self.sets().get(&name)).await?;
        let same = live.uid() == self.set.uid()
            && live.metadata.generation == self.set.metadata.generation
            && live.annotations() == self.set.annotations()
            && live.metadata.deletion_timestamp.is_none()
            && live.status == self.set.status;
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("a Job of {name}") });
        }
        if same { Ok(()) } else { Err(Error::Stale(name)) }
    }

    /// Joins the owners of a ConfigMap that others share, or creates it.
    async fn ensure_shared(&self, mut map: ConfigMap) -> Result<(), Error> {
        let name = map.name_any();
        map.metadata.owner_references = Some(vec![self.owner(false)]);
        let api = self.config_maps();
        let created = call(&format!("create ConfigMap {name}"), api.create(&PostParams::default(), &map)).await;
        match created {
            Err(error) if refusal(&error) == Some(409) => {}
            other => return other.map(drop),
        }
        let there = call(&format!("get ConfigMap {name}"), api.get_metadata(&name)).await?;
        if !is_made_here(&there) {
            return Err(Error::Foreign { what: format!("ConfigMap {name}") });
        }
        if there.owner_references().iter().any(|owner| Some(&owner.uid) == self.set.metadata.uid.as_ref()) {
            return Ok(());
        }
        let patch = json!({ "metadata": { "ownerReferences": [self.owner(false)] } });
        let patch = Patch::Strategic(&patch);
        call(&format!("share ConfigMap {name}"), api.patch_metadata(&name, &as_manager(), &patch)).await.map(drop)
    }

    /// Creates a Job; one of the same name is the same, since its name follows from what it is for.
    async fn create_job(&self, job: Job) -> Result<(), Error> {
        let name = job.name_any();
        match call(Call::CreateJob(name.clone()), self.jobs().create(&PostParams::default(), &job)).await {
            Err(error) if refusal(&error) == Some(409) => {
                let there = call(&format!("get Job {name}"), self.jobs().get(&name)).await?;
                let same =
                    is_made_here(&there) && there.annotations().get(LABEL_SET) == job.annotations().get(LABEL_SET);
                if same { Ok(()) } else { Err(Error::Foreign { what: format!("Job {name}") }) }
            }
            other => other.map(|_| {
                tracing::info!(namespace = self.namespace, name = self.set.name_any(), job = name, "Job created")
            }),
        }
    }

    /// Deletes a Job that was never let begin, as it was seen. Whatever else is found there is judged by the next pass.
    async fn withdraw(&self, seen: &Withdrawn) -> Result<(), Error> {
        let preconditions = Preconditions { uid: seen.uid.clone(), resource_version: seen.version.clone() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match call(&format!("delete Job {}", seen.job), self.jobs().delete(&seen.job, &params)).await {
            Err(error) if matches!(refusal(&error), Some(404 | 409)) => Err(Error::Stale(seen.job.clone())),
            other => other.map(drop),
        }
    }

    async fn release(&self, name: &str) -> Result<(), Error> {
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("Job {name}") });
        }
        let metadata = json!({ "annotations": { ANNOTATION_RELEASED: "true" } });
        let patch = Patch::Merge(json!({ "metadata": metadata, "spec": { "suspend": false } }));
        gone(call(&format!("release Job {name}"), self.jobs().patch_metadata(name, &as_manager(), &patch)).await)
    }

    /// Writes the pages that have changed, each over the version that was read, and deletes those that are too many.
    async fn write_pages(&self, lines: Vec<Line>) -> Result<(), Error> {
        let api = self.config_maps();
        let mut there: BTreeMap<String, ConfigMap> =
            observe::pages(self.set, self.context).await?.into_iter().map(|map| (map.name_any(), map)).collect();
        for (number, page) in into_pages(lines).into_iter().enumerate() {
            let hash = short_hash(&[&self.set.uid().unwrap_or_default()], 6);
            let short: String = self.set.name_any().chars().take(180).collect();
            let name = format!("{}-targets-{hash}-{number}", short.trim_end_matches(['.', '-']));
            let text = page_text(&page);
            let known = there.remove(&name);
            if known.as_ref().and_then(|map| map.data.as_ref()?.get(TARGETS)) == Some(&text) {
                continue;
            }
            let version = known.as_ref().and_then(ResourceExt::resource_version);
            let map = self.page(&name, text, version);
            let what = format!("write ConfigMap {name}");
            match known {
                Some(_) => call(&what, api.patch(&name, &as_manager(), &Patch::Merge(&map))).await.map(drop)?,
                None => call(&what, api.create(&PostParams::default(), &map)).await.map(drop)?,
            }
        }
        for name in there.keys() {
            gone(call(&format!("delete ConfigMap {name}"), api.delete(name, &DeleteParams::default())).await)?;
        }
        Ok(())
    }

    /// Applies the plans as a whole: those of before are gone with it. It is no page, so it has not the label of one.
    async fn write_plans(&self, name: String, plans: &BTreeMap<String, String>) -> Result<(), Error> {
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned())])),
                owner_references: Some(vec![self.owner(true)]),
                ..ObjectMeta::default()
            },
            data: Some(plans.clone()),
            ..ConfigMap::default()
        };
        let api = self.config_maps();
        let what = format!("write ConfigMap {name}");
        let params = PatchParams::apply(MANAGER).force();
        call(&what, api.patch(&name, &params, &Patch::Apply(&map))).await.map(drop)
    }

    fn page(&self, name: &str, text: String, version: Option<String>) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(BTreeMap::from([
                    (LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned()),
                    (LABEL_SET.to_owned(), label_value(&self.set.name_any())),
                ])),
                owner_references: Some(vec![self.owner(true)]),
                resource_version: version,
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(TARGETS.to_owned(), text)])),
            ..ConfigMap::default()
        }
    }

    /// Applies the status if it changed, over the version that it was computed from.
    async fn write_status(&mut self, status: &DatabaseMigrationSetStatus) -> Result<(), Error> {
        if self.set.status.as_ref() == Some(status) {
            return Ok(());
        }
        let name = self.set.name_any();
        let body = json!({
            "apiVersion": DatabaseMigrationSet::api_version(&()),
            "kind": DatabaseMigrationSet::kind(&()),
            "metadata": { "resourceVersion": self.version },
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        let what = format!("write the status of {name}");
        let written = call(&what, self.sets().patch_status(&name, &params, &Patch::Apply(&body))).await?;
        self.version = written.metadata.resource_version;
        Ok(())
    }

    async fn set_finalizer(&mut self, present: bool) -> Result<(), Error> {
        if present == self.set.finalizers().iter().any(|name| name == FINALIZER) {
            return Ok(());
        }
        let name = self.set.name_any();
        let finalizers = if present { vec![FINALIZER] } else { Vec::new() };
        let body = json!({
            "apiVersion": DatabaseMigrationSet::api_version(&()),
            "kind": DatabaseMigrationSet::kind(&()),
            "metadata": { "uid": self.set.uid(), "resourceVersion": self.version, "finalizers": finalizers },
        });
        let params = PatchParams::apply(&format!("{MANAGER}-finalizer")).force();
        let what = format!("set the finalizer of {name}");
        match call(&what, self.sets().patch_metadata(&name, &params, &Patch::Apply(&body))).await {
            Err(error) if !present && refusal(&error) == Some(404) => Ok(()),
            Err(error) => Err(error),
            Ok(changed) => {
                self.version = changed.metadata.resource_version;
                Ok(())
            }
        }
    }
}

//! Carrying out of a decision; does network I/O. Every effect may be repeated: what is there already is a success
//! once it is seen to be this object's.

use super::{
    Context, Watched,
    api::{call, refusal},
    cnpg,
    effects::{Effect, Unstarted},
    gates::Start,
    plan::plan_name,
    schema::{SchemaRecord, schema_name},
};
use crate::{
    api::{BackupMethod, ConditionType, DatabaseMigration, DatabaseMigrationStatus, FINALIZER, MANAGER, Reason},
    error::{Call, Error},
    jobs::{
        BackupRequest, Inspected, JobInput, JobRecord, PodTemplateError, RehearseRequest, VerifyRequest, backup_job,
        cnpg_object, compare_job, inspect_job, inspection_config_map, lacks_owner, probe_job, program_config_map,
        rehearse_job, replay_job, run_job, shared_owner, verify_job,
    },
    text,
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, ObjectReference, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    runtime::events::{Event, EventType},
};
use serde_json::{Value, json};

/// Carries out effects in their order; the first failure ends the pass, and the next one begins anew. `version` is the
/// object's resource version as far as this pass knows it; returned is what it is after the effects.
pub async fn act(
    object: &DatabaseMigration,
    version: Option<String>,
    effects: &[Effect],
    context: &Context,
) -> Result<Option<String>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let mut actor = Actor { object, context, namespace, version: version.or_else(|| object.resource_version()) };
    for effect in effects {
        actor.carry_out(effect).await?;
    }
    Ok(actor.version)
}

impl Actor<'_> {
    async fn carry_out(&mut self, effect: &Effect) -> Result<(), Error> {
        let object = self.object;
        let input = |image| JobInput { object, image, scratch: None };
        match effect {
            Effect::Inspect(request) => {
                self.look("the inspect Job", inspect_job(input(&object.spec.image), request)).await
            }
            Effect::Probe(record) => self.look("the probe Job", probe_job(input(&object.spec.image), record)).await,
            Effect::Compare { record, image } => self.look("the compare Job", compare_job(input(image), record)).await,
            Effect::Replay(request) => {
                let input = JobInput { scratch: Some(&request.scratch), ..input(&request.image) };
                self.look("the replay Job", replay_job(input, request)).await
            }
            Effect::Rehearse(request) => self.rehearse(request).await,
            Effect::BackUp(request) => self.back_up(request).await,
            Effect::Verify(request) => self.verify(request).await,
            Effect::Start(start) => self.start(start).await,
            Effect::Release(name) => self.release(name).await,
            Effect::Cancel(unstarted) => self.cancel(unstarted).await,
            Effect::OwnJob(name) => self.own_job(name).await,
            Effect::DeleteJob(name) => self.delete_job(name).await,
            Effect::DeleteRehearsal(name) => self.delete_rehearsal(name).await,
            Effect::RemoveFinalizer => self.set_finalizer(false).await,
            Effect::KeepInspection { key, image } | Effect::ShareInspection { key, image } => {
                self.ensure_shared(self.inspection(key, image)?).await
            }
            Effect::KeepSchema(record) => self.keep_schema(record).await,
            Effect::ShowPlan { map, over } => self.keep(&plan_name(object), over.as_deref(), Value::clone(map)).await,
            Effect::Event { warning, reason, note, job } => {
                self.publish(*warning, reason, note, job.as_deref()).await;
                Ok(())
            }
        }
    }
}

/// Applies the status if it changed, and returns the object's resource version after it. Carries the version that it was
/// computed from, so that a stale write conflicts: it could undo the memory of another process.
pub async fn write_status(
    object: &DatabaseMigration,
    version: Option<String>,
    status: &DatabaseMigrationStatus,
    context: &Context,
) -> Result<Option<String>, Error> {
    let version = version.or_else(|| object.resource_version());
    let never_seen = object.status.as_ref().is_none_or(|status| status.conditions.is_empty());
    if object.status.as_ref() == Some(status) || never_seen && object.metadata.deletion_timestamp.is_some() {
        return Ok(version);
    }
    let api: Api<DatabaseMigration> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let name = object.name_any();
    let body = json!({
        "apiVersion": DatabaseMigration::api_version(&()),
        "kind": DatabaseMigration::kind(&()),
        // The version also keeps a pass over a deleted object from writing to its namesake: for a status the API server
        // looks at no uid.
        "metadata": { "resourceVersion": version },
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    let written =
        call(&format!("write the status of {name}"), api.patch_status(&name, &params, &Patch::Apply(&body))).await?;
    Ok(written.metadata.resource_version)
}

/// Writes the conditions of an object that can't be read as a whole; what else its status holds is left as it is.
pub async fn tell_unreadable(object: &Watched, error: &str, context: &Context) -> Result<(), Error> {
    let name = object.name_any();
    let reason = Reason::InvalidSpec.as_str();
    let message = text::clean(&format!("the object can't be read: {error}"), 900);
    tracing::error!(object = name, error = message, "unreadable");
    let condition = |type_: ConditionType, status: &str| {
        json!({ "type": type_.as_str(), "status": status, "reason": reason, "message": message,
            "observedGeneration": object.meta().generation, "lastTransitionTime": Time(context.now()) })
    };
    let conditions = [
        condition(ConditionType::Ready, "False"),
        condition(ConditionType::Reconciling, "False"),
        condition(ConditionType::Stalled, "True"),
    ];
    let status = json!({ "observedGeneration": object.meta().generation, "conditions": conditions });
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version() }, "status": status });
    // The answer is the object, which can't be read either.
    let api: Api<Watched> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let params = as_manager();
    call(&format!("write the status of {name}"), api.patch_status(&name, &params, &Patch::Merge(&patch))).await?;
    Ok(())
}

/// What is not there any more is as good as deleted.
fn gone<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(error) if refusal(&error) == Some(404) => Ok(()),
        other => other.map(drop),
    }
}

/// A patch that is no apply, in the operator's name.
fn as_manager() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

struct Actor<'a> {
    object: &'a DatabaseMigration,
    context: &'a Context,
    namespace: String,
    /// The object's resource version as this pass knows it.
    version: Option<String>,
}

impl Actor<'_> {
    fn objects(&self) -> Api<DatabaseMigration> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }

    fn internal(&self, what: &str, error: &dyn std::error::Error) -> Error {
        Error::Internal { what: format!("{what} of {}", self.object.name_any()), detail: error.to_string() }
    }

    /// Makes the Job of a run, suspended: only for the object as it is now, and held against deletion first.
    async fn start(&mut self, start: &Start) -> Result<(), Error> {
        let request = start.request();
        self.confirm().await?;
        let image = request.run_record().image;
        let job = run_job(JobInput { object: self.object, image: &image, scratch: None }, request);
        let job = job.map_err(|e| self.internal("the run Job", &e))?;
        self.ensure_shared(program_config_map(self.object)).await?;
        self.set_finalizer(true).await?;
        self.create_job(job).await
    }

    /// Lets the Job of a run begin, and takes it out of every cascade. It is in the status by now, so that nothing can make it
    /// unknown.
    async fn release(&self, name: &str) -> Result<(), Error> {
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("Job {name}") });
        }
        let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": null }, "spec": { "suspend": false } }));
        match call(&format!("release Job {name}"), self.jobs().patch_metadata(name, &as_manager(), &patch)).await {
            // Somebody has deleted it; the next pass judges what that means.
            Err(error) if refusal(&error) == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes the Job of a run whose pod has not started: the pod itself first, as it was seen. One that has started since is
    /// another version, and the API server refuses.
    async fn cancel(&self, unstarted: &Unstarted) -> Result<(), Error> {
        let as_seen = |uid: &str, version: Option<&str>| DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: version.map(str::to_owned),
            }),
            ..DeleteParams::background()
        };
        let version = match &unstarted.pod {
            Some(pod) => {
                let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.namespace);
                let what = format!("delete pod {}", pod.name);
                gone(call(&what, pods.delete(&pod.name, &as_seen(&pod.uid, Some(&pod.version)))).await)?;
                None
            }
            None => Some(unstarted.version.as_str()),
        };
        let what = format!("delete Job {}", unstarted.name);
        gone(call(&what, self.jobs().delete(&unstarted.name, &as_seen(&unstarted.uid, version))).await)
    }

    /// Gives the Job of an ended run its owner, with which it goes.
    async fn own_job(&self, name: &str) -> Result<(), Error> {
        let owners: Vec<_> = self.object.controller_owner_ref(&()).into_iter().collect();
        let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": owners } }));
        gone(call(&format!("own Job {name}"), self.jobs().patch_metadata(name, &as_manager(), &patch)).await)
    }

    /// Starts a pod that only looks. It does no harm, and yet is not worth starting for a question that has been
    /// answered: after an interruption the watches come back one after the other.
    async fn look(&self, what: &str, job: Result<Job, PodTemplateError>) -> Result<(), Error> {
        self.confirm().await?;
        let job = job.map_err(|e| self.internal(what, &e))?;
        self.ensure_shared(program_config_map(self.object)).await?;
        self.create_job(job).await
    }

    /// Begins a backup, by whatever makes it; as with a look, not for what was answered already.
    async fn back_up(&self, request: &BackupRequest) -> Result<(), Error> {
        self.confirm().await?;
        let spec = &self.object.spec.backup;
        match (request.method, &spec.job, &spec.cnpg) {
            (BackupMethod::Job, Some(job), _) => {
                let job = backup_job(self.object, request, &job.template);
                self.create_job(job.map_err(|e| self.internal("the backup Job", &e))?).await
            }
            (BackupMethod::Cnpg, _, Some(cnpg)) => {
                let backup = cnpg_object(self.object, request, cnpg);
                self.create_cnpg(&request.name, &backup.map_err(|e| self.internal("the Backup", &e))?).await
            }
            // The spec that asked for it is this one.
            (BackupMethod::Job | BackupMethod::Cnpg, _, _) => Err(Error::Stale(self.object.name_any())),
        }
    }

    /// Creates a Backup of CloudNativePG; one of the same name that was made for this object is the same one.
    async fn create_cnpg(&self, name: &str, backup: &DynamicObject) -> Result<(), Error> {
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("Backup {name}") });
        }
        let api = cnpg::api(self.context.client.clone(), &self.namespace);
        let creates = Call::CreateBackup(name.to_owned());
        match call(creates, api.create(&PostParams::default(), backup)).await {
            Err(error) if refusal(&error) == Some(409) => {
                let there = call(Call::GetBackup(name.to_owned()), api.get(name)).await?;
                let ours = self.made(&there);
                if ours { Ok(()) } else { Err(Error::Foreign { what: format!("Backup {name}") }) }
            }
            other => other.map(drop),
        }
    }

    async fn rehearse(&self, request: &RehearseRequest) -> Result<(), Error> {
        let input = JobInput { object: self.object, image: &request.image, scratch: Some(&request.scratch) };
        // Where there is nothing to copy from the history is asked for.
        match rehearse_job(input, request).transpose() {
            Some(job) => self.look("the rehearse Job", job).await,
            None => Err(Error::Stale(self.object.name_any())),
        }
    }

    /// Where nothing else was to be written, nothing else has shown that the object is as the watch brought it.
    async fn delete_rehearsal(&self, name: &str) -> Result<(), Error> {
        let object = self.object.name_any();
        let live = call(&format!("get {object}"), self.objects().get_opt(&object)).await?;
        let newest = live.and_then(|live| live.status?.rehearsal).is_some_and(|rehearsal| rehearsal.stage.job == name);
        if newest { Ok(()) } else { self.delete_job(name).await }
    }

    async fn verify(&self, request: &VerifyRequest) -> Result<(), Error> {
        self.confirm().await?;
        let input = JobInput { object: self.object, image: &request.image, scratch: None };
        let job = verify_job(input, request);
        self.create_job(job.map_err(|e| self.internal("the verify Job", &e))?).await
    }

    /// The decision was made on a watched copy, which can be old. Before a Job is made of it the API server itself is asked
    /// whether the object is still so.
    async fn confirm(&self) -> Result<(), Error> {
        let name = self.object.name_any();
        let live = call(&format!("get {name}"), self.objects().get(&name)).await?;
        let same = live.uid() == self.object.uid()
            && live.metadata.generation == self.object.metadata.generation
            && live.annotations() == self.object.annotations()
            && live.metadata.deletion_timestamp.is_none()
            && live.status == self.object.status;
        if same { Ok(()) } else { Err(Error::Stale(name)) }
    }

    /// Creates a Job; one of the same name that is this object's own is the same Job.
    async fn create_job(&self, job: Job) -> Result<(), Error> {
        let name = job.name_any();
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("Job {name}") });
        }
        match call(Call::CreateJob(name.clone()), self.jobs().create(&PostParams::default(), &job)).await {
            Err(error) if refusal(&error) == Some(409) => {
                let there = call(&format!("get Job {name}"), self.jobs().get(&name)).await?;
                if self.made(&there) { Ok(()) } else { Err(Error::Foreign { what: format!("Job {name}") }) }
            }
            other => other.map(|_| {
                tracing::info!(namespace = self.namespace, name = self.object.name_any(), job = name, "Job created")
            }),
        }
    }

    async fn delete_job(&self, name: &str) -> Result<(), Error> {
        gone(call(&format!("delete Job {name}"), self.jobs().delete(name, &DeleteParams::background())).await)
    }

    /// Whether something was made for this object.
    fn made(&self, there: &impl ResourceExt) -> bool {
        JobRecord::of(there).is_some_and(|record| Some(record.uid) == self.object.uid())
    }

    /// Server-side apply with a manager of its own: it can neither take away nor keep anybody else's finalizer. Only over the
    /// version that this pass knows: a paused leader could take away what protects another one's run.
    async fn set_finalizer(&mut self, present: bool) -> Result<(), Error> {
        let name = self.object.name_any();
        let finalizers = if present { vec![FINALIZER] } else { Vec::new() };
        let body = json!({
            "apiVersion": DatabaseMigration::api_version(&()),
            "kind": DatabaseMigration::kind(&()),
            "metadata": { "uid": self.object.uid(), "resourceVersion": self.version, "finalizers": finalizers },
        });
        let params = PatchParams::apply(&format!("{MANAGER}-finalizer")).force();
        let what = format!("set the finalizer of {name}");
        match call(&what, self.objects().patch_metadata(&name, &params, &Patch::Apply(&body))).await {
            // Already gone, and that is what removing it was for.
            Err(error) if !present && refusal(&error) == Some(404) => Ok(()),
            Err(error) => Err(error),
            Ok(changed) => {
                self.version = changed.metadata.resource_version;
                Ok(())
            }
        }
    }

    /// Joins the owners of a ConfigMap that several objects own, or creates it.
    async fn ensure_shared(&self, map: ConfigMap) -> Result<(), Error> {
        let name = map.name_any();
        let api = self.config_maps();
        match call(&format!("get ConfigMap {name}"), api.get_metadata_opt(&name)).await? {
            Some(there) if !lacks_owner(&there, self.object) => return Ok(()),
            Some(_) if self.join_owners(&api, &name).await? => return Ok(()),
            _ => {}
        }
        match call(&format!("create ConfigMap {name}"), api.create(&PostParams::default(), &map)).await {
            // Another object was faster.
            Err(error) if refusal(&error) == Some(409) => match self.join_owners(&api, &name).await? {
                true => Ok(()),
                false => Err(Error::Stale(name)),
            },
            other => other.map(drop),
        }
    }

    /// A strategic merge adds to the owners by uid: several objects can join at once and none conflicts. Says whether
    /// there was anything to join.
    async fn join_owners(&self, api: &Api<ConfigMap>, name: &str) -> Result<bool, Error> {
        let owners: Vec<_> = shared_owner(self.object).into_iter().collect();
        let patch = json!({ "metadata": { "ownerReferences": owners } });
        let params = as_manager();
        match call(&format!("share ConfigMap {name}"), api.patch_metadata(name, &params, &Patch::Strategic(&patch)))
            .await
        {
            Err(error) if refusal(&error) == Some(404) => Ok(false),
            other => other.map(|_| true),
        }
    }

    async fn keep_schema(&self, record: &SchemaRecord) -> Result<(), Error> {
        let content = record.content(self.object, self.context.now());
        self.keep(&schema_name(self.object), record.version.as_deref(), content).await
    }

    /// Writes a ConfigMap of the object's own, only over the version that was read: an old process could bring back what
    /// was before. `content` is the whole for the first time, and else what is to be merged into it; what is not there
    /// any more is null.
    async fn keep(&self, name: &str, over: Option<&str>, mut content: Value) -> Result<(), Error> {
        let api = self.config_maps();
        let Some(version) = over else {
            if let Some(data) = content["data"].as_object_mut() {
                data.retain(|_, value| !value.is_null());
            }
            let map = serde_json::from_value(content).map_err(|e| self.internal(name, &e))?;
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            return match call(&format!("create ConfigMap {name}"), api.create(&params, &map)).await {
                Err(error) if refusal(&error) == Some(409) => Err(Error::Stale(name.to_owned())),
                other => other.map(drop),
            };
        };
        content["metadata"]["resourceVersion"] = json!(version);
        let params = as_manager();
        call(&format!("patch ConfigMap {name}"), api.patch_metadata(name, &params, &Patch::Merge(&content))).await?;
        Ok(())
    }

    fn inspection(&self, key: &str, image: &Inspected) -> Result<ConfigMap, Error> {
        let digest = image.digest.as_deref();
        inspection_config_map(self.object, key, &image.image, digest, &image.inspection)
            .map_err(|e| self.internal("the inspection", &e))
    }

    /// An event that can't be published must not hold anything up.
    async fn publish(&self, warning: bool, reason: &str, note: &str, job: Option<&str>) {
        let related = |name: &str| ObjectReference {
            api_version: Some(Job::api_version(&()).into_owned()),
            kind: Some(Job::kind(&()).into_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note.to_owned()),
            // Events that differ in neither of these two become one series, which keeps the first one's note.
            action: format!("ReconcileGeneration{}", self.object.metadata.generation.unwrap_or_default()),
            secondary: job.map(related),
        };
        let what = format!("publish event {reason}");
        let published = call(&what, self.context.process.recorder.publish(&event, &self.object.object_ref(&()))).await;
        if let Err(error) = published {
            tracing::warn!(object = self.object.name_any(), %error, "event lost");
        }
    }
}

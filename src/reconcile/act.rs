//! Carrying out of a decision; does network I/O. Every effect may be repeated: what is there already is a success
//! once it is seen to be this object's.

use super::{
    Context, Watched,
    api::{call, refusal},
    checks::{BackupAsk, RehearsalAsk, VerifyAsk},
    cnpg,
    decide::Effect,
    plan::plan_name,
    schema::{SchemaRecord, schema_name},
};
use crate::{
    api::{
        BackupMethod, ConditionType, DatabaseMigration, DatabaseMigrationStatus, FINALIZER, MANAGER, Reason,
        RehearsalSource,
    },
    error::Error,
    jobs::{
        Inspected, JobInput, Origin, PodTemplateError, Run, RunRecord, StageRecord, VersionTableName, backup_job,
        cnpg_object, compare_job, inspect_job, inspection_config_map, lacks_owner, look_job, program_config_map,
        rehearse_job, replay_job, run_job, run_jobs, shared_owner, verify_job,
    },
    text,
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, ObjectReference},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, PostParams},
    runtime::events::{Event, EventType},
};
use serde_json::{Value, json};

/// Carries out effects in their order; the first failure ends the pass, and the next one begins anew. Returns the
/// object's resource version where an effect has changed it.
pub async fn act(object: &DatabaseMigration, effects: &[Effect], context: &Context) -> Result<Option<String>, Error> {
    let actor = Actor { object, context, namespace: object.namespace().unwrap_or_default() };
    let mut version = None;
    for effect in effects {
        match effect {
            Effect::Inspect(wanted) => {
                let input = JobInput { object, image: &object.spec.image, scratch: None };
                actor.look("the inspect Job", inspect_job(input, &wanted.key, wanted.job.clone())).await?;
            }
            Effect::Look(record) => {
                let input = JobInput { object, image: &object.spec.image, scratch: None };
                actor.look("the probe Job", look_job(input, record)).await?;
            }
            Effect::Compare { record, image } => {
                actor.look("the compare Job", compare_job(JobInput { object, image, scratch: None }, record)).await?;
            }
            Effect::Replay(job) => {
                let input = JobInput { object, image: &job.image, scratch: Some(&job.scratch) };
                actor.look("the replay Job", replay_job(input, &job.record, job.run.clone())).await?;
            }
            Effect::KeepInspection { key, image } | Effect::ShareInspection { key, image } => {
                actor.ensure_shared(actor.inspection(key, image)?).await?;
            }
            Effect::BackUp(ask) => actor.back_up(ask).await?,
            Effect::Verify(ask) => actor.verify(ask).await?,
            Effect::Rehearse(ask) => actor.rehearse(ask).await?,
            Effect::DeleteRehearsal(name) => actor.delete_rehearsal(name).await?,
            Effect::Run(run) => version = actor.run(&run.0, &run.1).await?,
            Effect::NoRunSince(recorded) => actor.no_run_since(*recorded).await?,
            Effect::RemoveFinalizer => version = actor.set_finalizer(false).await?,
            Effect::KeepSchema(record) => actor.keep_schema(record).await?,
            Effect::ShowPlan { map, over } => {
                actor.keep(&plan_name(object), over.as_deref(), Value::clone(map)).await?;
            }
            Effect::DeleteJob(name) => actor.delete_job(name).await?,
            Effect::Event { warning, reason, note, job } => actor.tell(*warning, reason, note, job.as_deref()).await,
        }
    }
    Ok(version)
}

/// Writes the status unless it is what is there. It was made from the object as it was at `version`, by default the
/// one that was watched: over a newer one it is not written, as it could undo the memory of another process.
pub async fn write_status(
    object: &DatabaseMigration,
    version: Option<String>,
    status: &DatabaseMigrationStatus,
    context: &Context,
) -> Result<(), Error> {
    if object.status.as_ref() == Some(status) || object.status.is_none() && object.metadata.deletion_timestamp.is_some()
    {
        return Ok(());
    }
    let api: Api<DatabaseMigration> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let name = object.name_any();
    let body = json!({
        "apiVersion": DatabaseMigration::api_version(&()),
        "kind": DatabaseMigration::kind(&()),
        // The version also keeps a pass over a deleted object from writing to its namesake: for a status the API server
        // looks at no uid.
        "metadata": { "resourceVersion": version.or_else(|| object.resource_version()) },
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    call(&format!("write the status of {name}"), api.patch_status(&name, &params, &Patch::Apply(&body))).await?;
    Ok(())
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

/// A patch that is no apply, in the operator's name.
fn as_manager() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

struct Actor<'a> {
    object: &'a DatabaseMigration,
    context: &'a Context,
    namespace: String,
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

    /// Starts a run: only on the object as it is now, and held against deletion first.
    async fn run(&self, record: &RunRecord, run: &Run) -> Result<Option<String>, Error> {
        self.confirm(|live| live.status.as_ref().map_or(0, |s| s.recorded_runs()) < record.number).await?;
        let input = JobInput { object: self.object, image: &record.image, scratch: None };
        let job = run_job(input, record, run.clone()).map_err(|e| self.internal("the run Job", &e))?;
        self.ensure_shared(program_config_map(self.object)).await?;
        let version = self.set_finalizer(true).await?;
        self.create_job(job).await?;
        Ok(version)
    }

    /// Starts a pod that only looks. It does no harm, and yet is not worth starting for a question that has been
    /// answered: after an interruption the watches come back one after the other.
    async fn look(&self, what: &str, job: Result<Job, PodTemplateError>) -> Result<(), Error> {
        self.confirm(|live| live.status == self.object.status).await?;
        let job = job.map_err(|e| self.internal(what, &e))?;
        self.ensure_shared(program_config_map(self.object)).await?;
        self.create_job(job).await
    }

    /// Begins a backup, by whatever makes it; as with a look, not for what was answered already.
    async fn back_up(&self, ask: &BackupAsk) -> Result<(), Error> {
        self.confirm(|live| live.status == self.object.status).await?;
        let spec = &self.object.spec.backup;
        match (ask.method, &spec.job, &spec.cnpg) {
            (BackupMethod::Job, Some(job), _) => {
                let job = backup_job(self.object, &ask.name, &ask.record, &job.template, ask.timeout);
                self.create_job(job.map_err(|e| self.internal("the backup Job", &e))?).await
            }
            (BackupMethod::Cnpg, _, Some(cnpg)) => {
                let backup = cnpg_object(self.object, &ask.name, &ask.record, cnpg);
                self.create_cnpg(&ask.name, &backup.map_err(|e| self.internal("the Backup", &e))?).await
            }
            // The spec that asked for it is this one.
            (BackupMethod::Job | BackupMethod::Cnpg, _, _) => Err(Error::Stale(self.object.name_any())),
        }
    }

    /// Creates a Backup of CloudNativePG; one of the same name that was made for this object is the same one.
    async fn create_cnpg(&self, name: &str, backup: &DynamicObject) -> Result<(), Error> {
        let what = format!("{} {name}", cnpg::CREATE);
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("Backup {name}") });
        }
        let api = cnpg::api(self.context.client.clone(), &self.namespace);
        match call(&what, api.create(&PostParams::default(), backup)).await {
            Err(error) if refusal(&error) == Some(409) => {
                let there = call(&format!("{} {name}", cnpg::GET), api.get(name)).await?;
                let ours = StageRecord::of(&there).is_some_and(|record| Some(record.uid) == self.object.uid());
                if ours { Ok(()) } else { Err(Error::Foreign { what: format!("Backup {name}") }) }
            }
            other => other.map(drop),
        }
    }

    async fn rehearse(&self, ask: &RehearsalAsk) -> Result<(), Error> {
        let inspection = &ask.image.inspection;
        let origin = match ask.source {
            RehearsalSource::History => Origin::History(ask.history.clone()),
            RehearsalSource::Dump => Origin::Dump(VersionTableName {
                name: &inspection.version_table,
                schema: inspection.version_table_schema.as_deref(),
            }),
        };
        let input = JobInput { object: self.object, image: &ask.image.image, scratch: Some(&ask.scratch) };
        let job = rehearse_job(input, &ask.record, ask.run.clone(), origin).transpose();
        // Where there is nothing to copy from the history is asked for.
        let Some(job) = job else { return Err(Error::Stale(self.object.name_any())) };
        self.look("the rehearse Job", job).await
    }

    /// Where nothing else was to be written, nothing else has shown that the object is as the watch brought it.
    async fn delete_rehearsal(&self, name: &str) -> Result<(), Error> {
        let object = self.object.name_any();
        let live = call(&format!("get {object}"), self.objects().get_opt(&object)).await?;
        let newest = live.and_then(|live| live.status?.rehearsal).is_some_and(|rehearsal| rehearsal.job == name);
        if newest { Ok(()) } else { self.delete_job(name).await }
    }

    async fn verify(&self, ask: &VerifyAsk) -> Result<(), Error> {
        self.confirm(|live| live.status == self.object.status).await?;
        let Some(verify) = &self.object.spec.verify else { return Err(Error::Stale(self.object.name_any())) };
        let input = JobInput { object: self.object, image: &ask.image, scratch: None };
        let job = verify_job(input, &ask.name, &ask.record, verify, ask.timeout);
        self.create_job(job.map_err(|e| self.internal("the verify Job", &e))?).await
    }

    /// The decision was made on a watched copy, which can be old. Before a Job is made of it the API server itself is
    /// asked whether it still holds.
    async fn confirm(&self, holds: impl FnOnce(&DatabaseMigration) -> bool) -> Result<(), Error> {
        let name = self.object.name_any();
        let live = call(&format!("get {name}"), self.objects().get(&name)).await?;
        let same = live.uid() == self.object.uid()
            && live.metadata.generation == self.object.metadata.generation
            && live.annotations() == self.object.annotations()
            && live.metadata.deletion_timestamp.is_none();
        if same && holds(&live) { Ok(()) } else { Err(Error::Stale(name)) }
    }

    /// Creates a Job; one of the same name that is this object's own is the same Job.
    async fn create_job(&self, job: Job) -> Result<(), Error> {
        let name = job.name_any();
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("Job {name}") });
        }
        let what = format!("create Job {name}");
        match call(&what, self.jobs().create(&PostParams::default(), &job)).await {
            Err(error) if refusal(&error) == Some(409) => {
                let there = call(&format!("get Job {name}"), self.jobs().get(&name)).await?;
                if self.owns(&there) { Ok(()) } else { Err(Error::Foreign { what: format!("Job {name}") }) }
            }
            other => other.map(|_| ()),
        }
    }

    async fn delete_job(&self, name: &str) -> Result<(), Error> {
        let deleted = call(&format!("delete Job {name}"), self.jobs().delete(name, &DeleteParams::background())).await;
        match deleted {
            Err(error) if refusal(&error) == Some(404) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// The watch of Jobs may not have brought the newest run yet, so the API server itself is asked.
    async fn no_run_since(&self, recorded: i64) -> Result<(), Error> {
        let name = self.object.name_any();
        let jobs =
            call(&format!("list the run Jobs of {name}"), self.jobs().list_metadata(&run_jobs(self.object))).await?;
        let newer =
            |job: &PartialObjectMeta<Job>| self.owns(job) && RunRecord::of(job).is_some_and(|r| r.number > recorded);
        if jobs.iter().any(newer) { Err(Error::Stale(name)) } else { Ok(()) }
    }

    fn owns(&self, job: &impl ResourceExt) -> bool {
        let uid = self.object.uid().unwrap_or_default();
        job.owner_references().iter().any(|owner| owner.uid == uid)
    }

    /// Server-side apply with a manager of its own: it can neither take away nor keep anybody else's finalizer.
    async fn set_finalizer(&self, present: bool) -> Result<Option<String>, Error> {
        let name = self.object.name_any();
        let finalizers = if present { vec![FINALIZER] } else { Vec::new() };
        let body = json!({
            "apiVersion": DatabaseMigration::api_version(&()),
            "kind": DatabaseMigration::kind(&()),
            "metadata": { "uid": self.object.uid(), "finalizers": finalizers },
        });
        let params = PatchParams::apply(&format!("{MANAGER}-finalizer")).force();
        let what = format!("set the finalizer of {name}");
        match call(&what, self.objects().patch_metadata(&name, &params, &Patch::Apply(&body))).await {
            // Already gone, and that is what removing it was for.
            Err(error) if !present && refusal(&error) == Some(404) => Ok(None),
            other => other.map(|changed| changed.metadata.resource_version),
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
    async fn tell(&self, warning: bool, reason: &str, note: &str, job: Option<&str>) {
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

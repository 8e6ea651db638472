//! Carrying out of a decision; does network I/O. Every effect may be repeated: what is there already is a success once it is
//! seen to be this object's. Jobs and ConfigMaps have files of their own.

mod config_maps;
mod jobs;
mod lease;

use super::{context::Context, effects::Effect, plan::plan_name};
use crate::{
    api::{DatabaseMigration, DatabaseMigrationStatus, FINALIZER, MANAGER},
    call::{call, refusal},
    error::Error,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::ObjectReference};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde_json::{Value, json};

/// Carries out effects in their order; the first failure ends the pass, and the next one begins again from the facts.
/// `version` is the object's resource version as far as this pass knows it; returned is what it is after the effects.
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
        match effect {
            Effect::Create(request) => self.create(request.as_ref()).await,
            Effect::CreateBackup(request) => self.create_backup(request).await,
            Effect::Start(start) => self.start(start).await,
            Effect::Release(name) => self.release(name).await,
            Effect::KeepLease(name) => {
                self.keep_lease(name).await;
                Ok(())
            }
            Effect::Cancel(unstarted) => self.cancel(unstarted).await,
            Effect::OwnJob(name) => self.own_job(name).await,
            Effect::DeleteJob(name) => self.delete_job(name).await,
            Effect::DeleteRehearsal(name) => self.delete_rehearsal(name).await,
            Effect::RemoveFinalizer => self.set_finalizer(false).await,
            Effect::KeepInspection { key, image } | Effect::ShareInspection { key, image } => {
                self.ensure_shared(self.inspection(key, image)?).await
            }
            Effect::KeepSchema(record) => self.keep_schema(record).await,
            Effect::ShowPlan { map, over } => {
                self.keep(&plan_name(self.object), over.as_deref(), Value::clone(map)).await
            }
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
    let status = &DatabaseMigrationStatus { defaults: context.process.defaults.clone(), ..status.clone() };
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
        // checks no uid.
        "metadata": { "resourceVersion": version },
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    let written =
        call(&format!("write the status of {name}"), api.patch_status(&name, &params, &Patch::Apply(&body))).await?;
    Ok(written.metadata.resource_version)
}

/// What is not there any more is as good as deleted.
fn gone<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(error) if refusal(&error) == Some(404) => Ok(()),
        other => other.map(drop),
    }
}

/// A patch that is no apply, in the operator's name.
pub fn as_manager() -> PatchParams {
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

    fn internal(&self, what: &str, error: &dyn std::error::Error) -> Error {
        Error::Internal { what: format!("{what} of {}", self.object.name_any()), detail: error.to_string() }
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
            // Another operator may work on it by now.
            && self.context.process.shard.has(&live)
            && live.status == self.object.status;
        if same { Ok(()) } else { Err(Error::Stale(name)) }
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

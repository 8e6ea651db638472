//! The effects on Jobs, and on Backups of CloudNativePG; does network I/O.

use super::{Actor, as_manager, gone};
use crate::{
    api::{ANNOTATION_LEASE, LABEL_SERVER, LockKind},
    call::{call, refusal},
    error::{Call, Error},
    jobs::{BackupRequest, JobInput, JobRecord, JobRequest, cnpg_object, is_made_here, program_config_map, run_job},
    reconcile::{cnpg, effects::Unstarted, gates::Start, line::Asking, observe::list_pods},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PostParams, Preconditions},
};
use serde_json::json;

impl Actor<'_> {
    /// Makes the Job of a run, suspended: only for the object as it is now, and held against deletion first.
    pub(super) async fn start(&mut self, start: &Start) -> Result<(), Error> {
        let request = start.request();
        self.confirm().await?;
        let image = request.run_record().image;
        let job = run_job(JobInput { object: self.object, image: &image, scratch: None }, request);
        let mut job = job.map_err(|e| self.internal("the run Job", &e))?;
        if let Some(server) = start.server() {
            job.labels_mut().insert(LABEL_SERVER.to_owned(), server.to_owned());
        }
        let line = &self.context.process.line;
        let asking = Asking::new(self.object, start.server());
        let place = (self.namespace.clone(), job.name_any());
        if !line.take(&asking, place, self.context.now()) {
            return Err(Error::Stale(self.object.name_any()));
        }
        let made = self.make(job, start.lease()).await;
        if made.is_err() {
            line.give_back(&asking);
        }
        made
    }

    async fn make(&mut self, mut job: Job, lease: Option<&str>) -> Result<(), Error> {
        if let Some(lease) = lease {
            self.take_lease(lease, &job.name_any()).await?;
            job.annotations_mut().insert(ANNOTATION_LEASE.to_owned(), lease.to_owned());
        }
        self.ensure_shared(program_config_map(self.object)).await?;
        self.set_finalizer(true).await?;
        self.create_job(job).await
    }

    /// Lets the Job of a run begin, and takes it out of every cascade. It is in the status by now, so that nothing can make it
    /// unknown.
    pub(super) async fn release(&self, name: &str) -> Result<(), Error> {
        if !self.context.process.claim.holds() {
            return Err(Error::NotLeading { what: format!("Job {name}") });
        }
        if self.object.spec.database.lock == LockKind::Lease {
            // Taken before the Job was made, it may have run out since.
            self.renew_lease(name).await?;
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
    pub(super) async fn cancel(&self, unstarted: &Unstarted) -> Result<(), Error> {
        let as_seen = |uid: &str, version: Option<&str>| DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: version.map(str::to_owned),
            }),
            ..DeleteParams::background()
        };
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.namespace);
        let version = match &unstarted.pod {
            Some(pod) => {
                let what = format!("delete pod {}", pod.name);
                gone(call(&what, pods.delete(&pod.name, &as_seen(&pod.uid, Some(&pod.version)))).await)?;
                None
            }
            None => {
                // The watch of pods may be behind that of Jobs: one may be at work by now.
                if !list_pods(&self.namespace, &unstarted.name, self.context).await?.is_empty() {
                    return Err(Error::Stale(unstarted.name.clone()));
                }
                Some(unstarted.version.as_str())
            }
        };
        let what = format!("delete Job {}", unstarted.name);
        gone(call(&what, self.jobs().delete(&unstarted.name, &as_seen(&unstarted.uid, version))).await)
    }

    /// Gives the Job of an ended run its owner, with which it goes, and its Lease back.
    pub(super) async fn own_job(&self, name: &str) -> Result<(), Error> {
        self.give_lease_back(name).await?;
        let owners: Vec<_> = self.object.controller_owner_ref(&()).into_iter().collect();
        let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": owners } }));
        gone(call(&format!("own Job {name}"), self.jobs().patch_metadata(name, &as_manager(), &patch)).await)
    }

    /// Creates a Job of any kind but a run. It does no harm, and yet is not worth starting for a question that has been
    /// answered: after an interruption the watches come back one after the other.
    pub(super) async fn create(&self, request: &dyn JobRequest) -> Result<(), Error> {
        self.confirm().await?;
        let what = || format!("the {} Job", request.record().kind().as_str());
        // The spec that asked for it is this one.
        let Some(job) = request.job(self.object).map_err(|e| self.internal(&what(), &e))? else {
            return Err(Error::Stale(self.object.name_any()));
        };
        if request.mounts_runner() {
            self.ensure_shared(program_config_map(self.object)).await?;
        }
        self.create_job(job).await
    }

    /// Creates a Backup of CloudNativePG; as with a Job, not for what was answered already.
    pub(super) async fn create_backup(&self, request: &BackupRequest) -> Result<(), Error> {
        self.confirm().await?;
        let Some(cnpg) = &self.object.spec.stages.backup.cnpg else {
            return Err(Error::Stale(self.object.name_any()));
        };
        let backup = cnpg_object(self.object, request, cnpg);
        self.create_cnpg(&request.name, &backup.map_err(|e| self.internal("the Backup", &e))?).await
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

    /// Where nothing else was to be written, nothing else has shown that the object is as the watch brought it.
    pub(super) async fn delete_rehearsal(&self, name: &str) -> Result<(), Error> {
        let object = self.object.name_any();
        let live = call(&format!("get {object}"), self.objects().get_opt(&object)).await?;
        let newest =
            live.and_then(|live| live.status?.stages.rehearsal).is_some_and(|rehearsal| rehearsal.stage.job == name);
        if newest { Ok(()) } else { self.delete_job(name).await }
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

    pub(super) async fn delete_job(&self, name: &str) -> Result<(), Error> {
        gone(call(&format!("delete Job {name}"), self.jobs().delete(name, &DeleteParams::background())).await)
    }

    /// Whether something was made for this object.
    fn made(&self, there: &impl ResourceExt) -> bool {
        is_made_here(there) && JobRecord::of(there).is_some_and(|record| Some(record.uid) == self.object.uid())
    }

    pub(super) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }
}

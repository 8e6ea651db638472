//! What all Jobs have in common; builds objects, sends nothing.

use super::{
    JobRecord, Kind,
    names::label_value,
    pod::DISRUPTED,
    pod_template::{Payload, PodTemplateError, pod_template},
    scratch::Scratch,
    task::{Action, Task},
    users_pod::users_pod,
};
use crate::api::{ANNOTATION_RECORD, DatabaseMigration, LABEL_ACTION, LABEL_MANAGED_BY, LABEL_OBJECT, MANAGER};
use k8s_openapi::api::{
    batch::v1::{Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule},
    core::v1::PodTemplateSpec,
};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use std::{any::Any, collections::BTreeMap, fmt::Debug};

/// The object that a Job is for, and the image that it runs.
#[derive(Clone, Copy)]
pub struct JobInput<'a> {
    pub object: &'a DatabaseMigration,
    pub image: &'a str,
    /// A database of its own in place of the object's.
    pub scratch: Option<&'a Scratch>,
}

/// A Job that is asked for. The file of each kind says what it is asked and how its Job is built.
pub trait JobRequest: Any + Debug + Send + Sync {
    /// What the Job is made for.
    fn record(&self) -> &JobRecord;

    /// The Job; `None` where the object as it is now does not ask for it.
    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError>;

    /// Whether its pod mounts the runner.
    fn mounts_runner(&self) -> bool {
        true
    }
}

/// The Job that has the runner do something. `deadline` is in seconds and counts from the start of its pod, image pulls
/// included.
pub(super) fn runner_job(
    input: JobInput,
    record: &JobRecord,
    action: Action,
    deadline: Option<i64>,
) -> Result<Job, PodTemplateError> {
    let task = Task::new(input.object, action);
    let task = if input.scratch.is_some() { task.on_scratch() } else { task };
    let user = users_pod(&input.object.spec);
    let payload = Payload::Runner { task: &task };
    let template = pod_template(input, user.as_ref(), &labels(input.object, record.kind()), &payload, deadline)?;
    job(input.object, record, template)
}

/// The labels of a Job and its pod.
pub(super) fn labels(object: &DatabaseMigration, kind: Kind) -> BTreeMap<String, String> {
    let mut labels = own_labels(object);
    labels.insert(LABEL_ACTION.to_owned(), kind.as_str().to_owned());
    labels
}

fn own_labels(object: &DatabaseMigration) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (LABEL_OBJECT.to_owned(), label_value(&object.name_any())),
    ])
}

/// The annotations by which a Job is known again.
pub(super) fn annotations(
    object: &DatabaseMigration,
    record: &JobRecord,
) -> Result<BTreeMap<String, String>, PodTemplateError> {
    let json = serde_json::to_string(record).map_err(|error| PodTemplateError::new("the record", error))?;
    Ok(BTreeMap::from([(ANNOTATION_RECORD.to_owned(), json), (LABEL_OBJECT.to_owned(), object.name_any())]))
}

/// Whether something has the label of what the operator makes. Where approvals are restricted nobody else may give it, and so
/// nothing without it is trusted, whatever its name says.
pub fn is_made_here(there: &impl ResourceExt) -> bool {
    there.labels().get(LABEL_MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

/// Metadata of what is an object's own, and goes with it.
pub fn own_metadata(object: &DatabaseMigration, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: object.namespace(),
        labels: Some(own_labels(object)),
        owner_references: Some(object.controller_owner_ref(&()).into_iter().collect()),
        ..ObjectMeta::default()
    }
}

/// A Job that starts one pod, once.
///
/// The Job of a run is created suspended. It is released once the status says that the run was started: a crash can neither
/// begin a run that nobody remembers nor remember one that never began. Then it has no owner while it works, so that no cascade
/// of a deletion ends it; it gets its owner back when its end is recorded.
pub(super) fn job(
    object: &DatabaseMigration,
    record: &JobRecord,
    template: PodTemplateSpec,
) -> Result<Job, PodTemplateError> {
    let kind = record.kind();
    let metadata = ObjectMeta {
        labels: Some(labels(object, kind)),
        annotations: Some(annotations(object, record)?),
        ..own_metadata(object, record.name(object))
    };
    Ok(Job { metadata, spec: Some(once(kind.traits().replaces_disrupted, kind == Kind::Run, template)), status: None })
}

/// One pod, once.
fn once(replaces: bool, suspended: bool, template: PodTemplateSpec) -> JobSpec {
    JobSpec {
        backoff_limit: Some(0),
        completions: Some(1),
        parallelism: Some(1),
        // With the default, a pod that is being deleted would be replaced while it still runs.
        pod_replacement_policy: Some("Failed".to_owned()),
        pod_failure_policy: replaces.then(replace_disrupted),
        suspend: suspended.then_some(true),
        template,
        ..JobSpec::default()
    }
}

/// A Job that is suspended until its object's status knows it, and that no cascade of a deletion ends.
pub(super) fn job_without_owner(namespace: Option<String>, name: String, template: PodTemplateSpec) -> Job {
    let metadata = ObjectMeta { name: Some(name), namespace, ..ObjectMeta::default() };
    Job { metadata, spec: Some(once(false, true, template)), status: None }
}

/// Whether a Job has ended, well or not.
pub fn is_finished(job: &Job) -> bool {
    job_condition(job, "Complete") || job_condition(job, "Failed")
}

/// Whether a Job may start its pod, or has ended.
pub fn has_begun(job: &Job) -> bool {
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false);
    !suspended || is_finished(job)
}

/// Whether a condition of a Job stands at True.
pub fn job_condition(job: &Job, type_: &str) -> bool {
    let mut conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.any(|c| c.type_ == type_ && c.status == "True")
}

/// What a pod would have said that the cluster took away is not known. See KEP-3329; Kubernetes before 1.26 drops it.
pub(super) fn replace_disrupted() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyOnPodConditionsPattern { type_: DISRUPTED.to_owned(), status: "True".to_owned() };
    let rule = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_pod_conditions: Some(vec![disrupted]),
        ..PodFailurePolicyRule::default()
    };
    PodFailurePolicy { rules: vec![rule] }
}

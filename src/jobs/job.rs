//! The Jobs and ConfigMaps that carry the runner into the user's image; builds objects, sends nothing.

use super::{
    names::{again_name, label_value, run_name, short_hash},
    pod::DISRUPTED,
    pod_template::{Payload, PodTemplateError, pod_template},
    scratch::Scratch,
    task::{Action, Run, Task},
};
use crate::api::{
    ANNOTATION_KEY, ANNOTATION_LOOK, ANNOTATION_RUN, DatabaseMigration, LABEL_ACTION, LABEL_OBJECT, MANAGER,
    parse_duration,
};
use crate::db::catalog_queries;
use k8s_openapi::api::{
    batch::v1::{Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule},
    core::v1::PodTemplateSpec,
};
use kube::{
    Resource, ResourceExt,
    api::{ListParams, ObjectMeta},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a run Job was asked to do, as its annotation keeps it: all that is needed to record the run after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    pub number: i64,
    pub plan_hash: String,
    pub direction: String,
    pub from: Vec<String>,
    pub to: Vec<String>,
    pub image: String,
    pub generation: i64,
    pub requested_at: Option<String>,
    pub attempts: i32,
    /// Whether a failed run leaves nothing behind.
    #[serde(default)]
    pub transactional: bool,
    /// Number of the run that this one takes back, since it was not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_back: Option<i64>,
}

impl RunRecord {
    /// What a Job's annotation says; `None` where it has none that can be read.
    pub fn of(job: &impl ResourceExt) -> Option<Self> {
        job.annotations().get(ANNOTATION_RUN).and_then(|record| serde_json::from_str(record).ok())
    }
}

/// Selects the run Jobs of an object, and those of others with the same long name.
pub fn run_jobs(object: &DatabaseMigration) -> ListParams {
    let name = label_value(&object.name_any());
    ListParams::default().labels(&format!("{LABEL_OBJECT}={name},{LABEL_ACTION}=run"))
}

/// Which look at the database a probe Job is. Looks of one epoch may stand for one another: what happens between two
/// epochs (a run, a change of the spec, a request) makes everything that was read before it old.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookRecord {
    pub epoch: String,
    pub number: i64,
    /// The dialect by whose queries the schema is to be read as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
}

/// The object that a Job is for, and the image that it runs.
#[derive(Clone, Copy)]
pub struct JobInput<'a> {
    pub object: &'a DatabaseMigration,
    pub image: &'a str,
    /// A database of its own in place of the object's.
    pub scratch: Option<&'a Scratch>,
}

/// Hash over everything that decides what an inspection of an image finds. `dialect` comes from the URL.
pub fn inspection_key(object: &DatabaseMigration, dialect: &str) -> String {
    let spec = &object.spec;
    let settings = serde_json::json!([
        spec.image,
        spec.alembic,
        spec.pod_template,
        spec.database.env_names(),
        spec.database.driver,
        spec.database.version_table,
        spec.database.version_table_schema,
        dialect,
    ]);
    short_hash(&[&settings.to_string()], 16)
}

/// The Job that inspects an image.
pub fn inspect_job(input: JobInput, key: &str, name: String) -> Result<Job, PodTemplateError> {
    let task = Task::new(input.object, Action::Inspect);
    let annotations = BTreeMap::from([(ANNOTATION_KEY.to_owned(), key.to_owned())]);
    build(input, name, "inspect", annotations, &task, Some(INSPECT_DEADLINE))
}

/// An inspection that takes longer hangs, in a prompt or in a connection; image pulls count.
const INSPECT_DEADLINE: i64 = 15 * 60;

/// The Job of a run.
pub fn run_job(input: JobInput, record: &RunRecord, run: Run) -> Result<Job, PodTemplateError> {
    let spec = &input.object.spec;
    let deadline = spec.timeouts.run.as_deref().and_then(parse_duration).map(|d| d.as_secs() as i64);
    let task = Task::new(input.object, Action::Run(run));
    let record_json = to_json(record)?;
    let annotations = BTreeMap::from([(ANNOTATION_RUN.to_owned(), record_json)]);
    build(input, run_name(input.object, record.number), "run", annotations, &task, deadline)
}

fn to_json(record: &impl Serialize) -> Result<String, PodTemplateError> {
    serde_json::to_string(record).map_err(|error| PodTemplateError::new("the record", error))
}

/// The epoch of a look that is made now. `image` is the one whose content matters to it, if any.
pub fn look_epoch(object: &DatabaseMigration, requested_at: Option<&str>, image: &str) -> String {
    let generation = object.metadata.generation.unwrap_or_default().to_string();
    let runs = object.status.as_ref().map_or(0, |s| s.recorded_runs()).to_string();
    short_hash(&[&generation, &runs, requested_at.unwrap_or_default(), image], 10)
}

/// The Job that reads the version rows.
pub fn look_job(input: JobInput, record: &LookRecord) -> Result<Job, PodTemplateError> {
    let catalog = record.catalog.as_deref().map(catalog_queries).unwrap_or_default();
    again_job(input, record, "probe", Action::Probe { catalog })
}

/// The Job that compares the tables with the models.
pub fn compare_job(input: JobInput, record: &LookRecord) -> Result<Job, PodTemplateError> {
    again_job(input, record, "compare", Action::Compare)
}

/// The Job that runs the history on a scratch database.
pub fn replay_job(input: JobInput, record: &LookRecord, run: Run) -> Result<Job, PodTemplateError> {
    let catalog = record.catalog.as_deref().map(catalog_queries).unwrap_or_default();
    again_job(input, record, "replay", Action::Replay { run, catalog })
}

pub(super) fn again_job(
    input: JobInput,
    record: &LookRecord,
    name: &str,
    action: Action,
) -> Result<Job, PodTemplateError> {
    let task = Task::new(input.object, action);
    let task = if input.scratch.is_some() { task.on_scratch() } else { task };
    let annotations = BTreeMap::from([(ANNOTATION_LOOK.to_owned(), to_json(record)?)]);
    let job = again_name(input.object, name, record);
    let deadline = if input.scratch.is_some() { REPLAY_DEADLINE } else { LOOK_DEADLINE };
    build(input, job, name, annotations, &task, Some(deadline))
}

/// A look that takes longer hangs; image pulls count.
const LOOK_DEADLINE: i64 = 5 * 60;
/// A whole history, on a server that is started for it.
const REPLAY_DEADLINE: i64 = 30 * 60;

fn build(
    input: JobInput,
    name: String,
    action: &str,
    annotations: BTreeMap<String, String>,
    task: &Task,
    deadline: Option<i64>,
) -> Result<Job, PodTemplateError> {
    let labels = stage_labels(input.object, action);
    let user = input.object.spec.pod_template.as_ref();
    let payload = Payload::Runner { task };
    let template = pod_template(input, user, &labels, &payload, deadline)?;
    Ok(wrap(input.object, name, labels, annotations, template))
}

/// The labels of a Job and its pod.
pub(super) fn stage_labels(object: &DatabaseMigration, action: &str) -> BTreeMap<String, String> {
    let mut labels = own_labels(object);
    labels.insert(LABEL_ACTION.to_owned(), action.to_owned());
    labels
}

fn own_labels(object: &DatabaseMigration) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned()),
        (LABEL_OBJECT.to_owned(), label_value(&object.name_any())),
    ])
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
pub(super) fn wrap(
    object: &DatabaseMigration,
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    template: PodTemplateSpec,
) -> Job {
    Job {
        metadata: ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..own_metadata(object, name) },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            // With the default, a pod that is being deleted would be replaced while it still runs.
            pod_replacement_policy: Some("Failed".to_owned()),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// Has the Job's controller replace a pod that was evicted, preempted or drained: what it would have said is not known. Not
/// for a run, which only the operator starts again. See KEP-3329; Kubernetes before 1.26 drops it.
pub(super) fn replacing_disrupted(mut job: Job) -> Job {
    let disrupted = PodFailurePolicyOnPodConditionsPattern { type_: DISRUPTED.to_owned(), status: "True".to_owned() };
    let rule = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_pod_conditions: Some(vec![disrupted]),
        ..PodFailurePolicyRule::default()
    };
    job.spec.get_or_insert_default().pod_failure_policy = Some(PodFailurePolicy { rules: vec![rule] });
    job
}

//! The Jobs and ConfigMaps that carry the runner into the user's image; builds objects, sends nothing.

use super::{
    Inspected, Inspection, PROGRAM, hex,
    pod::DISRUPTED,
    pod_template::{Payload, PodTemplateError, pod_template},
    scratch::Scratch,
    task::{Action, Run, Task},
};
use crate::api::{
    ANNOTATION_KEY, ANNOTATION_LOOK, ANNOTATION_RUN, DatabaseMigration, LABEL_ACTION, LABEL_INSPECTION, LABEL_OBJECT,
    MANAGER, parse_duration,
};
use crate::db::catalog_queries;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use k8s_openapi::{
    ByteString,
    api::{
        batch::v1::{Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule},
        core::v1::{ConfigMap, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Resource, ResourceExt,
    api::{ListParams, ObjectMeta},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

/// Longest part of an object's name in the name of its Jobs: pod names add six characters, labels end at 63.
const NAME_PART: usize = 30;
const DATA: &str = "inspection";
const IMAGE: &str = "image";
const DIGEST: &str = "digest";
/// Bytes of a packed inspection; a ConfigMap holds a megabyte.
const MAX_PACKED: usize = 900 * 1024;
const MAX_STORED: u64 = 32 * 1024 * 1024;

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

/// Name of the Job that inspects. `id` tells apart the inspections that one object needs over time.
pub fn inspection_name(object: &DatabaseMigration, id: &str) -> String {
    let hash = short_hash(&[&object.uid().unwrap_or_default(), id], 10);
    format!("{}-inspect-{hash}", name_part(object))
}

/// Name of the Job of a run. It depends on the object and the run's number alone, not on the plan: two plans made
/// for the same number, as by a stale cache, collide at the API server instead of running side by side.
pub fn run_name(object: &DatabaseMigration, number: i64) -> String {
    own_name(object, &format!("run-{number}"))
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

/// Name of a Job that looks, compares, replays or rehearses.
pub fn again_name(object: &DatabaseMigration, name: &str, record: &LookRecord) -> String {
    let hash = short_hash(&[&object.uid().unwrap_or_default(), &record.epoch], 6);
    format!("{}-{name}-{}-{hash}", name_part(object), record.number)
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
    let payload = Payload::Runner { task, program: &program_name() };
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

/// Name of what an object has one of; follows the object's name and UID.
pub fn own_name(object: &DatabaseMigration, what: &str) -> String {
    format!("{}-{what}-{}", name_part(object), short_hash(&[&object.uid().unwrap_or_default()], 6))
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

fn program_name() -> String {
    format!("alembic-runner-{}", short_hash(&[PROGRAM], 12))
}

/// The ConfigMap that holds the runner, one for each namespace and version of it.
pub fn program_config_map(object: &DatabaseMigration) -> ConfigMap {
    ConfigMap {
        metadata: shared_metadata(object, program_name(), BTreeMap::new()),
        data: Some(BTreeMap::from([("runner.py".to_owned(), PROGRAM.to_owned())])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// The ConfigMap that keeps an inspection. Its name follows the content, so that a moved tag gets a new one and the
/// graph of the image before it stays known.
pub fn inspection_config_map(
    object: &DatabaseMigration,
    key: &str,
    image: &str,
    digest: Option<&str>,
    inspection: &Inspection,
) -> std::io::Result<ConfigMap> {
    let (json, packed) = packed(inspection)?;
    let content = short_hash(&[image, digest.unwrap_or_default(), &hex(&Sha256::digest(&json))], 10);
    let mut data = BTreeMap::from([(IMAGE.to_owned(), image.to_owned())]);
    data.extend(digest.map(|d| (DIGEST.to_owned(), d.to_owned())));
    let labels = BTreeMap::from([(LABEL_INSPECTION.to_owned(), key.to_owned())]);
    Ok(ConfigMap {
        metadata: shared_metadata(object, format!("alembic-inspection-{key}-{content}"), labels),
        data: Some(data),
        binary_data: Some(BTreeMap::from([(DATA.to_owned(), ByteString(packed))])),
        immutable: Some(true),
    })
}

/// An inspection as JSON, and packed; without long SQL, or any, when it would have no room otherwise.
fn packed(inspection: &Inspection) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let pack = |inspection: &Inspection| {
        let json = serde_json::to_vec(inspection)?;
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&json)?;
        Ok::<_, std::io::Error>((json, encoder.finish()?))
    };
    let mut whole = pack(inspection)?;
    for most in [8 * 1024, 1024, 0] {
        if whole.1.len() > MAX_PACKED {
            whole = pack(&inspection.clone().without_sql_over(most))?;
        }
    }
    Ok(whole)
}

/// Reads a ConfigMap that keeps an inspection; `None` when it is not one or is damaged.
pub fn read_inspection(map: &ConfigMap) -> Option<Inspected> {
    let text = |key: &str| map.data.as_ref().and_then(|d| d.get(key)).cloned();
    let packed = map.binary_data.as_ref()?.get(DATA)?;
    let mut json = Vec::new();
    ZlibDecoder::new(packed.0.as_slice()).take(MAX_STORED).read_to_end(&mut json).ok()?;
    let inspection = Inspection::parse(&json).ok()?;
    Some(Inspected::new(text(IMAGE)?, text(DIGEST), inspection))
}

fn shared_metadata(object: &DatabaseMigration, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    let mut labels = labels;
    labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
    ObjectMeta {
        name: Some(name),
        namespace: object.namespace(),
        labels: Some(labels),
        owner_references: Some(shared_owner(object).into_iter().collect()),
        ..ObjectMeta::default()
    }
}

/// So many objects own a shared ConfigMap together, and others join as these go: enough that it is not lost, and few
/// enough for the API server, which takes seconds to add to a thousand.
const OWNERS: usize = 8;

/// Whether an object should join the owners of a shared ConfigMap.
pub fn lacks_owner(map: &impl ResourceExt, object: &DatabaseMigration) -> bool {
    let owners = map.owner_references();
    owners.len() < OWNERS && !owners.iter().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref())
}

/// The image of a ConfigMap that keeps an inspection.
pub fn inspected_image(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get(IMAGE).map(String::as_str)
}

/// The digest of that image.
pub fn inspected_digest(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get(DIGEST).map(String::as_str)
}

/// The reference by which one of several objects owns a shared ConfigMap: it goes when the last of them has gone.
pub fn shared_owner(object: &DatabaseMigration) -> Option<OwnerReference> {
    object.owner_ref(&())
}

/// The beginning of the names of what an object has.
pub(super) fn name_part(object: &DatabaseMigration) -> String {
    let name = object.name_any();
    let cut: String = name.chars().take(NAME_PART).collect();
    // Job names become pod host names and labels, which allow no dots at these places.
    cut.replace('.', "-").trim_matches('-').to_owned()
}

/// Object names may be longer than a label's value; the owner reference is what ties, the label only helps people.
fn label_value(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['.', '-']).to_owned()
}

/// The first digits of a hash over texts.
pub fn short_hash(parts: &[&str], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex(&hash.finalize());
    text.truncate(digits);
    text
}

/// The reference to run so that exactly the inspected files run: the spec's repository with the digest that the
/// kubelet reported. As it stands in the spec when the kubelet names another repository or none (an image that was
/// loaded, not pulled), since a pull by digest would then fail; the runner's check of the files still holds.
pub fn pinned(reference: &str, image_id: &str) -> (String, Option<String>) {
    if let Some((_, digest)) = reference.split_once('@') {
        return (reference.to_owned(), Some(digest.to_owned()));
    }
    let Some((repository, digest)) = image_id.split_once('@') else {
        return (reference.to_owned(), Some(image_id.to_owned()).filter(|id| id.contains("sha256:")));
    };
    let repository = repository.rsplit("://").next().unwrap_or(repository);
    let wanted = repository_of(reference);
    if repository == wanted
        || repository.strip_prefix("docker.io/library/") == Some(wanted)
        || repository.strip_prefix("docker.io/") == Some(wanted)
    {
        (format!("{wanted}@{digest}"), Some(digest.to_owned()))
    } else {
        (reference.to_owned(), Some(digest.to_owned()))
    }
}

/// Whether a reference names its content, so that it can never mean other files.
pub fn is_pinned(reference: &str) -> bool {
    reference.contains('@')
}

/// A reference without its tag. A colon before the last slash belongs to a port.
fn repository_of(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_pinned_to_the_digest_that_ran() {
        let cases = [
            ("r:5000/shop:1", "r:5000/shop@sha256:ab", "r:5000/shop@sha256:ab"),
            ("r:5000/shop", "r:5000/shop@sha256:ab", "r:5000/shop@sha256:ab"),
            ("shop:1", "docker.io/library/shop@sha256:ab", "shop@sha256:ab"),
            ("r/shop:1", "r/copy@sha256:ab", "r/shop:1"),
            ("shop:1", "sha256:cd", "shop:1"),
            ("r/shop@sha256:ef", "r/shop@sha256:ef", "r/shop@sha256:ef"),
        ];
        for (reference, id, expected) in cases {
            assert_eq!(pinned(reference, id).0, expected, "{reference}");
        }
    }

    fn object(name: &str) -> DatabaseMigration {
        let mut object = DatabaseMigration::new(name, Default::default());
        object.metadata.uid = Some("7e7e".into());
        object
    }

    #[test]
    fn names_of_jobs_fit_and_are_stable() {
        let long = object(&"a.b".repeat(80));
        let name = run_name(&long, i64::MAX);
        assert!(name.len() <= 63 && name == run_name(&long, i64::MAX), "{name}");
        assert_ne!(run_name(&long, 1), run_name(&long, 2));
        assert!(!name.contains('.'));
    }

    #[test]
    fn an_inspection_with_much_sql_is_stored_without_it() {
        let revision = |n: usize| {
            // Nothing that packs well.
            let noise = (0..4000).map(|i| short_hash(&[&n.to_string(), &i.to_string()], 2)).collect::<String>();
            let script = serde_json::json!({ "text": noise, "sha256": n.to_string(), "opaque": [] });
            serde_json::json!({ "id": n.to_string(), "file": "", "sha256": "", "upgrade": "present", "downgrade": "present",
                "sql": { "upgrade": script, "downgrade": script } })
        };
        let json = serde_json::json!({ "alembic": "1", "dialect": "postgresql", "version_table": "v", "version_table_schema": null,
            "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
            "revisions": (0..400).map(revision).collect::<Vec<_>>() });
        let inspection = Inspection::parse(json.to_string().as_bytes()).unwrap();
        let map = inspection_config_map(&object("shop"), "0123", "i", None, &inspection).unwrap();
        let script = read_inspection(&map).unwrap().revision("7").unwrap().sql.upgrade.clone();
        assert_eq!((script.text, script.sha256.as_deref(), script.opaque.len()), (None, Some("7"), 1));
    }

    #[test]
    fn an_inspection_is_stored_and_read_again() {
        let json = br#"{"protocol":1,"alembic":"1.20.1","dialect":"postgresql","version_table":"alembic_version",
            "version_table_schema":null,"transactional_ddl":true,"transaction_per_migration":false,"external_transaction":false,
            "revisions":[{"id":"a1","down":[],"deps":[],"labels":[],"file":"a1.py","sha256":"00","message":"m","upgrade":"present","downgrade":"raises","autocommit":false}]}"#;
        let inspection = Inspection::parse(json).unwrap();
        let map =
            inspection_config_map(&object("shop"), "0123", "i@sha256:ab", Some("sha256:ab"), &inspection).unwrap();
        let read = read_inspection(&map).unwrap();
        assert_eq!((read.image.as_str(), read.digest.as_deref()), ("i@sha256:ab", Some("sha256:ab")));
        assert_eq!(read.inspection, inspection);
        assert!(read.revision("a1").is_some());
    }
}

//! The Job that migrates many databases of a set by one plan: what it is asked, the Job, and the reading of its end; no I/O.

use super::{
    JobInput, JobRecord, Kind, Run,
    job::{job, job_without_owner},
    names::{label_value, short_hash},
    pod_template::{Payload, PodTemplateError, pod_template},
    report::reason_of_class,
    task::{Action, Member, Task},
    users_pod::users_pod,
};
use crate::{
    api::{ANNOTATION_RECORD, DatabaseMigration, LABEL_ACTION, LABEL_MANAGED_BY, LABEL_SET, MANAGER, Reason},
    text::clean,
};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The value of the label for what a Job does.
pub const BATCH: &str = "batch";

/// What a batch was made for, in the Job's annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Of the set: names are used again, UIDs are not.
    pub uid: String,
    pub number: i64,
    pub server: String,
    /// Keys of the targets, in the order of the task.
    pub members: Vec<String>,
}

impl BatchRecord {
    /// What an annotation says; `None` where there is none.
    pub fn of(job: &impl ResourceExt) -> Option<Self> {
        job.annotations().get(ANNOTATION_RECORD).and_then(|record| serde_json::from_str(record).ok())
    }
}

/// A batch that may begin: its plan has passed every gate.
#[derive(Clone, Debug)]
pub struct BatchRequest {
    pub record: BatchRecord,
    pub image: String,
    pub run: Run,
    pub members: Vec<Member>,
    pub workers: usize,
    /// How many may fail before nothing more begins.
    pub failures_left: usize,
    /// Arguments of -x with places for a target's names.
    pub x_of_each: Vec<String>,
}

impl BatchRequest {
    /// The Job's name: that of another plan or of other targets is another one.
    pub fn name(&self, object: &DatabaseMigration) -> String {
        let run = serde_json::to_string(&self.run).unwrap_or_default();
        let parts = [self.record.uid.as_str(), &self.image, &run, &self.record.members.join("\n")];
        let name: String = object.name_any().chars().take(30).collect();
        let name = name.replace('.', "-");
        format!("{}-batch-{}-{}", name.trim_matches('-'), self.record.number, short_hash(&parts, 8))
    }

    /// The Job, suspended until the status says that it was made; `object` has the settings of the set and its server.
    pub fn job(&self, object: &DatabaseMigration) -> Result<Job, PodTemplateError> {
        let action = Action::Batch {
            run: self.run.clone(),
            members: self.members.clone(),
            workers: self.workers,
            failures_left: self.failures_left,
            x_of_each: self.x_of_each.clone(),
        };
        let task = Task::new(object, action);
        let input = JobInput { object, image: &self.image, scratch: None };
        let labels = set_labels(object, BATCH);
        let mut template =
            pod_template(input, users_pod(&object.spec).as_ref(), &labels, &Payload::Runner { task: &task }, None)?;
        as_of_the_set(template.metadata.get_or_insert_default(), object);
        let record = serde_json::to_string(&self.record).map_err(|error| PodTemplateError::new("the record", error))?;
        let mut job = job_without_owner(object.namespace(), self.name(object), template);
        job.metadata.labels = Some(labels);
        job.metadata.annotations =
            Some(BTreeMap::from([(ANNOTATION_RECORD.to_owned(), record), (LABEL_SET.to_owned(), object.name_any())]));
        Ok(job)
    }
}

/// The Job that inspects the image of a set, in the database of one of its targets. `object` has the settings of that target.
pub fn set_inspection(
    object: &DatabaseMigration,
    record: &JobRecord,
    image: &str,
    database: Option<String>,
    deadline: i64,
) -> Result<Job, PodTemplateError> {
    let task = Task::new(object, Action::Inspect).in_database(database);
    let input = JobInput { object, image, scratch: None };
    let labels = set_labels(object, Kind::Inspect.as_str());
    let payload = Payload::Runner { task: &task };
    let mut template = pod_template(input, users_pod(&object.spec).as_ref(), &labels, &payload, Some(deadline))?;
    as_of_the_set(template.metadata.get_or_insert_default(), object);
    let mut job = job(object, record, template)?;
    job.metadata.labels = Some(labels);
    as_of_the_set(&mut job.metadata, object);
    Ok(job)
}

/// The labels of what is made for a set.
pub fn set_labels(object: &DatabaseMigration, action: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (LABEL_SET.to_owned(), label_value(&object.name_any())),
        (LABEL_ACTION.to_owned(), action.to_owned()),
    ])
}

/// The whole name of a set stands in an annotation: a label may be too short for it.
pub fn as_of_the_set(metadata: &mut kube::api::ObjectMeta, object: &DatabaseMigration) {
    metadata.labels.get_or_insert_default().remove(crate::api::LABEL_OBJECT);
    let label = (LABEL_SET.to_owned(), label_value(&object.name_any()));
    metadata.labels.get_or_insert_default().extend([label]);
    metadata.annotations.get_or_insert_default().insert(LABEL_SET.to_owned(), object.name_any());
}

/// How a target of a batch ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberEnd {
    /// It was not its turn yet.
    #[default]
    NotBegun,
    /// Nobody knows; the rows tell.
    Unknown,
    Done,
    /// It passes by itself.
    Later,
    Failed,
}

/// What came of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberResult {
    pub end: MemberEnd,
    pub reason: Option<Reason>,
    pub revision: Option<String>,
    pub message: String,
    /// Whether its first step had begun.
    pub started: bool,
    /// Whether something of the step that failed stays, where the connection was seen to tell.
    pub committed: Option<bool>,
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// In the order of the task.
    pub members: Vec<MemberResult>,
    /// Why each target had a fresh process.
    pub alone: String,
    /// Why not all of it was begun.
    pub stopped: String,
}

/// As the runner writes it. The application's code runs in the same process, so nothing in it is trusted.
#[derive(Deserialize)]
struct Message {
    batch: Option<Told>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Told {
    states: String,
    alone: String,
    stopped: String,
    failures: Vec<ToldFailure>,
}

#[derive(Deserialize)]
struct ToldFailure {
    member: usize,
    class: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    started: bool,
    #[serde(default)]
    committed: Option<bool>,
}

/// Longest message of a failure.
const MESSAGE: usize = 300;

/// Reads what a batch of so many targets has left behind; nothing is known of any where that is no report of a batch.
pub fn batch_report(message: Option<&str>, members: usize) -> Option<BatchReport> {
    let told = serde_json::from_str::<Message>(message?).ok()?.batch?;
    let end = |state: Option<char>| match state {
        Some('.') => MemberEnd::NotBegun,
        Some('d') => MemberEnd::Done,
        Some('l') => MemberEnd::Later,
        Some('f') => MemberEnd::Failed,
        _ => MemberEnd::Unknown,
    };
    let mut states = told.states.chars();
    let mut results: Vec<MemberResult> =
        (0..members).map(|_| MemberResult { end: end(states.next()), ..MemberResult::default() }).collect();
    for failure in told.failures {
        let Some(result) = results.get_mut(failure.member) else { continue };
        result.reason = Some(reason_of_class(&clean(&failure.class, 64)));
        result.revision = failure.revision.as_deref().map(|revision| clean(revision, 128));
        result.message = clean(failure.message.trim(), MESSAGE);
        (result.started, result.committed) = (failure.started, failure.committed);
    }
    Some(BatchReport { members: results, alone: clean(&told.alone, 300), stopped: clean(&told.stopped, 200) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_cut_to_what_was_asked() {
        let message = r#"{"state":"done","batch":{"states":"dfl.r","alone":"","stopped":"more than 0 failed","failures":[
            {"member":1,"class":"MigrationFailed","message":"no\u0000","revision":"a1"},{"member":2,"class":"LockTimeout","message":""},
            {"member":99,"class":"X"}]}}"#;
        let report = batch_report(Some(message), 6).unwrap();
        let ends: Vec<MemberEnd> = report.members.iter().map(|member| member.end).collect();
        use MemberEnd::*;
        assert_eq!(ends, [Done, Failed, Later, NotBegun, Unknown, Unknown]);
        assert_eq!(report.members[1].reason, Some(Reason::MigrationFailed));
        assert_eq!((report.members[1].message.as_str(), report.members[1].revision.as_deref()), ("no", Some("a1")));
        assert_eq!(report.members[2].reason, Some(Reason::DatabaseLocked));
        assert_eq!(batch_report(Some("Traceback"), 2), None);
        assert_eq!(batch_report(Some(r#"{"state":"failed","error":{}}"#), 2), None);
        assert_eq!(batch_report(None, 2), None);
    }
}

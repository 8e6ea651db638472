//! The Job that migrates many databases of a set by one plan: what it is asked, the Job, and the reading of its end; no I/O.

use super::{
    Ended, JobInput, JobRecord, Kind, Report, ReportError, Run,
    job::{job, job_without_owner},
    names::{label_value, short_hash},
    pod_template::{Payload, PodTemplateError, pod_template},
    report::{RunState, of_memory, pod_failed, reason_of_class},
    run::never_began,
    task::{Action, Member, Task},
    users_pod::users_pod,
};
use crate::{
    api::{
        ANNOTATION_RECORD, DatabaseMigration, DurationField, LABEL_ACTION, LABEL_MANAGED_BY, LABEL_SET, MANAGER, Reason,
    },
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
    /// The Job's name: that of another plan, of other targets or of another spec is another one, so that none is let begin that was
    /// made with settings of before.
    pub fn name(&self, object: &DatabaseMigration) -> String {
        let run = serde_json::to_string(&self.run).unwrap_or_default();
        let generation = object.metadata.generation.unwrap_or_default().to_string();
        let parts = [self.record.uid.as_str(), &generation, &self.image, &run, &self.record.members.join("\n")];
        let name: String = object.name_any().chars().take(30).collect();
        let name = name.replace('.', "-");
        format!("{}-batch-{}-{}", name.trim_matches('-'), self.record.number, short_hash(&parts, 8))
    }

    /// Seconds that its pod may take, where each run is limited: as many times that as runs come one after the other.
    fn deadline(&self, object: &DatabaseMigration) -> Option<i64> {
        let limit = i64::try_from(DurationField::Run.of(&object.spec)?.as_secs()).ok()?;
        let rounds = self.members.len().div_ceil(self.workers.max(1)).max(1);
        Some(limit.saturating_mul(i64::try_from(rounds).unwrap_or(i64::MAX)))
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
        let (payload, deadline) = (Payload::Runner { task: &task }, self.deadline(object));
        let mut template = pod_template(input, users_pod(&object.spec).as_ref(), &labels, &payload, deadline)?;
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

/// What is known of each target of a batch that has ended without a word of its targets: the runner names them before it begins the
/// first. `None` where one may have been begun.
pub fn nothing_begun(ended: &Ended) -> Option<MemberResult> {
    let text = ended.message.as_deref().unwrap_or_default();
    let told: Option<serde_json::Value> = serde_json::from_str(text).ok();
    if told.is_some_and(|told| told.get("batch").is_some_and(|batch| !batch.is_null())) {
        return None;
    }
    let why = ended.reason.as_deref().filter(|why| !why.is_empty()).unwrap_or("without a word");
    let result = |end, reason, message: String| {
        let message = clean(message.trim(), MESSAGE);
        Some(MemberResult { end, reason: Some(reason), message, ..MemberResult::default() })
    };
    let later = |message: String| result(MemberEnd::Later, Reason::RunInterrupted, message);
    match ended.report() {
        // It was asked to end, as by a node that is drained.
        Ok(Report { state: RunState::Refused, error: Some(failure), .. }) if failure.class == "MigrationFailed" => {
            later(failure.message)
        }
        Ok(Report { error: Some(failure), .. }) => {
            result(MemberEnd::Failed, reason_of_class(&failure.class), failure.message)
        }
        Ok(_) => later(format!("the pod ended ({why}) before it began anything{}", of_memory(why))),
        Err(error) => match (never_began(ended), ended.ran, ended.exit_code) {
            (Some(problem), ..) => result(MemberEnd::Later, problem.reason, problem.message),
            (None, false, None) => later(format!("the pod ended before its container ran ({why})")),
            // Without any report the runner was not there.
            (None, ran, Some(code)) if !ran || error == ReportError::Empty => {
                let said = pod_failed(ran, code, why, &error, ended.message.as_deref());
                result(MemberEnd::Failed, Reason::PodFailed, said)
            }
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(workers: usize, members: usize) -> BatchRequest {
        let run = Run {
            direction: "upgrade".into(),
            from: vec![],
            targets: vec!["a".into()],
            branch: None,
            end: vec!["a".into()],
            steps: 1,
            steps_digest: "d".into(),
            reads: BTreeMap::new(),
            lock_wait_seconds: 60,
            lock_timeout: crate::jobs::Limit { seconds: 5, explicit: false },
            statement_timeout: None,
            verify_models: false,
            env_commits: false,
        };
        let member = |n: usize| Member { name: format!("t{n}"), database: None, schema: None };
        let record = BatchRecord { uid: "u1".into(), number: 1, server: "main".into(), members: vec![] };
        let members = (0..members).map(member).collect();
        BatchRequest { record, image: "shop:1".into(), run, members, workers, failures_left: 0, x_of_each: vec![] }
    }

    #[test]
    fn another_spec_is_another_job_and_its_time_is_that_of_runs_one_after_the_other() {
        let mut object = DatabaseMigration::new("app", Default::default());
        let (before, batch) = (request(4, 10).name(&object), request(4, 10));
        assert_eq!(batch.deadline(&object), None);
        object.metadata.generation = Some(2);
        assert_ne!(batch.name(&object), before);
        object.spec.timeouts.run = Some("10m".into());
        assert_eq!((batch.deadline(&object), request(4, 3).deadline(&object)), (Some(1800), Some(600)));
    }

    #[test]
    fn a_batch_that_began_nothing_says_why() {
        let ended = |message: &str, ran: bool, exit_code: Option<i32>| Ended {
            message: Some(message.to_owned()).filter(|message| !message.is_empty()),
            ran,
            exit_code,
            reason: Some("Evicted".into()),
            ..Ended::default()
        };
        let of = |message: &str, ran, code| {
            nothing_begun(&ended(message, ran, code)).map(|result| (result.end, result.reason.unwrap()))
        };
        let failed = |reason| Some((MemberEnd::Failed, reason));
        let interrupted = Some((MemberEnd::Later, Reason::RunInterrupted));
        assert_eq!(
            of(r#"{"state":"refused","error":{"class":"AlembicMissing","message":"no"}}"#, true, Some(3)),
            failed(Reason::AlembicMissing)
        );
        let drained = r#"{"state":"refused","error":{"class":"MigrationFailed","message":"stopped by SIGTERM"}}"#;
        assert_eq!(of(drained, true, Some(3)), interrupted);
        assert_eq!(of(r#"{"state":"starting"}"#, true, Some(137)), interrupted);
        assert_eq!(of("", false, None), interrupted, "an eviction while the image was pulled");
        assert_eq!(of("exec: \"uv\": not found", false, Some(128)), failed(Reason::PodFailed));
        assert_eq!(of("", true, Some(127)), failed(Reason::PodFailed));
        // One may have been begun.
        assert_eq!(of("", true, None), None);
        assert_eq!(of(r#"{"state":"run"#, true, Some(137)), None);
        assert_eq!(of(r#"{"state":"running","batch":{"states":"r"}}"#, true, Some(137)), None);
        assert_eq!(of(r#"{"state":"running","batch":[]}"#, true, Some(137)), None);
    }

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

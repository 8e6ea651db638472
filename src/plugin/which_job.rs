//! Which Job's log somebody means; no I/O.

use super::view::status_of;
use crate::{
    api::{BackupMethod, DatabaseMigration, Reason, RunStatus, StageResult},
    jobs::{JobRecord, Kind},
};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Number of a run.
    pub run: Option<i64>,
    pub kind: Option<Kind>,
}

/// The Job that a log is asked of, among those that are still there; `Err` says what there is.
pub fn choose<'a>(object: &DatabaseMigration, jobs: &'a [Job], wanted: Wanted) -> Result<&'a Job, String> {
    let uid = object.uid();
    let mut own: Vec<(&Job, JobRecord)> = jobs
        .iter()
        .filter_map(|job| Some((job, JobRecord::of(job)?)))
        .filter(|(_, r)| Some(&r.uid) == uid.as_ref())
        .collect();
    own.sort_by_key(|(job, _)| std::cmp::Reverse(job.creation_timestamp().map(|time| time.0)));
    let named = |name: &str| own.iter().find(|(job, _)| job.name_any() == name).map(|(job, _)| *job);
    let of_kind = |kind: Kind| own.iter().find(|(_, record)| record.kind() == kind).map(|(job, _)| *job);
    let found = match wanted {
        Wanted { run: Some(number), kind } => {
            let kind = kind.unwrap_or(Kind::Run);
            own.iter().find(|(_, record)| record.kind() == kind && record.number == number).map(|(job, _)| *job)
        }
        Wanted { kind: Some(kind), run: None } => of_kind(kind),
        Wanted { kind: None, run: None } => told_by_status(object)
            .and_then(|name| named(&name))
            .or_else(|| of_kind(Kind::Run))
            .or_else(|| own.first().map(|(job, _)| *job)),
    };
    found.ok_or_else(|| match own.as_slice() {
        [] if status_of(object).last_run.is_none() => {
            let state = super::view::State::of(object);
            format!("no Job of it has run yet: {}: {}", state.word, state.message)
        }
        [] => "no Job of it is left: their logs go with them (spec.historyLimit)".to_owned(),
        own => {
            let there: Vec<String> = own
                .iter()
                .map(|(_, record)| match record.number {
                    0 => record.kind().as_str().to_owned(),
                    number => format!("{} {number}", record.kind().as_str()),
                })
                .collect();
            format!("there is no such Job; there are: {}", crate::text::list(&there, 20))
        }
    })
}

/// The Job that the state of an object is about.
fn told_by_status(object: &DatabaseMigration) -> Option<String> {
    let status = status_of(object);
    let reason = super::view::State::of(object).reason();
    let rehearsal = status.stages.rehearsal.as_ref();
    match reason {
        Some(Reason::Rehearsing | Reason::RehearsalFailed) => rehearsal.map(|rehearsal| rehearsal.stage.job.clone()),
        Some(Reason::BackingUp | Reason::BackupFailed) => status
            .stages
            .backup
            .as_ref()
            .filter(|backup| backup.method == BackupMethod::Job)
            .map(|b| b.stage.job.clone()),
        Some(Reason::Verifying | Reason::VerifyFailed) => {
            status.stages.verify.as_ref().map(|verify| verify.stage.job.clone())
        }
        Some(Reason::Inspecting | Reason::Probing) => None,
        Some(Reason::AwaitingApproval) => rehearsal
            .filter(|rehearsal| rehearsal.stage.result != StageResult::Running)
            .map(|rehearsal| rehearsal.stage.job.clone()),
        _ => status.last_run.as_ref().map(|run: &RunStatus| run.job.clone()),
    }
}

/// A log without the lines in which the runner hands over its results.
pub fn readable(log: &str) -> String {
    let mut out: String =
        log.lines().filter(|line| !line.starts_with("@alembic-operator ")).fold(String::new(), |mut out, line| {
            out.push_str(line);
            out.push('\n');
            out
        });
    // Each such line begins with a line break of its own.
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Request;
    use kube::api::ObjectMeta;

    fn object() -> DatabaseMigration {
        let mut object = DatabaseMigration::new("shop", Default::default());
        object.metadata.uid = Some("7e7e".into());
        object
    }

    fn job(name: &str, request: Request, number: i64) -> Job {
        let record = JobRecord::new(&object(), request, number, name.into());
        let record = serde_json::to_string(&record).unwrap();
        let annotations = Some([(crate::api::ANNOTATION_RECORD.to_owned(), record)].into());
        Job { metadata: ObjectMeta { name: Some(name.into()), annotations, ..ObjectMeta::default() }, ..Job::default() }
    }

    #[test]
    fn the_job_is_the_one_that_was_asked_for() {
        let run = || Request::Run { run: Box::default() };
        let jobs = [job("r1", run(), 1), job("r2", run(), 2), job("v", Request::Verify { hash: String::new() }, 2)];
        let of = |wanted| choose(&object(), &jobs, wanted).map(|job| job.name_any());
        assert_eq!(of(Wanted { run: Some(2), kind: None }), Ok("r2".into()));
        assert_eq!(of(Wanted { run: None, kind: Some(Kind::Verify) }), Ok("v".into()));
        assert_eq!(of(Wanted::default()), Ok("r1".into()));
        assert_eq!(
            of(Wanted { run: Some(7), kind: None }).unwrap_err(),
            "there is no such Job; there are: run 1, run 2, verify 2"
        );
        assert!(
            choose(&object(), &[], Wanted::default()).unwrap_err().starts_with("no Job of it has run yet: NotSeen")
        );
        let status = crate::api::DatabaseMigrationStatus { last_run: Some(RunStatus::default()), ..Default::default() };
        let ran = DatabaseMigration { status: Some(status), ..object() };
        assert!(choose(&ran, &[], Wanted::default()).unwrap_err().starts_with("no Job of it is left"));
    }

    #[test]
    fn frames_are_no_part_of_a_log() {
        assert_eq!(readable("a\n\n@alembic-operator ab 0 eJ\nb\n\n@alembic-operator ab 1 eJ\n"), "a\n\nb\n");
    }
}

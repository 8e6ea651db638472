//! The Job that tries a plan on a scratch database: there, back and there again; no I/O.

use super::{
    Ended, JobInput, JobRecord, JobRequest, Rehearsal, Scratch,
    copy::{VersionTableName, with_copy},
    job::runner_job,
    pod_template::PodTemplateError,
    report::reported,
    task::{Action, History, Run, Source},
};
use crate::{api::DatabaseMigration, db::catalog_queries, text};
use k8s_openapi::api::batch::v1::Job;

/// Seconds in all, however often its pod is replaced.
const DEADLINE: i64 = 60 * 60;

/// A rehearsal of a plan.
#[derive(Clone, Debug)]
pub struct RehearseRequest {
    pub record: JobRecord,
    pub run: Run,
    pub origin: Origin,
    pub image: String,
    pub scratch: Scratch,
}

/// Where the schema that a rehearsed run starts from comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The history leads there from base; none is needed for a run that starts at base.
    History(Option<History>),
    /// It is copied from the live database, with the rows of this table if the run starts from any.
    Dump(VersionTableName),
}

impl JobRequest for RehearseRequest {
    fn record(&self) -> &JobRecord {
        &self.record
    }

    /// There is none for a copy where there is nothing to copy to: of SQLite.
    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError> {
        let catalog = self.record.catalog().map(catalog_queries).unwrap_or_default();
        let (source, history, table) = match &self.origin {
            Origin::History(history) => (Source::History, history.clone(), None),
            Origin::Dump(table) => (Source::Dump, None, Some(table)),
        };
        let input = JobInput { object, image: &self.image, scratch: Some(&self.scratch) };
        let run = self.run.clone();
        // A new database has no version table yet.
        let has_rows = !run.from.is_empty();
        let action = Action::Rehearse { run, catalog, source, history };
        let mut job = runner_job(input, &self.record, action, Some(DEADLINE))?;
        job.spec.get_or_insert_default().active_deadline_seconds = Some(DEADLINE);
        match table {
            None => Ok(Some(job)),
            Some(table) => with_copy(job, input, &self.scratch, has_rows.then_some(table)),
        }
    }
}

/// Whether a rehearsal passed: its report and what was found, as far as that could be read.
pub fn rehearsal_verdict(ended: &Ended, found: Option<&Rehearsal>) -> Result<(), String> {
    match reported(ended) {
        Err(_) if ended.before.is_some() => Err(failed_before(ended)),
        Ok(_) if found.is_none() => Err("what it found could not be read from its log".to_owned()),
        Ok(_) => Ok(()),
        Err(problem) => Err(problem.message),
    }
}

/// What a container said that had to end well before the rehearsal could begin.
fn failed_before(ended: &Ended) -> String {
    let name = ended.before.as_deref().unwrap_or_default();
    let words = ended.message.as_deref().map(|message| text::clean_end(message.trim(), 400)).filter(|w| !w.is_empty());
    let code = ended.exit_code.unwrap_or_default();
    format!("its container {name} failed: {}", words.unwrap_or_else(|| format!("exit code {code}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Request, fixtures::object, scratch::MARK, task::Limit};
    use serde_json::{Value, json};
    use std::time::Duration;

    fn job(database: Value, scheme: &str, image: Option<&str>, origin: Origin) -> Option<Job> {
        job_from(&["a"], database, scheme, image, origin)
    }

    fn job_from(from: &[&str], database: Value, scheme: &str, image: Option<&str>, origin: Origin) -> Option<Job> {
        let mut object = object(json!({}));
        object.spec.database = serde_json::from_value(database).unwrap();
        let scratch = Scratch { scheme: scheme.into(), image: image.map(str::to_owned) };
        let limit = Limit::new(None, Duration::from_secs(3));
        let run = Run {
            direction: "upgrade".into(),
            from: from.iter().map(|&row| row.to_owned()).collect(),
            targets: vec!["b".into()],
            branch: None,
            end: vec!["b".into()],
            steps: 1,
            steps_digest: "00".into(),
            reads: Default::default(),
            lock_wait_seconds: 60,
            lock_timeout: limit,
            statement_timeout: None,
            verify_models: false,
            env_commits: false,
        };
        let request = Request::Rehearse { catalog: "postgresql".into() };
        let record = JobRecord::new(&object, request, 0, "k".into());
        RehearseRequest { record, run, origin, image: "shop@sha256:ab".into(), scratch }.job(&object).unwrap()
    }

    fn by_url() -> Value {
        json!({"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}})
    }

    fn table() -> VersionTableName {
        VersionTableName { name: "alembic_version".into(), schema: None }
    }

    #[test]
    fn a_copy_takes_the_live_url_from_the_secret_alone() {
        let tls = json!({"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}},
                         "tls": {"caFrom": {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}}});
        for database in [by_url(), tls.clone()] {
            let made = job(database.clone(), "postgresql", Some("postgres:15"), Origin::Dump(table())).unwrap();
            let pod = made.spec.unwrap().template.spec.unwrap();
            let names: Vec<_> = pod.init_containers.iter().flatten().map(|c| c.name.as_str()).collect();
            assert_eq!(names, ["scratch-database", "live-schema"], "the server first");
            let copy = pod.init_containers.as_ref().unwrap()[1].clone();
            let url = copy.env.as_ref().unwrap().iter().find(|e| e.name == "LIVE_URL").unwrap().clone();
            assert!(url.value.is_none() && url.value_from.unwrap().secret_key_ref.unwrap().key == "url");
            let security = copy.security_context.unwrap();
            assert_eq!(security.allow_privilege_escalation, Some(false));
            let mounts = copy.volume_mounts.unwrap_or_default();
            assert_eq!(mounts.len(), usize::from(database == tls));
            assert!(mounts.iter().all(|m| pod.volumes.as_ref().unwrap().iter().any(|v| v.name == m.name)));
            // The application's container does not learn the live URL.
            assert!(pod.containers[0].env.as_ref().unwrap().iter().all(|e| e.value_from.is_none()));
        }
    }

    #[test]
    fn a_copy_has_the_rows_that_the_run_starts_from_and_goes_to_a_marked_server() {
        for (from, name) in [(&["a"][..], "alembic_version"), (&[], "")] {
            let made = job_from(from, by_url(), "postgresql", Some("postgres:15"), Origin::Dump(table())).unwrap();
            let pod = made.spec.unwrap().template.spec.unwrap();
            let env = pod.init_containers.unwrap()[1].env.clone().unwrap();
            let value = |name: &str| env.iter().find(|e| e.name == name).unwrap().value.clone().unwrap();
            assert_eq!((value("VERSION_TABLE").as_str(), value("SCRATCH_MARK").as_str()), (name, MARK));
        }
    }

    #[test]
    fn there_is_no_copy_of_sqlite() {
        assert!(job(by_url(), "sqlite", None, Origin::Dump(table())).is_none());
        assert!(job(by_url(), "sqlite", None, Origin::History(None)).is_some());
    }

    #[test]
    fn the_job_has_the_history_and_no_secret() {
        let history =
            History { targets: vec!["a".into()], steps: 1, steps_digest: "11".into(), reads: Default::default() };
        let job = job(by_url(), "postgresql+psycopg", Some("postgres:15"), Origin::History(Some(history))).unwrap();
        assert!(job.metadata.name.unwrap().contains("-rehearse-"));
        let pod = job.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.init_containers.unwrap().len(), 1);
        let env = pod.containers[0].env.clone().unwrap();
        assert!(env.iter().all(|e| e.value_from.is_none()));
        let task = env.iter().find(|e| e.name == "ALEMBIC_OPERATOR_TASK").unwrap().value.clone().unwrap();
        let task: Value = serde_json::from_str(&task).unwrap();
        assert_eq!((&task["action"], &task["source"]), (&json!("rehearse"), &json!("history")));
        assert_eq!(task["history"], json!({"targets": ["a"], "steps": 1, "steps_digest": "11", "reads": {}}));
        assert!(task["catalog"]["postgresql"].is_string() && task["from"] == json!(["a"]));
    }
}

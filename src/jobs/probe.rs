//! The Job that reads the version rows, and the schema if it is asked to, where the operator itself can't; no I/O.

use super::{
    Ended, JobInput, JobRecord, JobRequest, Request,
    job::runner_job,
    names::short_hash,
    pod_template::PodTemplateError,
    report::{Look, reported},
    task::Action,
};
use crate::{
    api::{DatabaseMigration, Problem, Reason},
    db::{Snapshot, VersionRows, catalog_queries},
    text,
};
use k8s_openapi::api::batch::v1::Job;

/// A Job that reads and takes longer hangs.
pub(super) const DEADLINE: i64 = 5 * 60;

/// A reading of the version rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRequest {
    pub record: JobRecord,
}

/// What is asked of the first probe that an object needs. `catalog` is the dialect by whose queries the schema is read as well.
pub fn probe_request(object: &DatabaseMigration, catalog: Option<String>, requested_at: Option<&str>) -> JobRecord {
    JobRecord::new(object, Request::Probe { catalog }, 1, epoch(object, requested_at, ""))
}

/// What makes everything old that was read before: a run, a change of the spec, a request, another content of the image.
pub(super) fn epoch(object: &DatabaseMigration, requested_at: Option<&str>, image: &str) -> String {
    let generation = object.metadata.generation.unwrap_or_default().to_string();
    let runs = object.status.as_ref().map_or(0, |s| s.recorded_runs()).to_string();
    short_hash(&[&generation, &runs, requested_at.unwrap_or_default(), image], 10)
}

impl JobRequest for ProbeRequest {
    fn record(&self) -> &JobRecord {
        &self.record
    }

    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError> {
        let catalog = self.record.catalog().map(catalog_queries).unwrap_or_default();
        let input = JobInput { object, image: &object.spec.image, scratch: None };
        runner_job(input, &self.record, Action::Probe { catalog }, Some(DEADLINE)).map(Some)
    }
}

/// What an ended probe read.
pub fn probed(ended: &Ended) -> Result<Snapshot, Problem> {
    match reported(ended)?.look {
        Some(look) => Ok(snapshot(look)),
        None => Err(Problem::new(Reason::PodFailed, "the Job read nothing")),
    }
}

fn snapshot(look: Look) -> Snapshot {
    let names = |names: Vec<String>| names.into_iter().map(|name| text::clean(&name, 128));
    Snapshot {
        dialect: look.dialect,
        server_version: look.version,
        rows: if look.table { VersionRows::Rows(names(look.rows).collect()) } else { VersionRows::NoTable },
        tables: names(look.tables).take(6).collect(),
        column: look.column,
        identity: None,
        read_only: false,
    }
}

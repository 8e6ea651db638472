//! The reading of the schema and of what it should be, when it is due; does network I/O.

use super::{database::Located, jobs::payload};
use crate::{
    api::{DatabaseMigration, DurationField, Problem, Reason},
    call::call,
    db::{Catalog, Endpoint, Schema, VersionTable},
    error::Error,
    jobs::{CatalogReport, is_made_here, reported},
    reconcile::{
        context::Context,
        due::{self, Due, Replay, ReplayStep},
        facts::{Facts, JobView, ReplayView, SchemaView, SeenSchema, StoredBaseline},
        schema::{baseline, schema_name},
        servers::Turn,
    },
    text,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use std::sync::Arc;

/// One check of the schema.
pub struct SchemaCheck<'a> {
    object: &'a DatabaseMigration,
    context: &'a Context,
    located: &'a Located,
    /// What it is made for; `None` where it is not asked for, or there is nothing to compare.
    reason: Option<String>,
    replay: Replay,
}

impl<'a> SchemaCheck<'a> {
    /// Finds what is to be checked; replays that nobody needs any more are cleared away.
    pub fn new(object: &'a DatabaseMigration, context: &'a Context, located: &'a Located, facts: &mut Facts) -> Self {
        let (replay, obsolete) = due::replay(object, facts, context.now());
        facts.obsolete.extend(obsolete);
        let reason = due::reason(object, facts, &replay);
        Self { object, context, located, reason, replay }
    }

    /// Reads it when that is due: after a run and when something else is asked for at once, else at the interval.
    pub async fn over_the_network(self, endpoint: &Endpoint, table: &VersionTable) -> Result<SchemaView, Error> {
        let check = match self.due() {
            Ok(check) => check,
            Err(view) => return Ok(view),
        };
        let timeout = DurationField::DriftTimeout.or_default(&self.object.spec);
        let read = {
            let turn = super::database::turn(self.object, self.context, endpoint, timeout).await;
            let Turn::Granted(_turn) = turn else { return Ok(SchemaView::NotLooked) };
            self.context.process.prober.schema(endpoint, table, timeout).await
        };
        match read {
            Ok(schema) if schema.migrating => Ok(SchemaView::NotLooked),
            Ok(schema) => self.seen(schema, check).await,
            Err(error) => Ok(SchemaView::Failed(super::database::probe_problem(&error))),
        }
    }

    /// The schema as the Job read it that also read the version rows.
    pub async fn of_job(mut self, job: &JobView) -> Result<SchemaView, Error> {
        self.reason = self.reason.map(|reason| format!("{reason} by look {}", job.record.number));
        let check = match self.due() {
            Ok(check) => check,
            Err(view) => return Ok(view),
        };
        match self.read(job).await? {
            Ok(schema) => self.seen(schema, check).await,
            Err(problem) => Ok(SchemaView::Failed(problem)),
        }
    }

    /// What the check is made for, where one is due; else what is known of the schema without one.
    fn due(&self) -> Result<String, SchemaView> {
        let process = &self.context.process;
        let Some(reason) = &self.reason else { return Err(SchemaView::NotLooked) };
        let uid = self.object.uid().unwrap_or_default();
        let last = process.checks.last(&uid);
        let last = last.as_ref().map(|(reason, at)| (reason.as_str(), *at));
        let delay = |interval| process.back_off.part(&uid, interval);
        match due::comparison(self.object, last, reason, delay, self.context.now()) {
            Due::Now => Ok(reason.clone()),
            Due::NotYet => Err(SchemaView::NotLooked),
            Due::NotSince(at) => Err(SchemaView::CountsAsSeen { check: reason.clone(), at }),
        }
    }

    async fn seen(self, mut schema: Schema, check: String) -> Result<SchemaView, Error> {
        schema.catalog.hide(&self.located.secrets());
        let kept = match kept(self.object, self.context).await? {
            Ok(kept) => kept,
            Err(problem) => return Ok(SchemaView::Failed(problem)),
        };
        let replay = self.replayed(kept.as_ref()).await?;
        Ok(SchemaView::Seen(Box::new(SeenSchema { schema, kept, check, replay })))
    }

    async fn replayed(&self, kept: Option<&StoredBaseline>) -> Result<ReplayView, Error> {
        let stored = kept.and_then(|kept| kept.baseline.as_ref()?.replay.as_deref());
        let (key, ended) = match due::replay_step(&self.replay, stored) {
            ReplayStep::Known(view) => return Ok(*view),
            ReplayStep::Read { key, ended } => (key, ended),
        };
        Ok(match self.read(ended).await? {
            Ok(Schema { mut catalog, .. }) => {
                catalog.hide(&self.located.secrets());
                ReplayView::Reported { key, catalog }
            }
            Err(problem) => {
                let message = format!("the history could not be run on a scratch database: {}", problem.message);
                ReplayView::Failed { key, problem: Problem { message, ..problem } }
            }
        })
    }

    /// What a Job has read and left in its log.
    async fn read(&self, job: &JobView) -> Result<Result<Schema, Problem>, Error> {
        let failed = |message: String| Ok(Err(Problem::new(Reason::PodFailed, message)));
        let Some(ended) = job.ended() else { return failed("the Job has not ended".to_owned()) };
        let report = match reported(ended) {
            Ok(report) => report,
            Err(problem) => return Ok(Err(problem)),
        };
        let why = report.look.and_then(|look| look.catalog_error);
        let (Some(frames), Some(pod)) = (&report.frames, &job.pod) else {
            return failed(why.unwrap_or_else(|| "the Job has not read the schema".to_owned()));
        };
        let parse = |json: Vec<u8>| serde_json::from_slice::<CatalogReport>(&json).map_err(|error| error.to_string());
        let read = payload(self.object, self.context, &pod.name, frames, parse).await?;
        let read = read.map_err(|error| error.to_string()).and_then(|parsed| parsed);
        match read {
            Err(error) => failed(error),
            Ok(read) => {
                let catalog = Catalog::new(text::clean(&read.engine, 64), read.objects);
                Ok(Ok(Schema { catalog, rows: read.rows.into_iter().collect(), migrating: false }))
            }
        }
    }
}

/// The object's baseline ConfigMap; refused if it has another owner.
async fn kept(object: &DatabaseMigration, context: &Context) -> Result<Result<Option<StoredBaseline>, Problem>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let name = schema_name(object);
    let Some(map) = call(&format!("get ConfigMap {name}"), api.get_opt(&name)).await? else { return Ok(Ok(None)) };
    let owned = map.owner_references().iter().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref());
    if !owned || !is_made_here(&map) {
        let message = format!("ConfigMap {name} belongs to something else; delete it");
        return Ok(Err(Problem::new(Reason::InvalidSpec, message)));
    }
    let version = map.resource_version().unwrap_or_default();
    Ok(Ok(Some(StoredBaseline { baseline: baseline(&map).map(Arc::new), version })))
}

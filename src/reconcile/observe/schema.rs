//! The look at the schema and at what it should be, when it is due; does network I/O.

use super::{database::Located, jobs::payload};
use crate::{
    api::{
        Change, ConditionType, DatabaseMigration, DatabaseMigrationStatus, DriftMode, OnDrift, Problem, Reason,
        parse_duration,
    },
    db::{Catalog, Endpoint, Schema, VersionTable},
    error::Error,
    jobs::{CatalogReport, Kind, ReplayRequest, reported},
    reconcile::{
        Context,
        api::call,
        checks::{self, accepted_drift, requested_at},
        due,
        facts::{
            DatabaseView, Facts,
            ImageView::{Reported, Stored},
            JobView, Kept, ReplayView, SchemaView, SeenSchema,
        },
        schema::{baseline, schema_name},
        servers::Turn,
    },
    text,
};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{Api, ResourceExt};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);

/// When the schema of each object was last compared, by the object's UID. Nothing of it is kept: after a start the
/// comparisons are spread over an interval, so that they do not all come at once.
#[derive(Default)]
pub struct Checks(Mutex<HashMap<String, Check>>);

struct Check {
    /// What the comparison was made for.
    reason: String,
    at: Timestamp,
}

/// More entries than that are cleared of objects that are gone.
const MANY: usize = 4096;

impl Checks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a comparison was made and what came of it is stored.
    pub fn done(&self, uid: &str, reason: String, at: Timestamp) {
        let mut checks = self.lock();
        if checks.len() >= MANY {
            checks.retain(|_, check| at.duration_since(check.at).as_hours() < 24);
        }
        checks.insert(uid.to_owned(), Check { reason, at });
    }

    /// Whether a comparison for this reason is due. The interval is that of the passes, which have a jitter.
    fn due(&self, uid: &str, reason: &str, interval: Duration, now: Timestamp) -> Option<bool> {
        let checks = self.lock();
        let check = checks.get(uid)?;
        let lasts = i64::try_from(interval.mul_f64(0.85).as_secs()).unwrap_or(i64::MAX);
        Some(check.reason != reason || now.duration_since(check.at).as_secs() >= lasts)
    }
}

/// One look at the schema.
pub struct SchemaLook<'a> {
    object: &'a DatabaseMigration,
    context: &'a Context,
    located: &'a Located,
    /// Whether it is asked for, and there is something to look at.
    wanted: bool,
    /// What it is made for.
    reason: String,
    replay: Replay,
}

/// The history run again, as far as its Jobs have come.
enum Replay {
    NotWanted,
    Impossible(Problem),
    Wanted(Box<WantedReplay>),
}

struct WantedReplay {
    request: ReplayRequest,
    /// The newest that has ended.
    ended: Option<JobView>,
    working: Option<JobView>,
    /// Whether there is to be another one.
    due: bool,
}

impl<'a> SchemaLook<'a> {
    /// Sees what is to be looked at; replays that nobody needs any more are cleared away.
    pub fn new(object: &'a DatabaseMigration, context: &'a Context, located: &'a Located, facts: &mut Facts) -> Self {
        let is_seen = matches!(facts.database, DatabaseView::Seen(_)) && knows_table(object, facts);
        let replay = replay(object, context, located, facts);
        let state = match &replay {
            Replay::Wanted(wanted) => {
                let ended = wanted.ended.as_ref().map(|job| job.record.number);
                format!(" {} {ended:?} {}", wanted.request.record.key, wanted.working.is_some())
            }
            Replay::NotWanted | Replay::Impossible(_) => String::new(),
        };
        // Without the image nobody knows what the history is.
        let unknown = object.spec.drift.mode == DriftMode::Replay && matches!(replay, Replay::NotWanted);
        let wanted = object.spec.drift.mode.by_catalog() && is_seen && !unknown;
        let reason = reason(object, facts) + &state;
        Self { object, context, located, wanted, reason, replay }
    }

    /// Reads it when that is due: after a run and when something else is asked for at once, else at the interval.
    pub async fn over_the_network(self, endpoint: &Endpoint, table: &VersionTable) -> Result<SchemaView, Error> {
        if !self.is_due() {
            return Ok(SchemaView::NotLooked);
        }
        let timeout = self.object.spec.drift.timeout.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_TIMEOUT);
        let read = {
            let turn = super::database::turn(self.object, self.context, endpoint, timeout).await;
            let Turn::Granted(_turn) = turn else { return Ok(SchemaView::NotLooked) };
            self.context.process.prober.schema(endpoint, table, timeout).await
        };
        match read {
            Ok(schema) if schema.migrating => Ok(SchemaView::NotLooked),
            Ok(schema) => self.seen(schema).await,
            Err(error) => Ok(SchemaView::Failed(super::database::probe_problem(&error))),
        }
    }

    /// The schema as the Job read it that also read the version rows.
    pub async fn of_job(mut self, job: &JobView) -> Result<SchemaView, Error> {
        self.reason += &format!(" by look {}", job.record.number);
        if !self.is_due() {
            return Ok(SchemaView::NotLooked);
        }
        match self.read(job).await? {
            Ok(schema) => self.seen(schema).await,
            Err(problem) => Ok(SchemaView::Failed(problem)),
        }
    }

    fn is_due(&self) -> bool {
        self.wanted && is_due(self.object, self.context, &self.object.uid().unwrap_or_default(), &self.reason)
    }

    async fn seen(self, mut schema: Schema) -> Result<SchemaView, Error> {
        schema.catalog.hide(&self.located.secrets());
        let kept = match kept(self.object, self.context).await? {
            Ok(kept) => kept,
            Err(problem) => return Ok(SchemaView::Failed(problem)),
        };
        let replay = self.replayed(kept.as_ref()).await?;
        Ok(SchemaView::Seen(Box::new(SeenSchema { schema, kept, check: self.reason, replay })))
    }

    async fn replayed(&self, kept: Option<&Kept>) -> Result<ReplayView, Error> {
        let wanted = match &self.replay {
            Replay::NotWanted => return Ok(ReplayView::NotWanted),
            Replay::Impossible(problem) => {
                return Ok(ReplayView::Failed { key: String::new(), problem: problem.clone() });
            }
            Replay::Wanted(wanted) => wanted,
        };
        let key = wanted.request.record.key.clone();
        if kept.and_then(|kept| kept.baseline.as_ref()).is_some_and(|kept| kept.replay.as_ref() == Some(&key)) {
            return Ok(ReplayView::Stored { key });
        }
        if let Some(job) = &wanted.working {
            return Ok(ReplayView::Working { key, job: job.clone() });
        }
        let Some(ended) = wanted.ended.as_ref().filter(|_| !wanted.due) else {
            return Ok(ReplayView::Next { key, request: Box::new(wanted.request.clone()) });
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
        let parse = |json: &[u8]| serde_json::from_slice::<CatalogReport>(json).map_err(|error| error.to_string());
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

fn replay(object: &DatabaseMigration, context: &Context, located: &Located, facts: &mut Facts) -> Replay {
    let (true, Stored(image) | Reported { image, .. }, DatabaseView::Seen(snapshot)) =
        (object.spec.drift.mode == DriftMode::Replay, &facts.image, &facts.database)
    else {
        if object.spec.drift.mode != DriftMode::Replay {
            let all: Vec<String> = facts.of(Kind::Replay).map(|job| job.name.clone()).collect();
            facts.obsolete.extend(all);
        }
        return Replay::NotWanted;
    };
    match checks::replay(object, image, &snapshot.rows.clone().into_set(), &located.scheme) {
        Err(problem) => Replay::Impossible(problem),
        Ok(request) => {
            let looked = due::replays(facts.of(Kind::Replay), request.record.clone(), context.now());
            facts.obsolete.extend(looked.obsolete);
            let due = looked.next.is_some();
            let record = looked.next.unwrap_or_else(|| request.record.clone());
            let request = ReplayRequest { record, ..request };
            Replay::Wanted(Box::new(WantedReplay { request, ended: looked.latest, working: looked.view, due }))
        }
    }
}

/// Without it the version table itself would be a part of the schema.
fn knows_table(object: &DatabaseMigration, facts: &Facts) -> bool {
    object.spec.database.version_table.is_some() || matches!(facts.image, Stored(_) | Reported { .. })
}

fn reason(object: &DatabaseMigration, facts: &Facts) -> String {
    let recorded = object.status.as_ref().map_or(0, |s| s.recorded_runs());
    let runs = facts.active.as_ref().map_or(recorded, |run| run.record.number);
    let rows = match &facts.database {
        DatabaseView::Seen(snapshot) => Some(&snapshot.rows),
        _ => None,
    };
    let asked = (requested_at(object), accepted_drift(object));
    format!("{:?} {runs} {rows:?} {asked:?}", object.metadata.generation)
}

fn is_due(object: &DatabaseMigration, context: &Context, uid: &str, reason: &str) -> bool {
    let (checks, now) = (&context.process.checks, context.now());
    let drift = &object.spec.drift;
    let interval = drift.interval.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_INTERVAL);
    let at_rest = object.status.as_ref().is_some_and(|status| {
        status.observed_generation == object.metadata.generation && status.is_true(ConditionType::Ready)
    });
    match checks.due(uid, reason, interval, now) {
        // Before a run that drift would block, nothing but a look at this moment will do.
        Some(due) => due || !at_rest && drift.on_drift == OnDrift::Block,
        // After a start of the operator what the status says stands for a while, unless a run may be next.
        None if at_rest && object.status.as_ref().is_some_and(is_known) => {
            let part = context.process.back_off.part(uid, interval);
            checks.done(uid, reason.to_owned(), now - part);
            false
        }
        None => true,
    }
}

fn is_known(status: &DatabaseMigrationStatus) -> bool {
    let condition = status.condition(ConditionType::Drifted);
    condition.is_some_and(|known| known.reason == "InSync" || Change::of_reason(&known.reason).is_some())
}

/// What is stored under the object's name for it, and is its own.
async fn kept(object: &DatabaseMigration, context: &Context) -> Result<Result<Option<Kept>, Problem>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let name = schema_name(object);
    let Some(map) = call(&format!("get ConfigMap {name}"), api.get_opt(&name)).await? else { return Ok(Ok(None)) };
    if !map.owner_references().iter().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref()) {
        let message = format!("ConfigMap {name} belongs to something else; delete it");
        return Ok(Err(Problem::new(Reason::InvalidSpec, message)));
    }
    let version = map.resource_version().unwrap_or_default();
    Ok(Ok(Some(Kept { baseline: baseline(&map).map(Arc::new), version })))
}

//! The look at the schema and at what it should be, when it is due; does network I/O.

use super::{
    database::Located,
    jobs::payload,
    look::{EndedJob, reported},
};
use crate::{
    api::{
        Change, ConditionType, DatabaseMigration, DatabaseMigrationStatus, DriftMode, OnDrift, Reason, parse_duration,
    },
    db::{Catalog, Endpoint, Schema, VersionTable},
    error::Error,
    reconcile::{
        Context,
        api::call,
        checks::{accepted_drift, requested_at},
        observed::{DatabaseView, Kept, Observed, Problem, SchemaView},
        schema::{baseline, schema_name},
    },
    runner::CatalogReport,
    text,
};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{Api, ResourceExt};
use secrecy::ExposeSecret;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);

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

/// Reads the schema when that is due: after a run and when something else is asked for at once, else at the interval.
pub async fn look(
    object: &DatabaseMigration,
    context: &Context,
    endpoint: &Endpoint,
    table: &VersionTable,
    observed: &Observed,
) -> Result<SchemaView, Error> {
    let check = reason(object, observed);
    if !knows_table(object, observed) || !is_wanted(object, context, observed, &check) {
        return Ok(SchemaView::NotLooked);
    }
    let timeout = object.spec.drift.timeout.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_TIMEOUT);
    let read = {
        let Ok(_permit) = context.process.servers.permit(&endpoint.server()).await else {
            return Ok(SchemaView::NotLooked);
        };
        context.process.prober.schema(endpoint, table, timeout).await
    };
    let secrets = endpoint.secret_texts();
    let secrets: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
    match read {
        Ok(schema) if schema.migrating => Ok(SchemaView::NotLooked),
        Ok(schema) => seen(object, context, schema, &secrets, check).await,
        Err(error) => Ok(SchemaView::Failed(super::database::probe_problem(&error))),
    }
}

/// The schema as the Job read it that also read the version rows.
pub async fn by_job(
    object: &DatabaseMigration,
    context: &Context,
    job: &EndedJob,
    located: &Located,
    observed: &Observed,
) -> Result<SchemaView, Error> {
    let check = format!("{} by look {}", reason(object, observed), job.number);
    if !is_wanted(object, context, observed, &check) {
        return Ok(SchemaView::NotLooked);
    }
    let failed = |message: String| Ok(SchemaView::Failed(Problem::new(Reason::PodFailed, message)));
    let report = match reported(&job.ended) {
        Ok(report) => report,
        Err(problem) => return Ok(SchemaView::Failed(problem)),
    };
    let why = report.look.and_then(|look| look.catalog_error);
    let (Some(frames), Some(pod)) = (&report.frames, &job.pod) else {
        return failed(why.unwrap_or_else(|| "the Job has not read it".to_owned()));
    };
    let read = payload(object, context, pod, frames).await?.map_err(|error| error.to_string());
    let read = read.and_then(|json| serde_json::from_slice::<CatalogReport>(&json).map_err(|error| error.to_string()));
    match read {
        Err(error) => failed(error),
        Ok(read) => {
            let catalog = Catalog::new(text::clean(&read.engine, 64), read.objects);
            let schema = Schema { catalog, rows: read.rows.into_iter().collect(), migrating: false };
            seen(object, context, schema, &located.secrets(), check).await
        }
    }
}

async fn seen(
    object: &DatabaseMigration,
    context: &Context,
    mut schema: Schema,
    secrets: &[&str],
    check: String,
) -> Result<SchemaView, Error> {
    schema.catalog.hide(secrets);
    Ok(match kept(object, context).await? {
        Ok(kept) => SchemaView::Seen { schema: Arc::new(schema), kept, check },
        Err(problem) => SchemaView::Failed(problem),
    })
}

fn is_wanted(object: &DatabaseMigration, context: &Context, observed: &Observed, check: &str) -> bool {
    let is_seen = matches!(observed.database, DatabaseView::Seen(_));
    object.spec.drift.mode == DriftMode::Snapshot
        && is_seen
        && is_due(object, context, &object.uid().unwrap_or_default(), check)
}

/// Without it the version table itself would be a part of the schema.
fn knows_table(object: &DatabaseMigration, observed: &Observed) -> bool {
    use crate::reconcile::observed::ImageView::{Reported, Stored};
    object.spec.database.version_table.is_some() || matches!(observed.image, Stored(_) | Reported { .. })
}

fn reason(object: &DatabaseMigration, observed: &Observed) -> String {
    let recorded = object.status.as_ref().map_or(0, |s| s.recorded_runs());
    let runs = observed.run.as_ref().map_or(recorded, |run| run.record.number);
    let asked = (requested_at(object), accepted_drift(object));
    format!("{:?} {runs} {asked:?}", object.metadata.generation)
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
    let known = |reason: &str| reason == "InSync" || Change::ALL.iter().any(|change| change.as_str() == reason);
    condition.is_some_and(|condition| known(&condition.reason))
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

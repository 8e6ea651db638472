//! The look at the world for a set: its Jobs, its targets on their servers, the image; does network I/O and changes nothing.

use super::{
    facts::{BatchView, Facts, OtherBatch, Withdrawn},
    left::LEFT,
    member::{Line, Target, read_page},
    object, rows, targets,
};
use crate::{
    api::{
        ANNOTATION_RELEASED, ANNOTATION_REQUESTED_AT, DatabaseMigration, DatabaseMigrationSet, DurationField,
        LABEL_MANAGED_BY, LABEL_SET, MANAGER, Problem, Reason, SetServer, TargetSource,
    },
    call::call,
    db::{
        Endpoint, ProbeError, VersionTable,
        fleet::{self, Listed},
    },
    error::Error,
    index::set_key,
    jobs::{BatchRecord, Kind, PodState, batch_report, is_made_here, label_value, wanted},
    reconcile::{Context, ImageView, ObjectFacts, Turn, database, image, jobs, requested_at},
    text,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{Api, ResourceExt, api::ListParams};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// How long one look at a server may take.
pub(super) const LOOK: Duration = Duration::from_secs(30);

/// A server as this look knows it.
pub(super) struct Server {
    pub(super) object: DatabaseMigration,
    pub(super) endpoint: Endpoint,
    dialect: String,
}

/// Looks at everything that one decision needs. While batches are at work the databases are left alone.
pub async fn observe(set: &DatabaseMigrationSet, context: &Context) -> Result<(DatabaseMigration, Facts), Error> {
    let mut facts = Facts { restricted: context.process.restricted, ..Facts::default() };
    batches(set, context, &mut facts).await?;
    let mut object = DatabaseMigration { metadata: set.metadata.clone(), ..DatabaseMigration::default() };
    let at_work = facts.batches.iter().any(|batch| !batch.has_ended());
    if set.metadata.deletion_timestamp.is_some() {
        return Ok((object, facts));
    }
    let servers = match servers(set, context).await? {
        Ok(servers) => servers,
        Err(problem) => {
            facts.problem = Some(problem);
            return Ok((object, facts));
        }
    };
    let place =
        |(name, server): (&String, &Server)| format!("{name} {} {}", server.endpoint.server(), server.endpoint.place());
    facts.places = servers.iter().map(place).collect();
    if let Some(server) = servers.values().next() {
        object = object::of_batch(set, &server.object);
    }
    if at_work && !facts.batches.iter().any(BatchView::has_ended) {
        return Ok((object, facts));
    }
    facts.lines = lines(set, context).await?;
    let found = match listed(set, &servers, context).await {
        Ok(found) => found,
        Err(problem) => {
            facts.problem = Some(problem);
            return Ok((object, facts));
        }
    };
    if let Some(problem) = vanished(&facts.lines, &found) {
        facts.vanished = true;
        if !is_meant(set, requested_at(&object)) {
            facts.problem = Some(problem);
            return Ok((object, facts));
        }
    }
    facts.looked = true;
    look_at_image(&servers, &found, context, &mut facts).await?;
    if let ImageView::Stored(known) | ImageView::Reported { image: known, .. } = &facts.image {
        let table = set.spec.template.database.version_table.as_ref().unwrap_or(&known.inspection.version_table);
        let schema = known.inspection.version_table_schema.clone();
        let table = VersionTable { schema, name: table.clone(), measure: false };
        if let Err(problem) = rows::read(&servers, found, &table, context, &mut facts).await {
            facts.problem = Some(problem);
        }
    }
    Ok((object, facts))
}

/// The batches of the set: those that the status names, and the Jobs of others.
async fn batches(set: &DatabaseMigrationSet, context: &Context, facts: &mut Facts) -> Result<(), Error> {
    let namespace = set.namespace().unwrap_or_default();
    let named = set.status.as_ref().and_then(|status| status.rollout.clone()).unwrap_or_default().batches;
    let mut found: HashMap<String, (Job, BatchRecord)> = HashMap::new();
    for job in context.stores.jobs.with_key(&set_key(&namespace, &set.name_any())) {
        if let Some(record) = own(set, &job) {
            found.insert(job.name_any(), (Job::clone(&job), record));
        }
    }
    for status in named {
        let mut known = found.remove(&status.job);
        if known.is_none() {
            // The watch may be behind.
            let api: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
            let live = call(&format!("get Job {}", status.job), api.get_opt(&status.job)).await?;
            known = live.and_then(|job| own(set, &job).map(|record| (job, record)));
        }
        facts.batches.push(match known {
            None => BatchView { status, ..BatchView::default() },
            Some((job, record)) => {
                let (state, _) = jobs::state(&job, Kind::Run, context).await?;
                let report = match &state {
                    PodState::Ended(ended) => batch_report(ended.message.as_deref(), record.members.len()),
                    _ => None,
                };
                let (suspended, withdrawn) = (is_suspended(&job), withdrawn(set, &job));
                BatchView { status, members: record.members, there: true, suspended, withdrawn, state, report }
            }
        });
    }
    facts.others = found
        .into_iter()
        .map(|(job, (there, record))| OtherBatch {
            job,
            number: record.number,
            suspended: is_suspended(&there),
            owned: !there.owner_references().is_empty(),
        })
        .collect();
    Ok(())
}

fn own(set: &DatabaseMigrationSet, job: &Job) -> Option<BatchRecord> {
    BatchRecord::of(job).filter(|record| is_made_here(job) && Some(&record.uid) == set.metadata.uid.as_ref())
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false)
}

/// The Job of a batch that was never let begin, where none may begin any more.
fn withdrawn(set: &DatabaseMigrationSet, job: &Job) -> Option<Withdrawn> {
    let was_released = job.annotations().contains_key(ANNOTATION_RELEASED);
    (is_suspended(job) && !was_released && !set.may_begin()).then(|| Withdrawn {
        job: job.name_any(),
        uid: job.uid(),
        version: job.resource_version(),
    })
}

/// The servers by their names, each with its Secret read.
async fn servers(
    set: &DatabaseMigrationSet,
    context: &Context,
) -> Result<Result<BTreeMap<String, Server>, Problem>, Error> {
    let mut servers = BTreeMap::new();
    for server in &set.spec.servers {
        match server_of(set, server, context).await? {
            Ok(known) => servers.insert(server.name.clone(), known),
            Err(problem) => {
                let message = format!("server {}: {}", server.name, problem.message);
                return Ok(Err(Problem::new(problem.reason, message)));
            }
        };
    }
    Ok(Ok(servers))
}

async fn server_of(
    set: &DatabaseMigrationSet,
    server: &SetServer,
    context: &Context,
) -> Result<Result<Server, Problem>, Error> {
    let object = match object::of_server(set, server, context.process.defaults.as_ref()) {
        Ok(object) => object,
        Err(problem) => return Ok(Err(problem)),
    };
    let located = match database::endpoint(&object, context).await? {
        Ok(located) => located,
        Err(problem) => return Ok(Err(problem)),
    };
    let dialect = located.dialect.clone();
    Ok(match located.endpoint {
        Some(endpoint) => Ok(Server { object, endpoint, dialect }),
        None => Err(Problem::new(
            Reason::UnsupportedDialect,
            format!("sets are for PostgreSQL, MySQL and MariaDB in this version, and the URL names {dialect}"),
        )),
    })
}

/// The lines of the pages as they stand.
async fn lines(set: &DatabaseMigrationSet, context: &Context) -> Result<Vec<Line>, Error> {
    let maps = pages(set, context).await?;
    let texts = maps.iter().filter_map(|map| map.data.as_ref()?.get(super::act::TARGETS));
    Ok(texts.flat_map(|text| read_page(text)).collect())
}

/// The ConfigMaps with the targets of a set.
pub async fn pages(set: &DatabaseMigrationSet, context: &Context) -> Result<Vec<ConfigMap>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &set.namespace().unwrap_or_default());
    let selector = ListParams::default()
        .labels(&format!("{LABEL_MANAGED_BY}={MANAGER},{LABEL_SET}={}", label_value(&set.name_any())));
    let maps = call("list the pages of targets", api.list(&selector)).await?.items;
    let owned =
        |map: &ConfigMap| map.owner_references().iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref());
    Ok(maps.into_iter().filter(owned).collect())
}

/// Every target that the spec names.
async fn listed(
    set: &DatabaseMigrationSet,
    servers: &BTreeMap<String, Server>,
    context: &Context,
) -> Result<Vec<Target>, Problem> {
    let mut found = Vec::new();
    for (number, source) in set.spec.targets.iter().enumerate() {
        let more = source_of(set, source, servers, context).await;
        found.extend(more.map_err(|problem| {
            Problem::new(problem.reason, format!("spec.targets[{number}] can't be listed: {}", problem.message))
        })?);
    }
    targets::together(found, &set.spec.exclude)
}

async fn source_of(
    set: &DatabaseMigrationSet,
    source: &TargetSource,
    servers: &BTreeMap<String, Server>,
    context: &Context,
) -> Result<Vec<Target>, Problem> {
    let unknown =
        |name: &str| Problem::new(Reason::InvalidSpec, format!("spec.servers has no {}", text::clean(name, 40)));
    let server = |name: &str| servers.get(name).ok_or_else(|| unknown(name));
    let first = set.spec.servers.first().map(|server| server.name.clone()).unwrap_or_default();
    let list = async |name: &str, what: Listed, pattern: &str| {
        let known = server(name)?;
        if what == Listed::Schemas && !fleet::has_schemas(&known.endpoint) {
            let message = format!("{} has no schemas beside its databases; use `databases`", known.dialect);
            return Err(Problem::new(Reason::InvalidSpec, message));
        }
        in_turn(known, context, fleet::list(&known.endpoint, what, pattern, LOOK)).await
    };
    if let Some(pattern) = &source.schemas {
        let names = list(&pattern.server, Listed::Schemas, &pattern.matching).await?;
        return Ok(targets::schemas(&pattern.server, names));
    }
    if let Some(pattern) = &source.databases {
        let names = list(&pattern.server, Listed::Databases, &pattern.matching).await?;
        return Ok(targets::databases(&pattern.server, names));
    }
    if let Some(query) = &source.query {
        let known = server(&query.server)?;
        let rows = in_turn(known, context, fleet::query(&known.endpoint, &query.sql, LOOK)).await?;
        let found = targets::queried(&query.server, rows)?;
        found.iter().try_for_each(|target| server(&target.server).map(drop))?;
        return Ok(found);
    }
    let found = targets::listed(&first, &source.list);
    found.iter().try_for_each(|target| server(&target.server).map(drop))?;
    Ok(found)
}

/// A look at a server, once it is this look's turn.
pub(super) async fn in_turn<T>(
    server: &Server,
    context: &Context,
    look: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, Problem> {
    let timeout = DurationField::ProbeTimeout.or_default(&server.object.spec);
    let busy = || Problem::new(Reason::DatabaseUnreachable, "the server has others to serve first, or does not answer");
    match database::turn(&server.object, context, &server.endpoint, timeout).await {
        Turn::Later | Turn::Silent(_) => Err(busy()),
        Turn::Granted(turn) => {
            let answer = look.await;
            turn.over(!matches!(answer, Err(ProbeError::Timeout { .. })), timeout);
            answer.map_err(|error| database::probe_problem(&error))
        }
    }
}

/// A source that has broken looks like many tenants that have left. It is not believed before somebody says so.
fn vanished(lines: &[Line], found: &[Target]) -> Option<Problem> {
    let there: BTreeSet<String> = found.iter().map(Target::key).collect();
    let known: Vec<&Line> = lines.iter().filter(|line| line.state != LEFT).collect();
    let gone = known.iter().filter(|line| !there.contains(&line.key())).count();
    (gone > 1 && gone * 5 > known.len()).then(|| {
        Problem::new(
            Reason::TargetsVanished,
            format!(
                "{gone} of {} targets are gone at once, and nothing begins; where that is meant, set the annotation {ANNOTATION_REQUESTED_AT} to a new value",
                known.len()
            ),
        )
    })
}

/// Whether somebody has said since the targets were read last that what is there is meant. A pass that reads none changes nothing in
/// this.
fn is_meant(set: &DatabaseMigrationSet, requested: Option<&str>) -> bool {
    let Some(status) = set.status.as_ref() else { return true };
    status.looked_generation != set.metadata.generation
        || requested.is_some() && requested != status.last_handled_reconcile_at.as_deref()
}

/// The inspection of the image, made in the database of the first target.
async fn look_at_image(
    servers: &BTreeMap<String, Server>,
    found: &[Target],
    context: &Context,
    facts: &mut Facts,
) -> Result<(), Error> {
    let example = found.iter().find(|target| target.is_well_named() && servers.contains_key(&target.server));
    let server = example.and_then(|target| servers.get(&target.server)).or_else(|| servers.values().next());
    let (Some(server), Some(_)) = (server, found.first()) else { return Ok(()) };
    let wanted = wanted(&server.object, &server.dialect, requested_at(&server.object));
    let mut known = ObjectFacts { jobs: jobs::jobs(&server.object, context).await?.others, ..ObjectFacts::default() };
    known.restricted = facts.restricted;
    let looked = image::look(&server.object, context, &wanted, &known).await?;
    facts.image = looked.image;
    facts.obsolete = looked.obsolete;
    facts.wanted = Some(wanted);
    facts.example = example.cloned();
    facts.remembered = image::remembered(&server.object, context).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_batch_that_was_never_let_begin_is_withdrawn_where_none_may_begin() {
        let job = |suspend: bool, annotations: serde_json::Value| -> Job {
            let metadata = json!({"name": "j", "uid": "1", "resourceVersion": "7", "annotations": annotations});
            serde_json::from_value(json!({"metadata": metadata, "spec": {"suspend": suspend, "template": {}}})).unwrap()
        };
        let mut set = DatabaseMigrationSet::new("app", Default::default());
        assert_eq!(withdrawn(&set, &job(true, json!({}))), None);
        set.spec.suspend = true;
        let seen = withdrawn(&set, &job(true, json!({}))).unwrap();
        assert_eq!((seen.job.as_str(), seen.version.as_deref()), ("j", Some("7")));
        assert_eq!(withdrawn(&set, &job(false, json!({}))), None, "it works");
        assert_eq!(withdrawn(&set, &job(true, json!({ANNOTATION_RELEASED: "true"}))), None, "it has worked");
    }

    #[test]
    fn a_change_of_the_spec_is_meant_until_the_targets_were_read_by_it() {
        let mut set = DatabaseMigrationSet::new("app", Default::default());
        assert!(is_meant(&set, None), "it is the first look");
        set.metadata.generation = Some(2);
        let status = set.status.get_or_insert_default();
        (status.observed_generation, status.looked_generation) = (Some(2), Some(1));
        assert!(is_meant(&set, None), "a batch was at work when it was changed");
        set.status.get_or_insert_default().looked_generation = Some(2);
        assert!(!is_meant(&set, None) && is_meant(&set, Some("now")));
    }

    #[test]
    fn many_that_go_at_once_are_asked_about_and_those_that_had_left_are_none() {
        let found = targets::schemas("main", (0..10).map(|n| format!("t{n}")).collect());
        let line = |name: String, state: &str| -> Line {
            serde_json::from_value(json!({"name": name, "server": "main", "wave": "rest", "state": state, "rows": []}))
                .unwrap()
        };
        let pages = |state| (0..20).map(move |n| line(format!("t{n}"), if n < 10 { "AtTarget" } else { state }));
        assert!(vanished(&pages("AtTarget").collect::<Vec<_>>(), &found).is_some());
        assert!(vanished(&pages(LEFT).collect::<Vec<_>>(), &found).is_none());
    }
}

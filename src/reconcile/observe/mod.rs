//! The look at the world that a decision is made on: Jobs, the Secret, the image's inspection, the database; does
//! network I/O and changes nothing.

mod database;
mod image;
mod jobs;
mod rehearsals;
mod schema;

pub use image::InspectionCache;
pub use schema::DriftSchedule;

use self::database::Located;

use super::{
    Context,
    checks::requested_at,
    due::{self, Lasts},
    facts::{DatabaseView, Facts, ImageView, ModelsView, SchemaView, ShownPlan},
    plan::{plan_hash, plan_name},
};
use crate::{
    api::{DatabaseMigration, DriftMode, OnDrift, OnFailure},
    call::call,
    db::{ALEMBICS_WIDTH, VersionRows, VersionTable},
    error::Error,
    jobs::{
        CompareRequest, Inspected, Kind, ProbeRequest, compare_request, compared, is_made_here, probe_request, probed,
        wanted,
    },
    revisions::Target,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use std::{collections::BTreeSet, sync::Arc};

/// Looks at everything that one decision needs, and at nothing more: while a run is active neither the image nor the
/// database is touched.
pub async fn observe(object: &DatabaseMigration, context: &Context) -> Result<Facts, Error> {
    let jobs = jobs::jobs(object, context).await?;
    let restricted = context.process.restricted;
    let mut facts = Facts { restricted, active: jobs.active, jobs: jobs.others, ..Facts::default() };
    let works = facts.active.as_ref().is_some_and(|run| run.ended().is_none());
    if works || object.metadata.deletion_timestamp.is_some() {
        hide(&mut facts, &[]);
        return Ok(facts);
    }
    let located = match database::endpoint(object, context).await? {
        Ok(located) => located,
        Err(problem) => {
            // The Secret may have gone, and what it held with it; the credentials of a URL are known by their place.
            hide(&mut facts, &[]);
            facts.database = DatabaseView::Failed(problem);
            return Ok(facts);
        }
    };
    hide(&mut facts, &located.secrets());
    facts.scheme = located.scheme.clone();
    facts.place = located.place.clone();
    facts.cnpg = rehearsals::cnpg(object, context, &located).await?;
    facts.rehearsals = rehearsals::ended(object, context, &facts).await?;
    let wanted = wanted(object, &located.dialect, requested_at(object));
    let looked = image::look(object, context, &wanted, &facts).await?;
    facts.obsolete = looked.obsolete;
    facts.lacks_owner = looked.lacks_owner;
    facts.image = looked.image;
    facts.wanted = Some(wanted);

    let table = version_table(object, &facts.image);
    match &located.endpoint {
        Some(server) => {
            facts.database = database::probe(object, context, server, &table).await;
            let look = schema::SchemaLook::new(object, context, &located, &mut facts);
            facts.schema = look.over_the_network(server, &table).await?;
        }
        None => by_job(object, context, &located, &mut facts).await?,
    }
    if is_pending(object, &facts) {
        if let Some(server) = &located.endpoint {
            facts.sizes = database::sizes(object, context, server, &table).await;
            if !matches!(facts.schema, SchemaView::Seen(_)) {
                facts.catalog = database::catalog(object, context, server, &table).await;
                facts.catalog.iter_mut().for_each(|catalog| catalog.hide(&located.secrets()));
            }
        }
        facts.shown_plan = shown_plan(object, context).await?;
    }
    by_models(object, context, &mut facts);
    facts.remembered = remembered(object, context, &facts);
    facts.ran = ran(object, context, &facts);
    Ok(facts)
}

/// Masks secrets in whatever pods left behind.
fn hide(facts: &mut Facts, secrets: &[&str]) {
    let active = facts.active.iter_mut().map(|run| &mut run.state);
    let others = facts.jobs.iter_mut().map(|job| &mut job.state);
    active.chain(others).for_each(|state| jobs::redact(state, secrets));
}

/// A look by Job runs in the inspected image, and means nothing once a run has ended that is not recorded yet.
async fn by_job(
    object: &DatabaseMigration,
    context: &Context,
    located: &Located,
    facts: &mut Facts,
) -> Result<(), Error> {
    if facts.active.is_some() {
        return Ok(());
    }
    if !matches!(facts.image, ImageView::Stored(_) | ImageView::Reported { .. }) {
        facts.database = DatabaseView::Looking(None);
        return Ok(());
    }
    let catalog = object.spec.drift.mode.by_catalog().then(|| located.dialect.clone());
    let wanted = probe_request(object, catalog, requested_at(object));
    let read = due::answers(facts.of(Kind::Probe), wanted, probed, Lasts::probe(object), context.now());
    facts.next_probe = read.next.clone().map(|record| ProbeRequest { record });
    facts.obsolete.extend(read.obsolete.clone());
    let latest = read.latest.clone();
    facts.database = read.database();
    let look = schema::SchemaLook::new(object, context, located, facts);
    if let Some(job) = latest {
        facts.schema = look.of_job(&job).await?;
    }
    Ok(())
}

/// The tables are compared with the models when the database is where these are: at the heads.
fn by_models(object: &DatabaseMigration, context: &Context, facts: &mut Facts) {
    let all: Vec<String> = facts.of(Kind::Compare).map(|job| job.name.clone()).collect();
    if object.spec.drift.mode != DriftMode::Models {
        return facts.obsolete.extend(all);
    }
    let (ImageView::Stored(image), DatabaseView::Seen(snapshot)) = (&facts.image, &facts.database) else {
        return;
    };
    let VersionRows::Rows(rows) = &snapshot.rows else { return };
    let Some(image) = models_of(object, context, image, rows) else {
        facts.models = ModelsView::NotAtHeads;
        return facts.obsolete.extend(all);
    };
    let wanted = compare_request(object, &image.image, requested_at(object));
    let compared = due::answers(facts.of(Kind::Compare), wanted, compared, Lasts::models(object), context.now());
    facts.next_comparison = compared.next.clone().map(|record| CompareRequest { record, image: image.image.clone() });
    facts.obsolete.extend(compared.obsolete.clone());
    facts.models = compared.models();
}

/// The image whose models the tables should have: models are of the newest revision. While another one is to be deployed and
/// drift would hold it up, that is the image from before.
fn models_of(
    object: &DatabaseMigration,
    context: &Context,
    image: &Arc<Inspected>,
    rows: &BTreeSet<String>,
) -> Option<Arc<Inspected>> {
    let at_heads = |image: &Arc<Inspected>| {
        image.graph.as_ref().is_ok_and(|graph| rows.iter().eq(&BTreeSet::from_iter(graph.heads())))
    };
    if at_heads(image) {
        return Some(image.clone());
    }
    let blocks = object.spec.drift.on_drift == OnDrift::Block;
    let known = if blocks { image::remembered(object, context) } else { Vec::new() };
    known.into_iter().find(at_heads)
}

async fn shown_plan(object: &DatabaseMigration, context: &Context) -> Result<Option<ShownPlan>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let name = plan_name(object);
    let map = call(&format!("get ConfigMap {name}"), api.get_metadata_opt(&name)).await?;
    let shown = |map| ShownPlan {
        version: ResourceExt::resource_version(&map).unwrap_or_default(),
        // What somebody else wrote is written over.
        hash: if is_made_here(&map) { plan_hash(&map) } else { String::new() },
    };
    Ok(map.map(shown))
}

/// Whether the rows are others than the target's: then somebody wants to know what the way there does.
fn is_pending(object: &DatabaseMigration, facts: &Facts) -> bool {
    let (ImageView::Stored(image) | ImageView::Reported { image, .. }, DatabaseView::Seen(snapshot)) =
        (&facts.image, &facts.database)
    else {
        return false;
    };
    let (Ok(graph), Ok(target)) = (&image.graph, Target::parse(&object.spec.target_revision)) else { return false };
    let there = snapshot.rows.clone().into_set();
    // A verification that fails may lead back from the target.
    object.spec.stages.verify.on_failure == OnFailure::Downgrade
        || graph.resolve_target(&target).map_or(true, |target| BTreeSet::from_iter(target) != there)
}

/// The table that env.py uses, as far as it is known.
fn version_table(object: &DatabaseMigration, image: &ImageView) -> VersionTable {
    let inspected = match image {
        ImageView::Stored(image) | ImageView::Reported { image, .. } => Some(&image.inspection),
        _ => None,
    };
    let spec = &object.spec.database;
    let name = spec.version_table.clone().or_else(|| inspected.map(|i| i.version_table.clone()));
    let schema = spec.version_table_schema.clone().or_else(|| inspected.and_then(|i| i.version_table_schema.clone()));
    let measure = inspected.is_some_and(|i| i.revisions.iter().any(|r| r.id.chars().count() > ALEMBICS_WIDTH));
    VersionTable { schema, name: name.unwrap_or_else(|| "alembic_version".to_owned()), measure }
}

/// What has run matters where another image is to be compared with it.
fn ran(object: &DatabaseMigration, context: &Context, facts: &Facts) -> Option<Arc<Inspected>> {
    let (ImageView::Stored(image) | ImageView::Reported { image, .. }) = &facts.image else { return None };
    let success = object.status.as_ref()?.runs.last_success.as_ref()?;
    if success.run.image == image.image { None } else { image::inspected_as(context, object, &success.run.image) }
}

/// Other images matter only when this one does not know the live rows, or the target.
fn remembered(object: &DatabaseMigration, context: &Context, facts: &Facts) -> Vec<Arc<Inspected>> {
    let (ImageView::Stored(image) | ImageView::Reported { image, .. }, DatabaseView::Seen(snapshot)) =
        (&facts.image, &facts.database)
    else {
        return Vec::new();
    };
    let known = match (&snapshot.rows, &image.graph) {
        (VersionRows::Rows(rows), Ok(graph)) => rows.iter().all(|row| graph.contains(row)),
        _ => true,
    };
    let target = Target::parse(&object.spec.target_revision).ok();
    let found = match (&target, &image.graph) {
        (Some(target), Ok(graph)) => graph.resolve_target(target).is_ok(),
        _ => true,
    };
    if known && found { Vec::new() } else { image::remembered(object, context) }
}

//! The look at the world that a decision is made on: Jobs, the Secret, the image's inspection, the database; does
//! network I/O and changes nothing.

mod database;
mod image;
mod jobs;
mod look;
mod schema;
mod stages;

pub use image::InspectionCache;
pub use schema::Checks;

use self::database::Located;

use super::{
    Context,
    api::call,
    checks::{Wish, wanted},
    observed::{DatabaseView, ImageView, ModelsView, Observed, SchemaView, Stages},
    plan::plan_name,
};
use crate::{
    api::{DatabaseMigration, DriftMode, OnFailure},
    db::{ALEMBICS_WIDTH, Sizes, VersionRows, VersionTable},
    error::Error,
    jobs::{Inspected, LookRecord},
    revisions::Target,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use std::{collections::BTreeSet, sync::Arc};

/// Looks at everything that one decision needs, and at nothing more: while a run is active neither the image nor the
/// database is touched.
pub async fn observe(object: &DatabaseMigration, context: &Context) -> Result<Observed, Error> {
    let jobs = jobs::jobs(object, context).await?;
    let mut observed = Observed {
        run: jobs.run,
        old_runs: jobs.old_runs,
        stages: Stages::default(),
        old_jobs: Vec::new(),
        next_look: None,
        next_comparison: None,
        models: ModelsView::NotLooked,
        schema: SchemaView::NotLooked,
        wanted: None,
        image: ImageView::NotLooked,
        database: DatabaseView::NotLooked,
        joins: false,
        remembered: Vec::new(),
        sizes: Sizes::default(),
        shown_plan: None,
    };
    if jobs.active || object.metadata.deletion_timestamp.is_some() {
        return Ok(observed);
    }
    let endpoint = match database::endpoint(object, context).await? {
        Ok(endpoint) => endpoint,
        Err(problem) => {
            observed.database = DatabaseView::Failed(problem);
            return Ok(observed);
        }
    };
    if let Some(run) = &mut observed.run {
        jobs::redact(&mut run.job, &endpoint.secrets());
    }
    observed.stages =
        stages::stages(object, context, jobs.backups, jobs.verifications, jobs.rehearsals, &endpoint).await?;
    let Wish { wanted, any_stored } = wanted(object, &endpoint.dialect);
    let looked = image::look(object, context, &wanted, any_stored, &jobs.inspections, &endpoint.secrets()).await?;
    observed.old_jobs = looked.old_jobs;
    observed.joins = looked.joins;
    observed.image = looked.image;
    observed.wanted = Some(wanted);

    let table = version_table(object, &observed.image);
    match &endpoint.endpoint {
        Some(server) => {
            observed.database = database::probe(object, context, server, &table).await;
            let look = schema::SchemaLook::new(object, context, &endpoint, &mut observed, jobs.replays);
            observed.schema = look.over_the_network(server, &table).await?;
        }
        None => by_job(object, context, jobs.looks, jobs.replays, &endpoint, &mut observed).await?,
    }
    if is_pending(object, &observed) {
        if let Some(server) = &endpoint.endpoint {
            observed.sizes = database::sizes(object, context, server, &table).await;
        }
        observed.shown_plan = shown_plan(object, context).await?;
    }
    by_models(object, context, jobs.comparisons, &endpoint.secrets(), &mut observed);
    observed.remembered = remembered(object, context, &observed);
    Ok(observed)
}

/// A look by Job runs in the inspected image, and means nothing once a run has ended that is not recorded yet.
async fn by_job(
    object: &DatabaseMigration,
    context: &Context,
    looks: Vec<jobs::LookView>,
    replays: Vec<jobs::LookView>,
    located: &Located,
    observed: &mut Observed,
) -> Result<(), Error> {
    if observed.run.is_some() {
        return Ok(());
    }
    if !matches!(observed.image, ImageView::Stored(_) | ImageView::Reported { .. }) {
        observed.database = DatabaseView::Looking(None);
        return Ok(());
    }
    let looked = look::look(object, looks, &located.secrets(), context.now());
    let catalog = object.spec.drift.mode.by_catalog().then(|| located.dialect.clone());
    observed.database = looked.view;
    observed.next_look = looked.next.map(|record| LookRecord { catalog, ..record });
    observed.old_jobs.extend(looked.old);
    let look = schema::SchemaLook::new(object, context, located, observed, replays);
    if let Some(job) = looked.job {
        observed.schema = look.of_job(&job).await?;
    }
    Ok(())
}

/// The tables are compared with the models when the database is where these are: at the heads.
fn by_models(
    object: &DatabaseMigration,
    context: &Context,
    comparisons: Vec<jobs::LookView>,
    secrets: &[&str],
    observed: &mut Observed,
) {
    let all = |comparisons: Vec<jobs::LookView>| comparisons.into_iter().map(|look| look.job.name);
    if object.spec.drift.mode != DriftMode::Models {
        return observed.old_jobs.extend(all(comparisons));
    }
    let (ImageView::Stored(image), DatabaseView::Seen(snapshot)) = (&observed.image, &observed.database) else {
        return;
    };
    let Ok(graph) = &image.graph else { return };
    let at_heads =
        matches!(&snapshot.rows, VersionRows::Rows(rows) if rows.iter().eq(&BTreeSet::from_iter(graph.heads())));
    if !at_heads {
        observed.models = ModelsView::NotAtHeads;
        return observed.old_jobs.extend(all(comparisons));
    }
    let looked = look::compare(object, comparisons, &image.image, secrets, context.now());
    observed.models = looked.view;
    observed.next_comparison = looked.next;
    observed.old_jobs.extend(looked.old);
}

async fn shown_plan(object: &DatabaseMigration, context: &Context) -> Result<Option<String>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let name = plan_name(object);
    let map = call(&format!("get ConfigMap {name}"), api.get_metadata_opt(&name)).await?;
    Ok(map.and_then(|map| map.resource_version()))
}

/// Whether the rows are others than the target's: then somebody wants to know what the way there does.
fn is_pending(object: &DatabaseMigration, observed: &Observed) -> bool {
    let (ImageView::Stored(image) | ImageView::Reported { image, .. }, DatabaseView::Seen(snapshot)) =
        (&observed.image, &observed.database)
    else {
        return false;
    };
    let (Ok(graph), Ok(target)) = (&image.graph, Target::parse(&object.spec.target_revision)) else { return false };
    let there = snapshot.rows.clone().into_set();
    // A verification that fails may lead back from the target.
    object.spec.on_failure == OnFailure::Downgrade
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

/// Other images matter only when this one does not know the live rows, or the target.
fn remembered(object: &DatabaseMigration, context: &Context, observed: &Observed) -> Vec<Arc<Inspected>> {
    let (ImageView::Stored(image) | ImageView::Reported { image, .. }, DatabaseView::Seen(snapshot)) =
        (&observed.image, &observed.database)
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

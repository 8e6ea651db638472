//! The facts that a decision is made on: Jobs, the Secret, the image's inspection, the database; does
//! network I/O and changes nothing.

pub(crate) mod database;
pub(crate) mod image;
pub(crate) mod jobs;
mod rehearsals;
mod schema;

pub use jobs::list_pods;

use self::database::Located;

use super::{
    checks::requested_at,
    context::Context,
    due::{self, Lasts},
    facts::{DatabaseView, Facts, ImageView, SchemaView, ShownPlan},
    line::Asking,
    plan::{plan_hash, plan_name},
};
use crate::{
    api::DatabaseMigration,
    call::call,
    error::Error,
    jobs::{Kind, ProbeRequest, is_made_here, probe_request, probed, short_hash, wanted},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};

/// Reads everything that one decision needs, and nothing more: while a run is active neither the image nor the
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
    facts.server = located.server.as_ref().map(|server| short_hash(&[server], 16));
    facts.turn = context.process.line.place(&Asking::new(object, facts.server.as_deref()), context.now());
    facts.cnpg = rehearsals::cnpg(object, context, &located).await?;
    facts.rehearsals = rehearsals::ended(object, context, &facts).await?;
    let wanted = wanted(object, &located.dialect, requested_at(object));
    let looked = image::look(object, context, &wanted, &facts).await?;
    facts.obsolete = looked.obsolete;
    facts.lacks_owner = looked.lacks_owner;
    facts.image = looked.image;
    facts.wanted = Some(wanted);

    let table = due::version_table(object, &facts.image);
    match &located.endpoint {
        Some(server) => {
            facts.database = database::probe(object, context, server, &table).await;
            let look = schema::SchemaCheck::new(object, context, &located, &mut facts);
            facts.schema = look.over_the_network(server, &table).await?;
        }
        None => by_job(object, context, &located, &mut facts).await?,
    }
    if due::is_pending(object, &facts) {
        if let Some(server) = &located.endpoint {
            facts.sizes = database::sizes(object, context, server, &table).await;
            if !matches!(facts.schema, SchemaView::Seen(_)) {
                facts.catalog = database::catalog(object, context, server, &table).await;
                facts.catalog.iter_mut().for_each(|catalog| catalog.hide(&located.secrets()));
            }
        }
        facts.shown_plan = shown_plan(object, context).await?;
    }
    by_models(object, context, &mut facts).await?;
    if due::needs_other_images(object, &facts) {
        facts.remembered = image::remembered(object, context).await?;
    }
    if let Some(ran) = due::ran_before(object, &facts) {
        facts.ran = image::inspected_as(context, object, ran).await?;
    }
    Ok(facts)
}

/// Masks secrets in whatever pods left behind.
fn hide(facts: &mut Facts, secrets: &[&str]) {
    let active = facts.active.iter_mut().map(|run| &mut run.state);
    let others = facts.jobs.iter_mut().map(|job| &mut job.state);
    active.chain(others).for_each(|state| jobs::redact(state, secrets));
}

/// A probe by Job runs in the inspected image, and means nothing once a run has ended that is not recorded yet.
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
    let look = schema::SchemaCheck::new(object, context, located, facts);
    if let Some(job) = latest {
        facts.schema = look.of_job(&job).await?;
    }
    Ok(())
}

/// What the Jobs have found that compare the tables with the models.
async fn by_models(object: &DatabaseMigration, context: &Context, facts: &mut Facts) -> Result<(), Error> {
    let before = match due::needs_older_models(object, facts) {
        true => image::remembered(object, context).await?,
        false => Vec::new(),
    };
    let models = due::models(object, facts, before, context.now());
    facts.next_comparison = models.next;
    facts.obsolete.extend(models.obsolete);
    facts.models = models.view;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jobs::{Ended, PodState},
        reconcile::facts::{ActiveRun, JobView},
    };

    #[test]
    fn secrets_are_masked_in_what_every_pod_left_with_or_without_the_secret() {
        let ended = |message: &str| PodState::Ended(Ended { message: Some(message.to_owned()), ..Ended::default() });
        let left = |secrets: &[&str]| {
            let state = ended("connecting to postgresql://shop:hunter2@db/shop with s3cr3t");
            let mut facts = Facts {
                active: Some(ActiveRun { state: state.clone(), ..ActiveRun::default() }),
                jobs: vec![JobView { state, ..JobView::default() }],
                ..Facts::default()
            };
            hide(&mut facts, secrets);
            format!("{facts:?}")
        };
        // Without the Secret the credentials of a URL are known by their place.
        assert!(!left(&[]).contains("hunter2") && left(&[]).contains("s3cr3t"));
        assert!(!left(&["s3cr3t"]).contains("hunter2") && !left(&["s3cr3t"]).contains("s3cr3t"));
    }
}

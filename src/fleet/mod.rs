//! Many databases of one project: `DatabaseMigrationSet`. A pass observes, decides, acts and writes the status once.

mod act;
mod batches;
mod cohorts;
mod controller;
mod decide;
mod facts;
mod left;
mod member;
mod object;
mod observe;
mod orphans;
mod plans;
mod ready;
mod results;
mod rows;
mod status;
mod targets;
mod waves;

pub use act::TARGETS;
pub use controller::Scope;
pub use member::{Line, read_page};
pub use plans::PARTS as PLAN_PARTS;
pub use status::told;

use crate::{
    api::{DatabaseMigrationSet, parse_duration},
    error::Error,
    reconcile::Context,
};
use kube::runtime::controller::Action;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Time between two looks where nothing else happens.
fn interval(set: &DatabaseMigrationSet) -> Duration {
    set.spec.interval.as_deref().and_then(parse_duration).unwrap_or(INTERVAL).max(Duration::from_secs(1))
}

/// One pass over one set.
async fn reconcile(set: &DatabaseMigrationSet, context: &Context) -> Result<Action, Error> {
    let (object, facts) = observe::observe(set, context).await?;
    let decision = decide::decide(set, &object, &facts, context.now());
    act::act(set, &object, &decision, context).await?;
    Ok(Action::requeue(decision.next))
}

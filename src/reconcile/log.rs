//! What the operator's log and its counters show of an object: a line for each change of its state, and for each run that ended;
//! no network.

use crate::{
    api::{ConditionType, DatabaseMigration, DatabaseMigrationStatus, RunResult},
    metrics::Metrics,
    text::clean,
};
use kube::ResourceExt;

/// Characters of a message in a line of the log; the status has the whole.
const MAX: usize = 300;

/// Tells what has changed, once it is written.
pub fn tell(object: &DatabaseMigration, after: &DatabaseMigrationStatus, metrics: &Metrics) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let before = object.status.clone().unwrap_or_default();
    if let Some(run) = after.last_run.as_ref().filter(|run| run.number != before.recorded_runs()) {
        metrics.ran(run);
        let reason = run.reason.as_deref().unwrap_or_default();
        let message = clean(run.message.as_deref().unwrap_or_default(), MAX).replace('\n', " ");
        let number = run.number;
        match run.result {
            RunResult::Succeeded => {
                tracing::info!(namespace, name, run = number, direction = run.direction, "run succeeded")
            }
            RunResult::Failed | RunResult::Refused | RunResult::Lost => {
                tracing::warn!(
                    namespace,
                    name,
                    run = number,
                    direction = run.direction,
                    reason,
                    detail = message,
                    "run did not succeed"
                );
            }
        }
    }
    let reason = |status: &DatabaseMigrationStatus| status.condition(ConditionType::Ready).map(|c| c.reason.clone());
    let Some(ready) = after.condition(ConditionType::Ready) else { return };
    if reason(&before).as_ref() != Some(&ready.reason) {
        let from = reason(&before).unwrap_or_else(|| "new".to_owned());
        let message = clean(&ready.message, MAX).replace('\n', " ");
        tracing::info!(namespace, name, from, reason = ready.reason, detail = message, "state changed");
    }
}

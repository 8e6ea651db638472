//! Every state of a DatabaseMigration that the scenarios come through, and one of it and of a set for each reason; for the tests of what Argo CD
//! and Flux make of them. Writes one file.

use super::scenarios::{ALL, Scenario};
use alembic_operator::{
    api::{DatabaseMigration, DatabaseMigrationSet, Problem, Reason, ReasonKind},
    fleet,
    reconcile::rejected,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path, process::ExitCode, sync::Arc};

/// Writes them, each once; `run` gives the states of a scenario.
pub fn write(path: &Path, run: impl Fn(&Scenario) -> Result<Vec<Arc<Value>>, String>) -> ExitCode {
    let mut states = BTreeMap::new();
    for scenario in ALL {
        match run(scenario) {
            Ok(seen) => states.extend(seen.iter().map(|state| (essence(state), Value::clone(state)))),
            Err(panic) => {
                println!("{} fails: {panic}", scenario.name);
                return ExitCode::FAILURE;
            }
        }
    }
    let by_reason = Reason::ALL.iter().flat_map(|reason| of(*reason).into_iter().chain(of_set(*reason)));
    states.extend(by_reason.map(|state| (essence(&state), state)));
    let kinds: Map<String, Value> =
        Reason::ALL.iter().map(|reason| (reason.to_string(), json!(kind(*reason)))).collect();
    let written = json!({ "kinds": kinds, "states": states.into_values().collect::<Vec<_>>() });
    match std::fs::write(path, written.to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// What kind of state a reason is for a pipeline: who waits for a person is told apart.
fn kind(reason: Reason) -> &'static str {
    match reason.kind() {
        _ if matches!(reason, Reason::AwaitingApproval | Reason::AwaitingPromotion) => "Waiting",
        ReasonKind::Ready => "Ready",
        ReasonKind::Working => "Working",
        ReasonKind::Late => "Late",
        ReasonKind::Held => "Held",
        ReasonKind::Stalled => "Stalled",
    }
}

/// A new object with this reason, one that was at its target before, the same an hour later, and once its spec has changed.
fn of(reason: Reason) -> [Value; 4] {
    let (now, an_hour_later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(3600).unwrap_or_default());
    let mut object = DatabaseMigration::new("shop", Default::default());
    object.metadata.generation = Some(1);
    let said = |object: &DatabaseMigration, reason: Reason, now: Timestamp| {
        let status = rejected(object, &Problem::new(reason, reason.advice()), now).status;
        DatabaseMigration { status: Some(status), ..object.clone() }
    };
    let fresh = said(&object, reason, now);
    let mut was_ready = said(&object, Reason::AtTarget, now);
    was_ready.metadata.generation = Some(2);
    let since = said(&was_ready, reason, now);
    let long_since = said(&since, reason, an_hour_later);
    let mut changed = long_since.clone();
    changed.metadata.generation = Some(3);
    [json!(fresh), json!(since), json!(long_since), json!(changed)]
}

/// A new set with this reason, one that was at its target before, and the same once its spec has changed.
fn of_set(reason: Reason) -> [Value; 3] {
    let mut set = DatabaseMigrationSet::new("shop", Default::default());
    set.metadata.generation = Some(1);
    let said = |set: &DatabaseMigrationSet, reason: Reason| {
        let status = fleet::told(set, &Problem::new(reason, reason.advice()), Timestamp::UNIX_EPOCH);
        DatabaseMigrationSet { status: Some(status), ..set.clone() }
    };
    let fresh = said(&set, reason);
    let mut was_ready = said(&set, Reason::AtTarget);
    was_ready.metadata.generation = Some(2);
    let since = said(&was_ready, reason);
    let mut changed = since.clone();
    changed.metadata.generation = Some(3);
    [json!(fresh), json!(since), json!(changed)]
}

/// What tells two states apart for whoever waits for an object.
fn essence(state: &Value) -> String {
    let condition = |c: &Value| json!([c["type"], c["status"], c["reason"], c["observedGeneration"]]);
    let conditions = state["status"]["conditions"].as_array().into_iter().flatten().map(condition).collect::<Vec<_>>();
    let metadata = &state["metadata"];
    json!([
        state["kind"],
        metadata["generation"],
        metadata["deletionTimestamp"],
        state["status"]["observedGeneration"],
        conditions
    ])
    .to_string()
}

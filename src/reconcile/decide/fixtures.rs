//! Objects and facts that the tests of decisions are made of, and what they read of a decision.

use super::*;
use crate::{
    api::RunRecord,
    db::{Snapshot, VersionRows},
    jobs::{Ended, InspectRequest, Inspected, Inspection, JobRecord, JobRequest, Request, Run},
    reconcile::facts::{ActiveRun, ImageView, ShownPlan},
};
use serde_json::json;
use std::sync::Arc;

pub(super) const NOW: i64 = 1_800_000_000;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// A line of revisions: `image("i", "a b c")`.
pub(super) fn image(name: &str, ids: &str) -> Arc<Inspected> {
    let all = |_: &str| json!({"text": "", "sha256": "0", "opaque": []});
    image_of(name, ids, |id| json!({"upgrade": all(id), "downgrade": all(id)}))
}

/// The same with the SQL of each revision.
pub(super) fn image_of(name: &str, ids: &str, sql: impl Fn(&str) -> serde_json::Value) -> Arc<Inspected> {
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let revisions: Vec<_> = ids
        .iter()
        .enumerate()
        .map(|(i, id)| {
            json!({"id": id, "down": i.checked_sub(1).map(|p| ids[p]).into_iter().collect::<Vec<_>>(), "file": format!("{id}.py"),
                   "sha256": format!("hash of {id}"), "upgrade": "present", "downgrade": "present", "sql": sql(id)})
        })
        .collect();
    let inspection = json!({"alembic": "1.20.1", "dialect": "postgresql", "version_table": "alembic_version", "version_table_schema": null,
        "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false, "revisions": revisions});
    let inspection = Inspection::parse(inspection.to_string().as_bytes()).unwrap();
    Arc::new(Inspected::new(name.to_owned(), Some(format!("digest of {name}")), inspection))
}

pub(super) fn object(target: &str) -> DatabaseMigration {
    serde_json::from_value(json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
        "metadata": {"name": "shop", "namespace": "shop", "uid": "u1", "generation": 1},
        "spec": {"image": "shop:1", "targetRevision": target, "database": {"urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}},
    }))
    .unwrap()
}

/// The first request of a kind that a decision makes.
pub(super) fn requested<R: JobRequest + Clone>(decision: &Decision) -> Option<R> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::Create(request) => {
            let request: &dyn std::any::Any = &**request;
            request.downcast_ref::<R>().cloned()
        }
        _ => None,
    })
}

pub(super) fn wanted() -> InspectRequest {
    let request = Request::Inspect { inspection: "k".into() };
    let record = JobRecord { uid: "u1".into(), number: 0, key: "k".into(), request };
    InspectRequest { record, key: "k".into(), id: "k".into(), any_stored: true }
}

pub(super) fn seen(rows: &str) -> DatabaseView {
    let rows = VersionRows::Rows(rows.split_whitespace().map(str::to_owned).collect());
    DatabaseView::Seen(Snapshot {
        dialect: "postgresql".into(),
        server_version: "15.1".into(),
        rows,
        tables: vec![],
        column: None,
        identity: None,
        read_only: false,
    })
}

pub(super) fn observed(image: ImageView, database: DatabaseView) -> Facts {
    Facts { wanted: Some(wanted()), image, database, place: "db:5432/shop".into(), ..Facts::default() }
}

pub(super) fn stored(ids: &str, rows: &str) -> Facts {
    observed(ImageView::Stored(image("shop@sha256:1", ids)), seen(rows))
}

/// The ConfigMap that a decision shows its plan in, as the next pass finds it.
pub(super) fn showing(mut facts: Facts, decision: &Decision) -> Facts {
    let shows = decision.effects.iter().any(|effect| matches!(effect, Effect::ShowPlan { .. }));
    let hash = decision.status.plan.as_ref().map(|plan| plan.hash.clone()).filter(|_| shows);
    if let Some(hash) = hash {
        facts.shown_plan = Some(ShownPlan { version: "1".into(), hash });
    }
    facts
}

/// Applies the decided status, as the next pass would see it.
pub(super) fn after(mut object: DatabaseMigration, decision: &Decision) -> DatabaseMigration {
    object.status = Some(decision.status.clone());
    object
}

pub(super) fn reason(decision: &Decision) -> String {
    decision.status.condition(ConditionType::Ready).unwrap().reason.clone()
}

/// The run that is started: its Job is made before the status says so, and released after.
pub(super) fn started(decision: &Decision) -> Option<(RunRecord, Run)> {
    let start = decision.effects.iter().find_map(|e| match e {
        Effect::Start(start) => Some((start.record(), start.request().run.clone())),
        _ => None,
    });
    let released = decision.after.iter().any(|e| matches!(e, Effect::Release(_)));
    let active = start.as_ref().map(|(record, _)| record);
    if active.is_some() {
        assert!(released && decision.status.runs.active.as_ref() == active, "released once the status says so");
    }
    start
}

pub(super) fn events(decision: &Decision) -> Vec<&str> {
    let event = |e: &'_ Effect| matches!(e, Effect::Event { .. });
    decision
        .after
        .iter()
        .filter(|e| event(e))
        .map(|e| match e {
            Effect::Event { reason, .. } => reason.as_str(),
            _ => "",
        })
        .collect()
}

pub(super) fn job(state: PodState) -> JobView {
    JobView { name: "shop-run-1".into(), created: Some(now()), state, ..JobView::default() }
}

pub(super) fn record() -> RunRecord {
    RunRecord {
        number: 1,
        direction: "upgrade".into(),
        from: vec!["a".into()],
        release_from: None,
        to: vec!["b".into()],
        image: "i".into(),
        generation: 1,
        attempts: 1,
        transactional: true,
        ..RunRecord::default()
    }
}

/// An object whose status remembers an active run, and the run as it is found.
pub(super) fn active(mut object: DatabaseMigration, record: RunRecord) -> DatabaseMigration {
    let status = object.status.get_or_insert_default();
    status.runs.started = record.number;
    status.runs.active = Some(record);
    object
}

pub(super) fn run_of(record: RunRecord, state: PodState) -> ActiveRun {
    let name = format!("shop-run-{}", record.number);
    let job = JobView { name: name.clone(), ..job(PodState::Waiting) };
    ActiveRun { record, name, job: Some(job), state, holder: None }
}

pub(super) fn run(state: PodState) -> ActiveRun {
    run_of(record(), state)
}

pub(super) fn ended(message: &str) -> PodState {
    PodState::Ended(Ended {
        message: Some(message.into()),
        ran: true,
        exit_code: Some(0),
        finished_at: Some(now()),
        ..Ended::default()
    })
}

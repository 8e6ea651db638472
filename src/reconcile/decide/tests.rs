//! What is decided in each situation, told by the effects and the Ready reason.

use super::*;
use crate::{
    api::{DriftMode, LockKind, RunRecord, RunResult, RunStatus, RunsStatus, UnfinishedRun},
    db::{Snapshot, VersionRows},
    jobs::{
        CompareRequest, Differences, Ended, InspectRequest, Inspected, Inspection, JobRecord, JobRequest, Request, Run,
        Trouble,
    },
    reconcile::facts::{ActiveRun, ImageView, ModelsView, ShownPlan},
};
use kube::ResourceExt;
use serde_json::json;
use std::sync::Arc;

const NOW: i64 = 1_800_000_000;

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

fn wanted() -> InspectRequest {
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

#[test]
fn an_image_that_nobody_knows_is_inspected_and_then_planned_in_the_same_pass() {
    let first = decide(&object("head"), &observed(ImageView::Absent, seen("")), now());
    assert!(first.effects.len() == 1 && requested::<InspectRequest>(&first).is_some());
    assert_eq!(reason(&first), "Inspecting");
    assert_eq!(first.status.conditions.len(), ConditionType::ALL.len(), "all are set at the first visit");
    assert_eq!(first.status.current, None, "what was read from a table that may be another one is not shown");

    let reported = ImageView::Reported { job: "shop-inspect-1".into(), image: image("i", "a b") };
    let second = decide(&after(object("head"), &first), &observed(reported, seen("")), now());
    assert!(
        matches!(second.effects.as_slice(), [Effect::KeepInspection { .. }, Effect::Start(_), Effect::ShowPlan { .. }]),
        "kept before it is used"
    );
    assert!(matches!(second.after.as_slice(), [Effect::DeleteJob(_), Effect::Release(_), Effect::Event { .. }]));
    assert_eq!(reason(&second), "Migrating");
}

#[test]
fn a_plan_becomes_a_run_with_all_that_the_runner_checks() {
    let decision = decide(&object("head"), &stored("a b c", "a"), now());
    let (record, run) = started(&decision).unwrap();
    assert_eq!((record.number, record.generation, record.attempts), (1, 1, 1));
    assert_eq!(
        (run.from.as_slice(), run.targets.as_slice(), run.end.as_slice(), run.steps),
        (&["a".to_owned()][..], &["c".to_owned()][..], &["c".to_owned()][..], 2)
    );
    assert_eq!(decision.status.pending.as_ref().unwrap().revisions, ["b", "c"]);
    assert_eq!(decision.status.plan.as_ref().unwrap().hash, record.plan_hash);
    assert_eq!(events(&decision), ["MigrationStarted"]);
}

#[test]
fn nothing_is_done_and_nothing_changes_when_the_target_is_reached() {
    let first = decide(&object("head"), &Facts { lacks_owner: true, ..stored("a b", "b") }, now());
    assert_eq!(reason(&first), "AtTarget");
    assert!(matches!(first.effects.as_slice(), [Effect::ShareInspection { .. }]));
    assert_eq!(first.status.images, ["shop@sha256:1"]);
    let again = after(object("head"), &first);
    let later = Timestamp::from_second(NOW + 500).unwrap();
    let second = decide(&again, &stored("a b", "b"), later);
    assert!(second.effects.is_empty() && second.after.is_empty());
    assert_eq!(second.status, first.status, "not even a time");
}

#[test]
fn a_lower_target_needs_permission() {
    let mut lower = object("a");
    let denied = decide(&lower, &stored("a b", "b"), now());
    assert_eq!((reason(&denied).as_str(), started(&denied)), ("DowngradeNotAllowed", None));
    lower.spec.policy.downgrade = crate::api::DowngradePolicy::Allow;
    let allowed = decide(&lower, &stored("a b", "b"), now());
    assert_eq!(started(&allowed).unwrap().1.direction, "downgrade");
}

#[test]
fn a_reverted_image_is_served_by_the_one_that_is_remembered() {
    let mut object = object("head");
    object.spec.policy.downgrade = crate::api::DowngradePolicy::Allow;
    let mut observed = stored("a", "c");
    let alone = decide(&object, &observed, now());
    assert_eq!((reason(&alone).as_str(), started(&alone)), ("DatabaseAhead", None));
    observed.remembered = vec![image("other", "x y"), image("newer", "a b c")];
    let (record, run) = started(&decide(&object, &observed, now())).unwrap();
    assert_eq!((record.image.as_str(), run.end.as_slice()), ("newer", &["a".to_owned()][..]));
}

#[test]
fn an_active_run_is_left_alone_whatever_else_was_asked() {
    let mut other = object("base");
    other.metadata.generation = Some(7);
    other.spec.suspend = true;
    let mut observed = observed(ImageView::NotLooked, DatabaseView::NotLooked);
    observed.active = Some(run(PodState::Running));
    let decision = decide(&active(other, record()), &observed, now());
    assert!(decision.effects.is_empty() && decision.after.is_empty());
    assert_eq!((reason(&decision).as_str(), decision.status.observed_generation), ("Migrating", Some(7)));
}

#[test]
fn the_lease_of_a_database_is_one_for_all_its_objects_and_is_kept() {
    let lease_of = |object: &DatabaseMigration, facts: &Facts| {
        decide(object, facts, now()).effects.iter().find_map(|effect| match effect {
            Effect::Start(start) => Some(start.lease().map(str::to_owned)),
            _ => None,
        })
    };
    let facts = stored("r1 r2", "r1");
    assert_eq!(lease_of(&object("r2"), &facts), Some(None));
    let leased = |name: &str| {
        let mut object = object("r2");
        object.metadata.name = Some(name.into());
        object.spec.database.lock = LockKind::Lease;
        object
    };
    let lease = lease_of(&leased("shop"), &facts).flatten().unwrap();
    assert!(lease.starts_with("alembic-operator-") && lease.len() < 63, "{lease}");
    assert_eq!(lease_of(&leased("twin"), &facts).flatten().as_ref(), Some(&lease));
    let elsewhere = Facts { place: "db:5432/other".into(), ..stored("r1 r2", "r1") };
    assert_ne!(lease_of(&leased("shop"), &elsewhere).flatten().unwrap(), lease);
    let mut working = observed(ImageView::NotLooked, DatabaseView::NotLooked);
    working.active = Some(run(PodState::Running));
    let decision = decide(&active(leased("shop"), record()), &working, now());
    assert!(
        matches!(decision.after.as_slice(), [Effect::KeepLease(name)] if name == "shop-run-1"),
        "{:?}",
        decision.after
    );
}

#[test]
fn a_run_that_can_not_begin_gives_way_to_a_new_wish() {
    let mut facts = observed(ImageView::NotLooked, DatabaseView::NotLooked);
    facts.active = Some(run(PodState::Blocked(Trouble::ImagePull("no such image".into()))));
    let object = active(object("head"), record());
    let waiting = decide(&object, &facts, now());
    assert_eq!((reason(&waiting).as_str(), waiting.effects.len()), ("ImagePullFailed", 0));
    let mut changed = object.clone();
    changed.metadata.generation = Some(2);
    let given_up = decide(&changed, &facts, now());
    assert!(
        given_up.status.runs.cancelled.is_some() && given_up.status.runs.active.is_some(),
        "the status says so first"
    );
    assert!(matches!(given_up.after.as_slice(), [Effect::Cancel(_), ..]));

    // It began after all.
    facts.active = Some(run(PodState::Running));
    assert_eq!(decide(&after(changed.clone(), &given_up), &facts, now()).status.runs.cancelled, None);

    // Its Job is gone, and it never began.
    let mut facts = stored("a b", "a");
    facts.active = Some(ActiveRun { job: None, ..run(PodState::Waiting) });
    let recorded = decide(&after(changed, &given_up), &facts, now());
    let last = recorded.status.last_run.as_ref().unwrap();
    assert_eq!((last.result, last.reason.as_deref()), (RunResult::Refused, Some("RunInterrupted")));
    assert_eq!(started(&recorded).unwrap().0.number, 2);
}

#[test]
fn a_run_whose_job_was_deleted_is_lost_until_somebody_asks() {
    let object = active(object("head"), RunRecord { transactional: false, ..record() });
    let gone = || PodState::Ended(Ended { ran: true, reason: Some("its Job was deleted".into()), ..Ended::default() });
    let found = |rows: &str, state: PodState| {
        let mut facts = stored("a b", rows);
        facts.active =
            Some(ActiveRun { job: None, ..run_of(object.status.clone().unwrap().runs.active.unwrap(), state) });
        facts
    };
    // Its pod is still there.
    let ending = decide(&object, &found("a", PodState::Running), now());
    assert_eq!((reason(&ending).as_str(), ending.status.recorded_runs()), ("Migrating", 0));

    // Its last word, if it had one, is told.
    let said = r#"{"state":"failed","started":true,"error":{"class":"MigrationFailed","message":"stopped by SIGTERM","revision":"b"}}"#;
    let stopped = decide(&object, &found("a", ended(said)), now());
    let message = &stopped.status.condition(ConditionType::Ready).unwrap().message;
    assert!(reason(&stopped) == "RunLost" && message.contains("stopped by SIGTERM"), "{message}");

    let lost = decide(&object, &found("a", gone()), now());
    assert_eq!((reason(&lost).as_str(), started(&lost)), ("RunLost", None));
    let mut held = after(object.clone(), &lost);
    let much_later = Timestamp::from_second(NOW + 90_000).unwrap();
    assert_eq!(started(&decide(&held, &stored("a b", "a"), much_later)), None);
    held.annotations_mut().insert(crate::api::ANNOTATION_REQUESTED_AT.into(), "now".into());
    assert_eq!(started(&decide(&held, &stored("a b", "a"), much_later)).unwrap().0.number, 2);

    let arrived = decide(&object, &found("b", gone()), now());
    assert_eq!((reason(&arrived).as_str(), arrived.status.runs.succeeded()), ("AtTarget", 1));

    // Nobody can judge it while the database does not answer.
    let mut silent = found("a", gone());
    silent.database = DatabaseView::Failed(Problem::new(Reason::DatabaseUnreachable, "no answer"));
    let unjudged = decide(&object, &silent, now());
    assert_eq!((reason(&unjudged).as_str(), unjudged.status.recorded_runs()), ("DatabaseUnreachable", 0));
}

#[test]
fn a_job_that_was_made_and_not_released_is_released_or_goes() {
    let object = active(object("head"), record());
    let mut facts = observed(ImageView::NotLooked, DatabaseView::NotLooked);
    let mut unreleased = run(PodState::Waiting);
    unreleased.job.as_mut().unwrap().suspended = true;
    facts.active = Some(unreleased);
    assert!(decide(&object, &facts, now()).after.iter().any(|e| matches!(e, Effect::Release(_))));

    // One that the status does not know is nobody's.
    let mut facts = stored("a b", "b");
    let request = Request::Run { run: Box::new(RunRecord { number: 7, ..record() }) };
    let record = JobRecord { number: 7, request, ..JobRecord::default() };
    facts.jobs = vec![JobView { name: "shop-run-7".into(), record, suspended: true, ..job(PodState::Waiting) }];
    let settled = decide(&super::tests::object("head"), &facts, now());
    assert!(settled.after.iter().any(|e| matches!(e, Effect::Cancel(job) if job.name == "shop-run-7")));
}

#[test]
fn an_ended_run_is_recorded_once_and_judged_by_the_rows() {
    let mut observed = stored("a b", "b");
    observed.active = Some(run(ended(r#"{"state":"done","started":true}"#)));
    let mut held = active(object("head"), record());
    held.metadata.finalizers = Some(vec![crate::api::FINALIZER.into()]);
    let first = decide(&held, &observed, now());
    assert_eq!((reason(&first).as_str(), first.status.recorded_runs()), ("AtTarget", 1));
    let order: Vec<_> = first.after.iter().filter(|e| !matches!(e, Effect::Event { .. })).collect();
    assert!(matches!(order.as_slice(), [Effect::OwnJob(_), Effect::RemoveFinalizer]), "{order:?}");
    assert!(events(&first).contains(&"MigrationSucceeded"));
    assert_eq!((first.status.runs.active, first.status.runs.started), (None, 1));

    // The same end seen from an old copy of the object is recorded as the same.
    assert_eq!(decide(&held, &observed, now()).status.last_run, first.status.last_run);
}

#[test]
fn a_failed_run_is_not_repeated_by_itself() {
    let mut observed = stored("a b", "a");
    observed.active = Some(run(ended(
        r#"{"state":"failed","started":true,"error":{"class":"MigrationFailed","message":"boom","revision":"b"}}"#,
    )));
    let object = active(object("head"), record());
    let first = decide(&object, &observed, now());
    assert_eq!((reason(&first).as_str(), started(&first)), ("MigrationFailed", None));
    let mut again = after(object, &first);
    let much_later = Timestamp::from_second(NOW + 90_000).unwrap();
    assert_eq!(started(&decide(&again, &stored("a b", "a"), much_later)), None);
    again.annotations_mut().insert(crate::api::ANNOTATION_REQUESTED_AT.into(), "now".into());
    assert_eq!(started(&decide(&again, &stored("a b", "a"), much_later)).unwrap().0.number, 2);
}

#[test]
fn rows_that_others_changed_are_told_once() {
    let settled = after(object("b"), &decide(&object("b"), &stored("a b c", "b"), now()));
    let changed = decide(&settled, &stored("a b c", "c"), now());
    let drifted = changed.status.condition(ConditionType::Drifted).unwrap();
    assert_eq!((drifted.status.as_str(), drifted.reason.as_str()), ("True", "RevisionChanged"));
    assert_eq!(
        (reason(&changed).as_str(), events(&changed)),
        ("DowngradeNotAllowed", vec!["RevisionChanged", "DowngradeNotAllowed"])
    );
    let later = decide(&after(settled, &changed), &stored("a b c", "c"), now());
    assert!(later.status.is_true(ConditionType::Drifted) && events(&later).is_empty());
    let back = decide(&after(object("b"), &later), &stored("a b c", "b"), now());
    assert!(!back.status.is_true(ConditionType::Drifted) && reason(&back) == "AtTarget");
}

#[test]
fn an_unreachable_database_makes_ready_unknown_where_it_was_true() {
    let down = || {
        observed(
            ImageView::Stored(image("i", "a")),
            DatabaseView::Failed(Problem::new(Reason::DatabaseUnreachable, "no answer")),
        )
    };
    let fresh = decide(&object("head"), &down(), now());
    assert_eq!(fresh.status.condition(ConditionType::Ready).unwrap().status, "False");
    let was_ready = after(object("head"), &decide(&object("head"), &stored("a", "a"), now()));
    let unknown = decide(&was_ready, &down(), now());
    assert_eq!(unknown.status.condition(ConditionType::Ready).unwrap().status, "Unknown");
    assert_eq!(unknown.next, Next::BackOff);
    let still = decide(&after(was_ready, &unknown), &down(), now());
    assert_eq!(still.status, unknown.status);
}

#[test]
fn suspended_objects_start_nothing() {
    let mut held = object("head");
    held.spec.suspend = true;
    assert!(decide(&held, &observed(ImageView::Absent, seen("")), now()).effects.is_empty());
    let waiting = decide(&held, &stored("a b", "a"), now());
    assert_eq!((reason(&waiting).as_str(), started(&waiting)), ("Suspended", None));
    assert_eq!(reason(&decide(&held, &stored("a b", "b"), now())), "AtTarget");
}

#[test]
fn a_deletion_waits_for_a_run_and_for_nothing_else() {
    let mut going = object("head");
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    going.metadata.finalizers = Some(vec![crate::api::FINALIZER.into()]);
    let mut world = observed(ImageView::NotLooked, DatabaseView::NotLooked);
    world.active = Some(run(PodState::Running));
    assert!(decide(&active(going.clone(), record()), &world, now()).after.is_empty());
    world.active = None;
    let free = decide(&going, &world, now());
    assert!(free.effects.is_empty() && matches!(free.after.as_slice(), [Effect::RemoveFinalizer, ..]));
}

#[test]
fn old_jobs_go_at_the_history_limit() {
    let settled = after(object("head"), &decide(&object("head"), &stored("a", "a"), now()));
    let mut world = stored("a", "a");
    let old = |number| JobView {
        name: format!("run-{number}"),
        record: JobRecord { number, request: Request::Run { run: Box::default() }, ..JobRecord::default() },
        owned: number != 5,
        ..job(ended(""))
    };
    world.jobs = (1..=5).map(old).collect();
    world.obsolete = vec!["inspect-old".into()];
    let mut settled = settled;
    settled.status.as_mut().unwrap().runs.started = 5;
    let decision = decide(&settled, &world, now());
    assert!(decision.after.iter().any(|e| matches!(e, Effect::OwnJob(name) if name == "run-5")));
    let gone: Vec<_> = decision
        .after
        .iter()
        .filter_map(|e| match e {
            Effect::DeleteJob(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(gone, ["run-2", "run-1", "inspect-old"]);
}

fn with_tables(mut observed: Facts) -> Facts {
    if let DatabaseView::Seen(snapshot) = &mut observed.database {
        snapshot.tables = vec!["users".into()];
    }
    observed
}

#[test]
fn tables_without_a_version_row_are_not_migrated_but_adopted() {
    let unsaid = decide(&object("head"), &with_tables(stored("a b c", "")), now());
    assert_eq!((reason(&unsaid).as_str(), started(&unsaid)), ("DatabaseUnmanaged", None));

    let adopting = |revision: &str| {
        let mut object = object("head");
        let verify = crate::api::AdoptVerify::Models;
        object.spec.adopt = Some(crate::api::Adopt { revision: revision.into(), from: None, verify });
        object
    };
    let decision = decide(&adopting("b"), &with_tables(stored("a b c", "")), now());
    let (record, run) = started(&decision).unwrap();
    assert_eq!((run.direction.as_str(), run.targets.as_slice(), run.steps), ("stamp", &["b".to_owned()][..], 0));
    assert!(run.verify_models && record.to == ["b"] && reason(&decision) == "Adopting");

    // Rows are never stamped over, and base means that the tables are somebody else's.
    let upgrade = |object: &DatabaseMigration, rows: &str| {
        started(&decide(object, &with_tables(stored("a b c", rows)), now()))
            .map(|(_, run)| (run.direction.clone(), run.from.clone()))
    };
    assert_eq!(upgrade(&adopting("b"), "a"), Some(("upgrade".into(), vec!["a".into()])));
    assert_eq!(upgrade(&adopting("base"), ""), Some(("upgrade".into(), vec![])));
}

#[test]
fn tables_that_a_failed_first_run_left_are_not_taken_for_somebody_elses() {
    let mut object = object("head");
    let failed = |number, result, reason: Reason| RunStatus {
        record: RunRecord { number, direction: "upgrade".into(), generation: 1, ..RunRecord::default() },
        result,
        reason: Some(reason.to_string()),
        ..RunStatus::default()
    };
    // A later run that was refused changes nothing about that.
    let unfinished = Some(UnfinishedRun { number: 1, direction: "upgrade".into(), from: vec![] });
    object.status = Some(DatabaseMigrationStatus {
        last_run: Some(failed(2, RunResult::Refused, Reason::ExternalTransaction)),
        history: vec![failed(1, RunResult::Failed, Reason::PartiallyApplied)],
        runs: RunsStatus { started: 2, unfinished, ..RunsStatus::default() },
        ..Default::default()
    });
    let left = with_tables(stored("a b", ""));
    assert_eq!(reason(&decide(&object, &left, now())), "ExternalTransaction");
    object.annotations_mut().insert(crate::api::ANNOTATION_REQUESTED_AT.into(), "again".into());
    assert!(started(&decide(&object, &left, now())).is_some());
}

#[test]
fn stepwise_runs_one_revision_at_a_time() {
    let mut object = object("head");
    object.spec.strategy = crate::api::Strategy::Stepwise;
    let decision = decide(&object, &stored("a b c", ""), now());
    let (record, run) = started(&decision).unwrap();
    assert_eq!(
        (run.targets.as_slice(), run.steps, record.to.as_slice()),
        (&["a".to_owned()][..], 1, &["a".to_owned()][..])
    );
    assert_eq!(decision.status.pending.as_ref().unwrap().count, 3);
    object.spec.target_revision = "base".into();
    object.spec.policy.downgrade = crate::api::DowngradePolicy::Allow;
    let down = decide(&object, &stored("a b c", "c"), now());
    let (record, run) = started(&down).unwrap();
    assert_eq!((run.branch.as_deref(), record.to.as_slice()), (Some("c"), &["b".to_owned()][..]));
}

#[test]
fn a_database_that_can_not_roll_back_is_partially_applied() {
    let mut observed = stored("a b", "a");
    let record = RunRecord { transactional: false, ..record() };
    observed.active = Some(run_of(
        record.clone(),
        ended(
            r#"{"state":"failed","started":true,"error":{"class":"MigrationFailed","message":"boom","revision":"b"}}"#,
        ),
    ));
    assert_eq!(reason(&decide(&active(object("head"), record), &observed, now())), "PartiallyApplied");
}

#[test]
fn a_target_that_another_image_has_is_told_from_one_that_nobody_has() {
    let mut observed = stored("a b", "a");
    assert_eq!(reason(&decide(&object("c"), &observed, now())), "UnknownTarget");
    observed.remembered = vec![image("shop:newer", "a b c")];
    let decision = decide(&object("c"), &observed, now());
    let message = &decision.status.condition(ConditionType::Ready).unwrap().message;
    assert!(reason(&decision) == "RevisionNotInImage" && message.contains("shop:newer has it"), "{message}");
}

#[test]
fn an_id_that_does_not_fit_is_found_before_the_run() {
    let long = "a_revision_id_that_somebody_wrote_by_hand";
    let column = |width| {
        let mut observed = stored(&format!("a {long}"), "a");
        if let DatabaseView::Seen(snapshot) = &mut observed.database {
            snapshot.column = width;
        }
        decide(&object("head"), &observed, now())
    };
    assert_eq!((reason(&column(None)).as_str(), started(&column(None))), ("RevisionIdTooLong", None));
    assert_eq!(reason(&column(Some(40))), "RevisionIdTooLong");
    assert!(started(&column(Some(64))).is_some());
}

fn differing(reason: &str) -> ModelsView {
    let number = |kind: &str| u32::from(reason == kind);
    let objects = serde_json::from_value(json!([{"change": reason, "object": "table users"}])).unwrap_or_default();
    ModelsView::Compared(Differences {
        missing: number("Missing"),
        unexpected: number("Unexpected"),
        modified: number("Modified"),
        objects,
    })
}

#[test]
fn differences_from_the_models_are_shown_and_leave_ready_alone() {
    let mut object = object("head");
    object.spec.drift.mode = DriftMode::Models;
    let mut observed = stored("a b", "b");
    observed.next_comparison = Some(CompareRequest { record: JobRecord::default(), image: "shop@sha256:1".into() });
    observed.models = ModelsView::Comparing(None);
    let drifted = |decision: &Decision| {
        let condition = decision.status.condition(ConditionType::Drifted).unwrap();
        (condition.status.clone(), condition.reason.clone())
    };
    let first = decide(&object, &observed, now());
    assert!(requested::<CompareRequest>(&first).is_some_and(|request| request.image == "shop@sha256:1"));
    assert_eq!((reason(&first).as_str(), drifted(&first).0.as_str()), ("AtTarget", "Unknown"));

    observed.next_comparison = None;
    observed.models = differing("Missing");
    let object = after(object, &first);
    let found = decide(&object, &observed, now());
    assert_eq!((reason(&found).as_str(), drifted(&found)), ("AtTarget", ("True".to_owned(), "Missing".to_owned())));
    assert_eq!((events(&found), found.status.drift.as_ref().map(|d| d.missing)), (vec!["DriftDetected"], Some(1)));
    let object = after(object, &found);
    assert_eq!(events(&decide(&object, &observed, now())), Vec::<&str>::new());

    // While the next comparison is made, the last one stands.
    observed.models = ModelsView::Comparing(None);
    assert_eq!(drifted(&decide(&object, &observed, now())).0, "True");
    observed.models = differing("none");
    let resolved = decide(&object, &observed, now());
    assert_eq!(
        (drifted(&resolved).1.as_str(), events(&resolved), &resolved.status.drift),
        ("InSync", vec!["DriftResolved"], &None)
    );

    // On the way to the target nothing is compared.
    let mut away = stored("a b", "a");
    away.models = ModelsView::NotAtHeads;
    let left = decide(&object, &away, now());
    assert!(started(&left).is_some());
}

#[test]
fn drift_from_the_models_blocks_the_next_run() {
    let mut object = object("head");
    object.spec.drift.mode = DriftMode::Models;
    object.spec.drift.on_drift = crate::api::OnDrift::Block;
    let mut at_target = stored("a b", "b");
    at_target.models = differing("Missing");
    let found = decide(&object, &at_target, now());
    assert_eq!(reason(&found), "DriftBlocked");
    let mut away = stored("a b c", "b");
    away.models = ModelsView::NotAtHeads;
    let held = decide(&after(object, &found), &away, now());
    assert_eq!((reason(&held).as_str(), started(&held)), ("DriftBlocked", None));
}

#[test]
fn an_engine_whose_schema_nobody_can_read_holds_nothing_up() {
    let mut object = object("head");
    object.spec.drift.on_drift = crate::api::OnDrift::Block;
    let told = |object: &DatabaseMigration, facts: &Facts| {
        let decision = decide(object, facts, now());
        let condition = decision.status.condition(ConditionType::Drifted).unwrap();
        (condition.status.clone(), condition.reason.clone(), started(&decision).is_some())
    };
    let of = |rows: &str| {
        let mut facts = stored("a b", rows);
        if let DatabaseView::Seen(snapshot) = &mut facts.database {
            snapshot.dialect = "duckdb".into();
        }
        facts
    };
    let unknown = |runs| ("Unknown".to_owned(), "NotApplicable".to_owned(), runs);
    assert_eq!((told(&object, &of("b")), told(&object, &of("a"))), (unknown(false), unknown(true)));
    object.spec.drift.mode = DriftMode::Models;
    let mut facts = of("b");
    facts.models = ModelsView::Failed(Problem::new(Reason::UnsupportedDialect, "it reads no tables"));
    assert_eq!(told(&object, &facts), unknown(false));
}

#[test]
fn a_downgrade_that_is_known_to_fail_is_refused_before_its_first_step() {
    let good = || json!({"text": "", "sha256": "0", "opaque": []});
    let bad = || json!({"text": null, "sha256": null, "opaque": ["it has no name"], "broken": "CompileError: it has no name"});
    let of = |id: &str| json!({"upgrade": good(), "downgrade": if id == "b" { bad() } else { good() }});
    let image = || ImageView::Stored(image_of("shop@sha256:1", "a b c", of));
    let mut object = object("a");
    object.spec.policy.downgrade = crate::api::DowngradePolicy::Allow;
    let decision = decide(&object, &observed(image(), seen("c")), now());
    assert_eq!(reason(&decision), "IrreversibleRevision");
    let ready = decision.status.condition(ConditionType::Ready).unwrap();
    assert!(ready.message.contains("revision b") && ready.message.contains("can't work"), "{}", ready.message);
    object.spec.target_revision = "b".into();
    assert_ne!(reason(&decide(&object, &observed(image(), seen("c")), now())), "IrreversibleRevision");
    object.spec.target_revision = "c".into();
    assert_ne!(reason(&decide(&object, &observed(image(), seen("a")), now())), "UnusableRevision");
}

#[test]
fn files_that_a_revision_reads_are_in_the_hash_of_a_plan() {
    let reading = |sha256: &str| {
        let mut inspected = image("shop@sha256:1", "a").inspection.clone();
        inspected.revisions[0].reads =
            serde_json::from_value(json!([{"path": "/app/a.sql", "sha256": sha256}])).unwrap();
        ImageView::Stored(Arc::new(Inspected::new("shop@sha256:1".into(), None, inspected)))
    };
    let hash = |sha256: &str| {
        let decision = decide(&object("a"), &observed(reading(sha256), seen("")), now());
        decision.status.plan.unwrap().hash
    };
    assert_ne!(hash("1"), hash("2"));
}

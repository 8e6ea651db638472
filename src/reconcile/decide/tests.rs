//! What is decided about runs: when one starts, what it waits for, and what its end means.

use super::{fixtures::seen, fixtures::*, *};
use crate::{
    api::{LockKind, RunRecord, RunResult},
    jobs::{Ended, InspectRequest, JobRecord, Request, Trouble},
    reconcile::facts::{ActiveRun, ImageView},
};
use kube::ResourceExt;

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

    // Its last message, if there is one, is shown.
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
    let settled = decide(&super::fixtures::object("head"), &facts, now());
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

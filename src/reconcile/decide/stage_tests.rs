//! What is decided about backups and verifications, as the effects and the conditions show it.

use super::{fixtures::*, *};
use crate::{
    api::{ANNOTATION_REQUESTED_AT, Backup, DowngradePolicy, OnFailure, RunRecord, StageResult, When},
    jobs::{BackupRequest, Ended, JobRecord, Request, VerifyRequest},
    reconcile::facts::ImageView,
};
use kube::ResourceExt;
use serde_json::json;

pub(super) const DONE: &str = r#"{"state":"done","started":true}"#;

pub(super) fn backed_up(when: When) -> DatabaseMigration {
    let mut object = object("head");
    let pod = json!({ "containers": [{ "name": "dump", "image": "postgres:15" }] });
    object.spec.stages.backup = Backup {
        when,
        job: serde_json::from_value(json!({ "template": { "spec": pod } })).unwrap(),
        ..Backup::default()
    };
    object
}

pub(super) fn asked(decision: &Decision) -> Option<BackupRequest> {
    requested(decision)
}

pub(super) fn verification(decision: &Decision) -> Option<VerifyRequest> {
    requested(decision)
}

pub(super) fn stage(name: &str, record: &JobRecord, state: PodState) -> JobView {
    JobView { name: name.into(), record: record.clone(), ..job(state) }
}

/// The Job of a verification.
pub(super) fn verifies(request: &VerifyRequest, state: PodState) -> JobView {
    stage(&request.record.name(&object("head")), &request.record, state)
}

pub(super) fn exit(code: i32) -> PodState {
    let message = Some("disk full".to_owned());
    PodState::Ended(Ended { ran: true, exit_code: Some(code), message, finished_at: Some(now()), ..Ended::default() })
}

pub(super) fn condition(decision: &Decision) -> (String, String) {
    let condition = decision.status.condition(ConditionType::BackedUp).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

pub(super) fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// The same world again, once what was decided is stored.
pub(super) fn again(object: DatabaseMigration, decision: &Decision, observed: &Facts) -> Decision {
    decide(&after(object, decision), observed, Timestamp::from_second(now().as_second() + 7).unwrap())
}

#[test]
fn a_run_waits_for_its_backup_and_then_for_the_record_of_it() {
    let object = backed_up(When::Always);
    let first = decide(&object, &stored("a b c", "a"), now());
    let ask = asked(&first).unwrap();
    assert_eq!((reason(&first).as_str(), condition(&first)), ("BackingUp", pair("False", "Running")));
    assert!(started(&first).is_none() && events(&first) == ["BackupStarted"]);
    let Request::Backup { from, to, .. } = &ask.record.request else { panic!("{ask:?}") };
    assert_eq!((from.join(","), to.join(","), ask.record.number), ("a".into(), "c".into(), 1));

    // The watch has not brought the Job yet: it is asked for again, under the same name.
    let second = again(object.clone(), &first, &stored("a b c", "a"));
    assert_eq!((asked(&second), events(&second), &second.status), (Some(ask.clone()), vec![], &first.status));

    let mut world = stored("a b c", "a");
    world.jobs = vec![stage(&ask.name, &ask.record, PodState::Running)];
    let working = again(object.clone(), &second, &world);
    assert!(asked(&working).is_none() && started(&working).is_none() && reason(&working) == "BackingUp");
    assert_eq!(again(object.clone(), &working, &world).status, working.status, "not even a time");

    world.jobs = vec![stage(&ask.name, &ask.record, exit(0))];
    let complete = again(object.clone(), &working, &world);
    assert!(started(&complete).is_some());
    assert_eq!((condition(&complete), events(&complete)[0]), (pair("True", "Succeeded"), "BackupSucceeded"));
    let recorded = complete.status.stages.backup.clone().unwrap();
    assert_eq!((recorded.stage.result, recorded.stage.job.as_str()), (StageResult::Succeeded, ask.name.as_str()));

    // The run was refused, and somebody has deleted the Job of the backup.
    let (record, _) = started(&complete).unwrap();
    let mut world = stored("a b c", "a");
    let refused = r#"{"state":"refused","error":{"class":"LockTimeout","message":"locked"}}"#;
    world.active = Some(run_of(record, ended(refused)));
    let waits = decide(&after(object.clone(), &complete), &world, now());
    let later = Timestamp::from_second(now().as_second() + 600).unwrap();
    let retried = decide(&after(object, &waits), &stored("a b c", "a"), later);
    assert!(started(&retried).is_some() && asked(&retried).is_none());
}

#[test]
fn a_backup_that_failed_blocks_until_it_is_asked_anew() {
    let object = backed_up(When::Always);
    let first = decide(&object, &stored("a b", "a"), now());
    let ask = asked(&first).unwrap();
    let mut world = stored("a b", "a");
    world.jobs = vec![stage(&ask.name, &ask.record, exit(1))];
    let failed = again(object.clone(), &first, &world);
    let message = &failed.status.condition(ConditionType::Ready).unwrap().message;
    assert!(
        message.contains("exit code 1") && message.contains("disk full") && message.contains("requestedAt"),
        "{message}"
    );
    assert_eq!((reason(&failed).as_str(), condition(&failed)), ("BackupFailed", pair("False", "Failed")));
    assert!(started(&failed).is_none() && events(&failed) == ["BackupFailed"]);
    let still = again(object.clone(), &failed, &world);
    assert_eq!((&still.status, events(&still)), (&failed.status, vec![]));

    let mut object = object;
    object.annotations_mut().insert(ANNOTATION_REQUESTED_AT.into(), "now".into());
    let anew = asked(&again(object.clone(), &still, &world)).unwrap();
    object.annotations_mut().clear();
    object.metadata.generation = Some(2);
    let changed = asked(&again(object, &still, &world)).unwrap();
    assert!(anew.name != ask.name && changed.name != ask.name && changed.name != anew.name);
}

#[test]
fn a_backup_that_nobody_waits_for_is_deleted() {
    let object = backed_up(When::Always);
    let ask = asked(&decide(&object, &stored("a b", "a"), now())).unwrap();
    let deleted = |object: &DatabaseMigration, world: &Facts| {
        decide(object, world, now()).after.iter().any(|e| matches!(e, Effect::DeleteJob(name) if *name == ask.name))
    };
    let at = |rows: &str| {
        let mut world = stored("a b", rows);
        world.jobs = vec![stage(&ask.name, &ask.record, PodState::Running)];
        world
    };
    assert!(!deleted(&object, &at("a")) && deleted(&object, &at("b")), "somebody else went to the target");
    let mut other = object;
    other.metadata.generation = Some(2);
    assert!(deleted(&other, &at("a")));
}

#[test]
fn only_what_can_lose_data_is_backed_up_on_hazard() {
    let mut object = backed_up(When::OnHazard);
    object.spec.policy.approval.mode = crate::api::ApprovalMode::Auto;
    let stored =
        |rows: &str| observed(ImageView::Stored(super::approval_tests::dangerous("")), super::fixtures::seen(rows));
    let up = decide(&object, &stored("a"), now());
    assert!(started(&up).is_some() && condition(&up) == pair("False", "NotRequired"));
    object.spec.target_revision = "a".into();
    object.spec.policy.downgrade = DowngradePolicy::Allow;
    let down = decide(&object, &stored("b"), now());
    assert!(started(&down).is_none() && asked(&down).is_some());
    object.spec.suspend = true;
    let held = decide(&object, &stored("b"), now());
    assert_eq!((reason(&held).as_str(), asked(&held)), ("Suspended", None));
    assert_eq!(condition(&held), pair("Unknown", "NotChecked"));
}

#[test]
fn a_retry_of_the_same_ask_uses_the_same_backup() {
    let mut object = backed_up(When::Always);
    let first = asked(&decide(&object, &stored("a b", "a"), now())).unwrap();
    let last = |result, reason: &str, object: &mut DatabaseMigration| {
        let run = crate::api::RunStatus {
            record: RunRecord { number: 1, attempts: 1, generation: 1, ..RunRecord::default() },
            result,
            reason: Some(reason.into()),
            ..Default::default()
        };
        let runs = crate::api::RunsStatus { started: 1, ..Default::default() };
        object.status = Some(DatabaseMigrationStatus { last_run: Some(run), runs, ..Default::default() });
        asked(&decide(object, &stored("a b", "a"), now())).unwrap().name
    };
    assert_eq!(last(crate::api::RunResult::Failed, "TableLocked", &mut object), first.name);
    assert_ne!(last(crate::api::RunResult::Succeeded, "", &mut object), first.name, "another run of the same plan");
}

/// An object whose run has just ended at its target, and that world.
pub(super) fn verified(on_failure: OnFailure) -> (DatabaseMigration, Facts) {
    let mut object = object("head");
    object.spec.stages.verify = serde_json::from_value(json!({ "when": "Always", "command": ["./smoke"] })).unwrap();
    object.spec.stages.verify.on_failure = on_failure;
    object.spec.policy.downgrade = DowngradePolicy::Allow;
    let mut observed = stored("a b", "b");
    observed.active = Some(run(ended(DONE)));
    (active(object, record()), observed)
}

#[test]
fn ready_waits_for_the_verification_of_the_run() {
    let (object, observed) = verified(OnFailure::Hold);
    let first = decide(&object, &observed, now());
    let ask = verification(&first).unwrap();
    assert_eq!((reason(&first).as_str(), ask.record.number, ask.image.as_str()), ("Verifying", 1, "shop@sha256:1"));
    let mut world = stored("a b", "b");
    world.jobs = vec![verifies(&ask, exit(0))];
    let passed = again(object.clone(), &first, &world);
    assert_eq!(
        (reason(&passed).as_str(), passed.status.stages.verify.as_ref().unwrap().stage.result),
        ("AtTarget", StageResult::Succeeded)
    );
    world.jobs.clear();
    let settled = after(object, &passed);
    let still = decide(&settled, &world, now());
    assert!(reason(&still) == "AtTarget" && still.status == passed.status);

    let mut other = settled.clone();
    other.spec.image = "shop:2".into();
    other.annotations_mut().insert(ANNOTATION_REQUESTED_AT.into(), "now".into());
    assert_eq!(reason(&decide(&other, &world, now())), "AtTarget", "it passed, and no run came since");
    other.spec.stages.verify.command = vec!["./other".into()];
    assert!(verification(&decide(&other, &world, now())).is_some());

    // A database that was there before the first run, or that somebody else brought there, is not ours to verify.
    let mut nobodys = settled;
    nobodys.status = None;
    assert_eq!(reason(&decide(&nobodys, &world, now())), "AtTarget");
}

/// After a verification that failed.
pub(super) fn not_verified(on_failure: OnFailure, ids: &Facts) -> (DatabaseMigration, Facts, Decision) {
    let (object, observed) = verified(on_failure);
    let first = decide(&object, &observed, now());
    let ask = verification(&first).unwrap();
    let mut world = ids.clone();
    world.jobs = vec![verifies(&ask, exit(1))];
    let failed = again(object.clone(), &first, &world);
    (after(object, &failed), world, failed)
}

#[test]
fn a_failed_verification_holds_until_something_is_asked_anew() {
    let (object, world, failed) = not_verified(OnFailure::Hold, &stored("a b", "b"));
    let message = &failed.status.condition(ConditionType::Ready).unwrap().message;
    assert!(reason(&failed) == "VerifyFailed" && message.contains("disk full"), "{message}");
    assert!(started(&failed).is_none() && failed.status.is_true(ConditionType::Stalled));
    assert_eq!(decide(&object, &world, now()).status, failed.status);
    let anew = |change: fn(&mut DatabaseMigration)| {
        let mut object = object.clone();
        change(&mut object);
        verification(&decide(&object, &world, now()))
    };
    assert!(anew(|object| object.metadata.generation = Some(2)).is_none());
    assert!(
        anew(|object| drop(object.annotations_mut().insert(ANNOTATION_REQUESTED_AT.into(), "now".into()))).is_some()
    );
    assert!(anew(|object| object.spec.image = "shop:2".into()).is_some());
}

#[test]
fn finished_stages_are_kept_like_runs() {
    let mut world = stored("a b", "b");
    let of = |run: i64| {
        let request = Request::Backup { plan_hash: String::new(), from: vec![], to: vec![] };
        let record = JobRecord { number: run, request, ..JobRecord::default() };
        stage(&format!("backup-{run}"), &record, exit(0))
    };
    world.jobs = (1..=5).map(of).collect();
    let settled = after(object("head"), &decide(&object("head"), &stored("a b", "b"), now()));
    let deleted: Vec<_> = decide(&settled, &world, now()).after;
    let names: Vec<_> = deleted.iter().map(|e| format!("{e:?}")).collect();
    assert_eq!(names, ["DeleteJob(\"backup-2\")", "DeleteJob(\"backup-1\")"]);
}

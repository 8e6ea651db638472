//! What may still pass by itself, and what is given up.

use super::fixtures::{active, after, job, now, object, observed, reason, record, run, seen, started, stored};
use super::*;
use crate::{
    jobs::Trouble,
    reconcile::{
        facts::{ActiveRun, ImageView},
        line::{By, Place, Taken},
    },
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};

fn at(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn failed(reason: Reason) -> Facts {
    observed(ImageView::NotLooked, DatabaseView::Failed(Problem::new(reason, "not there")))
}

/// Ready, Reconciling and Stalled.
fn state(decision: &Decision) -> (String, &'static str) {
    let is = |type_| decision.status.is_true(type_);
    let state = match (is(ConditionType::Ready), is(ConditionType::Reconciling), is(ConditionType::Stalled)) {
        (true, false, false) => "Current",
        (false, true, false) => "InProgress",
        (false, false, true) => "Failed",
        _ => "none",
    };
    (reason(decision), state)
}

fn is(reason: &str, state: &'static str) -> (String, &'static str) {
    (reason.to_owned(), state)
}

#[test]
fn who_has_no_place_waits_and_starts_nothing() {
    let mut facts = stored("a b", "a");
    facts.turn = Place::Taken(Taken { place: 3, waiting: 40, by: By::All(50) });
    let decision = decide(&object("head"), &facts, at(0));
    assert_eq!(state(&decision), is("Queued", "InProgress"));
    assert!(!decision.effects.iter().any(|effect| matches!(effect, Effect::Start(_))));
    let message = &decision.status.condition(ConditionType::Ready).unwrap().message;
    assert!(message.contains("number 3 of 40 in the line: 50 runs are at work"), "{message}");
    assert!(decision.status.plan.is_some(), "the plan is shown meanwhile");
}

#[test]
fn what_comes_a_little_later_is_no_fault_at_first() {
    let first = decide(&object("head"), &failed(Reason::SecretNotFound), at(0));
    assert_eq!(state(&first), is("SecretNotFound", "InProgress"));
    let object = after(object("head"), &first);
    let second = decide(&object, &failed(Reason::SecretNotFound), at(299));
    assert_eq!(second.status, first.status, "nothing is written while it waits");
    let third = decide(&object, &failed(Reason::SecretNotFound), at(300));
    assert_eq!(state(&third), is("SecretNotFound", "Failed"));

    // Each fault has a grace period of its own, and so has each generation.
    let mut object = after(object, &third);
    assert_eq!(state(&decide(&object, &failed(Reason::NoSuchDatabase), at(301))), is("NoSuchDatabase", "InProgress"));
    assert_eq!(state(&decide(&object, &failed(Reason::PermissionDenied), at(301))), is("PermissionDenied", "Failed"));
    object.metadata.generation = Some(2);
    assert_eq!(state(&decide(&object, &failed(Reason::SecretNotFound), at(301))), is("SecretNotFound", "InProgress"));

    // Once all is well it is forgotten.
    let well = decide(&object, &stored("a", "a"), at(302));
    assert_eq!((state(&well), &well.status.waiting), (is("AtTarget", "Current"), &None));
}

#[test]
fn the_grace_period_does_not_begin_anew_when_a_pod_is_replaced() {
    let inspecting = |state: PodState| observed(ImageView::InProgress(job(state)), seen(""));
    let full = || PodState::Blocked(Trouble::Unschedulable("0/1 nodes".into()));
    let mut object = object("head");
    for (second, pod, state_then) in [
        (0, full(), is("PodUnschedulable", "InProgress")),
        (200, PodState::Waiting, is("Inspecting", "InProgress")),
        (310, full(), is("PodUnschedulable", "Failed")),
    ] {
        let decision = decide(&object, &inspecting(pod), at(second));
        assert_eq!(state(&decision), state_then);
        object = after(object, &decision);
    }
    // One that has worked is a beginning.
    let mut facts = inspecting(PodState::Running);
    facts.jobs = vec![job(PodState::Running)];
    object = after(object.clone(), &decide(&object, &facts, at(320)));
    assert_eq!(state(&decide(&object, &inspecting(full()), at(900))), is("PodUnschedulable", "InProgress"));
}

fn running(state: PodState) -> Facts {
    Facts { active: Some(run(state)), ..observed(ImageView::NotLooked, DatabaseView::NotLooked) }
}

#[test]
fn a_run_that_never_starts_is_given_up_and_tried_again() {
    let object = active(object("head"), record());
    let stuck = || PodState::Blocked(Trouble::Stuck("FailedMount: configmap app not found".into()));
    let waits = decide(&object, &running(stuck()), at(30));
    assert_eq!(state(&waits), is("PodStuck", "InProgress"));
    assert!(waits.after.iter().all(|effect| !matches!(effect, Effect::Cancel(_))));
    let object = after(object, &waits);
    assert_eq!(state(&decide(&object, &running(stuck()), at(899))), is("PodStuck", "Failed"));
    // A node that does not answer, or an image that takes for ever, writes no event.
    for pod in [stuck(), PodState::Waiting] {
        let given_up = decide(&object, &running(pod), at(901));
        assert!(matches!(given_up.after.as_slice(), [Effect::Cancel(_), ..]), "{:?}", given_up.after);
        let gone = ActiveRun { job: None, ..run(PodState::Waiting) };
        let facts = Facts { active: Some(gone), ..stored("a b", "a") };
        let recorded = decide(&after(object.clone(), &given_up), &facts, at(902));
        let last = recorded.status.last_run.as_ref().unwrap();
        assert_eq!((last.result, last.reason.as_deref()), (RunResult::Refused, Some("PodStuck")));
        assert!(last.message.as_ref().unwrap().contains("did not start within 15 min"), "{last:?}");
        assert_eq!(started(&recorded).unwrap().0.number, 2, "another pod may have more luck");
    }
    // The scheduler goes on by itself.
    let full = PodState::Blocked(Trouble::Unschedulable("0/1 nodes".into()));
    let waits = decide(&object, &running(full), at(3600));
    assert!(waits.after.iter().all(|effect| !matches!(effect, Effect::Cancel(_))));
}

#[test]
fn a_deletion_never_hangs_on_a_pod_that_does_not_start() {
    let mut object = active(object("head"), record());
    object.metadata.deletion_timestamp = Some(Time(at(0)));
    let cancels = |state, second| {
        let decision = decide(&object, &running(state), at(second));
        decision.after.iter().any(|effect| matches!(effect, Effect::Cancel(_)))
    };
    assert!(cancels(PodState::Blocked(Trouble::Stuck("FailedMount".into())), 1));
    assert!(cancels(PodState::Blocked(Trouble::Initializing("wait-for-db".into())), 1));
    assert!(!cancels(PodState::Waiting, 30), "it may be starting right now");
    assert!(cancels(PodState::Waiting, 61));
    assert!(!cancels(PodState::Running, 3600));
}

#[test]
fn a_failed_init_container_is_named_and_the_run_tried_again() {
    let ended = Ended {
        before: Some("wait-for-db".into()),
        exit_code: Some(7),
        reason: Some("Error".into()),
        message: Some("no route to db:5432\n".into()),
        ran: true,
        ..Ended::default()
    };
    let facts = Facts { active: Some(run(PodState::Ended(ended))), ..stored("a b", "a") };
    let decision = decide(&active(object("head"), record()), &facts, at(0));
    let last = decision.status.last_run.as_ref().unwrap();
    assert_eq!((last.result, last.reason.as_deref()), (RunResult::Refused, Some("InitContainerFailed")));
    assert!(
        last.message.as_ref().unwrap().contains("wait-for-db ended with exit code 7 (Error): no route"),
        "{last:?}"
    );
    assert_eq!(state(&decision), is("InitContainerFailed", "InProgress"));
    assert_eq!(started(&decide(&after(object("head"), &decision), &stored("a b", "a"), at(60))).unwrap().0.number, 2);
}

#[test]
fn a_fault_that_lasts_is_looked_at_less_often() {
    let pause = |interval: Option<&str>, second| {
        let mut object = object("head");
        object.spec.database.probe.interval = interval.map(str::to_owned);
        object = after(object.clone(), &decide(&object, &failed(Reason::PermissionDenied), at(0)));
        match decide(&object, &failed(Reason::PermissionDenied), at(second)).next {
            Next::Interval(pause) => pause.as_secs(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([1, 600, 100_000].map(|second| pause(None, second)), [30, 75, 120]);
    assert_eq!([1, 600, 100_000].map(|second| pause(Some("5s"), second)), [5, 5, 5]);
}

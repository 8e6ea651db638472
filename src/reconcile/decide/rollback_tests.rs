//! What becomes of a run whose verification failed, as the effects and the conditions show it.

use super::{
    fixtures::*,
    stage_tests::{
        DONE, again, asked, backed_up, condition, exit, not_verified, pair, stage, verification, verified, verifies,
    },
    *,
};
use crate::{
    api::{ApprovalMode, OnFailure, Strategy, When},
    db::VersionRows,
    jobs::{Implementation, Inspected, Inspection},
    reconcile::facts::ImageView,
};
use std::sync::Arc;

fn with_downgrade(upgrade: Implementation, downgrade: Implementation) -> Facts {
    let mut observed = stored("a b", "b");
    let image = super::fixtures::image("shop@sha256:1", "a b");
    let mut inspection: Inspection = image.inspection.clone();
    for revision in &mut inspection.revisions {
        (revision.upgrade, revision.downgrade) = (upgrade, downgrade);
    }
    observed.image = ImageView::Stored(Arc::new(Inspected::new(image.image.clone(), None, inspection)));
    observed
}

#[test]
fn an_upgrade_whose_verification_fails_is_rolled_back_where_that_is_clean() {
    let (object, mut world, back) = not_verified(OnFailure::Downgrade, &stored("a b", "b"));
    let (record, run) = started(&back).unwrap();
    assert_eq!((run.direction.as_str(), run.end.join(","), record.rolls_back), ("downgrade", "a".into(), Some(1)));
    assert_eq!(reason(&back), "Downgrading");

    // It is rolled back: nothing goes up again by itself, and nothing is verified.
    world.jobs.clear();
    let VersionRows::Rows(rows) =
        (if let DatabaseView::Seen(s) = stored("a b", "a").database { s.rows } else { VersionRows::NoTable })
    else {
        panic!()
    };
    if let DatabaseView::Seen(snapshot) = &mut world.database {
        snapshot.rows = VersionRows::Rows(rows);
    }
    world.active = Some(run_of(record, ended(DONE)));
    let down = decide(&object, &world, now());
    let message = &down.status.condition(ConditionType::Ready).unwrap().message;
    assert!(
        reason(&down) == "VerifyFailed" && message.contains("rolled back to a") && message.contains("disk full"),
        "{message}"
    );
    assert!(started(&down).is_none() && verification(&down).is_none());
    world.active = None;
    let mut object = after(object, &down);
    assert_eq!(decide(&object, &world, now()).status, down.status);
    object.metadata.generation = Some(2);
    let up = started(&decide(&object, &world, now())).unwrap();
    assert_eq!((up.1.direction.as_str(), up.0.rolls_back, up.0.number), ("upgrade", None, 3));
}

#[test]
fn a_rollback_waits_for_its_backup() {
    let (mut object, mut world, _) = not_verified(OnFailure::Downgrade, &stored("a b", "b"));
    object.spec.stages.backup = backed_up(When::Always).spec.stages.backup;
    let first = decide(&object, &world, now());
    let ask = asked(&first).unwrap();
    assert!(reason(&first) == "BackingUp" && started(&first).is_none());
    world.jobs = vec![stage(&ask.name, &ask.record, PodState::Running)];
    let working = again(object.clone(), &first, &world);
    assert_eq!(again(object.clone(), &working, &world).status, working.status, "not even a time");
    world.jobs = vec![stage(&ask.name, &ask.record, exit(1))];
    let held = again(object, &working, &world);
    let message = &held.status.condition(ConditionType::Ready).unwrap().message;
    assert!(reason(&held) == "VerifyFailed" && message.contains("BackupFailed"), "{message}");
    assert!(started(&held).is_none() && condition(&held) == pair("False", "Failed"));
}

#[test]
fn nothing_is_rolled_back_where_that_is_not_clean() {
    use Implementation::{Empty, Missing, Present, Raises};
    for (upgrade, downgrade) in [(Present, Empty), (Present, Missing), (Present, Raises)] {
        let (_, _, held) = not_verified(OnFailure::Downgrade, &with_downgrade(upgrade, downgrade));
        let message = &held.status.condition(ConditionType::Ready).unwrap().message;
        assert!(
            reason(&held) == "VerifyFailed"
                && message.contains("no automatic downgrade, since downgrade() of revision b"),
            "{message}"
        );
        assert!(started(&held).is_none());
    }
    let (_, _, merge) = not_verified(OnFailure::Downgrade, &with_downgrade(Empty, Empty));
    assert!(started(&merge).is_some(), "a merge leaves nothing");
}

#[test]
fn a_release_of_several_runs_is_rolled_back_to_where_it_began() {
    let (mut object, _) = verified(OnFailure::Downgrade);
    object.spec.strategy = Strategy::Stepwise;
    object.status = None;
    let first = started(&decide(&object, &stored("a b c", "a"), now())).unwrap().0;
    let mut world = stored("a b c", "b");
    world.active = Some(run_of(first.clone(), ended(DONE)));
    let object = active(object, first);
    let next = decide(&object, &world, now());
    let second = started(&next).unwrap().0;
    assert_eq!((second.from.join(","), second.release_from().join(",")), ("b".to_owned(), "a".to_owned()));

    let mut world = stored("a b c", "c");
    world.active = Some(run_of(second, ended(DONE)));
    let object = after(object, &next);
    let verifying = decide(&object, &world, now());
    world.active = None;
    world.jobs = vec![verifies(&verification(&verifying).unwrap(), exit(1))];
    let back = started(&again(object, &verifying, &world)).unwrap();
    assert_eq!((back.1.direction.as_str(), back.0.to.join(","), back.0.rolls_back), ("downgrade", "a".into(), Some(2)));
}

#[test]
fn a_list_of_runs_that_forgot_the_verified_one_makes_nothing_ready() {
    let (object, world, failed) = not_verified(OnFailure::Hold, &stored("a b", "b"));
    let mut forgetful = after(object, &failed);
    forgetful.status.as_mut().unwrap().history.clear();
    assert_eq!(reason(&decide(&forgetful, &world, now())), "VerifyFailed");
}

#[test]
fn a_rollback_that_waits_for_an_approval_says_what_failed() {
    let (mut object, world, failed) = not_verified(OnFailure::Downgrade, &stored("a b", "b"));
    assert!(events(&failed).contains(&"VerifyFailed"), "{:?}", events(&failed));
    object.spec.policy.approval.mode = ApprovalMode::Always;
    let waits = decide(&object, &world, now());
    let message = &waits.status.condition(ConditionType::Ready).unwrap().message;
    assert_eq!(reason(&waits), "AwaitingApproval");
    assert!(message.contains("verification of run 1 failed") && message.contains("rolling back"), "{message}");
}

//! Histories that were rewritten, and databases that were emptied or exchanged: found, named, and each with a way out.

use super::fixtures::{after, image, image_of, now, object, observed, reason, seen, started};
use super::*;
use crate::{
    api::{Adopt, AdoptVerify, DowngradePolicy, RunRecord, RunsStatus, SucceededRun},
    jobs::Inspected,
    reconcile::facts::ImageView,
};
use serde_json::json;
use std::sync::Arc;

/// The object after a run of `ran` that ended at `rows`, with the image `now`.
fn then(ran: &Arc<Inspected>, rows: &str, now: &Arc<Inspected>, live: &str) -> (DatabaseMigration, Facts) {
    let mut shop = object("head");
    let to = rows.split_whitespace().map(str::to_owned).collect();
    let run =
        RunRecord { number: 1, direction: "upgrade".into(), to, image: ran.image.clone(), ..RunRecord::default() };
    let last_success = Some(SucceededRun { run, ..SucceededRun::default() });
    let runs = RunsStatus { started: 1, last_success, ..RunsStatus::default() };
    shop.status = Some(DatabaseMigrationStatus { runs, images: vec![ran.image.clone()], ..Default::default() });
    let mut facts = observed(ImageView::Stored(now.clone()), seen(live));
    facts.ran = Some(ran.clone());
    if facts.ran.as_ref().is_some_and(|ran| now.revision(live).is_none() && ran.revision(live).is_some()) {
        facts.remembered = vec![ran.clone()];
    }
    (shop, facts)
}

fn message(decision: &Decision) -> String {
    decision.status.condition(ConditionType::Ready).unwrap().message.clone()
}

fn stamped(object: &mut DatabaseMigration, from: &str, revision: &str) {
    let adopt = Adopt { revision: revision.into(), from: Some(from.into()), verify: AdoptVerify::None };
    object.spec.adopt = Some(adopt);
}

/// What a decision holds up, the words of its message, and the stamp that is the way out.
fn named(then: (DatabaseMigration, Facts), why: &str, words: &str, stamp: (&str, &str, &str)) {
    let (mut object, facts) = then;
    let held = decide(&object, &facts, now());
    assert_eq!((reason(&held).as_str(), started(&held)), (why, None), "{}", message(&held));
    assert!(message(&held).contains(words), "{}", message(&held));
    let (from, revision, end) = stamp;
    stamped(&mut object, "elsewhere", revision);
    assert_eq!(reason(&decide(&object, &facts, now())), why, "the rows are others");
    stamped(&mut object, from, revision);
    let (record, run) = started(&decide(&object, &facts, now())).unwrap();
    assert_eq!((run.direction.as_str(), run.from.join(",").as_str(), run.end.join(",").as_str()), ("stamp", from, end));
    assert_eq!(record.image, "new");
}

#[test]
fn a_revision_below_the_rows_that_never_ran() {
    let (old, new) = (image("old", "a c"), image("new", "a b c"));
    named(then(&old, "c", &new, "c"), "RevisionInserted", "revision b is below the live c in new", ("c", "head", "c"));
    // Neither is it passed over on the way up.
    let longer = image("new", "a b c d");
    named(then(&old, "c", &longer, "c"), "RevisionInserted", "go down to a", ("c", "c", "c"));
}

#[test]
fn what_was_inserted_runs_by_the_way_over_what_both_have() {
    let (old, new) = (image("old", "a c"), image("new", "a b c"));
    let (mut shop, facts) = then(&old, "c", &new, "c");
    shop.spec.target_revision = "a".into();
    assert_eq!(reason(&decide(&shop, &facts, now())), "DowngradeNotAllowed");
    shop.spec.policy.downgrade = DowngradePolicy::Allow;
    let (record, run) = started(&decide(&shop, &facts, now())).unwrap();
    assert_eq!((record.image.as_str(), run.direction.as_str(), run.steps), ("old", "downgrade", 1));
    let (mut shop, facts) = then(&old, "a", &new, "a");
    shop.spec.policy.downgrade = DowngradePolicy::Allow;
    let (record, run) = started(&decide(&shop, &facts, now())).unwrap();
    assert_eq!((record.image.as_str(), run.direction.as_str(), run.steps), ("new", "upgrade", 2));
}

#[test]
fn an_id_with_another_content() {
    let sql = |text: &str| json!({"upgrade": {"text": text, "sha256": text, "opaque": []}, "downgrade": {"text": "", "sha256": "", "opaque": []}});
    let of = |name: &str, b: &'static str| image_of(name, "a b c", move |id| sql(if id == "b" { b } else { id }));
    let other_file = |inspected: Arc<Inspected>| {
        let mut inspection = inspected.inspection.clone();
        inspection.revisions[1].sha256 = "another hash".into();
        Arc::new(Inspected::new(inspected.image.clone(), inspected.digest.clone(), inspection))
    };
    let old = of("old", "one");
    let new = other_file(of("new", "two"));
    named(then(&old, "c", &new, "c"), "RevisionRewritten", "revision b has another content in new", ("c", "head", "c"));
    let formatted = other_file(of("new", "one"));
    let (shop, facts) = then(&old, "c", &formatted, "c");
    assert_eq!(reason(&decide(&shop, &facts, now())), "AtTarget", "only its file is another one");
}

#[test]
fn squashed_diverged_and_reordered_histories() {
    let old = image("old", "a b c");
    named(then(&old, "c", &image("new", "s"), "c"), "HistoryRewritten", "no revision in common", ("c", "s", "s"));
    named(then(&old, "c", &image("new", "a x y"), "c"), "HistoryDiverged", "go down to a", ("c", "y", "y"));
    named(then(&old, "c", &image("new", "a c b"), "c"), "HistoryReordered", "revision b has run", ("c", "head", "b"));
    // Down by the files that ran, where the target is in both.
    let (mut shop, facts) = then(&old, "c", &image("new", "a x y"), "c");
    shop.spec.policy.downgrade = DowngradePolicy::Allow;
    shop.spec.target_revision = "a".into();
    let (record, run) = started(&decide(&shop, &facts, now())).unwrap();
    assert_eq!((record.image.as_str(), run.direction.as_str(), run.steps), ("old", "downgrade", 2));
}

#[test]
fn a_row_that_no_file_ever_had() {
    let (mut shop, facts) = then(&image("new", "a b"), "b", &image("new", "a b"), "ghost");
    let held = decide(&shop, &facts, now());
    assert!(["UnknownRevision", "DatabaseAhead"].contains(&reason(&held).as_str()));
    assert!(message(&held).contains("spec.adopt.from: ghost"), "{}", message(&held));
    stamped(&mut shop, "ghost", "b");
    let (_, run) = started(&decide(&shop, &facts, now())).unwrap();
    assert_eq!(
        (run.direction.as_str(), run.from.join(",").as_str(), run.end.join(",").as_str()),
        ("stamp", "ghost", "b")
    );
}

#[test]
fn a_history_that_fits_is_left_alone() {
    let old = image("old", "a b");
    let (mut shop, facts) = then(&old, "b", &image("new", "a b c"), "b");
    stamped(&mut shop, "b", "a");
    let (_, run) = started(&decide(&shop, &facts, now())).unwrap();
    assert_eq!((run.direction.as_str(), run.steps), ("upgrade", 1));
    // What is known of another image says nothing.
    let (shop, mut facts) = then(&old, "b", &image("new", "a x b"), "b");
    facts.ran = Some(image("older", "a b"));
    assert_eq!(reason(&decide(&shop, &facts, now())), "AtTarget");
}

fn requested(mut object: DatabaseMigration, at: &str) -> DatabaseMigration {
    object.metadata.annotations.get_or_insert_default().insert(crate::api::ANNOTATION_REQUESTED_AT.into(), at.into());
    object
}

#[test]
fn an_emptied_database_is_held_until_somebody_says_so() {
    let shop = image("shop", "a b");
    let (object, facts) = then(&shop, "b", &shop, "");
    let held = decide(&object, &facts, now());
    assert_eq!((reason(&held).as_str(), started(&held)), ("DatabaseReplaced", None));
    let object = after(object, &held);
    assert_eq!(reason(&decide(&object, &facts, now())), "DatabaseReplaced", "it stays so");
    let mut said = object.clone();
    stamped(&mut said, "base", "base");
    assert!(started(&decide(&said, &facts, now())).is_some());
    let object = requested(object, "1");
    let decision = decide(&object, &facts, now());
    let (_, run) = started(&decision).unwrap();
    assert_eq!((run.direction.as_str(), run.steps), ("upgrade", 2));
    assert!(decision.status.database.unwrap().replaced.is_some(), "said, and not filled yet");
}

#[test]
fn another_identity_is_held_until_somebody_says_so() {
    let shop = image("shop", "a b");
    let of = |identity: &str, rows: &str| {
        let (object, mut facts) = then(&shop, "b", &shop, rows);
        let DatabaseView::Seen(snapshot) = &mut facts.database else { unreachable!() };
        snapshot.identity = Some(identity.into());
        (object, facts)
    };
    let (object, facts) = of("1", "b");
    let first = decide(&object, &facts, now());
    assert_eq!(reason(&first), "AtTarget");
    let object = after(object, &first);
    for (rows, next) in [("b", "AtTarget"), ("", "Migrating")] {
        let (_, facts) = of("2", rows);
        let held = decide(&object, &facts, now());
        assert_eq!((reason(&held).as_str(), started(&held)), ("DatabaseReplaced", None));
        let object = after(object.clone(), &held);
        let said = decide(&requested(object.clone(), "1"), &facts, now());
        assert_eq!(
            (reason(&said).as_str(), said.status.database.as_ref().unwrap().identity.as_deref()),
            (next, Some("2"))
        );
        let (_, back) = of("1", "b");
        assert_eq!(reason(&decide(&object, &back, now())), "AtTarget", "the first one is there again");
    }
}

//! What is decided about what a database holds: tables, rows, drift, and revisions that do not fit.

use super::{fixtures::seen, fixtures::*, *};
use crate::{
    api::{DriftMode, RunRecord, RunResult, RunStatus, RunsStatus, UnfinishedRun},
    jobs::{CompareRequest, Differences, Inspected, JobRecord},
    reconcile::facts::{ImageView, ModelsView},
};
use kube::ResourceExt;
use serde_json::json;
use std::sync::Arc;

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
fn a_mistyped_target_names_what_is_spelled_almost_alike() {
    let observed = stored("f06d8c51e2a7 27e5c8d90a14", "f06d8c51e2a7");
    let message = |target: &str| {
        let decision = decide(&object(target), &observed, now());
        assert_eq!(reason(&decision), "UnknownTarget");
        decision.status.condition(ConditionType::Ready).unwrap().message.clone()
    };
    assert!(message("27e5c8d90aff").ends_with("; 27e5c8d90a14 is spelled almost alike"));
    assert!(message("72e5c8d90a14").ends_with("; 27e5c8d90a14 is spelled almost alike"));
    assert!(!message("27e5ffffffff").contains("alike"));
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

#[test]
fn a_schema_that_somebody_changes_right_now_is_checked_again_soon() {
    let mut object = object("head");
    object.spec.drift.on_drift = crate::api::OnDrift::Block;
    object.spec.drift.interval = Some("6h".into());
    let held = decide(&object, &stored("a b", "a"), now());
    assert_eq!((reason(&held).as_str(), started(&held)), ("DriftUnknown", None));
    assert!(matches!(held.next, Next::Interval(pause) if pause <= Duration::from_secs(30)), "{:?}", held.next);
}

#[test]
fn a_condition_that_was_not_computed_keeps_its_generation() {
    let object = object("head");
    let settled = decide(&object, &stored("a b", "b"), now());
    let mut changed = after(object, &settled);
    changed.metadata.generation = Some(2);
    let mut facts = stored("a b", "b");
    facts.database = DatabaseView::Failed(Problem::new(Reason::SecretNotFound, "no Secret"));
    let decision = decide(&changed, &facts, now());
    let generation = |type_| decision.status.condition(type_).unwrap().observed_generation;
    assert_eq!((reason(&decision).as_str(), generation(ConditionType::Ready)), ("SecretNotFound", Some(2)));
    for type_ in [ConditionType::Planned, ConditionType::Approved, ConditionType::HazardFree] {
        let condition = decision.status.condition(type_).unwrap();
        assert!(condition.observed_generation == Some(1) || condition.status == "Unknown", "{condition:?}");
    }
}

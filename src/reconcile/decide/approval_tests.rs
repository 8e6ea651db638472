//! Which plans wait for whom, as the conditions show it, and whether a run is started.

use super::{
    fixtures::{after, events, image_of, now, object, observed, reason, seen, showing, started},
    *,
};
use crate::{
    api::{RunRecord, RunsStatus, SucceededRun},
    db::{Catalog, TableSize},
    jobs::Inspected,
    reconcile::facts::ImageView,
};
use serde_json::json;
use std::sync::Arc;

/// An image whose revision `b` drops a column on the way up, and a table on the way down.
pub(super) fn dangerous(upgrade: &str) -> Arc<Inspected> {
    let script = |text: &str| json!({"text": text, "sha256": text, "opaque": []});
    image_of("shop@sha256:1", "a b c", |id| match id {
        "b" => json!({"upgrade": script(upgrade), "downgrade": script("DROP TABLE goods;")}),
        _ => json!({"upgrade": script(""), "downgrade": script("")}),
    })
}

const DROPS: &str = "ALTER TABLE goods DROP COLUMN price;";

fn waiting(decision: &Decision) -> (&str, &str, String) {
    let condition = |type_| decision.status.condition(type_).unwrap();
    let (hazards, approved) = (condition(ConditionType::HazardFree), condition(ConditionType::Approved));
    (&hazards.reason, &approved.reason, reason(decision))
}

fn with_policy(target: &str, policy: serde_json::Value) -> DatabaseMigration {
    let mut object = object(target);
    object.spec.policy = serde_json::from_value(policy).unwrap();
    object
}

#[test]
fn nothing_asks_where_nothing_can_be_lost() {
    let decided = |sql: &str, objects: &[(&str, &str, &str)], sizes: &[&str]| {
        let mut facts = observed(ImageView::Stored(dangerous(sql)), seen("a"));
        let owned = objects.iter().map(|(k, n, d)| ((*k).to_owned(), (*n).to_owned(), (*d).to_owned()));
        facts.catalog = Some(Catalog::new("postgresql 15".into(), owned));
        facts.sizes = Some(sizes.iter().map(|name| ((*name).to_owned(), TableSize::default())).collect());
        decide(&object("b"), &facts, now())
    };
    let version = "public.alembic_version";
    // Where no table is, and where this one is not.
    assert!(started(&decided(DROPS, &[], &[version])).is_some());
    assert!(started(&decided(DROPS, &[("table", "public.other", "")], &[version, "public.other"])).is_some());
    let goods = [("table", "public.goods", ""), ("column", "public.goods.price", "character varying(10)")];
    let sizes = [version, "public.goods"];
    assert_eq!(reason(&decided(DROPS, &goods, &sizes)), "AwaitingApproval");
    // The old type says whether the new one is narrower.
    let retyped = |ty: &str| reason(&decided(&format!("ALTER TABLE goods ALTER price TYPE {ty};"), &goods, &sizes));
    assert_eq!((retyped("varchar(5)"), retyped("text")), ("AwaitingApproval".into(), "Migrating".into()));
}

#[test]
fn a_plan_that_loses_data_waits_for_its_own_approval() {
    let observed = |sql: &str| observed(ImageView::Stored(dangerous(sql)), seen("a"));
    let asked = decide(&object("b"), &observed(DROPS), now());
    assert_eq!(waiting(&asked), ("Critical", "Required", "AwaitingApproval".into()));
    assert!(started(&asked).is_none());
    assert!(asked.effects.iter().any(
        |e| matches!(e, Effect::ShowPlan { map, .. } if map["data"]["plan.sql"].as_str().unwrap().contains(DROPS))
    ));
    let plan = asked.status.plan.clone().unwrap();
    assert_eq!((plan.hazard_summary.as_deref(), plan.hazards[0].code.as_str()), (Some("1C 1L"), "D02"));
    assert!(asked.status.condition(ConditionType::Ready).unwrap().message.contains(&format!("approve={}", plan.hash)));

    // Shown once.
    let again = decide(&after(object("b"), &asked), &showing(observed(DROPS), &asked), now());
    assert!(again.effects.is_empty() && again.after.is_empty());
    // It comes back when somebody deletes it.
    let deleted = decide(&after(object("b"), &asked), &observed(DROPS), now());
    assert!(matches!(deleted.effects.as_slice(), [Effect::ShowPlan { over: None, .. }]));

    let mut annotated = after(object("b"), &asked);
    annotated.metadata.annotations = Some([(crate::api::ANNOTATION_APPROVE.to_owned(), plan.hash.clone())].into());
    let approved = decide(&annotated, &observed(DROPS), now());
    assert_eq!(waiting(&approved), ("Critical", "ApprovedByAnnotation", "Migrating".into()));
    assert_eq!(started(&approved).unwrap().0.plan_hash, plan.hash);

    // Another SQL is another plan.
    let changed = decide(&annotated, &observed("ALTER TABLE goods DROP COLUMN name;"), now());
    assert_eq!(waiting(&changed), ("Critical", "Stale", "AwaitingApproval".into()));
    assert!(started(&changed).is_none() && events(&changed).contains(&"ApprovalStale"));
    let told = decide(&after(annotated, &changed), &observed("ALTER TABLE goods DROP COLUMN name;"), now());
    assert!(events(&told).is_empty());

    let in_spec = with_policy("b", json!({"approvedPlan": plan.hash}));
    assert_eq!(waiting(&decide(&in_spec, &observed(DROPS), now())).1, "ApprovedInSpec");
}

#[test]
fn an_approval_does_not_stand_for_the_same_plan_after_it_has_run() {
    let observed = observed(ImageView::Stored(dangerous(DROPS)), seen("a"));
    let mut object = object("b");
    let hash = decide(&object, &observed, now()).status.plan.unwrap().hash;
    object.metadata.annotations = Some([(crate::api::ANNOTATION_APPROVE.to_owned(), hash.clone())].into());
    let run = RunRecord { number: 2, to: vec!["b".into()], plan_hash: hash.clone(), ..RunRecord::default() };
    let last_success = Some(SucceededRun { run, ..SucceededRun::default() });
    object.status = Some(DatabaseMigrationStatus {
        runs: RunsStatus { started: 2, last_success, ..RunsStatus::default() },
        ..DatabaseMigrationStatus::default()
    });
    // It was used, and is no news.
    let asked = decide(&object, &observed, now());
    assert_eq!(waiting(&asked).1, "Required");
    assert!(!events(&asked).contains(&"ApprovalStale"));
    // Without a success between, what was approved may be asked for again.
    object.status.as_mut().unwrap().runs.last_success = None;
    assert_eq!(waiting(&decide(&object, &observed, now())).1, "ApprovedByAnnotation");
}

#[test]
fn an_approval_names_its_database() {
    let of = |place: &str, identity: Option<&str>| {
        let mut facts = observed(ImageView::Stored(dangerous(DROPS)), seen("a"));
        facts.place = place.into();
        if let DatabaseView::Seen(snapshot) = &mut facts.database {
            snapshot.identity = identity.map(str::to_owned);
        }
        facts
    };
    let mut object = object("b");
    let hash = decide(&object, &of("staging:5432/shop", Some("1")), now()).status.plan.unwrap().hash;
    object.metadata.annotations = Some([(crate::api::ANNOTATION_APPROVE.to_owned(), hash)].into());
    let approved = |place: &str, identity| started(&decide(&object, &of(place, identity), now())).is_some();
    assert!(approved("staging:5432/shop", Some("1")));
    assert!(!approved("production:5432/shop", Some("1")) && !approved("staging:5432/shop", Some("2")));
}

#[test]
fn the_policy_says_what_waits() {
    let cases = [
        (json!({}), "b", "a", "AwaitingApproval"),
        (json!({"approval": {"mode": "Auto"}}), "b", "a", "Migrating"),
        (json!({"approval": {"mode": "Never"}}), "b", "a", "PlanOnly"),
        (json!({"approval": {"mode": "Always"}}), "c", "b", "AwaitingApproval"),
        (json!({}), "c", "b", "Migrating"),
        (json!({"hazards": {"allow": [{"code": "D02", "reason": "unused"}]}}), "b", "a", "Migrating"),
        (
            json!({"hazards": {"allow": [{"code": "D02", "revision": "c", "reason": "unused"}]}}),
            "b",
            "a",
            "AwaitingApproval",
        ),
        (json!({"downgrade": "Allow"}), "a", "b", "AwaitingApproval"),
        (json!({"downgrade": "Allow"}), "b", "c", "Downgrading"),
        (json!({"downgrade": "Allow", "approval": {"mode": "Auto"}}), "a", "b", "Downgrading"),
    ];
    for (policy, target, rows, expected) in cases {
        let observed = observed(ImageView::Stored(dangerous(DROPS)), seen(rows));
        let decision = decide(&with_policy(target, policy.clone()), &observed, now());
        assert_eq!(reason(&decision), expected, "{policy} to {target} from {rows}");
        assert_eq!(started(&decision).is_some(), !["AwaitingApproval", "PlanOnly"].contains(&expected));
    }
}

#[test]
fn a_comment_widens_nothing_where_approvals_are_restricted() {
    let of = |sql: &str, allows: &[&str], restricted: bool| {
        let mut image = dangerous(sql);
        let revisions = &mut Arc::get_mut(&mut image).unwrap().inspection.revisions;
        revisions[1].allows = allows.iter().map(|allow| (*allow).to_owned()).collect();
        let mut facts = observed(ImageView::Stored(image), seen("a"));
        facts.restricted = restricted;
        decide(&object("b"), &facts, now())
    };
    let (in_file, in_sql) = (["op: allow D02 \"unused\""], format!("-- op: allow D02 \"unused\"\n{DROPS}"));
    for (sql, allows) in [(DROPS, &in_file[..]), (in_sql.as_str(), &[])] {
        assert_eq!(reason(&of(sql, allows, false)), "Migrating", "{sql}");
        let held = of(sql, allows, true);
        assert_eq!(reason(&held), "AwaitingApproval", "{sql}");
        let told = held.status.plan.unwrap().allowances;
        assert_eq!(told.len(), allows.len(), "{told:?}");
        assert!(told.iter().all(|line| line.starts_with("D02 in b is not allowed by the comment")), "{told:?}");
    }
}

#[test]
fn a_comment_in_the_sql_of_a_revision_makes_it_no_other_revision() {
    let sql = format!("-- Running upgrade a -> c\n{DROPS}");
    let policy = json!({"hazards": {"allow": [{"code": "D02", "revision": "c", "reason": "unused"}]}});
    let facts = observed(ImageView::Stored(dangerous(&sql)), seen("a"));
    assert_eq!(reason(&decide(&with_policy("b", policy), &facts, now())), "AwaitingApproval");
}

#[test]
fn what_can_not_be_seen_is_not_safe() {
    let none = json!({"text": null, "sha256": null, "opaque": ["SQLite batch mode"]});
    let some = json!({"text": "SELECT 1;", "sha256": "1", "opaque": ["reads the database"]});
    let image = |script: serde_json::Value| {
        image_of("shop@sha256:1", "a b", move |_| json!({"upgrade": script, "downgrade": script}))
    };
    let decision = |script| decide(&object("b"), &observed(ImageView::Stored(image(script)), seen("a")), now());
    assert_eq!(waiting(&decision(none)), ("Opaque", "Required", "AwaitingApproval".into()));
    let seen_in_part = decision(some);
    assert_eq!(waiting(&seen_in_part), ("Opaque", "AutoApproved", "Migrating".into()));
    assert_eq!(seen_in_part.status.condition(ConditionType::HazardFree).unwrap().status, "Unknown");
    assert_eq!(seen_in_part.status.plan.unwrap().steps[0].opaque, ["reads the database"]);
}

#[test]
fn what_can_not_be_seen_is_approved_for_one_image() {
    let hash = |image: &str, opaque: serde_json::Value| {
        let script = json!({"text": DROPS, "sha256": "1", "opaque": opaque});
        let image = image_of(image, "a b", move |_| json!({"upgrade": script, "downgrade": script}));
        decide(&object("b"), &observed(ImageView::Stored(image), seen("a")), now()).status.plan.unwrap().hash
    };
    // A helper of another image may do another thing.
    let (one, other) = ("shop@sha256:1", "shop@sha256:2");
    assert_ne!(hash(one, json!(["calls a helper"])), hash(other, json!(["calls a helper"])));
    assert_eq!(hash(one, json!([])), hash(other, json!([])));
}

fn annotated(mut object: DatabaseMigration, annotations: &[(&str, &str)]) -> DatabaseMigration {
    let annotations = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    object.metadata.annotations = Some(annotations.collect());
    object
}

#[test]
fn a_hash_that_no_plan_has_is_told_once() {
    let observed = || observed(ImageView::Stored(dangerous(DROPS)), seen("a"));
    let asked = decide(&object("b"), &observed(), now());
    let typed = annotated(after(object("b"), &asked), &[(crate::api::ANNOTATION_APPROVE, "deadbeef")]);
    let told = decide(&typed, &showing(observed(), &asked), now());
    assert_eq!(waiting(&told).1, "UnknownPlan");
    let message = told.status.condition(ConditionType::Ready).unwrap().message.clone();
    assert!(message.starts_with("no plan of this object has the hash deadbeef"), "{message}");
    assert!(events(&told).contains(&"ApprovalUnknown"));
    let again = decide(&after(typed, &told), &showing(observed(), &told), now());
    assert!(events(&again).is_empty());
}

#[test]
fn a_rejected_plan_is_stalled_until_the_rejection_goes() {
    let observed = || observed(ImageView::Stored(dangerous(DROPS)), seen("a"));
    let asked = decide(&object("b"), &observed(), now());
    let hash = asked.status.plan.clone().unwrap().hash;
    let reject = [(crate::api::ANNOTATION_REJECT, hash.as_str()), (crate::api::ANNOTATION_REASON, "not on a Friday")];
    let rejected = decide(&annotated(after(object("b"), &asked), &reject), &showing(observed(), &asked), now());
    assert_eq!((waiting(&rejected).1, reason(&rejected)), ("Rejected", "PlanRejected".into()));
    assert!(rejected.status.is_true(ConditionType::Stalled) && started(&rejected).is_none());
    assert!(rejected.status.condition(ConditionType::Ready).unwrap().message.contains("not on a Friday"));
    // A plan that needs no approval can be rejected, too, and both at once is a no.
    let calm = with_policy("b", json!({"approval": {"mode": "Auto"}}));
    assert_eq!(reason(&decide(&annotated(calm, &reject), &observed(), now())), "PlanRejected");
    let both = [reject[0], (crate::api::ANNOTATION_APPROVE, hash.as_str())];
    assert_eq!(reason(&decide(&annotated(object("b"), &both), &observed(), now())), "PlanRejected");
    // Another plan was not rejected.
    let other = [(crate::api::ANNOTATION_REJECT, "0123456789abcdef")];
    assert_eq!(reason(&decide(&annotated(object("b"), &other), &observed(), now())), "AwaitingApproval");
}

#[test]
fn an_annotation_suspends_as_the_spec_does() {
    let facts = || observed(ImageView::Stored(dangerous("")), seen("a"));
    let held = annotated(object("c"), &[(crate::api::ANNOTATION_SUSPEND, "true")]);
    let decision = decide(&held, &facts(), now());
    assert_eq!(reason(&decision), "Suspended");
    assert!(decision.status.condition(ConditionType::Ready).unwrap().message.contains("annotation"));
    let resumed = annotated(object("c"), &[(crate::api::ANNOTATION_SUSPEND, "false")]);
    assert!(started(&decide(&resumed, &facts(), now())).is_some());
}

#[test]
fn a_run_remembers_who_approved_it() {
    let observed = observed(ImageView::Stored(dangerous(DROPS)), seen("a"));
    let hash = decide(&object("b"), &observed, now()).status.plan.unwrap().hash;
    let approve = [(crate::api::ANNOTATION_APPROVE, hash.as_str()), (crate::api::ANNOTATION_REASON, "CHG-4711")];
    let run = started(&decide(&annotated(object("b"), &approve), &observed, now())).unwrap().0;
    let approval = run.approval.unwrap();
    assert_eq!((approval.how.as_str(), approval.reason.as_deref()), ("Annotation", Some("CHG-4711")));
    // What needs no approval has none.
    let calm = with_policy("b", json!({"approval": {"mode": "Auto"}}));
    assert_eq!(started(&decide(&calm, &observed, now())).unwrap().0.approval, None);
}

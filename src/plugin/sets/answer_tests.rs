//! What somebody says of a set while others do so too, of plans that nobody can read, and of sets that may not be seen.

use super::{
    answer, plans, status_of,
    tests::{FIRST, SECOND, SETS, server, unapproved, unpromoted},
};
use crate::{
    api::{ANNOTATION_APPROVE, ANNOTATION_PROMOTE, ANNOTATION_REJECT, DatabaseMigrationSet},
    plugin::{
        approve::Say,
        tests::{OBJECTS, failure, shop},
    },
};
use serde_json::{Value, json};

/// A set with a version and an annotation.
fn at(mut set: DatabaseMigrationSet, version: &str, annotation: Option<(&str, &str)>) -> Value {
    set.metadata.resource_version = Some(version.to_owned());
    set.metadata.annotations = annotation.map(|(name, value)| [(name.to_owned(), value.to_owned())].into());
    json!(set)
}

fn tenants() -> String {
    format!("{SETS}/tenants")
}

#[test]
fn a_rejection_keeps_those_of_other_plans() {
    let mut set = unapproved();
    set.metadata.annotations = Some([(ANNOTATION_REJECT.to_owned(), format!("{SECOND},gone"))].into());
    let rejected = |say| {
        let status = status_of(&set);
        let meant = answer::meant(&set, plans::all(&status), Some("8828"), say).unwrap();
        answer::patch(&set, say, &meant, None)["metadata"]["annotations"][ANNOTATION_REJECT].clone()
    };
    assert_eq!(rejected(Say::Reject), json!(format!("{SECOND},{FIRST}")));
    assert_eq!(rejected(Say::Approve), json!(SECOND));
}

#[tokio::test]
async fn an_answer_keeps_what_others_say_meanwhile() {
    let server = server(&unapproved());
    server.put(&tenants(), at(unapproved(), "1", None));
    server.put_before_a_change(&tenants(), at(unapproved(), "2", Some((ANNOTATION_REJECT, SECOND))));
    let (code, text) = server.run("approve tenants --plan 8828 --no-follow", Some("8828\n")).await;
    assert_eq!(code, Ok(0), "{text}");
    let said = &server.get(&tenants())["metadata"]["annotations"];
    assert_eq!((&said[ANNOTATION_APPROVE], &said[ANNOTATION_REJECT]), (&json!(FIRST), &json!(SECOND)));
}

#[tokio::test]
async fn an_approval_withdraws_no_rejection_that_nobody_has_read() {
    let server = server(&unapproved());
    server.put(&tenants(), at(unapproved(), "1", None));
    server.put_before_a_change(&tenants(), at(unapproved(), "2", Some((ANNOTATION_REJECT, FIRST))));
    let (code, _) = server.run("approve tenants --plan 8828 --yes --no-follow", None).await;
    assert_eq!(code.unwrap_err(), format!("plan {FIRST} was rejected while you read it: nothing was changed"));
    assert_eq!(server.get(&tenants())["metadata"]["annotations"][ANNOTATION_REJECT], FIRST);
    // Who approves it again has read that.
    let (code, text) = server.run("approve tenants --plan 8828 --yes --no-follow", None).await;
    assert!(code == Ok(0) && server.get(&tenants())["metadata"]["annotations"][ANNOTATION_REJECT].is_null(), "{text}");
}

#[tokio::test]
async fn a_set_that_changes_again_and_again_is_left_alone() {
    let server = server(&unapproved());
    server.put(&tenants(), at(unapproved(), "1", None));
    for version in ["2", "3", "4"] {
        server.put_before_a_change(&tenants(), at(unapproved(), version, None));
    }
    let (code, _) = server.run("reject tenants --plan 8828 --yes", None).await;
    assert_eq!((code, server.patches().len()), (Err("the object has been modified".to_owned()), 3));
}

#[tokio::test]
async fn a_promotion_is_of_the_rollout_that_was_read() {
    let server = server(&unpromoted());
    server.put(&tenants(), at(unpromoted(), "1", None));
    server.put_before_a_change(&tenants(), at(unpromoted(), "2", Some((ANNOTATION_PROMOTE, "3/early"))));
    let (code, text) = server.run("promote tenants --no-follow", Some("canary\n")).await;
    assert_eq!(code, Ok(0), "{text}");
    assert_eq!(server.get(&tenants())["metadata"]["annotations"][ANNOTATION_PROMOTE], "3/early,3/canary");
    let mut next = at(unpromoted(), "3", None);
    next["status"]["rollout"]["number"] = json!(4);
    server.put_before_a_change(&tenants(), next);
    let (code, _) = server.run("promote tenants --yes --no-follow", None).await;
    assert_eq!(code.unwrap_err(), "the rollout is 4 now, and not 3: nothing was changed");
}

#[tokio::test]
async fn nobody_takes_a_plan_that_is_not_stored_for_an_empty_one() {
    let server = server(&unapproved());
    for output in ["sql", "undo", "json"] {
        let (code, text) = server.run(&format!("plan tenants -o {output}"), None).await;
        let error = code.unwrap_err();
        assert!(error.starts_with(&format!("the SQL of plan {SECOND} is not stored")) && text.is_empty(), "{error}");
        let (code, text) = server.run(&format!("plan tenants --plan 8828 -o {output}"), None).await;
        assert!(code == Ok(0) && text.len() > 100, "{code:?} {text}");
    }
    let (code, text) = server.run("approve tenants --plan 1f0c --no-follow", Some("1f0c\n")).await;
    assert!(code == Ok(0) && text.contains("  2 high; its SQL is not stored\n"), "{code:?} {text}");
}

#[tokio::test]
async fn sets_that_may_not_be_seen_are_none_and_a_failure_is_told() {
    let server = server(&unapproved());
    let list = json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": [shop()] });
    server.put(OBJECTS, list);
    for path in [SETS.to_owned(), tenants()] {
        server.put(&path, failure(403, "Forbidden", "User ada cannot read sets"));
    }
    let (code, text) = server.run("status", None).await;
    assert!(code == Ok(3) && text.contains("shop"), "{code:?} {text}");
    let error = server.run("status tenants", None).await.0.unwrap_err();
    assert!(error.contains("no DatabaseMigration called tenants; there are: shop"), "{error}");
    assert_eq!(server.run("status set/tenants", None).await.0.unwrap_err(), "User ada cannot read sets");
    server.put(&tenants(), failure(500, "InternalError", "etcd is gone"));
    assert_eq!(server.run("status tenants", None).await.0.unwrap_err(), "etcd is gone");
}

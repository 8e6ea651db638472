//! What the commands show of a few sets, kept as files in `snapshots/`, and what they write.

use super::{answer, plans, status, targets};
use crate::{
    api::DatabaseMigrationSet,
    plugin::{
        approve::{self, Say},
        overview, plan,
        tests::{OBJECTS, Server, conditions, look, merge, page, plan_map, snapshot},
        text::Line,
        view::State,
    },
};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

pub const SETS: &str = "/apis/alembic-operator.dev/v1alpha1/namespaces/demo/databasemigrationsets";
pub const FIRST: &str = "88285e04acb88988";
pub const SECOND: &str = "1f0c2b7d9e3a5546";

fn wave(name: &str, total: i32, done: i32, failed: i32, state: &str) -> Value {
    json!({ "name": name, "total": total, "done": done, "failed": failed, "state": state })
}

fn plan_of(hash: &str, from: &[&str], steps: i32, targets: i32, summary: &str, approved: bool) -> Value {
    let message = format!(
        "plan {hash} waits for approval, since revision f06d8c51e2a7 has a high hazard (B10: every row of orders changes in one transaction); to approve it: kubectl annotate"
    );
    let mut plan = json!({ "hash": hash, "direction": "upgrade", "from": from, "steps": steps, "targets": targets,
        "hazardSummary": summary, "approved": approved });
    if !approved {
        plan["message"] = json!(message);
    }
    plan
}

fn set(name: &str, reason: &str, message: &str, status: Value) -> DatabaseMigrationSet {
    let mut whole = json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet",
        "metadata": { "name": name, "namespace": "demo", "uid": format!("uid-{name}"), "generation": 3,
            "creationTimestamp": "2026-11-23T20:00:00Z" },
        "spec": { "template": { "image": "registry.example.com/shop:1.5.0", "targetRevision": "head" },
            "servers": [{ "name": "main", "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } }],
            "targets": [{ "schemas": { "server": "main", "matching": "^tenant_" } }],
            "rollout": { "waves": [{ "name": "canary", "match": { "tier": "internal" }, "then": { "promotion": "Required" } },
                { "name": "third", "upTo": "30%" }] } },
        "status": { "observedGeneration": 3, "conditions": conditions(reason, message), "to": "f06d8c51e2a7" },
    });
    merge(&mut whole["status"], status);
    serde_json::from_value(whole).unwrap()
}

fn rollout(plans: Vec<Value>, waves: [Value; 3]) -> Value {
    json!({ "number": 3, "key": "k", "image": format!("registry.example.com/shop:1.5.0@sha256:72faae2eea9b{}", "0".repeat(52)),
        "to": ["f06d8c51e2a7"], "plans": plans, "waves": waves, "lastBatch": 7, "configMap": "tenants-plans-01" })
}

/// A target of the canary failed, and nothing of a later wave has begun.
pub fn failed_canary() -> DatabaseMigrationSet {
    let why = "division by zero [SQL: INSERT INTO totals SELECT ?]";
    let message = format!("wave canary: 1 of 3 failed, and 0 may; tenant_07: MigrationFailed: {why}");
    let waves =
        [wave("canary", 3, 2, 1, "Paused"), wave("third", 8, 0, 0, "Waiting"), wave("rest", 19, 0, 0, "Waiting")];
    let plans = vec![plan_of(FIRST, &["e90a7b3c51d6"], 4, 27, "1H 3L", true), plan_of(SECOND, &[], 9, 1, "", true)];
    let status = json!({ "targets": { "total": 30, "atTarget": 2, "pending": 27, "running": 0, "failed": 1 }, "wave": "canary",
        "progress": "2/30, wave canary (1 of 3), 1 failed", "rollout": rollout(plans, waves),
        "failures": [{ "target": "tenant_07", "reason": "MigrationFailed", "revision": "f06d8c51e2a7", "attempts": 1, "message": why }] });
    set("tenants", "WaveFailed", &message, status)
}

/// Two groups of targets wait for approvals.
pub fn unapproved() -> DatabaseMigrationSet {
    let waves =
        [wave("canary", 3, 0, 0, "Running"), wave("third", 8, 0, 0, "Waiting"), wave("rest", 19, 0, 0, "Waiting")];
    let plans = vec![plan_of(FIRST, &["e90a7b3c51d6"], 4, 29, "1H 3L", false), plan_of(SECOND, &[], 9, 1, "2H", false)];
    let status = json!({ "targets": { "total": 30, "atTarget": 0, "pending": 30, "running": 0, "failed": 0 }, "wave": "canary",
        "rollout": rollout(plans, waves) });
    set("tenants", "AwaitingApproval", "plan 88285e04acb88988 waits for approval", status)
}

/// The canary is done, and somebody has to let the next wave begin.
pub fn unpromoted() -> DatabaseMigrationSet {
    let waves = [
        wave("canary", 3, 3, 0, "AwaitingPromotion"),
        wave("third", 8, 0, 0, "Waiting"),
        wave("rest", 19, 0, 0, "Waiting"),
    ];
    let plans = vec![plan_of(FIRST, &["e90a7b3c51d6"], 4, 27, "1H 3L", true)];
    let status = json!({ "targets": { "total": 30, "atTarget": 3, "pending": 27, "running": 0, "failed": 0 }, "wave": "canary",
        "rollout": rollout(plans, waves) });
    set("tenants", "AwaitingPromotion", "wave canary is done; to let the next one begin: kubectl annotate", status)
}

fn at_work() -> DatabaseMigrationSet {
    let waves =
        [wave("canary", 3, 3, 0, "Passed"), wave("third", 8, 5, 0, "Running"), wave("rest", 19, 0, 0, "Waiting")];
    let mut rollout = rollout(vec![plan_of(FIRST, &["e90a7b3c51d6"], 4, 22, "1H 3L", true)], waves);
    rollout["batches"] = json!([{ "job": "shops-batch-7-0123abcd", "number": 7, "server": "main", "targets": 3, "transactional": true }]);
    let status = json!({ "targets": { "total": 30, "atTarget": 8, "pending": 19, "running": 3, "failed": 0 }, "wave": "third",
        "rollout": rollout });
    set(
        "shops",
        "Migrating",
        "Job shops-batch-7-0123abcd migrates 3 targets on main; 8/30, wave third (2 of 3)",
        status,
    )
}

fn done() -> DatabaseMigrationSet {
    let status = json!({ "targets": { "total": 412, "atTarget": 412, "pending": 0, "running": 0, "failed": 0 } });
    set("archive", "AtTarget", "all 412 targets are at f06d8c51e2a7", status)
}

/// Sets in three states.
pub fn everybody() -> Vec<DatabaseMigrationSet> {
    vec![done(), at_work(), failed_canary()]
}

/// The ConfigMap of the plans, as the operator writes it; it has no room for the second one.
pub fn plans_map() -> ConfigMap {
    let data = plan_map().data.unwrap();
    let data = json!({ format!("{FIRST}.sql"): data["plan.sql"], format!("{FIRST}.undo.sql"): data["undo.sql"],
        format!("{FIRST}.json"): data["plan.json"] });
    serde_json::from_value(json!({ "metadata": { "name": "tenants-plans-01" }, "data": data })).unwrap()
}

/// A page with targets in each state.
pub fn targets_map(of: &DatabaseMigrationSet) -> ConfigMap {
    let line = |name: &str, wave: &str, state: &str, rows: &[&str]| json!({ "name": name, "server": "main", "schema": name, "wave": wave, "state": state, "rows": rows });
    let mut failed = line("tenant_07", "canary", "Failed", &["e90a7b3c51d6"]);
    merge(
        &mut failed,
        json!({ "rollout": 3, "attempts": 1, "held": true, "reason": "MigrationFailed", "revision": "f06d8c51e2a7",
        "message": "division by zero [SQL: INSERT INTO totals SELECT ?]", "since": 1_795_726_560 }),
    );
    let lines =
        [line("tenant_02", "rest", "Pending", &[]), failed, line("tenant_01", "canary", "AtTarget", &["f06d8c51e2a7"])];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    serde_json::from_value(json!({ "metadata": { "name": "tenants-targets-0", "ownerReferences": [
        { "apiVersion": "v1", "kind": "DatabaseMigrationSet", "name": "tenants", "uid": of.metadata.uid }] },
        "data": { "targets": text } }))
    .unwrap()
}

#[test]
fn the_overview_has_the_sets_below_the_objects() {
    let objects = crate::plugin::tests::everybody();
    page("set-all.txt", &overview::overview(&objects[..2], &everybody(), true, look(120)));
    page("set-all-40.txt", &overview::overview(&[], &everybody(), false, look(40)));
}

#[test]
fn one_set_says_what_to_do_next() {
    page("set-failed.txt", &status::one(&failed_canary(), look(110)));
    page("set-failed-60.txt", &status::one(&failed_canary(), look(60)));
    page("set-awaiting.txt", &status::one(&unapproved(), look(110)));
    page("set-promotion.txt", &status::one(&unpromoted(), look(110)));
    page("set-running.txt", &status::one(&at_work(), look(110)));
    page("set-done.txt", &status::one(&done(), look(110)));
    snapshot("set-failed.md", &status::markdown(&failed_canary()));
    let verdicts = [done(), failed_canary(), unapproved(), unpromoted(), at_work()].map(|set| State::of(&set).verdict);
    assert_eq!(verdicts.map(|verdict| verdict.exit_code()), [0, 1, 3, 3, 4]);
}

#[test]
fn each_plan_is_shown_with_its_hazards() {
    let set = unapproved();
    let all = &set.status.as_ref().unwrap().rollout.as_ref().unwrap().plans;
    let pages: Vec<Line> = all
        .iter()
        .flat_map(|one| {
            let document = plans::document(&set, one, Some(&plans_map())).unwrap();
            plan::page(&plans::about(&set, one), &document, look(110))
        })
        .collect();
    page("set-plans.txt", &pages);
    let meant = |given| plans::meant(all, Some(given)).map(|plans| plans.len()).map_err(|error| error.to_string());
    assert_eq!((meant("8828"), meant("8828,1f0c2b")), (Ok(1), Ok(2)));
    assert_eq!(meant("882").unwrap_err(), "the beginning of a plan has four characters at least: 882");
    assert!(
        meant("deadbeef")
            .unwrap_err()
            .starts_with("deadbeef is the beginning of 0 plans of the set, which has 88285e04acb88988, 1f0c")
    );
}

#[test]
fn targets_are_listed_from_the_pages() {
    let all = targets::all(&[targets_map(&failed_canary())]);
    page("set-targets.txt", &targets::page(&all, look(130)));
}

#[test]
fn an_approval_keeps_those_of_other_plans() {
    let mut set = unapproved();
    let said = |set: &DatabaseMigrationSet, say, given| {
        let all = &set.status.as_ref().unwrap().rollout.as_ref().unwrap().plans;
        let meant = answer::meant(set, all, given, say).map_err(|error| error.to_string())?;
        Ok::<_, String>(answer::patch(set, say, &meant, None)["metadata"]["annotations"].clone())
    };
    let [approve, reject] = ["alembic-operator.dev/approve", "alembic-operator.dev/reject"];
    set.metadata.annotations = Some([(approve.to_owned(), format!("{SECOND}, gone"))].into());
    assert_eq!(said(&set, Say::Approve, Some("8828")).unwrap()[approve], json!(format!("{SECOND},{FIRST}")));
    let rejected = said(&set, Say::Reject, Some("1f0c")).unwrap();
    assert_eq!((&rejected[approve], &rejected[reject]), (&Value::Null, &json!(SECOND)));
    assert!(said(&set, Say::Reject, None).unwrap_err().starts_with("a rejection is of one plan"));
    assert!(said(&failed_canary(), Say::Approve, None).unwrap_err().starts_with("no plan of the set waits"));
    assert!(approve::agreed(FIRST, "8828").is_ok());
}

pub fn server(set: &DatabaseMigrationSet) -> Server {
    let server = Server::new();
    server.put(&format!("{SETS}/tenants"), json!(set));
    server.put("/api/v1/namespaces/demo/configmaps/tenants-plans-01", json!(plans_map()));
    let list = |items: Value| json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items });
    server.put("/api/v1/namespaces/demo/configmaps", list(json!([targets_map(set)])));
    server.put(OBJECTS, list(json!([])));
    server.put(SETS, list(json!([set])));
    server
}

#[tokio::test]
async fn sets_are_read_with_the_role_view() {
    let server = server(&failed_canary());
    let (code, text) = server.run("status tenants", None).await;
    assert!(code == Ok(1) && text.starts_with("demo/tenants   ✗ WaveFailed"), "{code:?} {text}");
    let (code, text) = server.run("status", None).await;
    assert!(code == Ok(1) && text.starts_with("SET ") && text.contains("tenants"), "{code:?} {text}");
    let (code, text) = server.run("targets tenants --state failed", None).await;
    assert!(code == Ok(0) && text.contains("tenant_07") && !text.contains("tenant_01"), "{code:?} {text}");
    let (code, text) = server.run("wait set/tenants", None).await;
    assert!(
        code == Ok(1) && text.contains("30 targets: 2 done, 27 pending, 1 failed\n✗ WaveFailed"),
        "{code:?} {text}"
    );
    let (code, text) = server.run("plan dbmset/tenants --plan 8828", None).await;
    assert!(code == Ok(0) && text.contains("HIGH B10"), "{code:?} {text}");
    let (code, _) = server.run("history tenants", None).await;
    assert!(code.unwrap_err().contains("tenants is a DatabaseMigrationSet"));
    assert_eq!(server.kinds(), ["GET configmaps", "GET databasemigrations", "GET databasemigrationsets"]);
}

#[tokio::test]
async fn people_answer_a_set_by_annotations() {
    let waiting = server(&unapproved());
    let (code, text) = waiting.run("approve tenants --plan 8828 --reason CHG-1 --no-follow", Some("8828\n")).await;
    assert!(code == Ok(0) && text.contains("HIGH B10") && text.contains("for 29 targets"), "{code:?} {text}");
    let (code, text) = waiting.run("approve tenants --plan dead --yes", None).await;
    assert!(code.is_err_and(|error| error.contains("0 plans of the set")), "{text}");
    assert_eq!(waiting.run("pause tenants", None).await.0, Ok(0));
    assert_eq!(waiting.run("resume tenants --no-follow", None).await.0, Ok(0));
    assert_eq!(waiting.run("retry tenants --no-follow", None).await.0, Ok(0));
    let (code, text) = waiting.run("promote tenants --yes", None).await;
    assert!(code.is_err_and(|error| error.starts_with("no wave waits for a promotion: AwaitingApproval")), "{text}");
    let said =
        |patch: &Value, name: &str| patch["metadata"]["annotations"][format!("alembic-operator.dev/{name}")].clone();
    let patches = waiting.patches();
    assert_eq!((said(&patches[0], "approve"), said(&patches[0], "reason")), (json!(FIRST), json!("CHG-1")));
    assert_eq!((said(&patches[1], "suspend"), said(&patches[2], "suspend")), (json!("true"), Value::Null));
    assert!(said(&patches[3], "requestedAt").is_string() && patches.len() == 4);

    let mut set = unpromoted();
    set.metadata.annotations =
        Some([("alembic-operator.dev/promote".to_owned(), "2/canary,3/early".to_owned())].into());
    let done = server(&set);
    let (code, _) = done.run("promote tenants --no-follow", Some("third")).await;
    assert_eq!(code.unwrap_err(), "that is not its name: nothing was changed");
    assert!(done.run("promote tenants --wave third --yes", None).await.0.is_err() && done.patches().is_empty());
    let (code, text) = done.run("promote tenants --no-follow", Some("canary\n")).await;
    assert!(code == Ok(0) && text.contains("✓ promoted   canary of rollout 3"), "{code:?} {text}");
    assert_eq!(said(&done.patches()[0], "promote"), json!("3/early,3/canary"));
}

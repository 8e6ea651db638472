//! What each command shows of a few objects, kept as files in `snapshots/`: `UPDATE=1` writes them anew. The objects are those of
//! the shop that the demo migrates.

use super::{
    approve,
    document::PlanDocument,
    drift, history, overview, plan,
    status::{self, Look},
    summary::{self, Known, Revisions},
    text::{Line, plain},
    view::{State, full_name},
};
use crate::api::DatabaseMigration;
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use serde_json::{Value, json};
use std::{fs, path::Path};

mod author;
mod calls;
pub mod images;
mod target;
mod writing;

pub use calls::{OBJECTS, Server, failure};

/// Compares a text with the file of this name.
pub fn snapshot(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plugin/snapshots").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == text,
        "{name} is not what the command shows; run with UPDATE=1 and read the change. It shows:\n{text}"
    );
}

pub fn page(name: &str, lines: &[Line]) {
    snapshot(name, &plain(lines));
}

pub fn now() -> Timestamp {
    "2026-11-26T21:00:00Z".parse().unwrap()
}

pub fn look(width: usize) -> Look {
    Look { width: Some(width), now: now() }
}

const PIPE: fn() -> Look = || Look { width: None, now: now() };

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({ "type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": 3,
        "lastTransitionTime": "2026-11-26T20:56:00Z" })
}

/// Ready, Reconciling and Stalled as the operator sets them for a reason.
pub fn conditions(reason: &str, message: &str) -> Vec<Value> {
    use crate::api::{Reason, ReasonKind};
    let kind = Reason::parse(reason).unwrap().kind();
    let status = |is: bool| if is { "True" } else { "False" };
    vec![
        condition("Ready", status(kind == ReasonKind::Ready), reason, message),
        condition("Reconciling", status(kind == ReasonKind::Working), reason, ""),
        condition("Stalled", status(kind == ReasonKind::Stalled), reason, ""),
    ]
}

fn object(namespace: &str, name: &str, spec: Value, conditions: Vec<Value>, status: Value) -> DatabaseMigration {
    let mut whole = json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
        "metadata": { "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "generation": 3 },
        "spec": { "image": "registry.example.com/shop:1.5.0", "targetRevision": "head",
            "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } },
        "status": { "observedGeneration": 3, "conditions": conditions,
            "database": { "dialect": "postgresql", "version": "15.20" },
            "image": { "ref": "registry.example.com/shop:1.5.0",
                "digest": format!("sha256:72faae2eea9b{}", "0".repeat(52)), "alembic": "1.16.1", "inspection": "0123" } },
    });
    merge(&mut whole["spec"], spec);
    merge(&mut whole["status"], status);
    serde_json::from_value(whole).unwrap()
}

pub fn merge(into: &mut Value, from: Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

const HASH: &str = "88285e04acb88988";

fn hazards() -> Value {
    json!([
        { "code": "B10", "severity": "high", "revision": "f06d8c51e2a7", "table": "orders",
          "statement": "UPDATE orders SET total = (SELECT products.price FROM products WHERE products.id = orders.product_…",
          "message": "every row of orders changes in one transaction and is locked to its end (about 1200000 rows)",
          "advice": "Change rows in batches outside the migration's transaction, each committed by itself." },
        { "code": "I02", "severity": "low", "revision": "d7130e4fa6b9", "table": "products", "statement": "",
          "message": "its downgrade() drops what holds data", "advice": "Know that going back drops it." },
        { "code": "O04", "severity": "low", "revision": "3ab6f29c04e8", "statement": "",
          "message": "it merges two branches", "advice": "See that both were tested together." },
        { "code": "I02", "severity": "low", "revision": "f06d8c51e2a7", "table": "orders", "statement": "",
          "message": "its downgrade() drops what holds data", "advice": "Know that going back drops it." },
    ])
}

fn steps() -> Value {
    json!([
        { "revision": "d7130e4fa6b9", "title": "stock of products, made on another branch than the discounts", "reversible": "LosesData" },
        { "revision": "5c2f81ab9d37", "title": "discounts on orders", "reversible": "LosesData" },
        { "revision": "3ab6f29c04e8", "title": "merge discounts and stock", "reversible": "Clean" },
        { "revision": "f06d8c51e2a7", "title": "totals of orders, computed for those that are there", "reversible": "LosesData" },
    ])
}

/// Waits for somebody to approve an upgrade of four revisions.
pub fn shop() -> DatabaseMigration {
    let message = "plan 88285e04acb88988 waits for approval, since revision f06d8c51e2a7 has a high hazard (B10: every row of orders changes in one transaction)";
    let status = json!({
        "current": "e90a7b3c51d6", "target": "f06d8c51e2a7",
        "currentRevisions": ["e90a7b3c51d6"], "targetRevisions": ["f06d8c51e2a7"], "heads": ["f06d8c51e2a7"],
        "pending": { "count": 4, "revisions": ["d7130e4fa6b9", "5c2f81ab9d37", "3ab6f29c04e8", "f06d8c51e2a7"] },
        "plan": { "hash": HASH, "direction": "upgrade", "from": ["e90a7b3c51d6"], "to": ["f06d8c51e2a7"], "stepCount": 4,
            "steps": steps(), "hazardSummary": "1H 3L", "hazards": hazards(), "configMap": "shop-plan-012345" },
        "lastRun": run(1, "upgrade", &[], &["e90a7b3c51d6"], "Succeeded", None),
        "images": ["registry.example.com/shop@sha256:72fa"],
    });
    let mut conditions = conditions("AwaitingApproval", message);
    conditions.push(condition("Drifted", "False", "InSync", ""));
    let spec = json!({ "backup": { "when": "Always", "job": { "template": { "spec": { "containers": [] } } } } });
    object("demo", "shop", spec, conditions, status)
}

fn run(number: i64, direction: &str, from: &[&str], to: &[&str], result: &str, reason: Option<&str>) -> Value {
    let mut run = json!({ "number": number, "job": format!("shop-run-{number}-0123"), "direction": direction, "from": from, "to": to,
        "image": "registry.example.com/shop@sha256:72fa", "planHash": "32bd0d78aaaaaaaa", "result": result, "generation": 2,
        "startedAt": "2026-11-26T20:46:12Z", "finishedAt": "2026-11-26T20:46:55Z" });
    if let Some(reason) = reason {
        run["approval"] =
            json!({ "how": "Annotation", "manager": "kubectl-dbmigration (ada)", "reason": "quiet hour, CHG-4711" });
        run["reason"] = json!(reason);
        run["message"] = json!("column \"total\" of relation \"orders\" already exists");
        run["revision"] = json!(to[0]);
    }
    run
}

pub fn ledger() -> DatabaseMigration {
    let mut conditions = conditions("AtTarget", "the version rows are 27e5c8d90a14");
    conditions.push(condition("Drifted", "True", "Modified", "2 objects are not as run 2 left them"));
    let rows = json!(["27e5c8d90a14"]);
    let status = json!({
        "current": "27e5c8d90a14", "target": "27e5c8d90a14", "currentRevisions": rows, "targetRevisions": rows,
        "pending": { "count": 0 },
        "lastRun": run(2, "upgrade", &["b41d9e6c2f83"], &["27e5c8d90a14"], "Succeeded", None),
        "history": [run(1, "upgrade", &[], &["b41d9e6c2f83"], "Succeeded", None)],
        "drift": { "missing": 0, "unexpected": 1, "modified": 1, "fingerprint": "b1ee10bbee7e00112233", "configMap": "ledger-schema-01",
            "objects": [
                { "change": "Modified", "object": "column public.customers.name", "expected": "text not null", "actual": "character varying(222) not null" },
                { "change": "Unexpected", "object": "index public.hotfix", "actual": "CREATE INDEX hotfix ON public.orders USING btree (customer_id)" },
            ] },
    });
    object("billing", "ledger", json!({ "targetRevision": "27e5c8d90a14" }), conditions, status)
}

fn contacts() -> DatabaseMigration {
    let message = "run 4 failed at revision 27e5c8d90a14: column \"total\" of relation \"orders\" already exists; it was rolled back";
    let mut conditions = conditions("MigrationFailed", message);
    conditions.push(condition("Drifted", "Unknown", "NoBaseline", ""));
    let plan = json!({ "hash": "425a133c00000000", "direction": "upgrade", "from": ["b41d9e6c2f83"], "to": ["27e5c8d90a14"], "stepCount": 1,
        "steps": [{ "revision": "27e5c8d90a14", "title": "an index on the customer of an order", "reversible": "Clean" }] });
    let status = json!({
        "current": "b41d9e6c2f83", "target": "27e5c8d90a14", "currentRevisions": ["b41d9e6c2f83"], "targetRevisions": ["27e5c8d90a14"],
        "pending": { "count": 1 }, "plan": plan,
        "lastRun": run(4, "upgrade", &["b41d9e6c2f83"], &["27e5c8d90a14"], "Failed", Some("MigrationFailed")),
        "history": [
            run(3, "downgrade", &["27e5c8d90a14"], &["b41d9e6c2f83"], "Succeeded", None),
            run(2, "upgrade", &["b41d9e6c2f83"], &["27e5c8d90a14"], "Succeeded", None),
        ],
    });
    object("crm", "contacts", json!({ "policy": { "approval": { "mode": "Auto" } } }), conditions, status)
}

fn wrong_target() -> DatabaseMigration {
    let message = "no revision, branch label or unique prefix is called 3f2a9c; the heads are f06d8c51e2a7 (shop:1.5.0, 72faae2eea9b)";
    let status = json!({ "current": "e90a7b3c51d6", "currentRevisions": ["e90a7b3c51d6"] });
    object("demo", "typo", json!({ "targetRevision": "3f2a9c" }), conditions("UnknownTarget", message), status)
}

fn unseen() -> DatabaseMigration {
    let mut object = shop();
    (object.metadata.name, object.status) = (Some("unseen".into()), None);
    object
}

/// Five objects in five states.
pub fn everybody() -> Vec<DatabaseMigration> {
    vec![ledger(), contacts(), shop(), wrong_target(), unseen()]
}

fn known() -> Revisions {
    [
        ("e90a7b3c51d6", "one customer per address: fill email_key from email", "b41d9e6c2f83"),
        ("27e5c8d90a14", "an index on the customer of an order", "b41d9e6c2f83"),
    ]
    .map(|(id, title, down)| {
        let file = format!("versions/{id}_.py");
        (id.to_owned(), Known { title: title.to_owned(), file, down: vec![down.to_owned()] })
    })
    .into()
}

/// The ConfigMap of the shop's plan, as the operator writes it.
pub fn plan_map() -> ConfigMap {
    let sql = "-- upgrade of d7130e4fa6b9 (stock of products, made on another branch than the discounts)\nALTER TABLE products ADD COLUMN stock INTEGER DEFAULT '0' NOT NULL;\n\n\
        -- upgrade of 5c2f81ab9d37 (discounts on orders)\n-- opaque: it reads the database\nALTER TABLE orders ADD COLUMN discount NUMERIC(4, 3) DEFAULT '0' NOT NULL;\n\n\
        -- upgrade of 3ab6f29c04e8 (merge discounts and stock)\n-- nothing\n\n\
        -- upgrade of f06d8c51e2a7 (totals of orders, computed for those that are there)\nALTER TABLE orders ADD COLUMN total NUMERIC(12, 2);\n\nUPDATE orders SET total = (SELECT products.price FROM products\n  WHERE products.id = orders.product_id);\n\n";
    let plan = json!({ "hash": HASH, "direction": "upgrade", "from": ["e90a7b3c51d6"], "to": ["f06d8c51e2a7"],
        "image": format!("registry.example.com/shop:1.5.0@sha256:72faae2eea9b{}", "0".repeat(52)), "dialect": "postgresql",
        "steps": steps(), "hazards": hazards(), "allowances": ["O01 in 5c2f81ab9d37 is allowed: only reads"] });
    let phase = |name: &str, ms: i64| {
        json!({ "name": name, "milliseconds": ms, "steps": [
            { "phase": name, "revision": "d7130e4fa6b9", "milliseconds": 35, "locks": ["public.products AccessExclusiveLock 35 ms"] },
            { "phase": name, "revision": "f06d8c51e2a7", "milliseconds": 9, "locks": ["public.orders AccessExclusiveLock 8 ms"], "rewritten": ["public.orders"] },
        ] })
    };
    let rehearsal = json!({ "source": "dump", "reversible": true, "irreversible": [],
        "phases": [phase("upgrade", 62), phase("downgrade", 50), phase("upgrade again", 60)] });
    serde_json::from_value(json!({ "metadata": { "name": "shop-plan-012345" }, "data": {
        "hash": HASH, "plan.sql": sql, "undo.sql": "-- downgrade of f06d8c51e2a7 ()\nALTER TABLE orders DROP COLUMN total;\n\nALTER TABLE orders DROP COLUMN discount;\n\nALTER TABLE products DROP COLUMN stock;\n", "plan.json": plan.to_string(),
        "rehearsal.json": rehearsal.to_string() } }))
    .unwrap()
}

pub fn document() -> PlanDocument {
    PlanDocument::read(&shop(), Some(&plan_map())).unwrap()
}

#[test]
fn the_overview_fits_every_terminal() {
    let objects = everybody();
    page("status-all.txt", &overview::overview(&objects, &[], true, PIPE()));
    page("status-all-80.txt", &overview::overview(&objects, &[], true, look(80)));
    page("status-all-40.txt", &overview::overview(&objects, &[], false, look(40)));
}

#[test]
fn one_object_says_what_to_do_next() {
    page("status-awaiting.txt", &status::one(&shop(), &known(), look(110)));
    page("status-awaiting-60.txt", &status::one(&shop(), &known(), look(60)));
    page("status-drifted.txt", &status::one(&ledger(), &known(), look(110)));
    page("status-failed.txt", &status::one(&contacts(), &known(), look(110)));
    page("status-target.txt", &status::one(&wrong_target(), &known(), look(110)));
    page("status-unseen.txt", &status::one(&unseen(), &known(), look(110)));
    snapshot("status-awaiting.md", &summary::markdown(&shop(), &known()));
    snapshot("status-drifted.md", &summary::markdown(&ledger(), &known()));
}

#[test]
fn verdicts_are_what_scripts_ask_for() {
    let verdicts = [ledger(), contacts(), shop(), unseen()].map(|object| State::of(&object).verdict.exit_code());
    assert_eq!(verdicts, [0, 1, 3, 4]);
    let mut changed = ledger();
    changed.metadata.generation = Some(4);
    assert_eq!((State::of(&changed).word.as_str(), State::of(&changed).verdict.exit_code()), ("Changed", 4));
}

#[test]
fn a_plan_has_its_hazards_under_the_statements() {
    page("plan.txt", &plan::page(&plan::About::object(&shop(), &document()), &document(), look(110)));
    page("plan-60.txt", &plan::page(&plan::About::object(&shop(), &document()), &document(), look(60)));
    snapshot("plan.md", &plan::markdown(&plan::About::object(&shop(), &document()), &document()));
    let without = PlanDocument::read(&shop(), None).unwrap();
    assert_eq!((without.steps.len(), without.scripts()), (4, vec![""; 4]));
}

#[test]
fn a_plan_of_another_hash_is_not_shown() {
    let mut other = shop();
    other.status.as_mut().unwrap().plan.as_mut().unwrap().hash = "0123".into();
    let error = PlanDocument::read(&other, Some(&plan_map())).unwrap_err().to_string();
    assert!(error.contains(HASH) && error.contains("0123"), "{error}");
    assert!(PlanDocument::read(&ledger(), None).unwrap_err().to_string().contains("AtTarget"));
}

#[test]
fn an_approval_names_its_plan() {
    page("approve.txt", &approve::question(&full_name(&shop()), &document(), look(110)));
    let meant = |given| approve::meant(&shop(), &document(), given, approve::Say::Approve);
    assert_eq!((meant(None), meant(Some("8828"))), (Ok(()), Ok(())));
    assert!(meant(Some("deadbeef")).unwrap_err().to_string().contains(HASH));
    assert!(meant(Some("882")).is_err());
    assert!(
        approve::meant(&ledger(), &document(), None, approve::Say::Approve)
            .unwrap_err()
            .to_string()
            .starts_with("nothing waits")
    );
    assert!(approve::agreed(HASH, " 8828\n").is_ok() && approve::agreed(HASH, "88").is_err());
}

#[test]
fn the_history_tells_each_run() {
    page("history.txt", &history::page(&contacts(), look(110)));
    page("history-40.txt", &history::page(&contacts(), look(40)));
}

#[test]
fn drift_is_shown_with_both_sides() {
    page("drift.txt", &drift::page(&ledger(), look(110)));
    page("drift-none.txt", &drift::page(&shop(), look(110)));
}

/// For the test of the page in a browser.
#[test]
fn the_objects_are_there_for_other_tests() {
    let inspection = images::demo().inspection;
    let all = json!({ "objects": everybody(), "plan": plan_map(), "inspection": inspection });
    snapshot("objects.json", &format!("{all:#}\n"));
}

//! Whole commands against an API server that answers from a table, and remembers what was written.

use super::{plan_map, shop};
use crate::plugin::{
    cli::{Cli, Command},
    cluster::Cluster,
    commands::Session,
    out::Out,
};
use clap::Parser;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{self, Write},
    sync::{Arc, Mutex},
};

/// What there is, by path without the query.
type Objects = BTreeMap<String, Value>;

#[derive(Clone, Default)]
pub struct Server {
    objects: Arc<Mutex<Objects>>,
    /// Path and query of every request, and the body of those that write.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    /// What others write, each just before a change arrives; the last one first.
    others: Arc<Mutex<Vec<(String, Value)>>>,
    /// Nothing may be created.
    pub forbids: bool,
}

/// How the API server refuses something; as an object, what is answered at its path.
pub fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": message })
}

/// Whether a change names a version of the object that it no longer has.
fn is_outdated(object: &Value, change: &Value) -> bool {
    let given = &change["metadata"]["resourceVersion"];
    given.is_string() && *given != object["metadata"]["resourceVersion"]
}

pub const OBJECTS: &str = "/apis/alembic-operator.dev/v1alpha1/namespaces/demo/databasemigrations";

impl Server {
    pub fn new() -> Self {
        let server = Self::default();
        server.put(&format!("{OBJECTS}/shop"), json!(shop()));
        server.put("/api/v1/namespaces/demo/configmaps/shop-plan-012345", json!(plan_map()));
        server
    }

    pub fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    /// What there is at a path.
    pub fn get(&self, path: &str) -> Value {
        self.objects.lock().unwrap().get(path).cloned().unwrap_or_default()
    }

    /// Somebody else writes this just before the next change arrives.
    pub fn put_before_a_change(&self, path: &str, object: Value) {
        self.others.lock().unwrap().push((path.to_owned(), object));
    }

    fn cluster(&self) -> Cluster {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Cluster { client: kube::Client::new(service, "demo"), namespace: "demo".into() }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.asked.lock().unwrap().push((format!("{} {}", parts.method, parts.uri), body.clone()));
        let path = parts.uri.path();
        let other = if parts.method == "PATCH" { self.others.lock().unwrap().pop() } else { None };
        if let Some((path, object)) = other {
            self.put(&path, object);
        }
        let found = self.objects.lock().unwrap().get(path).cloned();
        let (code, text) = match (found, parts.method.as_str()) {
            (_, "POST") if !self.forbids => (201, body.to_string()),
            (_, "POST") => (403, failure(403, "Forbidden", "User ada cannot create it").to_string()),
            (_, "DELETE") => {
                (200, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }).to_string())
            }
            (Some(Value::String(log)), _) => (200, log),
            (Some(object), _) if object["kind"] == "Status" => {
                (object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap(), object.to_string())
            }
            (Some(object), "PATCH") if is_outdated(&object, &body) => {
                (409, failure(409, "Conflict", "the object has been modified").to_string())
            }
            (Some(mut object), "PATCH") => {
                json_merge(&mut object, &body);
                self.put(path, object.clone());
                (200, object.to_string())
            }
            (Some(object), _) => (200, object.to_string()),
            (None, _) => (404, failure(404, "NotFound", "not found").to_string()),
        };
        Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap()
    }

    /// The exit code and what was written, of a command line.
    pub async fn run(&self, line: &str, typed: Option<&str>) -> (Result<u8, String>, String) {
        let words = std::iter::once("kubectl-dbmigration").chain(line.split(' '));
        let command: Command = Cli::try_parse_from(words).unwrap().command;
        let written = Written::default();
        let out = Out::to(written.clone(), written.clone(), Some(120));
        let mut session = Session::with(self.cluster(), out, typed.map(str::to_owned));
        let code = session.execute(command).await.map_err(|error| format!("{error:#}"));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        (code, text)
    }

    /// Paths and bodies of what a verb was sent to.
    pub fn sent(&self, verb: &str) -> Vec<(String, Value)> {
        let asked = self.asked.lock().unwrap();
        let of_verb =
            asked.iter().filter_map(|(what, body)| Some((what.strip_prefix(verb)?.trim().to_owned(), body.clone())));
        of_verb.collect()
    }

    pub fn patches(&self) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(what, _)| what.starts_with("PATCH")).map(|(_, body)| body.clone()).collect()
    }

    /// The verbs and kinds that were asked for.
    pub fn kinds(&self) -> Vec<String> {
        let kind = |what: &String| {
            let (verb, uri) = what.split_once(' ').unwrap();
            let path = uri.split('?').next().unwrap();
            let after = path.split("/namespaces/demo/").nth(1).unwrap_or(path);
            format!("{verb} {}", after.split('/').next().unwrap())
        };
        let mut kinds: Vec<String> = self.asked.lock().unwrap().iter().map(|(what, _)| kind(what)).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

fn json_merge(object: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(key)),
            value => json_merge(&mut object[key], value),
        }
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_settings_of_the_platform_are_under_the_spec() {
    let server = Server::new();
    let (code, text) = server.run("status shop --effective", None).await;
    assert!(code == Ok(0) && text.starts_with("# demo/shop: the platform adds nothing\nspec:\n"), "{text}");
    let mut object = json!(shop());
    object["spec"]["policy"] = json!({ "approval": { "mode": "Auto" } });
    let spec = json!({ "policy": { "approval": { "mode": "Always" } }, "timeouts": { "lock": "5s" } });
    object["status"]["defaults"] = json!({ "hash": "0123456789abcdef", "spec": spec, "enforce": ["Approval"] });
    server.put(&format!("{OBJECTS}/shop"), object);
    let (_, text) = server.run("status shop --effective", None).await;
    assert!(text.starts_with("# demo/shop: with the settings 0123456789abcdef of the platform; enforced: Approval\n"));
    assert!(text.contains("      mode: Always\n") && text.contains("    lock: 5s\n"), "{text}");
}

#[tokio::test]
async fn reads_need_no_more_than_the_role_view() {
    let server = Server::new();
    let empty = |kind: &str| json!({ "kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {}, "items": [] });
    server.put("/api/v1/namespaces/demo/configmaps", empty("ConfigMap"));
    let (code, text) = server.run("status shop", None).await;
    assert_eq!(code, Ok(3), "{text}");
    assert!(text.starts_with("demo/shop   ◐ AwaitingApproval"), "{text}");
    let (code, text) = server.run("plan shop", None).await;
    assert!(code == Ok(0) && text.contains("HIGH B10"), "{text}");
    let (code, text) = server.run("plan shop -o sql", None).await;
    assert!(code == Ok(0) && text.starts_with("-- upgrade of d7130e4fa6b9"), "{text}");
    assert_eq!(server.kinds(), ["GET configmaps", "GET databasemigrations"]);
}

#[tokio::test]
async fn without_a_plan_the_reason_is_told() {
    let server = Server::new();
    let mut object = json!(super::contacts());
    object["status"]["plan"] = Value::Null;
    server.put(&format!("{OBJECTS}/shop"), object.clone());
    let (code, _) = server.run("plan shop", None).await;
    let error = code.unwrap_err();
    assert!(
        error.starts_with("there is no plan: MigrationFailed") && error.contains("Next:  kubectl dbmigration status"),
        "{error}"
    );
    for condition in object["status"]["conditions"].as_array_mut().unwrap() {
        let (status, reason) = if condition["type"] == "Ready" { ("True", "AtTarget") } else { ("False", "AtTarget") };
        (condition["status"], condition["reason"]) = (json!(status), json!(reason));
    }
    server.put(&format!("{OBJECTS}/shop"), object);
    let (code, text) = server.run("plan shop", None).await;
    assert!(code == Ok(0) && text.starts_with("nothing to run: AtTarget"), "{code:?} {text}");
}

#[tokio::test]
async fn an_approval_is_asked_for_and_names_the_plan() {
    let server = Server::new();
    let (code, text) = server.run("approve shop --reason CHG-4711 --no-follow", Some("8828\n")).await;
    assert_eq!(code, Ok(0), "{text}");
    assert!(text.contains("✓ approved   plan 88285e04acb88988"), "{text}");
    let annotations = json!({ "alembic-operator.dev/approve": "88285e04acb88988", "alembic-operator.dev/reject": null,
        "alembic-operator.dev/reason": "CHG-4711" });
    assert_eq!(server.patches(), [json!({ "metadata": { "annotations": annotations } })]);
}

#[tokio::test]
async fn what_is_not_meant_changes_nothing() {
    let server = Server::new();
    for (line, typed, said) in [
        ("approve shop --plan deadbeef --yes", None, "not deadbeef"),
        ("approve shop", Some("0000\n"), "nothing was changed"),
        ("reject nobody", None, "has no DatabaseMigration called nobody"),
        ("accept-drift shop --yes", None, "there is no schema to accept"),
        ("why Nonsense", None, "neither a reason"),
    ] {
        let (code, text) = server.run(line, typed).await;
        assert!(code.as_ref().is_err_and(|error| error.contains(said)), "{line}: {code:?} {text}");
    }
    assert!(server.patches().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_once_where_nothing_happens_by_itself() {
    let server = Server::new();
    let (code, text) = server.run("wait shop --timeout 3s", None).await;
    assert_eq!(code, Ok(3), "{text}");
    assert!(text.contains("not over within 3 s"), "{text}");
    server.put(&format!("{OBJECTS}/shop"), json!(super::contacts()));
    let (code, text) = server.run("wait shop", None).await;
    assert_eq!(code, Ok(1), "{text}");
    assert!(text.starts_with("✗ MigrationFailed"), "{text}");
    let (code, _) = server.run("wait shop --until-asked", None).await;
    assert_eq!(code, Ok(1));
}

#[tokio::test]
async fn a_manifest_in_git_is_changed_instead_of_the_cluster() {
    let server = Server::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    std::fs::write(
        &file,
        "kind: DatabaseMigration\nmetadata:\n  name: shop\nspec:\n  policy:\n    downgrade: Allow # CHG-1\n",
    )
    .unwrap();
    let (code, text) = server.run(&format!("approve shop --yes --git {}", file.display()), None).await;
    assert_eq!(code, Ok(0), "{text}");
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("# CHG-1\n    approvedPlan: \"88285e04acb88988\"\n"));
    assert!(server.patches().is_empty());
}

#[tokio::test]
async fn a_name_may_begin_with_its_kind() {
    let server = Server::new();
    server.put(&format!("{OBJECTS}/ledger"), json!(super::ledger()));
    let (code, text) = server.run("accept-drift dbm/ledger --yes", None).await;
    assert_eq!(code, Ok(0), "{text}");
    assert!(server.sent("PATCH")[0].0.starts_with(&format!("{OBJECTS}/ledger?")), "{:?}", server.sent("PATCH"));
    let folder = tempfile::tempdir().unwrap();
    for (name, line, key) in [
        ("shop", "approve dbm/shop --yes --git", "approvedPlan"),
        ("ledger", "accept-drift dbm/ledger --yes --git", "acceptedFingerprint"),
    ] {
        let file = folder.path().join("object.yaml");
        let text = format!("kind: DatabaseMigration\nmetadata:\n  name: {name}\nspec:\n  targetRevision: head\n");
        std::fs::write(&file, text).unwrap();
        let (code, text) = server.run(&format!("{line} {}", file.display()), None).await;
        assert_eq!(code, Ok(0), "{line}: {text}");
        assert!(std::fs::read_to_string(&file).unwrap().contains(key));
    }
}

#[tokio::test]
async fn the_operator_is_asked_by_annotations() {
    let server = Server::new();
    assert_eq!(server.run("suspend shop", None).await.0, Ok(0));
    assert_eq!(server.run("resume shop --no-follow", None).await.0, Ok(0));
    assert_eq!(server.run("retry shop --no-follow", None).await.0, Ok(0));
    let patches = server.patches();
    assert_eq!(patches[0]["metadata"]["annotations"], json!({ "alembic-operator.dev/suspend": "true" }));
    assert_eq!(patches[1]["metadata"]["annotations"], json!({ "alembic-operator.dev/suspend": null }));
    assert!(patches[2]["metadata"]["annotations"]["alembic-operator.dev/requestedAt"].is_string());
}

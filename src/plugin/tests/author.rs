//! `revision`, `merge` and `drift -o revision` as whole commands: the Job that is created, what is read of its pod, and that the
//! Job is deleted at the end, whatever happened.

use super::{
    calls::{OBJECTS, Server},
    ledger, snapshot,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;

const JOBS: &str = "/apis/batch/v1/namespaces/demo/jobs";
const PODS: &str = "/api/v1/namespaces/demo/pods";

fn payload() -> Value {
    json!({ "files": [{ "path": "versions/f00d_orders.py", "revision": "f00d", "down": ["f06d8c51e2a7"],
        "text": "\"\"\"orders\"\"\"\nrevision = \"f00d\"\n" }],
        "review": [
            { "kind": "not seen", "text": "autogenerate compares tables, columns, indexes, foreign keys and unique constraints: rows, CHECK constraints, views and triggers are written by hand" },
            { "kind": "check", "text": "orders loses total and gets amount: if that is a rename, write op.alter_column(…, new_column_name=…) instead, or the values are lost" },
            { "kind": "downgrade", "text": "it adds orders.total again, without the values" },
            { "kind": "drops", "text": "column orders.total, with what is in it" },
        ], "more": 0 })
}

/// A pod that has ended, and what it left in its termination message and its log.
fn ended(message: &Value, log: &str) -> Vec<(String, Value)> {
    let terminated = json!({ "exitCode": 0, "message": message.to_string() });
    let pod = json!({ "metadata": { "name": "p", "namespace": "demo" }, "status": { "phase": "Succeeded", "containerStatuses": [
        { "name": "alembic", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": { "terminated": terminated } }] } });
    let list = json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod] });
    vec![(PODS.to_owned(), list), (format!("{PODS}/p/log"), json!(log))]
}

fn done(payload: &Value) -> Vec<(String, Value)> {
    let content = payload.to_string();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content.as_bytes()).unwrap();
    let text = STANDARD.encode(encoder.finish().unwrap());
    let digest: String = Sha256::digest(content.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let message = json!({ "state": "done", "nonce": "ab12", "frames": 1, "bytes": content.len(), "sha256": digest });
    ended(&message, &format!("INFO [alembic] noise\n\n@alembic-operator ab12 0 {text}\n"))
}

fn server(pod: Vec<(String, Value)>) -> Server {
    let server = Server::new();
    server.put(
        "/api/v1/namespaces/demo/configmaps",
        json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": [] }),
    );
    pod.into_iter().for_each(|(path, object)| server.put(&path, object));
    server
}

fn task(server: &Server) -> Value {
    let sent = server.sent("POST");
    let job = &sent.iter().find(|(path, _)| path.starts_with(JOBS)).unwrap().1;
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let task = env.iter().find(|variable| variable["name"] == "ALEMBIC_OPERATOR_TASK").unwrap();
    serde_json::from_str(task["value"].as_str().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_revision_is_printed_with_what_to_check_and_its_job_is_deleted() {
    let server = server(done(&payload()));
    let (code, text) = server.run("revision shop -m orders --head f06d", None).await;
    assert_eq!(code, Ok(0), "{text}");
    snapshot("revision.txt", &text);
    let asked = task(&server);
    assert_eq!(
        (&asked["action"], &asked["message"], &asked["head"]),
        (&json!("revision"), &json!("orders"), &json!("f06d"))
    );
    let created = server.sent("POST");
    // The Job, then its program.
    let paths: Vec<_> = created.iter().map(|(path, _)| path.split('?').next().unwrap()).collect();
    assert_eq!(paths, [JOBS, "/api/v1/namespaces/demo/configmaps"]);
    let name = created[0].1["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(created[1].1["metadata"]["name"], name.as_str());
    assert_eq!(server.sent("DELETE")[0].0.split('?').next().unwrap(), format!("{JOBS}/{name}"));
}

#[tokio::test(start_paused = true)]
async fn a_file_is_written_into_the_folder_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("merge shop -m both --out {}", folder.path().display());
    let (code, text) = server(done(&payload())).run(&line, None).await;
    assert!(code == Ok(0) && text.contains("✓ "), "{code:?} {text}");
    assert!(folder.path().join("f00d_orders.py").exists());
    let (code, _) = server(done(&payload())).run(&line, None).await;
    assert!(code.unwrap_err().contains("can't be written"));
    let (code, _) = server(Vec::new()).run("revision shop --out /nowhere/at/all", None).await;
    assert!(code.unwrap_err().contains("is not a folder"));
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_is_said_and_the_job_is_deleted_all_the_same() {
    let failure = json!({ "class": "RevisionRefused", "message": "the image has 2 heads, {a, b}: merge them first" });
    let server = server(ended(&json!({ "state": "refused", "nonce": "ab", "error": failure }), ""));
    let (code, _) = server.run("revision shop", None).await;
    assert!(code.unwrap_err().contains("merge them first"));
    assert_eq!(server.sent("DELETE").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named() {
    let mut server = server(Vec::new());
    server.forbids = true;
    let (code, _) = server.run("revision shop", None).await;
    let error = code.unwrap_err();
    assert!(error.contains("you may not create jobs.batch") && error.contains("delete jobs"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_by_hand_is_kept_or_rolled_back() {
    let with_drift = |spec: Option<&str>| {
        let server = server(done(&payload()));
        let mut object = json!(ledger());
        object["metadata"]["namespace"] = json!("demo");
        if let Some(mode) = spec {
            object["spec"]["drift"] = json!({ "mode": mode });
        }
        server.put(&format!("{OBJECTS}/ledger"), object);
        server
    };
    let server = with_drift(None);
    let (code, text) = server.run("drift ledger -o revision --keep", None).await;
    assert_eq!(code, Ok(0), "{text}");
    let objects = json!(["column public.customers.name", "index public.hotfix"]);
    assert_eq!(task(&server)["by_hand"], json!({ "keep": true, "objects": objects }));
    let server = with_drift(Some("Models"));
    assert_eq!(server.run("drift ledger -o revision --roll-back", None).await.0, Ok(0));
    assert_eq!(task(&server)["by_hand"], json!({ "keep": false, "objects": [] }));
    let (code, _) = with_drift(None).run("drift ledger -o revision", None).await;
    assert!(code.unwrap_err().contains("--keep"));
    let (code, _) = with_drift(None).run("drift shop -o revision --keep", None).await;
    assert!(code.unwrap_err().contains("nothing was changed by hand"));
}

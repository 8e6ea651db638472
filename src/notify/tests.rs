//! What is notified of, and a webhook that refuses, hangs, answers late or is away.

mod tls;

use super::{
    event::{Happened, Kind, happened},
    send::{Format, Limits, SendError, Webhook},
    *,
};
use serde_json::{Value, json};
use std::{io::Write, net::SocketAddr};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep},
};

fn now() -> Timestamp {
    "2026-11-26T21:00:00Z".parse().unwrap()
}

/// The object with a status of these conditions that are True, and the reason of Ready.
fn object(reason: &str, conditions: &[&str], more: Value) -> DatabaseMigration {
    let all = ["Ready", "Reconciling", "Stalled", "Drifted"];
    let conditions: Vec<Value> = all
        .iter()
        .map(|type_| {
            let status = if conditions.contains(type_) { "True" } else { "False" };
            json!({ "type": type_, "status": status, "reason": reason, "message": format!("{reason} it is\nsays the status"),
                "lastTransitionTime": "2026-11-26T20:00:00Z" })
        })
        .collect();
    let mut status = json!({ "conditions": conditions, "current": "e90a" });
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
        "metadata": { "name": "shop", "namespace": "demo", "uid": "7e7e" },
        "spec": { "image": "registry.example.com/shop:1.5.0", "targetRevision": "head",
            "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } },
        "status": status,
    }))
    .unwrap()
}

fn run(number: i64, result: &str) -> Value {
    json!({ "runs": { "started": number }, "lastRun": { "number": number, "job": "j", "direction": "upgrade", "from": [], "to": ["e90a"],
        "image": "i", "planHash": "8828", "result": result, "generation": 1, "message": "column total exists", "reason": "MigrationFailed" } })
}

fn plan(hash: &str) -> Value {
    json!({ "plan": { "hash": hash, "direction": "upgrade", "from": [], "to": ["e90a"], "stepCount": 1 } })
}

fn kinds(before: &DatabaseMigration, after: &DatabaseMigration) -> Vec<Kind> {
    let found = happened(before, after.status.as_ref().unwrap(), false, now());
    found.into_iter().map(|happened| happened.kind).collect()
}

#[test]
fn each_change_is_told_once_and_what_stays_is_not() {
    let working = object("Inspecting", &["Reconciling"], json!({}));
    let waits = object("AwaitingApproval", &["Reconciling"], plan("8828"));
    let replanned = object("AwaitingApproval", &["Reconciling"], plan("9939"));
    let ready = object("AtTarget", &["Ready"], json!({}));
    let drifted = object("AtTarget", &["Ready", "Drifted"], json!({}));
    let stalled = object("InvalidSpec", &["Stalled"], json!({}));
    let cases: [(&DatabaseMigration, &DatabaseMigration, &[Kind]); 10] = [
        (&working, &waits, &[Kind::AwaitingApproval]),
        (&waits, &waits, &[]),
        (&waits, &replanned, &[Kind::AwaitingApproval]),
        (&working, &object("AtTarget", &["Ready"], run(1, "Succeeded")), &[Kind::Succeeded]),
        (
            &object("AtTarget", &["Ready"], run(1, "Succeeded")),
            &object("AtTarget", &["Ready"], run(1, "Succeeded")),
            &[],
        ),
        (&working, &object("MigrationFailed", &["Stalled"], run(1, "Failed")), &[Kind::Failed]),
        (&working, &object("PlanOutdated", &["Reconciling"], run(1, "Refused")), &[]),
        (&working, &stalled, &[Kind::Stalled]),
        (&stalled, &object("UnknownTarget", &["Stalled"], json!({})), &[Kind::Stalled]),
        (&ready, &drifted, &[Kind::DriftFound]),
    ];
    for (before, after, expected) in cases {
        assert_eq!(kinds(before, after), expected, "{:?}", after.status);
    }
    assert!(kinds(&drifted, &drifted).is_empty() && kinds(&stalled, &stalled).is_empty());
}

#[test]
fn an_object_recovers_after_whatever_came_between() {
    let notifier = Notifier::default();
    let recovers = |before: &DatabaseMigration, after: &DatabaseMigration| {
        notifier.has_recovered(before, after.status.as_ref().unwrap())
    };
    let working = object("Migrating", &["Reconciling"], json!({}));
    let stalled = object("MigrationFailed", &["Stalled"], json!({}));
    let ready = object("AtTarget", &["Ready"], json!({}));
    assert!(!recovers(&working, &ready), "it never was stalled");
    assert!(!recovers(&working, &stalled) && !recovers(&stalled, &working));
    assert!(recovers(&working, &ready) && !recovers(&ready, &ready), "once");
}

fn one(kind: &str) -> Happened {
    let before = object("Inspecting", &["Reconciling"], json!({}));
    let after = match kind {
        "waits" => object("AwaitingApproval", &["Reconciling"], plan("8828")),
        _ => object("MigrationFailed", &["Stalled"], run(3, "Failed")),
    };
    happened(&before, after.status.as_ref().unwrap(), false, now()).remove(0)
}

#[test]
fn it_is_a_cloud_event_or_a_line_that_says_what_to_type_next() {
    let event = one("waits").cloud_event("prod");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "dev.alembic-operator.databasemigration.awaitingapproval");
    assert_eq!(event["source"], "prod/apis/alembic-operator.dev/v1alpha1/namespaces/demo/databasemigrations/shop");
    assert_eq!((&event["time"], &event["data"]["plan"]), (&json!("2026-11-26T21:00:00Z"), &json!("8828")));
    assert_eq!(event["data"]["next"], "kubectl dbmigration plan shop -n demo");
    assert_eq!(
        one("waits").line(),
        "◐ demo/shop AwaitingApproval: AwaitingApproval it is says the status\nkubectl dbmigration plan shop -n demo"
    );
    assert_eq!(
        one("fails").line(),
        "✗ demo/shop Failed (MigrationFailed): column total exists\nkubectl dbmigration logs shop -n demo"
    );
    assert_eq!(one("fails").cloud_event("")["id"], "7e7e/Failed/run-3");
}

/// How a server answers one request after the other; the last answer stays.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Late(Duration, u16),
    Hang,
    Close,
}

/// A webhook on this machine, and what it was sent.
#[derive(Clone, Default)]
struct Server {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn serve(self, listener: TcpListener, answers: Vec<Answer>) {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answers[number.min(answers.len() - 1)];
            let asked = self.asked.clone();
            tokio::spawn(async move {
                let mut text = String::new();
                let mut piece = [0; 4096];
                while !whole(&text) {
                    let read = stream.read(&mut piece).await.unwrap_or(0);
                    if read == 0 {
                        return;
                    }
                    text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
                }
                asked.lock().unwrap().push(text);
                let status = match answer {
                    Answer::Status(status) => status,
                    Answer::Late(pause, status) => {
                        sleep(pause).await;
                        status
                    }
                    Answer::Hang => return sleep(Duration::from_secs(60)).await,
                    Answer::Close => return,
                };
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    }

    async fn start(answers: Vec<Answer>) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self::default();
        tokio::spawn(server.clone().serve(listener, answers));
        (server, address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
    length.is_some_and(|length| body.len() >= length.parse().unwrap())
}

const QUICK: Limits = Limits { attempts: 3, time: Duration::from_millis(300), pause: Duration::from_millis(20) };

fn webhook(url: &str, format: Format) -> (Webhook, NamedTempFile) {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "{url}").unwrap();
    (Webhook::with(file.path().to_owned(), format, "prod".into(), QUICK).unwrap(), file)
}

async fn delivered(answers: Vec<Answer>) -> (Result<(), SendError>, usize) {
    let (server, address) = Server::start(answers).await;
    let (webhook, _file) = webhook(&format!("http://{address}/hook"), Format::CloudEvents);
    let outcome = webhook.deliver(&one("waits")).await;
    (outcome, server.asked().len())
}

#[tokio::test]
async fn a_notification_is_a_post_of_json() {
    let (server, address) = Server::start(vec![Answer::Status(202)]).await;
    for (format, kind) in [(Format::CloudEvents, "application/cloudevents+json"), (Format::Text, "application/json")] {
        let (webhook, _file) = webhook(&format!("http://{address}/hook?token=s3cr3t"), format);
        webhook.deliver(&one("waits")).await.unwrap();
        let asked = server.asked().pop().unwrap();
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook?token=s3cr3t HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains(&format!("content-type: {kind}")), "{head}");
        assert!(serde_json::from_str::<Value>(body).unwrap().is_object());
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    use Answer::{Close, Hang, Late, Status};
    let (outcome, attempts) = delivered(vec![Status(503), Status(429), Status(200)]).await;
    assert!(outcome.is_ok() && attempts == 3);
    let (outcome, attempts) = delivered(vec![Status(404)]).await;
    assert!(matches!(outcome, Err(SendError::Refused(status)) if status == 404) && attempts == 1);
    let (outcome, attempts) = delivered(vec![Close, Status(204)]).await;
    assert!(outcome.is_ok() && attempts == 2, "{outcome:?} {attempts}");
    let (outcome, attempts) = delivered(vec![Hang]).await;
    assert!(matches!(outcome, Err(SendError::Late(_))) && attempts == 3);
    let (outcome, attempts) = delivered(vec![Late(QUICK.time * 2, 200), Late(QUICK.time / 6, 200)]).await;
    assert!(outcome.is_ok() && attempts == 2);
}

#[tokio::test]
async fn a_webhook_that_is_away_is_waited_for_and_no_word_tells_its_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (webhook, _file) = webhook(&format!("http://{address}/s3cr3t"), Format::Text);
    let error = webhook.deliver(&one("fails")).await.unwrap_err();
    assert_eq!(error.to_string(), "the webhook can't be reached (no connection)");
    let event = one("fails");
    let (outcome, ()) = tokio::join!(webhook.deliver(&event), async {
        sleep(QUICK.pause / 2).await;
        let listener = TcpListener::bind(address).await.unwrap();
        tokio::spawn(Server::default().serve(listener, vec![Answer::Status(200)]));
    });
    outcome.unwrap();
}

#[tokio::test]
async fn a_file_without_a_url_is_no_webhook() {
    for text in ["", "not a url", "ftp://example.com/x", "/hook"] {
        let (webhook, _file) = webhook(text, Format::Text);
        assert!(matches!(webhook.deliver(&one("fails")).await, Err(SendError::Url)), "{text}");
    }
    let missing = Webhook::with("/nowhere/url".into(), Format::Text, String::new(), QUICK).unwrap();
    assert!(matches!(missing.deliver(&one("fails")).await, Err(SendError::File(_))));
}

#[tokio::test]
async fn nobody_waits_for_a_webhook_that_hangs() {
    let (server, address) = Server::start(vec![Answer::Hang]).await;
    let (webhook, _file) = webhook(&format!("http://{address}/"), Format::Text);
    let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
    let (notifier, sending) = Notifier::new(webhook, vec![Kind::AwaitingApproval], metrics.clone(), stop.clone());
    let sending = tokio::spawn(sending);
    let before = object("Inspecting", &["Reconciling"], json!({}));
    let begun = Instant::now();
    for number in 0..QUEUE + 50 {
        let after = object("AwaitingApproval", &["Reconciling"], plan(&number.to_string()));
        notifier.changed(&before, after.status.as_ref().unwrap(), now());
    }
    // Not wanted.
    notifier.changed(&before, object("InvalidSpec", &["Stalled"], json!({})).status.as_ref().unwrap(), now());
    assert!(begun.elapsed() < Duration::from_secs(2));
    let text = metrics.encode().unwrap();
    assert!(text.contains("notifications_total{result=\"dropped\"} 50"), "{text}");
    stop.cancel();
    tokio::time::timeout(LAST_WORDS * 2, sending).await.unwrap().unwrap();
    assert!(!server.asked().is_empty());
}

#[tokio::test]
async fn what_waits_is_sent_before_the_end() {
    let (server, address) = Server::start(vec![Answer::Status(200)]).await;
    let (webhook, _file) = webhook(&format!("http://{address}/"), Format::Text);
    let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
    let (notifier, sending) = Notifier::new(webhook, Kind::ALL.to_vec(), metrics.clone(), stop.clone());
    let before = object("Inspecting", &["Reconciling"], json!({}));
    notifier.changed(
        &before,
        object("MigrationFailed", &["Stalled"], run(3, "Failed")).status.as_ref().unwrap(),
        now(),
    );
    stop.cancel();
    sending.await;
    assert_eq!(server.asked().len(), 1);
    assert!(metrics.encode().unwrap().contains("notifications_total{result=\"sent\"} 1"));
}

//! The pages of a few objects, and who is let in.

use super::*;
use crate::plugin::{
    status::Look,
    tests::{document, everybody, look, now, shop, snapshot},
};
use axum::body::to_bytes;
use k8s_openapi::api::core::v1::Event;
use serde_json::json;
use tower::ServiceExt;

fn plain() -> Look {
    look(100)
}

#[test]
fn pages_are_what_they_were() {
    let event: Event = serde_json::from_value(
        json!({ "metadata": {}, "involvedObject": {}, "type": "Warning", "reason": "ApprovalStale",
        "message": "<b>void</b>", "lastTimestamp": "2026-11-26T20:59:00Z" }),
    )
    .unwrap();
    let (object, plan) = (shop(), document());
    let detail = pages::Detail { object: &object, plan: Some(&plan), has_graph: true, events: &[event] };
    let html = pages::detail(&detail, plain()).into_string();
    assert!(html.contains("&lt;b&gt;void") && !html.contains("<b>void") && !html.contains("<script"));
    snapshot("ui-shop.html", &html.replace("><", ">\n<"));
    let html = pages::overview(&everybody(), &["demo/old".into()], None, "all namespaces", plain()).into_string();
    snapshot("ui-all.html", &html.replace("><", ">\n<"));
    let stalled = pages::overview(&everybody(), &[], Some("stalled"), "all namespaces", plain()).into_string();
    assert!(stalled.contains("contacts") && !stalled.contains("ledger"));
}

#[test]
fn a_thousand_objects_are_a_page_at_once() {
    let many: Vec<_> = (0..1000)
        .map(|n| {
            let mut object = shop();
            object.metadata.name = Some(format!("shop-{n}"));
            object
        })
        .collect();
    let begun = std::time::Instant::now();
    let html = pages::overview(&many, &[], None, "all namespaces", plain()).into_string();
    assert!(html.matches("<tr>").count() > 1000 && begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
}

fn site() -> Router {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        let list = json!({ "kind": "DatabaseMigrationList", "apiVersion": "alembic-operator.dev/v1alpha1", "metadata": {}, "items": [shop()] });
        let body = kube::client::Body::from(list.to_string().into_bytes());
        Ok::<_, std::convert::Infallible>(http::Response::new(body))
    });
    let cluster = Cluster { client: kube::Client::new(service, "demo"), namespace: "demo".into() };
    let hosts = ["127.0.0.1:1".to_owned(), "localhost:1".to_owned()];
    router(Arc::new(Site { cluster, all_namespaces: false, token: "secret".into(), hosts, clock: now }))
}

async fn asked(method: &str, path: &str, host: &str) -> (u16, Option<String>, String) {
    let request = http::Request::builder().method(method).uri(path).header("host", host).body(Body::empty()).unwrap();
    let response = site().oneshot(request).await.unwrap();
    let policy = response.headers().get("content-security-policy").map(|value| value.to_str().unwrap().to_owned());
    let code = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (code, policy, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn only_who_has_the_token_and_the_address_is_let_in() {
    let (code, policy, text) = asked("GET", "/secret/", "127.0.0.1:1").await;
    assert!(code == 200 && text.contains("shop") && policy.unwrap().starts_with("default-src 'none'"), "{code} {text}");
    assert_eq!(asked("GET", "/secret/style.css", "localhost:1").await.0, 200);
    for (method, path, host) in [
        ("GET", "/", "127.0.0.1:1"),
        ("GET", "/secre/", "127.0.0.1:1"),
        ("GET", "/secret2/", "127.0.0.1:1"),
        ("GET", "/secret/", "evil.example:1"),
        ("GET", "/secret/", "127.0.0.1:2"),
    ] {
        assert_eq!(asked(method, path, host).await.0, 404, "{path} {host}");
    }
    for method in ["POST", "DELETE", "PUT", "PATCH"] {
        assert_eq!(asked(method, "/secret/", "127.0.0.1:1").await.0, 405, "{method}");
    }
}

#[tokio::test]
async fn it_listens_on_this_machine_alone_and_each_start_has_a_token_of_its_own() {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
    });
    let cluster = Cluster { client: kube::Client::new(service, "demo"), namespace: "demo".into() };
    let first = listen(cluster.clone(), false, 0).await.unwrap();
    let second = listen(cluster, false, 0).await.unwrap();
    assert!(first.url.starts_with("http://127.0.0.1:") && first.url.len() > 80);
    assert_ne!(first.url.rsplit('/').nth(1), second.url.rsplit('/').nth(1));
}

//! The pages of a few objects, and who is let in.

use super::*;
use crate::plugin::{
    sets::tests as fleet,
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
    let html =
        pages::overview(&everybody(), &fleet::everybody(), &["demo/old".into()], None, "all namespaces", plain())
            .into_string();
    snapshot("ui-all.html", &html.replace("><", ">\n<"));
    let stalled = pages::overview(&everybody(), &fleet::everybody(), &[], Some("stalled"), "all namespaces", plain())
        .into_string();
    assert!(stalled.contains("contacts") && !stalled.contains("ledger"));
    assert!(stalled.contains("tenants") && !stalled.contains("archive"));
}

#[test]
fn a_set_is_shown_with_its_failures_and_plans() {
    let page = |set: &DatabaseMigrationSet| {
        let map = fleet::plans_map();
        let plans = &set.status.as_ref().unwrap().rollout.as_ref().unwrap().plans;
        let plans = plans.iter().map(|plan| (plan, document_of(set, plan, Some(&map)).unwrap())).collect();
        let mut failed = targets::all(&[fleet::targets_map(set)]);
        failed.retain(|target| target.state == "Failed");
        sets::detail(&sets::Detail { set, plans, failed, events: &[] }, plain()).into_string()
    };
    let html = page(&fleet::failed_canary());
    assert!(html.contains("tenant_07") && html.contains("kubectl dbmigration retry set/tenants -n demo"));
    snapshot("ui-set.html", &html.replace("><", ">\n<"));
    assert!(page(&fleet::unapproved()).contains("approve set/tenants -n demo --plan 88285e04acb88988"));
    assert!(page(&fleet::unpromoted()).contains("promote set/tenants -n demo"));
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
    let html = pages::overview(&many, &[], &[], None, "all namespaces", plain()).into_string();
    assert!(html.matches("<tr>").count() > 1000 && begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
}

fn site() -> Router {
    let service = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
        let of_sets = request.uri().path().ends_with("databasemigrationsets");
        let items = if of_sets { json!([fleet::failed_canary()]) } else { json!([shop()]) };
        let list =
            json!({ "kind": "List", "apiVersion": "alembic-operator.dev/v1alpha1", "metadata": {}, "items": items });
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
    assert!(
        code == 200
            && text.contains("shop")
            && text.contains("./sets/demo/tenants/")
            && policy.unwrap().starts_with("default-src 'none'"),
        "{code} {text}"
    );
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
async fn a_name_leads_to_a_page_that_exists() {
    for (name, path) in [
        ("shop", "demo/shop/"),
        ("dbm/shop", "demo/shop/"),
        ("set/tenants", "sets/demo/tenants/"),
        ("dbmset/tenants", "sets/demo/tenants/"),
    ] {
        assert_eq!(path_of("demo", name), path);
        assert_ne!(asked("GET", &format!("/secret/{path}"), "127.0.0.1:1").await.0, 404, "{path}");
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

//! The API server's HTTP interface over the store: the verbs and content types that the operator uses, answered as
//! the real one does (tests/common/conformance.rs asks both the same). No network.

use super::store::{Change, Key, MODIFIED, Refusal, Store, conflict, not_found};
use axum::body::{Body, Bytes, to_bytes};
use futures::stream;
use http::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json};
use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// What one client sees: the present, or the past while its view is frozen.
#[derive(Clone)]
pub struct View {
    /// Lists and watches show nothing newer.
    pub frozen: watch::Receiver<Option<Frozen>>,
    /// Each change ends the client's watches, as a restart of the API server does.
    pub restarts: watch::Receiver<u64>,
}

/// Where lists and watches stand still.
#[derive(Clone, Copy, Debug)]
pub struct Frozen {
    /// They show nothing newer than this revision.
    pub at: u64,
    /// The one resource whose watches stand still, while its lists show the present; `None` means all, lists too.
    pub only: Option<&'static str>,
}

impl Frozen {
    /// The newest revision of a resource that a watch of it shows.
    fn watched(this: Option<Self>, resource: &str) -> u64 {
        this.filter(|frozen| frozen.only.is_none_or(|only| only == resource)).map_or(u64::MAX, |frozen| frozen.at)
    }

    /// The same of a list.
    fn listed(this: Option<Self>) -> u64 {
        this.filter(|frozen| frozen.only.is_none()).map_or(u64::MAX, |frozen| frozen.at)
    }
}

/// Resources: path, group and version, kind.
const RESOURCES: [(&str, &str, &str, &str); 9] = [
    (
        "databasemigrations",
        "alembic-operator.dev/v1alpha1",
        "DatabaseMigration",
        "databasemigrations.alembic-operator.dev",
    ),
    ("jobs", "batch/v1", "Job", "jobs.batch"),
    ("pods", "v1", "Pod", "pods"),
    ("configmaps", "v1", "ConfigMap", "configmaps"),
    ("secrets", "v1", "Secret", "secrets"),
    ("events", "v1", "Event", "events"),
    ("events", "events.k8s.io/v1", "Event", "events.events.k8s.io"),
    ("backups", "postgresql.cnpg.io/v1", "Backup", "backups.postgresql.cnpg.io"),
    ("leases", "coordination.k8s.io/v1", "Lease", "leases.coordination.k8s.io"),
];

#[derive(Clone)]
struct Resource {
    api_version: &'static str,
    kind: &'static str,
    name: &'static str,
}

/// A request, understood.
struct Call {
    resource: Resource,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
    query: HashMap<String, String>,
    metadata_only: bool,
    content_type: String,
    body: Value,
}

impl Call {
    fn key(&self) -> Key {
        Key {
            resource: self.resource.name,
            namespace: self.namespace.clone().unwrap_or_default(),
            name: self.name.clone().unwrap_or_default(),
        }
    }

    fn named(&self, name: &str) -> Key {
        Key { name: name.to_owned(), ..self.key() }
    }

    fn status(&self) -> bool {
        self.subresource.as_deref() == Some("status")
    }
}

/// Whether a request changes anything.
pub fn is_write(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

/// Answers one request.
pub async fn answer<B>(store: Arc<Store>, view: View, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let method = request.method().clone();
    let Some(call) = understood(request).await else {
        return refused(&Refusal(404, "NotFound", "the server could not find the requested resource".into()));
    };
    if method == Method::GET && call.name.is_none() {
        return match call.query.get("watch").is_some_and(|w| w == "true" || w == "1") {
            true => watched(store, view, call),
            false => listed(&store, &view, &call),
        };
    }
    let outcome = match method {
        Method::GET if call.subresource.as_deref() == Some("log") => return log(&store, &call),
        Method::GET => store.get(&call.key()).ok_or_else(|| not_found(&call.key())),
        Method::POST => create(&store, &call),
        Method::PUT => replace(&store, &call),
        Method::PATCH => patch(&store, &call),
        Method::DELETE => store.delete(&call.key(), &call.body["preconditions"]),
        _ => Err(Refusal(405, "MethodNotAllowed", "the server does not allow this method".into())),
    };
    match outcome {
        Ok(object) => {
            let code = if method == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
            json_answer(code, &shown(&object, &call))
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn understood<B>(request: Request<B>) -> Option<Call>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_matches('/').to_owned();
    let mut words = path.split('/');
    let api_version = match words.next()? {
        "api" => words.next()?.to_owned(),
        "apis" => format!("{}/{}", words.next()?, words.next()?),
        _ => return None,
    };
    let rest: Vec<&str> = words.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let (plural, rest) = rest.split_first()?;
    let found = RESOURCES.iter().find(|(name, version, ..)| name == plural && *version == api_version)?;
    let header = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let query = parts.uri.query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let bytes = to_bytes(Body::new(body), 8 << 20).await.ok()?;
    Some(Call {
        resource: Resource { api_version: found.1, kind: found.2, name: found.3 },
        namespace,
        name: rest.first().map(|n| (*n).to_owned()),
        subresource: rest.get(1).map(|n| (*n).to_owned()),
        query,
        metadata_only: header(ACCEPT).contains("as=PartialObjectMetadata"),
        content_type: header(CONTENT_TYPE),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    })
}

fn create(store: &Store, call: &Call) -> Result<Arc<Value>, Refusal> {
    let name = call.body["metadata"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal(422, "Invalid", "metadata.name: Required value: name or generateName is required".into()));
    }
    store.create(&call.named(name), call.body.clone())
}

fn replace(store: &Store, call: &Call) -> Result<Arc<Value>, Refusal> {
    store.update(&call.key(), call.status(), |object| {
        is_newest(call, object)?;
        *object = call.body.clone();
        Ok(())
    })
}

/// A version in the body is that of the object that it was made from.
fn is_newest(call: &Call, object: &Value) -> Result<(), Refusal> {
    let version = &call.body["metadata"]["resourceVersion"];
    match version.is_null() || *version == object["metadata"]["resourceVersion"] {
        true => Ok(()),
        false => Err(conflict(&call.key(), MODIFIED)),
    }
}

fn patch(store: &Store, call: &Call) -> Result<Arc<Value>, Refusal> {
    let key = call.key();
    if call.content_type.starts_with("application/apply-patch") {
        let Some(manager) = call.query.get("fieldManager") else {
            return Err(Refusal(422, "Invalid", "fieldManager: Required value: is required for apply patch".into()));
        };
        return store.apply(&key, manager, call.status(), &call.body);
    }
    let merge = match call.content_type.as_str() {
        "application/merge-patch+json" => super::patch::merge,
        "application/strategic-merge-patch+json" if call.resource.api_version != "alembic-operator.dev/v1alpha1" => {
            super::patch::strategic
        }
        other => {
            return Err(Refusal(
                415,
                "UnsupportedMediaType",
                format!("the body of the request was in an unknown format: {other}"),
            ));
        }
    };
    store.update(&key, call.status(), |object| {
        is_newest(call, object)?;
        merge(object, &call.body);
        Ok(())
    })
}

fn shown(object: &Value, call: &Call) -> Value {
    if call.metadata_only {
        return json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"] });
    }
    let mut object = object.clone();
    object["apiVersion"] = json!(call.resource.api_version);
    object["kind"] = json!(call.resource.kind);
    object
}

fn matches(object: &Value, call: &Call) -> bool {
    let field = |path: &str| {
        let pointer = format!("/{}", path.replace('.', "/"));
        object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let label = |name: &str| object["metadata"]["labels"].get(name).and_then(Value::as_str);
    let labels = call.query.get("labelSelector").map(String::as_str).unwrap_or_default();
    let fields = call.query.get("fieldSelector").map(String::as_str).unwrap_or_default();
    let parts = |text: &'_ str| text.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let equal = |part: &str| {
        part.split_once('=').map(|(name, value)| (name.to_owned(), value.trim_start_matches('=').to_owned()))
    };
    parts(labels).iter().all(|part| match (part.strip_prefix('!'), part.split_once("!="), equal(part)) {
        (Some(absent), _, _) => label(absent).is_none(),
        (_, Some((name, value)), _) => label(name) != Some(value),
        (_, _, Some((name, value))) => label(&name) == Some(&value),
        (_, _, None) => label(part).is_some(),
    }) && parts(fields).iter().all(|part| equal(part).is_some_and(|(path, value)| field(&path) == value))
}

fn listed(store: &Store, view: &View, call: &Call) -> Response<Body> {
    let at = Frozen::listed(*view.frozen.borrow()).min(store.revision());
    let objects = store.list(call.resource.name, call.namespace.as_deref(), at);
    let items: Vec<Value> = objects.iter().filter(|o| matches(o, call)).map(|o| shown(o, call)).collect();
    let mut list = json!({
        "apiVersion": call.resource.api_version, "kind": format!("{}List", call.resource.kind),
        "metadata": { "resourceVersion": at.to_string() },
    });
    list["items"] = Value::Array(items);
    json_answer(StatusCode::OK, &list)
}

struct Watching {
    store: Arc<Store>,
    view: View,
    call: Call,
    sent: u64,
    news: watch::Receiver<u64>,
    ends: Instant,
}

fn watched(store: Arc<Store>, view: View, call: Call) -> Response<Body> {
    let from = call.query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
    let seconds = call.query.get("timeoutSeconds").and_then(|v| v.parse().ok()).unwrap_or(300);
    let news = store.news();
    let watching =
        Watching { store, view, call, sent: from, news, ends: Instant::now() + Duration::from_secs(seconds) };
    let body = stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        let (lines, goes_on) = watching.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(lines)), goes_on.then_some(watching)))
    });
    answer_with(StatusCode::OK, "application/json", Body::from_stream(body))
}

impl Watching {
    /// The next lines, and whether more can follow; nothing at the end.
    async fn next(&mut self) -> Option<(String, bool)> {
        loop {
            if self.sent < self.store.compacted() {
                let status = status(&Refusal(410, "Expired", "too old resource version".into()));
                return Some((format!("{}\n", json!({ "type": "ERROR", "object": status })), false));
            }
            let newest = Frozen::watched(*self.view.frozen.borrow_and_update(), self.call.resource.name);
            let to = newest.min(*self.news.borrow_and_update());
            let changes = self.store.changes(self.call.resource.name, self.sent, to);
            let lines: String = changes.iter().filter_map(|change| self.line(change)).collect();
            self.sent = self.sent.max(to);
            if !lines.is_empty() {
                return Some((lines, true));
            }
            tokio::select! {
                _ = self.news.changed() => {}
                _ = self.view.frozen.changed() => {}
                _ = self.view.restarts.changed() => return None,
                () = tokio::time::sleep_until(self.ends) => return None,
            }
        }
    }

    fn line(&self, change: &Change) -> Option<String> {
        let wanted = |namespace: &str| self.call.namespace.as_deref().is_none_or(|n| n == namespace);
        if !wanted(&change.key.namespace) {
            return None;
        }
        let seen = |object: &'_ Option<Arc<Value>>| object.as_ref().is_some_and(|o| matches(o, &self.call));
        let (kind, object) = match (seen(&change.before), seen(&change.after)) {
            (false, true) => ("ADDED", &change.after),
            (true, true) => ("MODIFIED", &change.after),
            (true, false) => ("DELETED", &change.before),
            (false, false) => return None,
        };
        let mut object = shown(object.as_ref()?, &self.call);
        object["metadata"]["resourceVersion"] = json!(change.revision.to_string());
        Some(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
    }
}

fn log(store: &Store, call: &Call) -> Response<Body> {
    match store.get(&call.key()) {
        Some(pod) => {
            let text = pod["metadata"]["annotations"][super::cluster::LOG].as_str().unwrap_or_default().to_owned();
            answer_with(StatusCode::OK, "text/plain", Body::from(text))
        }
        None => refused(&not_found(&call.key())),
    }
}

fn status(Refusal(code, reason, message): &Refusal) -> Value {
    json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code })
}

/// The API server's own way to say no.
pub fn refused(refusal: &Refusal) -> Response<Body> {
    json_answer(StatusCode::from_u16(refusal.0).unwrap_or_default(), &status(refusal))
}

fn json_answer(code: StatusCode, value: &Value) -> Response<Body> {
    answer_with(code, "application/json", Body::from(value.to_string()))
}

fn answer_with(code: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

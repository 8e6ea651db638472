//! `ui`: a page on 127.0.0.1 with the caller's own kubeconfig. It only reads: GET alone is answered, behind a token that is made
//! anew at each start, and only where the browser asked for this address. Does network I/O.

mod pages;
mod sets;
#[cfg(test)]
mod tests;

use super::{
    cli::TargetState,
    cluster::{Cluster, Selection},
    document::PlanDocument,
    graph::{self, Picture},
    sets::{document as document_of, status_of, targets},
    status::Look,
    thing,
};
use crate::api::{DatabaseMigration, DatabaseMigrationSet};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use maud::Markup;
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;

/// What every page is made from.
pub struct Site {
    cluster: Cluster,
    all_namespaces: bool,
    /// The beginning of every path.
    token: String,
    /// What a browser must have asked for: another name that leads here is somebody else's page.
    hosts: [String; 2],
    clock: fn() -> Timestamp,
}

const STYLE: &str = include_str!("style.css");

impl Site {
    fn look(&self) -> Look {
        Look { width: None, now: (self.clock)() }
    }

    /// The cluster with the namespace of a path.
    fn in_namespace(&self, namespace: &str) -> Cluster {
        Cluster { client: self.cluster.client.clone(), namespace: namespace.to_owned() }
    }
}

/// A page that is listened for.
pub struct Listening {
    listener: TcpListener,
    router: Router,
    pub url: String,
}

/// Listens on 127.0.0.1; `port` 0 is any free one.
pub async fn listen(cluster: Cluster, all_namespaces: bool, port: u16) -> anyhow::Result<Listening> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let port = listener.local_addr()?.port();
    let token = token()?;
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let url = format!("http://{}/{token}/", hosts[0]);
    let site = Site { cluster, all_namespaces, token, hosts, clock: Timestamp::now };
    Ok(Listening { listener, router: router(Arc::new(site)), url })
}

impl Listening {
    /// Answers until it is stopped.
    pub async fn serve(self) -> std::io::Result<()> {
        axum::serve(self.listener, self.router).await
    }
}

/// 256 bits by the system.
fn token() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(crate::jobs::hex(&bytes))
}

pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/{token}/", get(overview))
        .route("/{token}/style.css", get(style))
        .route("/{token}/{namespace}/{name}/", get(detail))
        .route("/{token}/{namespace}/{name}/graph.svg", get(picture))
        .route("/{token}/{namespace}/{name}/plan.sql", get(plan_sql))
        .route("/{token}/{namespace}/{name}/undo.sql", get(undo_sql))
        .route("/{token}/sets/{namespace}/{name}/", get(set))
        .route("/{token}/sets/{namespace}/{name}/plan/{hash}", get(set_plan))
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site)
}

/// The path below the token of what somebody means by a name.
pub fn path_of(namespace: &str, argument: &str) -> String {
    match thing::Named::of(argument) {
        thing::Named::Set(name) => format!("sets/{namespace}/{name}/"),
        other => format!("{namespace}/{}/", other.name()),
    }
}

/// Lets in who has the token and asked for this address, and tells the browser to load nothing from elsewhere.
async fn guard(State(site): State<Arc<Site>>, request: Request<Body>, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let token = request.uri().path().split('/').nth(1).unwrap_or_default();
    if !site.hosts.iter().any(|known| known == host) || !same(token, &site.token) {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let picture = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == SVG);
    let policy = if picture { "default-src 'none'; style-src 'unsafe-inline'" } else { POLICY };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const SVG: &str = "image/svg+xml";

/// Compares without telling by its time how much of it is right.
fn same(given: &str, token: &str) -> bool {
    let differences = given.bytes().zip(token.bytes()).fold(0, |found, (a, b)| found | (a ^ b));
    given.len() == token.len() && differences == 0
}

/// An answer, or the reason why there is none as a page.
fn shown(home: &str, page: anyhow::Result<Markup>) -> Response {
    match page {
        Ok(page) => Html(page.into_string()).into_response(),
        Err(error) => {
            (StatusCode::BAD_GATEWAY, Html(pages::failed(home, &format!("{error:#}")).into_string())).into_response()
        }
    }
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn overview(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    let filter = query.as_deref().and_then(|query| query.strip_prefix("state="));
    let page = async {
        let selection = Selection { all_namespaces: site.all_namespaces, labels: None };
        let (objects, mut unreadable) = site.cluster.list(selection).await?;
        let (sets, more) = site.cluster.sets(selection).await?;
        unreadable.extend(more);
        let place = if site.all_namespaces {
            "all namespaces".to_owned()
        } else {
            format!("namespace {}", site.cluster.namespace)
        };
        Ok(pages::overview(&objects, &sets, &unreadable, filter, &place, site.look()))
    };
    shown("./", page.await)
}

/// The names in a path.
type Named = Path<(String, String, String)>;

async fn detail(State(site): State<Arc<Site>>, Path((_, namespace, name)): Named) -> Response {
    let page = async {
        let cluster = site.in_namespace(&namespace);
        let object = cluster.object(&name).await?;
        let plan = document(&cluster, &object).await;
        let events = cluster.events(&object).await.unwrap_or_default();
        let has_graph = object.status.as_ref().is_some_and(|status| !status.heads.is_empty());
        let detail = pages::Detail { object: &object, plan: plan.as_ref(), has_graph, events: &events };
        Ok(pages::detail(&detail, site.look()))
    };
    shown("../../", page.await)
}

async fn set(State(site): State<Arc<Site>>, Path((_, namespace, name)): Named) -> Response {
    let page = async {
        let cluster = site.in_namespace(&namespace);
        let set = cluster.set(&name).await?;
        let status = status_of(&set);
        let map = plans_of(&cluster, &set).await;
        let plans = status.rollout.iter().flat_map(|rollout| &rollout.plans);
        let plans = plans.filter_map(|plan| Some((plan, document_of(&set, plan, map.as_ref()).ok()?))).collect();
        let mut failed = targets::all(&cluster.pages(&set).await.unwrap_or_default());
        failed.retain(|target| target.state == TargetState::Failed.word());
        let events = cluster.events(&set).await.unwrap_or_default();
        Ok(sets::detail(&sets::Detail { set: &set, plans, failed, events: &events }, site.look()))
    };
    shown("../../../", page.await)
}

/// The ConfigMap of a set's plans, where it may be read.
async fn plans_of(cluster: &Cluster, set: &DatabaseMigrationSet) -> Option<ConfigMap> {
    let name = set.status.as_ref()?.rollout.as_ref()?.config_map.clone();
    cluster.config_map(name.as_deref()).await.ok().flatten()
}

async fn set_plan(
    State(site): State<Arc<Site>>,
    Path((_, namespace, name, hash)): Path<(String, String, String, String)>,
) -> Response {
    let cluster = site.in_namespace(&namespace);
    match cluster.set(&name).await {
        Ok(set) => {
            let text = plans_of(&cluster, &set).await.and_then(|map| map.data?.remove(&format!("{hash}.sql")));
            plain(text.unwrap_or_else(|| "-- there is no such plan\n".to_owned()))
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}\n")).into_response(),
    }
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

async fn document(cluster: &Cluster, object: &DatabaseMigration) -> Option<PlanDocument> {
    let name = object.status.as_ref()?.plan.as_ref()?.config_map.clone();
    let map = cluster.config_map(name.as_deref()).await.ok().flatten();
    PlanDocument::read(object, map.as_ref()).ok()
}

async fn picture(State(site): State<Arc<Site>>, Path((_, namespace, name)): Named) -> Response {
    let drawn = async {
        let cluster = site.in_namespace(&namespace);
        let object = cluster.object(&name).await?;
        let image = cluster.acting_image(&object).await?;
        let image = image.ok_or_else(|| anyhow::anyhow!("the image was not inspected yet"))?;
        let hazards = document(&cluster, &object).await.map(|plan| plan.hazards).unwrap_or_default();
        let picture = Picture::of(&object, &image, &hazards, false).map_err(|error| anyhow::anyhow!(error))?;
        Ok::<_, anyhow::Error>(graph::svg(&picture))
    };
    match drawn.await {
        Ok(svg) => ([(header::CONTENT_TYPE, SVG)], svg).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}\n")).into_response(),
    }
}

async fn plan_sql(State(site): State<Arc<Site>>, path: Named) -> Response {
    sql(&site, path, |plan| plan.sql).await
}

async fn undo_sql(State(site): State<Arc<Site>>, path: Named) -> Response {
    sql(&site, path, |plan| plan.undo).await
}

async fn sql(site: &Site, Path((_, namespace, name)): Named, part: fn(PlanDocument) -> String) -> Response {
    let cluster = site.in_namespace(&namespace);
    match cluster.object(&name).await {
        Ok(object) => {
            let text =
                document(&cluster, &object).await.map(part).unwrap_or_else(|| "-- there is no plan\n".to_owned());
            plain(text)
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}\n")).into_response(),
    }
}

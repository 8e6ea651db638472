//! The operator's own HTTP endpoints: liveness, readiness, metrics; listens on the network.

use crate::metrics::Metrics;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Whether the watched stores have been filled once.
pub type Synced = Arc<AtomicBool>;

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    synced: Synced,
}

/// Takes the address, so that one which is in use is told before the work begins.
pub async fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Serves until told to stop.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    synced: Synced,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        // Alive is whoever answers: an API server that is away must not get the operator restarted.
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(serve_metrics))
        .with_state(Shared { metrics, synced });
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match shared.synced.load(Ordering::Acquire) {
        true => "ok".into_response(),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the first lists from the API server; are the CRD and the RBAC rules there?",
        )
            .into_response(),
    }
}

async fn serve_metrics(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(text) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

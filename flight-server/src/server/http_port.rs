//! The HTTP port beside the Flight port: `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::{Router, extract, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use skein_query::QueryState;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::State;
use crate::telemetry::Now;

/// Serves until `stop`. The port stays up while the Flight port drains, so that /readyz can say so.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the HTTP port failed");
    }
}

async fn ready(extract::State(state): extract::State<Arc<State>>) -> impl IntoResponse {
    if state.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "draining\n") }
}

async fn metrics(extract::State(state): extract::State<Arc<State>>) -> impl IntoResponse {
    let queries = state.engine.queries();
    let count = |wanted: QueryState| queries.iter().filter(|query| query.state == wanted).count();
    state.metrics.set_now(Now {
        queries_running: count(QueryState::Running),
        queries_queued: count(QueryState::Queued),
        ingests_running: state.ingest.running(),
        sessions: state.sessions.len(),
        memory: state.engine.memory_reserved() as u64,
        spilled: state.engine.spilled_bytes(),
        compactions: state.engine.compaction_totals(),
        tasks: state.tasks.running(),
        workers: state.engine.workers().len(),
    });
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render())
}

//! The HTTP endpoints: `/healthz`, `/readyz`, `/metrics`, `/status`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Metrics, Status};

struct Context {
    status: Status,
    metrics: Metrics,
}

/// Serves the endpoints until `shutdown` is cancelled.
///
/// # Errors
/// Those of the listening socket.
pub async fn serve(
    listener: TcpListener,
    status: Status,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(status, metrics))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

fn router(status: Status, metrics: Metrics) -> Router {
    Router::new()
        // A lost store or a full map is no reason to restart: the process is well as long as it answers.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .route("/status", get(show_status))
        .with_state(Arc::new(Context { status, metrics }))
}

/// 200 once every database has all that the store had at the start; until then 503 with what is awaited.
async fn readyz(State(context): State<Arc<Context>>) -> (StatusCode, String) {
    use std::fmt::Write as _;
    if context.status.is_ready() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut text = String::new();
    for (name, state) in context.status.states() {
        let _ = match (state.ready, &state.last_error) {
            (true, _) => writeln!(text, "{name}: ok"),
            (false, Some(error)) => writeln!(text, "{name}: {error}"),
            (false, None) => {
                let (merged, all) = (state.merged.len(), state.instances.len());
                writeln!(text, "{name}: {merged} of {all} instances are merged")
            }
        };
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn show_metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.encode())
}

async fn show_status(State(context): State<Arc<Context>>) -> impl IntoResponse {
    Json(context.status.states())
}

//! The HTTP endpoints: `/`, `/status`, `/healthz`, `/livez`, `/readyz`, `/metrics`, `/storage`. Nothing can be changed by them.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::{Health, Report};
use super::{Metrics, Status, page};
use crate::serve::serve_router;
use crate::store::Store;

struct Context {
    status: Status,
    metrics: Metrics,
    store: Arc<dyn Store>,
    /// What the store was seen to have, and when: whoever asks gets this while it is fresh, so that strangers cost the store few listings.
    listing: Mutex<Option<(Instant, Shared<BoxFuture<'static, Shown>>)>>,
}

type Shown = (StatusCode, Bytes);

/// How long a listing is shown.
const FRESH: Duration = Duration::from_secs(10);

/// Serves the endpoints, and `more` besides them, until `shutdown` is cancelled.
pub async fn serve(
    listener: TcpListener,
    status: Status,
    metrics: Metrics,
    store: Arc<dyn Store>,
    more: Router,
    shutdown: CancellationToken,
) {
    serve_router(listener, router(status, metrics, store).merge(more), shutdown).await;
}

pub(super) fn router(status: Status, metrics: Metrics, store: Arc<dyn Store>) -> Router {
    Router::new()
        .route("/", get(show_page))
        .route("/status", get(show_status))
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .route("/storage", get(list_store))
        .with_state(Arc::new(Context {
            status,
            metrics,
            store,
            listing: Mutex::default(),
        }))
}

async fn show_page(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    // Names come from whoever can write to the bucket: whatever they try, nothing runs and nothing is fetched.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                  form-action 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (
        headers,
        Html(page::render(&context.status.report()).into_string()),
    )
}

async fn show_status(State(context): State<Arc<Context>>) -> Json<Report> {
    Json(context.status.report())
}

/// 503 when something has been failing for too long. Restarting does not help then: see `/livez`.
async fn healthz(State(context): State<Arc<Context>>) -> (StatusCode, Json<Health>) {
    let health = context.status.health();
    let code = if health.ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(health))
}

/// 503 when a replica hangs, which only a restart can end. A store that is away is no reason to restart.
async fn livez(State(context): State<Arc<Context>>) -> (StatusCode, String) {
    let hanging = context.status.hanging();
    if hanging.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut text = String::new();
    for (database, silent) in hanging {
        let silent = crate::human::span(silent);
        let _ = writeln!(text, "{database}: has done nothing for {silent}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

/// 200 once the server may be asked; until then 503 with what is awaited.
async fn readyz(State(context): State<Arc<Context>>) -> (StatusCode, String) {
    if context.status.is_ready() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let states = context.status.states();
    let mut text = context.status.serving(&states).waits;
    if !text.is_empty() {
        text.push('\n');
    }
    for (name, state) in states {
        let _ = match (state.ready, state.last_error()) {
            (true, _) => writeln!(text, "{name}: ok"),
            (false, Some(error)) => writeln!(text, "{name}: {error}"),
            (false, None) => {
                let (merged, all) = (state.merged_instances(), state.instances.len());
                writeln!(text, "{name}: {merged} of {all} instances are merged")
            }
        };
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn show_metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    context.status.refresh_metrics(&context.metrics);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.encode())
}

/// The objects of the store, a line each: bytes and name.
async fn list_store(State(context): State<Arc<Context>>) -> Shown {
    let listing = {
        let mut last = context.listing.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((since, listing)) if since.elapsed() < FRESH => listing.clone(),
            _ => {
                let store = context.store.clone();
                // In a task of its own: whoever goes away meanwhile has the store asked no more often.
                let looking = tokio::spawn(async move { look_at_store(store.as_ref()).await });
                let failed = |_| (StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
                let listing = looking.map(move |shown| shown.unwrap_or_else(failed));
                let listing = listing.boxed().shared();
                *last = Some((Instant::now(), listing.clone()));
                listing
            }
        }
    };
    listing.await
}

async fn look_at_store(store: &dyn Store) -> Shown {
    match store.list("").await {
        Ok(mut objects) => {
            objects.sort();
            let line = |mut text: String, object: &crate::store::Listed| {
                let _ = writeln!(text, "{:>12}  {}", object.size, object.name);
                text
            };
            (StatusCode::OK, objects.iter().fold(String::new(), line).into())
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n").into()),
    }
}

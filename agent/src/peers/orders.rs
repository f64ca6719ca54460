//! Takes orders of the operator: restores, and nothing else. No agent may give any.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};

use super::core::Core;
use super::message::{LONGEST_ORDER, RESTORES_PATH};
use super::server::{Refusal, answer, identify_operator, length, read, sender_of};
use crate::restoring::Order;

pub(super) fn router() -> Router<Arc<Core>> {
    Router::new()
        .route(RESTORES_PATH, post(take_order))
        .route(&format!("{RESTORES_PATH}/{{id}}"), get(tell_account))
}

async fn take_order(State(core): State<Arc<Core>>, request: Request) -> Response {
    let from = sender_of(&request);
    answer(&core, &from, order(&core, request).await)
}

async fn tell_account(State(core): State<Arc<Core>>, Path(id): Path<String>, request: Request) -> Response {
    let from = sender_of(&request);
    answer(&core, &from, account(&core, &id, &request))
}

/// The same order twice is one run. Another one has to wait while one runs.
async fn order(core: &Core, request: Request) -> Result<Response, Refusal> {
    let settings = core.settings.as_ref().ok_or(Refusal::Malformed)?;
    identify_operator(core, request.headers(), request.extensions())?;
    let restorer = core.restorer.get().ok_or(Refusal::Busy)?;
    let length = length(request.headers()).filter(|length| *length <= LONGEST_ORDER);
    let length = length.ok_or(Refusal::TooLarge)?;
    let body = read(request.into_body(), length, settings.request_timeout).await?;
    let order: Order = serde_json::from_slice(&body).map_err(|_| Refusal::Malformed)?;
    let order = order.checked().ok_or(Refusal::Malformed)?;
    let account = restorer.take(order).ok_or(Refusal::Busy)?;
    Ok((StatusCode::ACCEPTED, Json(account)).into_response())
}

fn account(core: &Core, id: &str, request: &Request) -> Result<Response, Refusal> {
    identify_operator(core, request.headers(), request.extensions())?;
    let restorer = core.restorer.get().ok_or(Refusal::Busy)?;
    Ok(match restorer.account(id) {
        Some(account) => Json(account).into_response(),
        None => (StatusCode::NOT_FOUND, "no restore of this ID is known here\n").into_response(),
    })
}

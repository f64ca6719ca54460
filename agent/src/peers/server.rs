//! Takes what peers tell. Nothing of a request is read before its token is right, and no more than there is room for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use axum::{Extension, Router};
use http_body_util::BodyExt as _;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc::error::TrySendError;

use super::core::{Core, MESSAGE};
use super::identity::{Identity, Role};
use super::message::{
    BOOT, CHANGES_PATH, HELLO_PATH, Hello, INSTANCE, LONGEST_HELLO, Welcome, is_boot, is_instance,
    is_object_name,
};
use super::{Arrived, Changes, answers, orders};
use crate::clocks::Moment;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Token,
    /// It has no certificate that is believed.
    Certificate,
    /// It speaks for another instance than its certificate names.
    Identity,
    /// By its certificate it only receives.
    Receiver,
    /// Its certificate is for something else.
    Role,
    /// It came from this agent.
    Own,
    /// It came from another agent of this name.
    Namesake,
    Malformed,
    UnknownDatabase,
    TooLarge,
    Busy,
    Slow,
}

impl Refusal {
    pub(super) const ALL: [Self; 12] = [
        Self::Token,
        Self::Certificate,
        Self::Identity,
        Self::Receiver,
        Self::Role,
        Self::Own,
        Self::Namesake,
        Self::Malformed,
        Self::UnknownDatabase,
        Self::TooLarge,
        Self::Busy,
        Self::Slow,
    ];

    /// As the metric has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Identity => "identity",
            Self::Receiver => "receiver",
            Self::Role => "role",
            Self::Own => "own",
            Self::Namesake => "namesake",
            Self::Malformed => "malformed",
            Self::UnknownDatabase => "unknown_database",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::Slow => "slow",
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Token => {
                "its token is none of those accepted here: give all agents the same peers.token_file"
            }
            Self::Certificate => {
                "it has no certificate that is believed here, or does not believe the one of this agent"
            }
            Self::Identity => "its certificate is of another instance than it says",
            Self::Receiver => "its certificate only lets it receive",
            Self::Role => {
                "its certificate is not for this: agents tell changes, the operator orders restores"
            }
            Self::Own => "this is the agent that sent it",
            Self::Namesake => "it has the name of this instance: give each agent its own",
            Self::Malformed => "it is not what an agent sends",
            Self::UnknownDatabase => "there is no such database here",
            Self::TooLarge => "it is larger than peers.max_object, or does not say how large",
            Self::Busy => "what came before is not merged yet",
            Self::Slow => "it did not come in time",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Certificate | Self::Identity | Self::Receiver | Self::Role => StatusCode::FORBIDDEN,
            Self::Own => StatusCode::MISDIRECTED_REQUEST,
            Self::Namesake => StatusCode::CONFLICT,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::UnknownDatabase => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{}\n", self.text())).into_response();
        let more = match self {
            Self::Token => Some((header::WWW_AUTHENTICATE, "Bearer")),
            Self::Busy => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = more {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

pub(super) fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route(
            &format!("{CHANGES_PATH}/{{database}}/{{name}}"),
            post(take_changes),
        )
        .route(HELLO_PATH, post(take_hello))
        .merge(answers::router())
        .merge(orders::router())
        .with_state(core)
}

async fn take_changes(
    State(core): State<Arc<Core>>,
    Path((database, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let from = sender_of(&request);
    answer(&core, &from, changes(&core, database, name, request).await)
}

async fn take_hello(State(core): State<Arc<Core>>, request: Request) -> Response {
    let from = sender_of(&request);
    answer(&core, &from, hello(&core, request).await)
}

pub(super) fn sender_of(request: &Request) -> String {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
    address.map_or_else(|| "?".to_owned(), |address| address.0.ip().to_string())
}

pub(super) fn answer(core: &Core, from: &str, result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|refusal| {
        // An agent that meets itself is how it finds out which address is its own.
        if refusal != Refusal::Own {
            core.refused.count(refusal, from);
        }
        refusal.into_response()
    })
}

async fn changes(
    core: &Arc<Core>,
    database: String,
    name: String,
    request: Request,
) -> Result<Response, Refusal> {
    let settings = core.settings.as_ref().ok_or(Refusal::Malformed)?;
    let who = identify(core, request.headers(), request.extensions())?;
    let instance = text(request.headers(), &INSTANCE)?.to_owned();
    let boot = text(request.headers(), &BOOT)?.to_owned();
    check_sender(core, who, &instance, &boot)?;
    if who.is_some_and(|who| !who.may_tell()) {
        return Err(Refusal::Receiver);
    }
    let arrivals = core.arrivals.get(&database).ok_or(Refusal::UnknownDatabase)?;
    let count = core.arrived.get(&database).ok_or(Refusal::UnknownDatabase)?;
    if !is_object_name(&name) {
        return Err(Refusal::Malformed);
    }
    let length = length(request.headers()).filter(|length| *length <= settings.max_object);
    let length = length.ok_or(Refusal::TooLarge)?;
    let limit = settings.request_timeout;
    let body = request.into_body();
    // The room is taken before the body is read, so that no number of senders can fill the memory.
    let cost = u32::try_from(length + MESSAGE).map_err(|_| Refusal::TooLarge)?;
    let Ok(room) = core.room.clone().try_acquire_many_owned(cost) else {
        return Err(discard(body, limit).await);
    };
    let object = read(body, length, limit).await?;
    core.contacts
        .heard(&instance, &boot, None)
        .map_err(|_| Refusal::Busy)?;
    let arrived = Arrived {
        from_instance: instance.clone(),
        changes: Changes {
            database,
            name,
            object,
        },
        _room: Some(room),
    };
    arrivals.try_send(arrived).map_err(|error| match error {
        TrySendError::Full(_) | TrySendError::Closed(_) => Refusal::Busy,
    })?;
    // Before the sender knows, and sends what comes after.
    count.fetch_add(1, Ordering::Release);
    core.contacts.received(&instance);
    core.noticed(&instance);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn hello(core: &Arc<Core>, request: Request) -> Result<Response, Refusal> {
    let settings = core.settings.as_ref().ok_or(Refusal::Malformed)?;
    let who = identify(core, request.headers(), request.extensions())?.cloned();
    let length = length(request.headers()).filter(|length| *length <= LONGEST_HELLO);
    let length = length.ok_or(Refusal::TooLarge)?;
    let body = read(request.into_body(), length, settings.request_timeout).await?;
    let mut hello: Hello = serde_json::from_slice(&body).map_err(|_| Refusal::Malformed)?;
    check_sender(core, who.as_ref(), &hello.instance, &hello.boot)?;
    // What is not replicated here is of no interest, and of no bounded length.
    hello
        .progress
        .retain(|database, _| core.arrivals.contains_key(database));
    // Whoever may tell nothing is no contact: nobody relies on it.
    if who.is_none_or(|who| who.may_tell()) {
        core.contacts
            .heard(&hello.instance, &hello.boot, Some(hello.progress))
            .map_err(|_| Refusal::Busy)?;
        core.noticed(&hello.instance);
    }
    let welcome = Welcome {
        instance: core.instance.clone(),
        boot: core.boot.clone(),
        clock: u64::try_from(Moment::now().wall).ok(),
    };
    Ok(Json(welcome).into_response())
}

/// Lets in who has a certificate that names somebody, which goes with each of its requests.
pub(super) fn admit_with(router: Router, certificate: &CertificateDer<'_>) -> Option<Router> {
    Some(router.layer(Extension(Identity::of(certificate)?)))
}

/// Which agent asks, by its certificate; none over plain HTTP, where the token is all that shows that it is one of the own.
pub(super) fn identify<'r>(
    core: &Core,
    headers: &HeaderMap,
    extensions: &'r Extensions,
) -> Result<Option<&'r Identity>, Refusal> {
    let who = known(core, headers, extensions)?;
    let is_agent = who.is_none_or(|who| who.role != Role::Operator);
    is_agent.then_some(who).ok_or(Refusal::Role)
}

/// Lets the operator on, which nobody is without a certificate.
pub(super) fn identify_operator(
    core: &Core,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<(), Refusal> {
    let who = known(core, headers, extensions)?;
    let is_operator = core.is_private() && who.is_some_and(|who| who.role == Role::Operator);
    is_operator.then_some(()).ok_or(Refusal::Role)
}

fn known<'r>(
    core: &Core,
    headers: &HeaderMap,
    extensions: &'r Extensions,
) -> Result<Option<&'r Identity>, Refusal> {
    let who = extensions.get::<Identity>();
    let has_certificate = core.is_private() && who.is_some();
    let has_token = match &core.tokens {
        Some(tokens) => {
            let given = headers.get(header::AUTHORIZATION);
            given.is_some_and(|given| tokens.accepts(given.as_bytes()))
        }
        None => has_certificate,
    };
    let is_known = has_token && (has_certificate || !core.is_private());
    is_known.then_some(who).ok_or(Refusal::Token)
}

pub(super) fn check_sender(
    core: &Core,
    who: Option<&Identity>,
    instance: &str,
    boot: &str,
) -> Result<(), Refusal> {
    if !is_instance(instance) || !is_boot(boot) {
        return Err(Refusal::Malformed);
    }
    if who.is_some_and(|who| who.instance != instance) {
        return Err(Refusal::Identity);
    }
    match (boot == core.boot, instance == core.instance) {
        (true, _) => Err(Refusal::Own),
        (false, true) => Err(Refusal::Namesake),
        (false, false) => Ok(()),
    }
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Refusal> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or(Refusal::Malformed)
}

pub(super) fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) async fn read(body: Body, length: usize, limit: Duration) -> Result<bytes::Bytes, Refusal> {
    let read = tokio::time::timeout(limit, to_bytes(body, length)).await;
    read.map_err(|_| Refusal::Slow)?.map_err(|_| Refusal::Malformed)
}

/// Reads a body of an allowed length away: a sender that is still busy with it would not see the answer.
async fn discard(mut body: Body, limit: Duration) -> Refusal {
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    match tokio::time::timeout(limit, all).await {
        Ok(()) => Refusal::Busy,
        Err(_) => Refusal::Slow,
    }
}

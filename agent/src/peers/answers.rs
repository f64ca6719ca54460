//! Answers those who start and ask how this agent is, and hands whole databases over. Neither waits for the other, nor keeps
//! anybody from telling.

use std::io::{Read as _, Seek as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use bytes::Bytes;
use tempfile::SpooledTempFile;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::core::Core;
use super::identity::Identity;
use super::message::{
    BOOT, DATABASE_PATH, ENTRIES_PATH, INSTANCE, LONGEST_QUESTION, LONGEST_SAYS, QUESTION_PATH, SAYS,
    STATE_PATH, Statement,
};
use super::server::{Refusal, answer, check_sender, identify, length, read, sender_of, text};
use super::source::{Source, Whole};

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;
/// Who takes nothing for so long gets no more.
const STALL: Duration = Duration::from_secs(15);
/// Who takes longer than this gets no more.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

type Chunks = mpsc::Sender<std::io::Result<Bytes>>;

pub(super) fn router() -> Router<Arc<Core>> {
    Router::new()
        .route(STATE_PATH, post(say))
        .route(&format!("{DATABASE_PATH}/{{database}}"), post(hand_over))
        .route(&format!("{QUESTION_PATH}/{{database}}"), post(take_question))
        .route(&format!("{ENTRIES_PATH}/{{database}}"), post(give_entries))
}

async fn say(State(core): State<Arc<Core>>, request: Request) -> Response {
    let from = sender_of(&request);
    answer(&core, &from, statement(&core, &request.into_parts().0).await)
}

async fn hand_over(
    State(core): State<Arc<Core>>,
    Path(database): Path<String>,
    request: Request,
) -> Response {
    let from = sender_of(&request);
    answer(
        &core,
        &from,
        database_as_object(&core, &database, &request.into_parts().0).await,
    )
}

async fn take_question(
    State(core): State<Arc<Core>>,
    Path(database): Path<String>,
    request: Request,
) -> Response {
    let from = sender_of(&request);
    answer(&core, &from, question(&core, &database, request).await)
}

async fn give_entries(
    State(core): State<Arc<Core>>,
    Path(database): Path<String>,
    request: Request,
) -> Response {
    let from = sender_of(&request);
    answer(&core, &from, entries(&core, &database, request).await)
}

/// Answers what somebody asks about a database.
async fn question(core: &Core, database: &str, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let source = admit(core, &head)?;
    let may_tell = head.extensions.get::<Identity>().is_none_or(Identity::may_tell);
    let turns = if may_tell {
        &core.asking
    } else {
        &core.asking_of_receivers
    };
    let turn = turns.clone().try_acquire_owned().map_err(|_| Refusal::Busy)?;
    let asked = json(core, database, &head, body).await?;
    let from = text(&head.headers, &INSTANCE)?.to_owned();
    let database = database.to_owned();
    // In a task of its own, so that the turn lasts as long as the work, also when nobody waits for the answer any more.
    let answering = tokio::spawn(async move {
        let from = may_tell.then_some(from.as_str());
        let answer = source.answer(from, &database, asked).await;
        drop(turn);
        answer
    });
    let answer = answering.await.map_err(|_| Refusal::Busy)?;
    Ok(Json(answer.ok_or(Refusal::Busy)?).into_response())
}

/// What the body of a request says about a database that is here.
async fn json(core: &Core, database: &str, head: &Parts, body: Body) -> Result<serde_json::Value, Refusal> {
    let settings = core.settings.as_ref().ok_or(Refusal::Malformed)?;
    if !core.arrivals.contains_key(database) {
        return Err(Refusal::UnknownDatabase);
    }
    let length = length(&head.headers).filter(|length| *length <= LONGEST_QUESTION);
    let body = read(body, length.ok_or(Refusal::TooLarge)?, settings.request_timeout).await?;
    serde_json::from_slice(&body).map_err(|_| Refusal::Malformed)
}

async fn statement(core: &Core, request: &Parts) -> Result<Response, Refusal> {
    let statement = Statement {
        instance: core.instance.clone(),
        boot: core.boot.clone(),
        says: admit(core, request)?.say().await.ok_or(Refusal::Busy)?,
    };
    Ok(Json(statement).into_response())
}

/// Who may ask, and who answers.
fn admit(core: &Core, request: &Parts) -> Result<Arc<dyn Source>, Refusal> {
    let (who, headers) = (
        identify(core, &request.headers, &request.extensions)?,
        &request.headers,
    );
    check_sender(core, who, text(headers, &INSTANCE)?, text(headers, &BOOT)?)?;
    core.source.get().cloned().ok_or(Refusal::Busy)
}

async fn database_as_object(core: &Core, database: &str, request: &Parts) -> Result<Response, Refusal> {
    let source = admit(core, request)?;
    if !core.arrivals.contains_key(database) {
        return Err(Refusal::UnknownDatabase);
    }
    let wanted = database.to_owned();
    let to = text(&request.headers, &INSTANCE)?;
    tracing::info!(database, peer = to, "handing the database over");
    hand(core, request, async move { source.hand_over(&wanted).await }).await
}

async fn entries(core: &Core, database: &str, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let source = admit(core, &head)?;
    let asked = json(core, database, &head, body).await?;
    let wanted = database.to_owned();
    let to = text(&head.headers, &INSTANCE)?;
    tracing::info!(database, peer = to, "giving what differs");
    hand(core, &head, async move { source.entries(&wanted, asked).await }).await
}

/// Has an object made and pours it out, if nobody else is being given one.
async fn hand(
    core: &Core,
    request: &Parts,
    making: impl Future<Output = Option<Whole>> + Send + 'static,
) -> Result<Response, Refusal> {
    let who = request.extensions.get::<Identity>();
    let turns = match who {
        Some(who) if !who.may_tell() => &core.handing_to_receivers,
        _ => &core.handing,
    };
    let turn = turns.clone().try_acquire_owned();
    let turn = turn.map_err(|_| Refusal::Busy)?;
    // In a task of its own, so that the turn lasts as long as the work, also when nobody waits for the answer any more.
    let making = tokio::spawn(async move { (making.await, turn) });
    let (made, turn) = making.await.map_err(|_| Refusal::Busy)?;
    let Whole { says, object, size } = made.ok_or(Refusal::Busy)?;
    let says = serde_json::to_vec(&says).map_err(|_| Refusal::Busy)?;
    if says.len() > LONGEST_SAYS {
        return Err(Refusal::TooLarge);
    }
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, says.len() as u64 + size)
        .header(SAYS, says.len());
    let (chunks, waiting) = mpsc::channel(2);
    tokio::spawn(async move {
        if tokio::time::timeout(LONGEST, pour(says.into(), object, chunks))
            .await
            .is_err()
        {
            tracing::warn!("a peer takes too long for the database that it asked for: it gets no more");
        }
        drop(turn);
    });
    let body = futures::stream::unfold(waiting, async |mut waiting| {
        waiting.recv().await.map(|chunk| (chunk, waiting))
    });
    response
        .body(Body::from_stream(body))
        .map_err(|_| Refusal::Malformed)
}

/// Reads an object into a channel. Where it ends early, the receiver misses the rest of the length that it was told.
async fn pour(says: Bytes, mut object: SpooledTempFile, chunks: Chunks) {
    if object.rewind().is_err() || chunks.send_timeout(Ok(says), STALL).await.is_err() {
        return;
    }
    loop {
        let read = spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = object.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            read.map(|_| (Bytes::from(chunk), object))
        });
        match read.await {
            Ok(Ok((chunk, rest))) if !chunk.is_empty() => {
                object = rest;
                if chunks.send_timeout(Ok(chunk), STALL).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => {
                let _ = chunks.send_timeout(Err(error), STALL).await;
                return;
            }
            Ok(Ok(_)) | Err(_) => return,
        }
    }
}

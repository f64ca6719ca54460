//! A request to another agent, with what shows that it is from one of its own.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};

use super::core::Core;
use super::message::{BOOT, INSTANCE};
use super::token::Tokens;
use super::transport::answered_by;

/// Sends a request. What failed for a reason that another try can heal at once is tried once more. `limit`: for the whole
/// request, where it is not the client's.
///
/// # Errors
/// Why there is no answer, for people.
pub(super) async fn post(
    core: &Core,
    address: &str,
    path: &[&str],
    (body, kind): (Bytes, &'static str),
    limit: Option<Duration>,
) -> Result<Response, String> {
    let url = url(address, path).ok_or("it is no address")?;
    let mut again = true;
    loop {
        let client = core.client()?;
        let sent = header(core);
        let mut request = client
            .post(url.clone())
            .header(CONTENT_TYPE, kind)
            .header(INSTANCE, &core.instance)
            .header(BOOT, &core.boot)
            .body(body.clone());
        if let Some(token) = &sent {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        match request.send().await {
            Ok(response)
                if response.status() == StatusCode::UNAUTHORIZED
                    && again
                    && has_other_than(core, sent.as_ref()) =>
            {
                again = false;
            }
            Ok(response) if core.is_private() && answered_by(&response).is_none() => {
                return Err("it shows no certificate".to_owned());
            }
            Ok(response) => return Ok(response),
            // A peer that was restarted leaves a connection behind that is dead.
            Err(error) if again && !error.is_timeout() => again = false,
            Err(error) => return Err(reason(error)),
        }
    }
}

/// What shows the peer that this agent is one of its own.
fn header(core: &Core) -> Option<HeaderValue> {
    core.tokens.as_ref().and_then(Tokens::header)
}

/// There is another token than the one that was sent: the file has changed, or was read again while the request was on its
/// way.
fn has_other_than(core: &Core, sent: Option<&HeaderValue>) -> bool {
    if let Some(tokens) = &core.tokens {
        tokens.renew();
    }
    header(core).as_ref() != sent
}

fn url(address: &str, path: &[&str]) -> Option<Url> {
    let mut url = Url::parse(address).ok()?;
    let (first, rest) = path.split_first()?;
    url.set_path(first);
    url.path_segments_mut().ok()?.extend(rest);
    Some(url)
}

/// Reads an answer of at most so many bytes. It is read even if it is of no interest: otherwise the connection would be of no
/// further use.
///
/// # Errors
/// That it is longer, or breaks off.
pub(super) async fn read(response: &mut Response, longest: usize) -> Result<Bytes, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= longest => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err("its answer is too long".to_owned()),
            Ok(None) => return Ok(body.into()),
            Err(error) => return Err(reason(error)),
        }
    }
}

/// An error with its causes, without the address, which is known.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

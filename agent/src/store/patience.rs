//! How long a store may be silent. The limit for a whole request has to suit a large transfer, so it is no help against
//! a store that takes connections and never answers: nobody would hear of it for a quarter of an hour.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpResponseBody};
use tokio::time::{Instant, Sleep, sleep};

/// Without a byte for so long, a store does not answer any more. Well above what a busy one takes for a listing.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// The slowest line that is still worth sending over, bytes a second.
const SLOWEST: u64 = 32 << 10;

#[derive(Debug, thiserror::Error)]
#[error("the store has not answered for {0:?}")]
struct Silent(Duration);

pub(super) fn silent(limit: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Silent(limit))
}

/// How long the beginning of an answer may take after a request with so many bytes.
pub(super) fn patience(silence: Duration, bytes: usize) -> Duration {
    silence + Duration::from_secs(bytes as u64 / SLOWEST)
}

/// The rest of an answer, of which something must come from time to time.
#[derive(Debug)]
pub(super) struct Watched {
    body: HttpResponseBody,
    silence: Duration,
    limit: Pin<Box<Sleep>>,
}

impl Watched {
    pub(super) fn body(body: HttpResponseBody, silence: Duration) -> HttpResponseBody {
        HttpResponseBody::new(Self {
            body,
            silence,
            limit: Box::pin(sleep(silence)),
        })
    }
}

impl Body for Watched {
    type Data = <HttpResponseBody as Body>::Data;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let next = Instant::now() + self.silence;
            self.limit.as_mut().reset(next);
            return Poll::Ready(frame);
        }
        ready!(self.limit.as_mut().poll(cx));
        Poll::Ready(Some(Err(silent(self.silence))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_request_has_longer_than_a_small_one() {
        assert_eq!(patience(SILENCE, 0), SILENCE);
        assert_eq!(patience(SILENCE, 8 << 20), SILENCE + Duration::from_secs(256));
    }
}

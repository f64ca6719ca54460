//! A store that says when it wants to be asked again is not asked before.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::{Instant, sleep_until};

/// Longer than this no store is believed: it could keep an agent away for good.
const LONGEST: Duration = Duration::from_secs(30);

/// When the store wants to be asked again.
#[derive(Debug, Default)]
pub(super) struct Restraint(Mutex<Option<Instant>>);

impl Restraint {
    /// Returns when the store may be asked.
    pub(super) async fn wait(&self) {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    /// Looks at an answer for a wish.
    pub(super) fn learn(&self, status: StatusCode, headers: &HeaderMap) {
        if !matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            return;
        }
        let wish = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        // A date is allowed too, but no store sends one, and its clock may be another.
        let Some(seconds) = wish.and_then(|wish| wish.parse().ok()) else {
            return;
        };
        let until = Instant::now() + Duration::from_secs(seconds).min(LONGEST);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    async fn waits_after(status: u16, wish: &'static str) -> Duration {
        let restraint = Restraint::default();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(wish))]);
        restraint.learn(StatusCode::from_u16(status).unwrap(), &headers);
        let start = Instant::now();
        restraint.wait().await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_wants_to_be_left_alone_is_left_alone_for_so_long_but_not_for_ever() {
        let rounded = |waited: Duration| (waited + Duration::from_millis(500)).as_secs();
        assert_eq!(rounded(waits_after(503, "7").await), 7);
        assert_eq!(rounded(waits_after(429, "2").await), 2);
        assert_eq!(rounded(waits_after(503, "86400").await), 30);
        assert_eq!(waits_after(200, "7").await, Duration::ZERO);
        assert_eq!(waits_after(503, "soon").await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_wish_does_not_undo_a_longer_one() {
        let restraint = Restraint::default();
        for wish in ["9", "1"] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(wish))]);
            restraint.learn(StatusCode::SERVICE_UNAVAILABLE, &headers);
        }
        let start = Instant::now();
        restraint.wait().await;
        assert!(start.elapsed() >= Duration::from_secs(9));
    }
}

//! Waiting for what another process does: ask, look at the answer, ask again.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Asks every 100 ms until the answer is `Ok`, and gives that.
///
/// # Panics
/// When `deadline` has passed: with `what` was waited for and the last answer seen, which the closure gives as `Err`.
#[track_caller]
pub fn eventually<T, E, F>(deadline: Duration, what: &str, ask: F) -> impl Future<Output = T> + use<T, E, F>
where
    E: Display,
    F: AsyncFnMut() -> Result<T, E>,
{
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        match within(deadline, ask).await {
            Ok(value) => value,
            Err(gave_up) => panic_at(caller, &what, &gave_up),
        }
    }
}

/// What was seen last when the time was up.
#[derive(Debug, thiserror::Error)]
#[error("not within {deadline:?} ({tries} tries); seen last: {last}")]
pub struct GaveUp {
    pub deadline: Duration,
    pub tries: u32,
    pub last: String,
}

/// As [`eventually`], but returns what was seen last instead of panicking.
pub async fn within<T, E, F>(deadline: Duration, ask: F) -> Result<T, GaveUp>
where
    E: Display,
    F: AsyncFnMut() -> Result<T, E>,
{
    within_every(Duration::from_millis(100), deadline, ask).await
}

/// As [`within`], but asks as often as the caller says.
pub async fn within_every<T, E, F>(pause: Duration, deadline: Duration, mut ask: F) -> Result<T, GaveUp>
where
    E: Display,
    F: AsyncFnMut() -> Result<T, E>,
{
    let start = Instant::now();
    let mut tries = 0;
    let mut last = "no answer at all".to_owned();
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        tries += 1;
        // An answer that hangs must not outlast the deadline.
        match tokio::time::timeout(left.max(Duration::from_millis(100)), ask()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {}
        }
        if start.elapsed() >= deadline {
            return Err(GaveUp {
                deadline,
                tries,
                last,
            });
        }
        tokio::time::sleep(pause).await;
    }
}

fn panic_at(caller: &std::panic::Location<'_>, what: &str, gave_up: &GaveUp) -> ! {
    panic!("{caller}: waited for: {what}: {gave_up}");
}

//! One question at a time, however many ask.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// The last answer to a question, as long as it is good.
pub(super) struct Coalesced<T> {
    fresh: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Coalesced<T> {
    pub(super) fn new(fresh: Duration) -> Self {
        Self {
            fresh,
            last: Mutex::new(None),
        }
    }

    /// The last answer if it is not older than it may be; else that of `ask`, for all that wait for it.
    pub(super) async fn get(&self, ask: impl Future<Output = T>) -> T {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < self.fresh
        {
            return answer.clone();
        }
        let answer = ask.await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_hundred_that_ask_at_a_time_are_one_question() {
        let asked = AtomicU32::new(0);
        let once = Coalesced::new(Duration::from_secs(3600));
        let ask = || {
            once.get(async {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::Relaxed)
            })
        };
        let answers = futures::future::join_all((0..100).map(|_| ask())).await;
        assert_eq!(answers, [0; 100]);
        let stale = Coalesced::new(Duration::ZERO);
        assert_eq!(
            (stale.get(async { 1 }).await, stale.get(async { 2 }).await),
            (1, 2)
        );
    }
}

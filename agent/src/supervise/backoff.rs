//! How long to wait until the agent is started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// An agent that ran for so long did not end of what ended the one before it.
const GOOD: Duration = Duration::from_secs(60);

/// Waits double from end to end.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The wait after an agent that ran for `ran`.
    pub(super) fn after(&mut self, ran: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if ran < GOOD => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_a_good_minute_forgets_them() {
        let mut backoff = Backoff::default();
        let mut after = |ran| backoff.after(Duration::from_secs(ran)).as_secs();
        let waits: Vec<_> = [0, 3, 59, 0, 0, 0, 0].into_iter().map(&mut after).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!((after(60), after(59), after(3600)), (1, 2, 1));
    }
}

//! Whether an agent hangs, by what it answers when it is asked whether it lives.

use std::time::{Duration, Instant};

/// So often at least it must have failed to answer: a supervisor that was stopped itself for a while asks again first.
const FEWEST: u32 = 3;

/// The answers of one agent.
#[derive(Debug)]
pub(super) struct Pulse {
    patience: Duration,
    /// Since when it fails, and how often it has.
    failing: Option<(Instant, u32)>,
}

impl Pulse {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            failing: None,
        }
    }

    /// Takes note of whether it answered well to a question asked at `asked`. True when it hangs by now.
    pub(super) fn beat(&mut self, well: bool, asked: Instant, now: Instant) -> bool {
        if well {
            self.failing = None;
            return false;
        }
        let (since, times) = self
            .failing
            .map_or((asked, 1), |(since, times)| (since, times + 1));
        self.failing = Some((since, times));
        times >= FEWEST && now.saturating_duration_since(since) >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_hangs_that_has_not_answered_well_for_the_whole_time() {
        let start = Instant::now();
        let mut pulse = Pulse::new(Duration::from_secs(60));
        let mut beat = |well, second| {
            let asked = start + Duration::from_secs(second);
            pulse.beat(well, asked, asked + Duration::from_secs(5))
        };
        assert!((0..5).all(|round| !beat(false, round * 10)));
        assert!(!beat(true, 50));
        assert!(
            (6..12).all(|round| !beat(false, round * 10)),
            "it failed for 55 s by then"
        );
        assert!(beat(false, 120));
    }

    #[test]
    fn a_supervisor_that_was_stopped_for_an_hour_asks_again_before_it_judges() {
        let start = Instant::now();
        let mut pulse = Pulse::new(Duration::from_secs(60));
        let later = start + Duration::from_secs(3600);
        assert!(!pulse.beat(false, start, later));
        assert!(!pulse.beat(true, later, later));
        assert!(!pulse.beat(false, later, later));
    }
}

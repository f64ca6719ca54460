//! What a load has seen, and what it means. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// One question or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    pub number: usize,
    /// Since the load began.
    pub began: Duration,
    pub ended: Duration,
    /// Why it counts as lost.
    pub failure: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By number.
    pub tries: Vec<Try>,
    pub lasted: Duration,
}

impl Report {
    pub fn lost(&self) -> impl Iterator<Item = &Try> {
        self.tries.iter().filter(|one| one.failure.is_some())
    }

    /// The numbers of those that succeeded.
    pub fn succeeded(&self) -> Vec<usize> {
        let right = self.tries.iter().filter(|one| one.failure.is_none());
        right.map(|one| one.number).collect()
    }

    /// The longest time in which nothing succeeded, from its begin and to its end too.
    pub fn longest_gap(&self) -> Duration {
        let right = self.tries.iter().filter(|one| one.failure.is_none());
        let mut ends: Vec<Duration> = right.map(|one| one.ended).collect();
        ends.push(self.lasted);
        ends.sort_unstable();
        let mut before = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for end in ends {
            longest = longest.max(end.saturating_sub(before));
            before = end;
        }
        longest
    }

    /// `Ok` when there was something to lose and nothing was lost.
    pub fn expect_none_lost(&self) -> Result<(), String> {
        if self.tries.is_empty() {
            return Err("nothing was tried, which proves nothing".to_owned());
        }
        match self.lost().next() {
            None => Ok(()),
            Some(_) => Err(self.summary()),
        }
    }

    /// `Ok` when no more than one in so many was lost. A busy machine loses a packet by itself, and a node that forgets a flow what is
    /// under way in it; a fault loses tens.
    pub fn expect_hardly_any_lost(&self, one_in: usize) -> Result<(), String> {
        if self.lost().count() <= self.tries.len() / one_in && !self.tries.is_empty() {
            return Ok(());
        }
        self.expect_none_lost()
    }

    /// `3 of 5400 lost, first at 2.1 s, last at 4.0 s: 2 × refused, 1 × no answer within 2s`
    pub fn summary(&self) -> String {
        let text = format!("{} of {} lost", self.lost().count(), self.tries.len());
        let (Some(first), Some(last)) = (self.lost().next(), self.lost().last()) else {
            return text;
        };
        let mut kinds = BTreeMap::<&str, usize>::new();
        for why in self.lost().filter_map(|one| one.failure.as_deref()) {
            *kinds.entry(why).or_default() += 1;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(why, times)| format!("{times} × {why}"))
            .collect();
        let moment = |one: &Try| format!("{:.1} s", one.began.as_secs_f64());
        let (first, last, kinds) = (moment(first), moment(last), kinds.join(", "));
        format!("{text}, first at {first}, last at {last}: {kinds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tries: &[(u64, u64, Option<&str>)], lasted: u64) -> Report {
        let tries = tries
            .iter()
            .enumerate()
            .map(|(number, (began, ended, failure))| Try {
                number,
                began: Duration::from_millis(*began),
                ended: Duration::from_millis(*ended),
                failure: failure.map(str::to_owned),
            });
        Report {
            tries: tries.collect(),
            lasted: Duration::from_millis(lasted),
        }
    }

    #[test]
    fn a_gap_is_the_time_between_two_successes_whatever_failed_meanwhile() {
        let seen = report(
            &[
                (0, 10, None),
                (50, 60, Some("refused")),
                (100, 1100, Some("refused")),
                (150, 710, None),
                (200, 720, None),
            ],
            800,
        );
        assert_eq!(seen.longest_gap(), Duration::from_millis(700));
    }

    #[test]
    fn answers_that_come_in_another_order_make_no_gap() {
        let seen = report(&[(0, 500, None), (10, 20, None), (20, 30, None)], 510);
        assert_eq!(seen.longest_gap(), Duration::from_millis(470));
    }

    #[test]
    fn the_end_is_the_end_of_a_gap_too() {
        assert_eq!(
            report(&[(0, 10, None)], 900).longest_gap(),
            Duration::from_millis(890)
        );
        assert_eq!(
            report(&[(0, 10, Some("refused"))], 900).longest_gap(),
            Duration::from_millis(900)
        );
    }

    #[test]
    fn what_was_lost_is_counted_by_kind_with_its_moments() {
        let seen = report(
            &[
                (0, 1, None),
                (2100, 2101, Some("refused")),
                (3000, 5000, Some("silence")),
                (4000, 4001, Some("refused")),
            ],
            6000,
        );
        assert_eq!(
            seen.summary(),
            "3 of 4 lost, first at 2.1 s, last at 4.0 s: 2 × refused, 1 × silence"
        );
        assert_eq!(seen.expect_none_lost(), Err(seen.summary()));
        assert_eq!(seen.succeeded(), [0]);
    }

    #[test]
    fn a_load_that_asked_nothing_proves_nothing() {
        assert!(report(&[], 100).expect_none_lost().is_err());
        assert!(report(&[], 100).expect_hardly_any_lost(1000).is_err());
        assert_eq!(report(&[(0, 1, None)], 100).expect_none_lost(), Ok(()));
    }

    #[test]
    fn a_stray_loss_among_a_thousand_is_hardly_any_and_two_are_not() {
        let lost = |lost: usize| {
            let tries: Vec<_> = (0..1000)
                .map(|number| (number, number + 1, (number < lost as u64).then_some("silence")))
                .collect();
            report(&tries, 1000)
        };
        assert!(lost(0).expect_hardly_any_lost(1000).is_ok());
        assert!(lost(1).expect_hardly_any_lost(1000).is_ok());
        assert!(lost(2).expect_hardly_any_lost(1000).is_err());
    }
}

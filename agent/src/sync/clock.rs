//! The own clock beside the store's: the newer write wins by the clocks of those who wrote, so a wrong one lets old
//! changes win. The store is the one that all instances ask, so whoever agrees with it agrees with the others.

use super::replica::Replica;
use crate::status::Level;
use crate::store::Skew;

/// A certain difference from which on it is worth a warning, ns. NTP keeps clocks to a few hundredths of a second even
/// over bad lines, and nobody changes one record on two servers within a second by hand; S3 refuses requests at 15 min.
const FAR: i64 = 1_000_000_000;

/// Whether the clocks are too far apart. A difference near the limit must not come and go with every answer.
fn is_far(skew: &Skew, was_far: bool) -> bool {
    skew.at_least() > FAR || (was_far && skew.ahead().abs() > FAR)
}

impl Replica {
    /// Reports what the store's answers say of the own clock. Replication goes on whatever it is.
    pub(super) fn compare_clocks(&self) {
        let Some(skew) = self.store.skew() else { return };
        self.status.compared_clocks(skew);
        let told = self.state().skew_told;
        if !is_far(&skew, told.is_some()) {
            self.state().skew_told = None;
            self.status.clear("store_clock");
            return;
        }
        // Told anew when it is another difference, not when the same one is known better.
        if told.is_some_and(|told| told.agrees_with(&skew)) {
            return;
        }
        let text = format!("{skew}: set the clock right, with NTP, or changes made here win or lose wrongly");
        tracing::warn!(database = %self.database(), "{text}");
        self.status.raise("store_clock", Level::Warning, &text);
        self.state().skew_told = Some(skew);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn a_difference_is_far_when_it_is_certain_and_stays_so_until_it_is_likely_not() {
        let far = |low: i64, high: i64, was| is_far(&Skew::between(low * MS, high * MS), was);
        for sign in [1, -1] {
            let far = |low: i64, high: i64, was| {
                if sign > 0 {
                    far(low, high, was)
                } else {
                    far(-high, -low, was)
                }
            };
            assert!(far(1_001, 2_001, false));
            assert!(!far(1_000, 2_000, false), "it may be one second");
            assert!(far(900, 1_900, true), "it was far and probably still is");
            assert!(!far(400, 1_400, true));
            assert!(!far(-500, 500, true));
        }
    }
}

//! What is said of the own clock, beside the store's and those of the other servers: of two writes that do not know of each other
//! the newer wins by the clocks of those who wrote.

use crate::report::Level;
use crate::store::Skew;
use crate::sync::known::fleet_time::{FAR, Source};
use crate::sync::state::replica::Replica;

/// How far ahead of the fleet's time an entry may be before it is worth a warning, ns: NTP keeps clocks much closer.
const FUTURE: u64 = 2_000_000_000;

/// Whether the clocks are too far apart. A difference near the limit must not come and go with every answer.
fn is_far(skew: &Skew, was_far: bool) -> bool {
    skew.at_least() > FAR || (was_far && skew.ahead().abs() > FAR)
}

impl Replica {
    /// Reports what the store's answers and the other servers say of the own clock. Replication goes on whatever it is.
    pub(in crate::sync) fn compare_clocks(&self) {
        self.compare_with_the_store();
        self.compare_with_the_servers();
        self.stop_warning_of_the_past();
    }

    /// Where the store says what time it is, the servers' clocks are of interest only if they contradict it.
    fn compare_with_the_servers(&self) {
        let fleet = self.told_time();
        let text = match fleet.source {
            Source::Servers if fleet.off().is_some() => {
                format!("{fleet}: {}", self.set_it_right("most servers'"))
            }
            Source::Servers if fleet.is_undecided() => {
                format!("{fleet}: set them right, with NTP, or changes of the one that is ahead win wrongly")
            }
            Source::Disputed => format!("{fleet}: set the one that is wrong right, with NTP"),
            _ => return self.status.clear("server_clocks"),
        };
        self.status.raise("server_clocks", Level::Warning, &text);
    }

    /// What to do, and what becomes of changes until then.
    fn set_it_right(&self, whose: &str) -> String {
        match self.max_ahead {
            Some(_) => {
                format!("set the clock right, with NTP; changes made here get {whose} time until then")
            }
            None => "set the clock right, with NTP, or changes made here win or lose wrongly".to_owned(),
        }
    }

    fn compare_with_the_store(&self) {
        let Some(skew) = self.store.skew() else { return };
        self.status.compared_clocks(skew);
        let told = self.state().warned.skew;
        if !is_far(&skew, told.is_some()) {
            self.state().warned.skew = None;
            self.status.clear("store_clock");
            return;
        }
        // Told anew when it is another difference, not when the same one is known better.
        if told.is_some_and(|told| told.agrees_with(&skew)) {
            return;
        }
        let text = format!("{skew}: {}", self.set_it_right("the store's"));
        tracing::warn!(database = %self.database(), "{text}");
        self.status.raise("store_clock", Level::Warning, &text);
        self.state().warned.skew = Some(skew);
    }

    /// What was warned of is over when its time has come.
    fn stop_warning_of_the_past(&self) {
        let future = self.state().warned.future;
        if let Some(newest) = future {
            let own = self.own_clock();
            let latest = self.fleet_time().latest(own).unwrap_or(own).max(own);
            if newest.saturating_sub(latest) <= FUTURE {
                self.state().warned.future = None;
                self.status.clear("clock");
            }
        }
    }

    pub(in crate::sync) fn warn_of_the_future(&self, name: &str, newest: u64) {
        // Later than the fleet's time can be, and than the own clock.
        let own = self.own_clock();
        let latest = self.fleet_time().latest(own).unwrap_or(own).max(own);
        let ahead = newest.saturating_sub(latest);
        if ahead <= FUTURE {
            self.state().warned.future = None;
            self.status.clear("clock");
        } else {
            self.state().warned.future = Some(newest);
            let text = format!("an entry in {name} is {} ms ahead of the time", ahead / 1_000_000);
            self.status.raise("clock", Level::Warning, &text);
            tracing::warn!(
                database = %self.database(), %name, ahead_ms = ahead / 1_000_000,
                "an entry is from the future and wins over everything written until then: are all clocks right?"
            );
        }
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

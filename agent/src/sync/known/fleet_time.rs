//! The time that the whole fleet goes by, as far as one server can tell: pure.
//!
//! The store is the one clock that all have in common; without it the median of all servers counts, where one wrong clock of three
//! moves nothing. Nothing is done about a clock unless it is certain that it is wrong: of two servers without a store
//! neither knows whose is.

use std::fmt;
use std::sync::Arc;

use crate::skew::Skew;

/// The time in ns since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A certain difference from which on it matters, ns. NTP keeps clocks to a few hundredths of a second even over bad lines, and
/// nobody changes one record on two servers within a second by hand.
pub(in crate::sync) const FAR: i64 = 1_000_000_000;
/// Servers that agree with each other are believed as much as a store that contradicts them, from this number on.
const MANY: usize = 2;

/// By whom the fleet's time is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// No store and no peer has told the time.
    Nobody,
    Store,
    /// The servers, the own one among them.
    Servers,
    /// The store says one thing and the servers another.
    Disputed,
}

/// How far the own clock is ahead of the fleet's time, as an interval in ns; negative when it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetTime {
    low: i64,
    high: i64,
    pub source: Source,
    /// The median clock of the servers is certainly not that of the own one, or two of them certainly differ.
    servers_differ: bool,
    /// More than one clock says so, the own one not among them.
    confirmed: bool,
    /// The least that it may be by answers that are not believed yet.
    least: i64,
    /// The own clock was set, and too few have told the time since.
    was_set: bool,
}

impl FleetTime {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        low: 0,
        high: 0,
        source: Source::Nobody,
        servers_differ: false,
        confirmed: false,
        least: 0,
        was_set: false,
    };

    /// By how far the own clock is ahead of the store's, and of each peer's, as far as that is sure.
    pub fn of(store: Option<&Skew>, peers: &[Skew]) -> Self {
        let peers: Vec<_> = peers.iter().filter(|peer| peer.sure).copied().collect();
        let store = store.filter(|store| store.sure);
        let fleet = Self::by(store, &peers);
        let doubted = |skew: &Skew| Skew::between(skew.least(), skew.high());
        let with_doubts = Self::by(
            store.map(doubted).as_ref(),
            &peers.iter().map(doubted).collect::<Vec<_>>(),
        );
        Self {
            least: fleet.low.min(with_doubts.low),
            was_set: !fleet.is_known_well() && store.into_iter().chain(&peers).any(|skew| skew.was_set),
            ..fleet
        }
    }

    fn by(store: Option<&Skew>, peers: &[Skew]) -> Self {
        let (low, high) = median(peers);
        let servers = Self {
            low,
            high,
            source: Source::Servers,
            servers_differ: peers.iter().any(|peer| peer.at_least() > FAR),
            ..Self::UNKNOWN
        };
        let by_store = store.map(|store| Self {
            low: store.low(),
            high: store.high(),
            source: Source::Store,
            ..servers
        });
        let fleet = match by_store {
            None if peers.is_empty() => return Self::UNKNOWN,
            None => servers,
            Some(store) if peers.is_empty() => store,
            Some(store) => {
                // Clocks that are right differ a little.
                let (low, high) = (low.saturating_sub(FAR), high.saturating_add(FAR));
                if store.low <= high && low <= store.high {
                    Self {
                        low: store.low.max(low),
                        high: store.high.min(high),
                        ..store
                    }
                } else if servers.is_known_well()
                    && agreeing(peers, &servers) + usize::from(servers.agrees_with(0, 0)) >= MANY
                {
                    Self {
                        low: store.low.min(servers.low),
                        high: store.high.max(servers.high),
                        source: Source::Disputed,
                        ..store
                    }
                } else {
                    store
                }
            }
        };
        let others = agreeing(peers, &fleet) + usize::from(by_store.is_some());
        Self {
            confirmed: others > 1 && fleet.source != Source::Disputed,
            ..fleet
        }
    }

    /// What a clock says that is so far behind the own one at least and at most may be this, give or take [`FAR`].
    fn agrees_with(&self, low: i64, high: i64) -> bool {
        low.saturating_sub(FAR) <= self.high && self.low <= high.saturating_add(FAR)
    }

    /// Servers differ, and nobody can tell which of them is right.
    pub fn is_undecided(&self) -> bool {
        self.source == Source::Servers && self.servers_differ && self.high.saturating_sub(self.low) > FAR
    }

    /// How far the own clock is ahead, as far as that is known: the middle of what is possible.
    pub fn ahead(&self) -> i64 {
        self.low + (self.high - self.low) / 2
    }

    /// How far the own clock is ahead, if it is certain that it is wrong: the middle of what is possible, or the least where that is
    /// not known well.
    pub fn off(&self) -> Option<i64> {
        let at_least = self.low.max(-self.high);
        (at_least > FAR).then(|| match (self.is_known_well(), self.low > 0) {
            (true, _) => self.ahead(),
            (false, true) => self.low,
            (false, false) => self.high,
        })
    }

    fn is_known_well(&self) -> bool {
        self.high.saturating_sub(self.low) <= 2 * FAR
    }

    /// The own clock was set, and too few have told the time since to know what it is.
    pub fn was_set(&self) -> bool {
        self.was_set
    }

    /// The fleet's time when the own clock says `own`, ns since the epoch: the own one unless that is certainly wrong.
    pub fn now(&self, own: u64) -> u64 {
        own.saturating_add_signed(self.off().unwrap_or(0).saturating_neg())
    }

    /// The earliest time that a write of this server can come to have, now that the own clock says `own`: an earlier one than that if it
    /// may become certain that the own clock is ahead.
    pub fn earliest(&self, own: u64) -> u64 {
        // Where nobody knows, nothing is corrected.
        let is_undecided = self.source == Source::Disputed || self.is_undecided();
        let may_be_ahead = self.high > 2 * FAR || self.low > FAR;
        let most = if may_be_ahead && !is_undecided {
            self.high.saturating_add(FAR)
        } else {
            0
        };
        own.saturating_sub(most.unsigned_abs())
    }

    /// The latest that the fleet's time can be when the own clock says `own`; `None`: nobody knows.
    pub fn latest(&self, own: u64) -> Option<u64> {
        (self.source != Source::Nobody).then(|| own.saturating_add_signed(self.least.saturating_neg()))
    }

    /// The latest time that somebody else's write can have who is right, when the own clock says `own`; `None`: nobody knows. Where a
    /// single other clock says that the own one is ahead, a writer that agrees with the own one makes two against it.
    pub fn believable(&self, own: u64) -> Option<u64> {
        let latest = self.latest(own)?;
        Some(if self.confirmed { latest } else { latest.max(own) })
    }

    /// The same without what answers say that are not believed yet.
    pub fn certainly_believable(&self, own: u64) -> Option<u64> {
        let without_doubts = Self {
            least: self.low,
            ..*self
        };
        without_doubts.believable(own)
    }

    /// The least time that [`FleetTime::stamp`] can come to give a write of this server: how far the own clock is off is known better
    /// with every answer, and it may become certain that it is ahead.
    pub fn least(&self, raw: u64, own: u64) -> u64 {
        let stamped = self.stamp(raw, own);
        // What the own clock has not come to gets the fleet's time if it becomes certain that it is behind, by more than this.
        let may_be_behind = self.low < -FAR;
        let raw = if may_be_behind {
            raw.min(own.saturating_add_signed(FAR))
        } else {
            raw
        };
        if stamped >= raw && self.off().is_none() && self.high <= FAR / 2 {
            return raw;
        }
        let most = self.high.max(0).saturating_add(FAR);
        raw.min(stamped).saturating_sub(most.unsigned_abs())
    }

    /// What a write of this server should have as its time that has `raw`, when the own clock says `own`. It must be given what
    /// was written not long ago and not corrected yet, for another one was not written by the clock as it is.
    ///
    /// What the fleet's time may have passed already was not written by a clock that is ahead, and what the own clock has not come
    /// to yet not by one that is behind; no result is later than the fleet's time, unless nothing is known of it.
    pub fn stamp(&self, raw: u64, own: u64) -> u64 {
        let now = self.now(own);
        let Some(ahead) = self.off() else {
            // The clock was wrong then and is right now.
            let is_ahead = self.latest(own).is_some_and(|latest| raw > latest);
            return if is_ahead { raw.min(now) } else { raw };
        };
        let corrected = raw.saturating_add_signed(ahead.saturating_neg());
        if ahead > 0 {
            // The middle of what is possible may be too early.
            let may_be = own.saturating_add_signed(self.low.saturating_neg());
            if raw <= may_be {
                raw.min(now)
            } else {
                corrected.min(now)
            }
        } else if raw > own {
            raw.min(now)
        } else {
            corrected
        }
    }
}

impl fmt::Display for FleetTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.source {
            Source::Nobody => return write!(f, "nobody has told the time"),
            Source::Disputed => {
                return write!(
                    f,
                    "the store's clock and those of the servers are far apart, and it is not known which is right"
                );
            }
            Source::Store => "the store's",
            Source::Servers => "most servers'",
        };
        match self.off() {
            Some(ahead) => {
                let tenths = (ahead.unsigned_abs() + 50_000_000) / 100_000_000;
                let direction = if ahead < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "this clock is {}.{} s {direction} {of}",
                    tenths / 10,
                    tenths % 10
                )
            }
            None if self.is_undecided() => write!(
                f,
                "the clocks of the servers are far apart, and it is not known which is right"
            ),
            None => write!(f, "this clock agrees with {of}"),
        }
    }
}

/// The peers whose clocks may be right if this is the time.
fn agreeing(peers: &[Skew], fleet: &FleetTime) -> usize {
    let agree = |peer: &&Skew| fleet.agrees_with(peer.low(), peer.high());
    peers.iter().filter(agree).count()
}

/// How far the own clock is ahead of the median of all, its own among them.
fn median(peers: &[Skew]) -> (i64, i64) {
    let sorted = |of: fn(&Skew) -> i64| {
        let mut values: Vec<_> = peers.iter().map(of).chain([0]).collect();
        values.sort_unstable();
        values
    };
    let (lows, highs) = (sorted(Skew::low), sorted(Skew::high));
    let at = |values: &[i64], index: usize| values.get(index).copied().unwrap_or(0);
    // Of an even number there are two in the middle, and either may be the right one.
    (at(&lows, (lows.len() - 1) / 2), at(&highs, highs.len() / 2))
}

#[cfg(test)]
mod tests;

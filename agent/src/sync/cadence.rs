//! When to look at the store again: often, unless everybody who writes to it tells of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::sync::state::replica::Replica;

/// Time between two looks while all living instances are in contact: then the store is only the safety net.
const SAFETY_NET: Duration = Duration::from_secs(30);
/// Short looks before a whole one, and the longest time between whole ones.
const SHORT_LOOKS: u32 = 10;
const WHOLE: Duration = Duration::from_secs(60);
/// The same while all living instances are in contact. Its listing is of everything that was stored for as long as objects are kept,
/// however many servers there are.
const WHOLE_IN_CONTACT: Duration = Duration::from_secs(300);
/// Time between two deltas while changes keep coming: peers know them at once, and the store charges for each.
const SPACING: Duration = Duration::from_millis(500);
/// While all are in contact it is that much longer for each so many instances: those that look at the store find no more objects
/// however many store them.
const MANY: u32 = 16;
/// Time that a change which a peer has told may need until it is merged. What is missing after that was announced and not told,
/// or got lost. Before the next look for what is not in the store yet, either, it is twice as long each time.
pub(in crate::sync) const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct Cadence {
    /// Between two looks of any kind.
    pub(in crate::sync) look: Duration,
    /// Between two looks at everything.
    pub(in crate::sync) whole: Duration,
    /// The others show all snapshots besides the new deltas.
    pub(in crate::sync) snapshots: bool,
}

/// What decides it.
#[derive(Debug, Clone, Copy)]
struct Situation {
    /// Everything is merged that was in the store at the start. What is left of it only another look brings, and PowerDNS waits.
    ready: bool,
    /// All instances that live are in contact, and there are peers at all.
    in_contact: bool,
    lightning_stream: bool,
    /// The instances that live, the own one among them.
    living: u32,
}

fn cadence(situation: Situation, poll: Duration) -> Cadence {
    if situation.lightning_stream {
        // It stores snapshots only.
        Cadence {
            look: poll,
            whole: poll,
            snapshots: false,
        }
    } else if situation.in_contact && situation.ready {
        let look = poll.max(SAFETY_NET);
        Cadence {
            look,
            whole: WHOLE_IN_CONTACT.max(look),
            snapshots: true,
        }
    } else {
        Cadence {
            look: poll,
            whole: (poll * SHORT_LOOKS).min(WHOLE).max(poll),
            snapshots: false,
        }
    }
}

fn spacing(situation: Situation, poll: Duration) -> Duration {
    if situation.lightning_stream {
        // With every change a whole snapshot goes to it.
        poll
    } else if situation.in_contact {
        poll.min(SPACING) * situation.living.div_ceil(MANY)
    } else {
        poll.min(SPACING)
    }
}

/// The time for a look at what peers say, and at the store if that is missing here: soon after one in vain, for the peer may
/// just be storing it.
pub(in crate::sync) fn until_the_next_look(in_vain: u32, poll: Duration) -> Duration {
    match in_vain.checked_sub(1) {
        None => poll,
        Some(more) => ON_ITS_WAY.saturating_mul(2_u32.saturating_pow(more)).min(poll),
    }
}

impl Replica {
    /// How often to look at the store; `poll` is the configured interval.
    pub(in crate::sync) fn cadence(&self, poll: Duration) -> Cadence {
        cadence(self.situation(), poll)
    }

    /// The least time between two uploads; `poll` is the interval at which Lightning Stream would look at the database.
    pub(in crate::sync) fn spacing(&self, poll: Duration) -> Duration {
        spacing(self.situation(), poll)
    }

    fn situation(&self) -> Situation {
        let now = self.now_ns();
        let contacts = self.peers.as_ref().map(|peers| peers.contacts(self.database()));
        let state = self.state();
        let living = state.living(&self.own, now);
        let are_contacts = |contacts: BTreeMap<String, u64>| {
            let mut living = living.iter();
            living.all(|instance| contacts.contains_key(*instance))
        };
        Situation {
            ready: state.ready,
            lightning_stream: state.has_lightning_stream(&self.own, now),
            in_contact: contacts.is_some_and(are_contacts),
            living: u32::try_from(living.len() + 1).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_looked_at_often_unless_all_who_write_are_in_contact() {
        let seconds = Duration::from_secs;
        let of = |in_contact, lightning_stream, poll| {
            let situation = Situation {
                ready: true,
                in_contact,
                lightning_stream,
                living: 3,
            };
            let Cadence { look, whole, .. } = cadence(situation, poll);
            (look, whole)
        };
        assert_eq!(of(false, false, seconds(1)), (seconds(1), seconds(10)));
        assert_eq!(of(false, false, seconds(30)), (seconds(30), seconds(60)));
        assert_eq!(of(false, false, seconds(300)), (seconds(300), seconds(300)));
        assert_eq!(of(true, false, seconds(1)), (seconds(30), seconds(300)));
        assert_eq!(of(true, false, seconds(600)), (seconds(600), seconds(600)));
        assert_eq!(of(true, true, seconds(1)), (seconds(1), seconds(1)));
    }

    #[test]
    fn who_is_not_ready_looks_often_though_all_are_in_contact() {
        let situation = Situation {
            ready: false,
            in_contact: true,
            lightning_stream: false,
            living: 3,
        };
        let poll = Duration::from_secs(1);
        assert_eq!(cadence(situation, poll).look, poll);
    }

    #[test]
    fn the_more_instances_are_in_contact_the_rarer_each_stores() {
        let of = |in_contact, living| {
            let situation = Situation {
                ready: true,
                in_contact,
                lightning_stream: false,
                living,
            };
            spacing(situation, Duration::from_secs(1)).as_millis()
        };
        assert_eq!(
            [1, 7, 16, 17, 50].map(|living| of(true, living)),
            [500, 500, 500, 1000, 2000]
        );
        assert_eq!(of(false, 50), 500);
    }

    #[test]
    fn what_is_being_stored_is_looked_for_soon_and_then_as_often_as_without_peers() {
        let pauses: Vec<_> = (0..6)
            .map(|in_vain| until_the_next_look(in_vain, Duration::from_secs(1)).as_millis())
            .collect();
        assert_eq!(pauses, [1000, 100, 200, 400, 800, 1000]);
        let hour = Duration::from_secs(3600);
        assert_eq!(until_the_next_look(u32::MAX, hour), hour);
    }
}

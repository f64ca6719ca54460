//! What is known of the peers: what they said last, and how it went to take it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::neighbours::{Neighbour, Neighbours};
use super::rule::{MOST_FAILURES, PeerSeen};
use crate::sync::known::word::Word;

/// After this time a peer that failed is tried again.
const FORGIVEN: Duration = Duration::from_secs(60);

/// What did not work of taking something.
struct Trouble {
    failures: u32,
    busy: u32,
    last: Instant,
}

/// What all said at a time.
#[derive(Default)]
pub(super) struct Answers {
    /// Before any was asked, ns since the epoch.
    pub(super) asked: u64,
    pub(super) peers: Vec<Neighbour>,
}

#[derive(Default)]
pub(super) struct Peers {
    last: Answers,
    /// Those before: what is told to all at once may be on its way while it is asked for.
    before: Answers,
    asked: Option<Instant>,
    /// By boot.
    troubles: BTreeMap<String, Trouble>,
    /// Boots of which everything was taken since all were asked: whatever they said then is here.
    taken: BTreeSet<String>,
    /// Boots of which everything was taken once, for what no state tells of.
    ever_taken: BTreeSet<String>,
}

impl Peers {
    /// Asks all; `now` in ns since the epoch.
    pub(super) async fn ask(&mut self, neighbours: Option<&dyn Neighbours>, now: u64) {
        let mut peers = match neighbours {
            Some(neighbours) => neighbours.ask().await,
            None => Vec::new(),
        };
        for word in peers.iter_mut().flat_map(|peer| peer.says.databases.values_mut()) {
            *word = std::mem::take(word).believed(now);
        }
        self.before = std::mem::replace(&mut self.last, Answers { asked: now, peers });
        self.asked = Some(Instant::now());
        self.taken.clear();
        self.troubles
            .retain(|_, trouble| trouble.last.elapsed() < FORGIVEN);
    }

    /// What they said last.
    pub(super) fn answers(&self) -> &[Neighbour] {
        &self.last.peers
    }

    pub(super) fn were_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What they said is of another day.
    pub(super) fn forget_answers(&mut self) {
        self.asked = None;
    }

    pub(super) fn must_ask(&self, pause: Duration) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= pause)
    }

    /// What those said the time before the last who are still there.
    pub(super) fn said_before(&self) -> Answers {
        let still_there = |peer: &&Neighbour| self.last.peers.iter().any(|now| now.boot == peer.boot);
        let before = self.before.peers.iter().filter(still_there);
        Answers {
            asked: self.before.asked,
            peers: before.cloned().collect(),
        }
    }

    fn trouble(&mut self, boot: &str) -> &mut Trouble {
        let now = Instant::now();
        let none = Trouble {
            failures: 0,
            busy: 0,
            last: now,
        };
        let trouble = self.troubles.entry(boot.to_owned()).or_insert(none);
        trouble.last = now;
        trouble
    }

    /// Nothing could be taken from it; see [`super::rule::FAILURE`] for the weight.
    pub(super) fn failed(&mut self, boot: &str, weight: u32) {
        let trouble = self.trouble(boot);
        trouble.failures = trouble.failures.saturating_add(weight);
    }

    /// It gives to somebody else now.
    pub(super) fn was_busy(&mut self, boot: &str) {
        let trouble = self.trouble(boot);
        trouble.busy = trouble.busy.saturating_add(1);
    }

    /// All that one had is here.
    pub(super) fn gave(&mut self, boot: &str) {
        self.troubles.remove(boot);
        self.taken.insert(boot.to_owned());
        self.ever_taken.insert(boot.to_owned());
    }

    /// What a peer that answered is worth to a server that has these words.
    pub(super) fn seen(&self, own: &str, mine: &BTreeMap<String, Word>, peer: &Neighbour) -> PeerSeen {
        // One that lacks a database cannot say that nothing is missing in it.
        let is_whole = mine.keys().all(|name| peer.says.databases.contains_key(name));
        let has_more = mine
            .iter()
            .any(|(name, word)| self.has_more(own, word, name, peer));
        let trouble = self.troubles.get(&peer.boot);
        let failures = trouble.map_or(0, |trouble| trouble.failures);
        PeerSeen {
            basis: peer.says.basis.filter(|_| is_whole),
            has_more,
            failures: if peer.says.gives { failures } else { MOST_FAILURES },
            busy: trouble.map_or(0, |trouble| trouble.busy),
        }
    }

    /// It has something in a database that is not here, or may have.
    pub(super) fn has_more(&self, own: &str, mine: &Word, database: &str, peer: &Neighbour) -> bool {
        let is_untold =
            |theirs: &Word| theirs.is_untold() && peer.says.gives && !self.ever_taken.contains(&peer.boot);
        peer.says.databases.get(database).is_some_and(is_untold)
            || self.has_more_states(own, mine, database, peer)
    }

    /// It told of a state that is not here. What it was told of since is not: whoever can be written to has always more.
    pub(super) fn has_more_states(&self, own: &str, mine: &Word, database: &str, peer: &Neighbour) -> bool {
        let theirs = peer.says.databases.get(database);
        !self.taken.contains(&peer.boot)
            && theirs.is_some_and(|theirs| mine.lacks(own, theirs, &peer.instance))
    }
}

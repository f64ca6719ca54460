//! What a replica does about what differs from peers.

use std::collections::BTreeSet;

use super::replica::Replica;
use crate::sync::database::differences::{Taken, list};

/// The name of the condition.
const CONDITION: &str = "differences";

impl Replica {
    /// Something that differed was taken: so many entries.
    pub(in crate::sync) fn tell_of_taken(&self, taken: Taken, entries: u64) {
        let now = self.now_ns();
        self.state().differences.add(taken, entries, now);
        self.status.differed(entries);
        self.tell_of_differences();
        let text = self.state().differences.text();
        if let Some((_, text)) = text {
            tracing::error!(database = %self.database(), "{text}");
        }
    }

    /// The database is equal to that of a peer.
    pub fn is_equal_to(&self, peer: &str) {
        let now = self.now_ns();
        let was_unlike = {
            let mut state = self.state();
            state.compared.insert(peer.to_owned(), now);
            state.differences.lasting.remove(peer).is_some()
        };
        self.status.compared(now);
        if was_unlike {
            self.tell_of_differences();
        }
    }

    /// These DBIs go on to differ from those of a peer.
    pub fn stays_unlike(&self, peer: &str, dbis: &BTreeSet<String>) {
        let is_news = {
            let mut state = self.state();
            let before = state.differences.lasting.insert(peer.to_owned(), dbis.clone());
            before.as_ref() != Some(dbis)
        };
        if is_news {
            tracing::error!(
                database = %self.database(), peer, dbis = list(dbis),
                "goes on to differ from a peer, though no change is missing on either"
            );
            self.tell_of_differences();
        }
    }

    /// What differed is long ago, and of peers that are gone nothing is known. `are_there`: those that there is contact with.
    pub fn forget_old_differences(&self, are_there: &BTreeSet<String>) {
        let now = self.now_ns();
        let is_news = self.state().differences.forget_old(are_there, now);
        if is_news {
            self.tell_of_differences();
        }
    }

    fn tell_of_differences(&self) {
        let text = self.state().differences.text();
        match text {
            Some((level, text)) => self.status.raise(CONDITION, level, &text),
            None => self.status.clear(CONDITION),
        }
    }
}

//! What differed between servers, for people.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::lost::{name, push};
use crate::lmdb::{Environment, KeptReader, LmdbError};
use crate::report::Level;

/// Time for which it lasts after the last one, ns.
const LASTS: u64 = 3_600_000_000_000;

/// What was taken from peers because it differed.
#[derive(Debug, Default)]
pub(in crate::sync) struct Taken {
    /// The last ones.
    names: VecDeque<String>,
    entries: u64,
    peers: BTreeSet<String>,
}

impl Taken {
    /// What these transactions have put since a state of the database. `main` has the names of the zones.
    pub(in crate::sync) fn between(
        before: Option<&KeptReader>,
        env: &Arc<Environment>,
        txn_ids: &[u64],
        peer: &str,
        main: Option<&Environment>,
    ) -> Self {
        let mut names = VecDeque::new();
        if let (Some(before), Ok(after)) = (before, env.keep_reader()) {
            let walked = after.changes_since(before, |change| {
                if let Some(new) = change.new
                    && txn_ids.contains(&new.header.txn_id)
                {
                    let shown = change.old.filter(|_| new.header.deleted).unwrap_or(new);
                    push(&mut names, name(main, change.dbi, change.key, shown.value));
                }
                Ok::<(), LmdbError>(())
            });
            if let Err(error) = walked {
                tracing::debug!(%error, "cannot name what differed");
            }
        }
        Self {
            names,
            entries: 0,
            peers: [peer.to_owned()].into(),
        }
    }
}

/// What people are told of.
#[derive(Debug, Default)]
pub(in crate::sync) struct Differences {
    /// When something was taken last, ns since the epoch.
    at: u64,
    taken: Taken,
    /// By peer, the DBIs that go on to differ.
    pub(in crate::sync) lasting: BTreeMap<String, BTreeSet<String>>,
}

impl Differences {
    /// Adds what was taken now, ns since the epoch: so many entries.
    pub(in crate::sync) fn add(&mut self, later: Taken, entries: u64, now: u64) {
        for name in later.names {
            push(&mut self.taken.names, name);
        }
        self.taken.peers.extend(later.peers);
        self.taken.entries += entries;
        self.at = now;
    }

    /// Forgets what is long ago, and peers of which nothing is known. Returns whether there was anything.
    pub(in crate::sync) fn forget_old(&mut self, are_there: &BTreeSet<String>, now: u64) -> bool {
        let lasting = self.lasting.len();
        self.lasting.retain(|peer, _| are_there.contains(peer));
        let is_old = self.taken.entries > 0 && self.at.abs_diff(now) > LASTS;
        if is_old {
            self.taken = Taken::default();
        }
        is_old || lasting != self.lasting.len()
    }

    /// In words, and how serious it is; `None`: there is nothing to tell.
    pub(in crate::sync) fn text(&self) -> Option<(Level, String)> {
        let mut said = Vec::new();
        if self.taken.entries > 0 {
            let names: Vec<_> = self.taken.names.iter().map(String::as_str).collect();
            let more = match self.taken.entries.saturating_sub(names.len() as u64) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            said.push(format!(
                "differed from what {} had, though no change was missing, and is the same now: {}{more}",
                list(&self.taken.peers),
                names.join(", "),
            ));
        }
        for (peer, dbis) in &self.lasting {
            said.push(format!(
                "{} goes on to differ from what {peer} has, though no change is missing on either",
                list(dbis)
            ));
        }
        let level = if self.lasting.is_empty() {
            Level::Warning
        } else {
            Level::Error
        };
        (!said.is_empty()).then(|| (level, said.join("; ")))
    }
}

/// Names in words.
pub(in crate::sync) fn list(names: &BTreeSet<String>) -> String {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_named_and_what_goes_on_to_differ_is_an_error() {
        let mut all = Differences::default();
        assert_eq!(all.text(), None);
        let taken = |name: &str, peer: &str| Taken {
            names: [name.to_owned()].into(),
            entries: 0,
            peers: [peer.to_owned()].into(),
        };
        all.add(taken("www.example. A", "b"), 1, 5);
        all.add(taken("mail.example. A", "c"), 3, 6);
        let (level, text) = all.text().unwrap();
        assert_eq!(level, Level::Warning);
        assert!(
            text.contains("b, c") && text.contains("www.example. A, mail.example. A and 2 more"),
            "{text}"
        );
        all.lasting
            .insert("d".to_owned(), ["records_v5".to_owned()].into());
        let (level, text) = all.text().unwrap();
        assert_eq!(level, Level::Error);
        assert!(
            text.contains("records_v5 goes on to differ from what d has"),
            "{text}"
        );
    }
}

//! What must be in one database once all is calm, by a model that knows nothing of snapshots: see [`super::history`].
//!
//! A write of which an agent was never told that it is stored may come through or not when its database is lost. It does
//! if a server that stores was told of it and lives. One that only receives keeps it and cannot pass it on.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::history::{History, Id, show};
use super::support::Version;

/// DBI and key.
pub(crate) type Key = (String, Vec<u8>);
pub(crate) type Entries = BTreeMap<Key, Version>;
/// Writes by key.
pub(crate) type Writes = BTreeMap<Key, Id>;

/// One database, whatever the number of servers that have it.
pub(crate) struct Model {
    corrected: bool,
    keys: BTreeMap<Key, History>,
}

impl Model {
    /// `corrected`: agents go by the fleet's time.
    pub(crate) fn new(corrected: bool) -> Self {
        Self {
            corrected,
            keys: BTreeMap::new(),
        }
    }

    fn of(&mut self, key: &Key) -> &mut History {
        let corrected = self.corrected;
        let history = self.keys.entry(key.clone());
        history.or_insert_with(|| History::new(corrected))
    }

    /// PowerDNS of a server writes a version at this time.
    pub(crate) fn write(&mut self, server: usize, key: &Key, version: Version, time: u64) {
        self.of(key).write(server, version, time);
    }

    /// An agent has been at work, and its database went from `before` to `now`. Returns what changed, for people.
    pub(crate) fn see(
        &mut self,
        server: usize,
        before: &Entries,
        now: &Entries,
        stores: bool,
    ) -> Result<Vec<String>, TestCaseError> {
        let mut log = Vec::new();
        for (key, version) in now {
            if before.get(key) == Some(version) {
                continue;
            }
            log.push(format!(
                "server-{server} has now in {}: {}",
                name(key),
                show(version)
            ));
            let history = self.of(key);
            history
                .see(server, Some(version), stores)
                .map_err(|error| fail(key, &error))?;
        }
        for key in before.keys().filter(|key| !now.contains_key(*key)) {
            log.push(format!("server-{server} has nothing more in {}", name(key)));
            let history = self.of(key);
            history
                .see(server, None, stores)
                .map_err(|error| fail(key, &error))?;
        }
        Ok(log)
    }

    /// A server shows others what its database has, or had.
    pub(crate) fn tell(&mut self, server: usize, entries: &Entries) -> Result<(), TestCaseError> {
        for (key, version) in entries {
            let history = self.of(key);
            history.tell(server, version).map_err(|error| fail(key, &error))?;
        }
        Ok(())
    }

    /// What PowerDNS of a server wrote and its database has.
    pub(crate) fn own(&self, server: usize) -> Writes {
        let own = |(key, history): (&Key, &History)| Some((key.clone(), history.own(server)?));
        self.keys.iter().filter_map(own).collect()
    }

    /// The agent of a server reported that these are stored.
    pub(crate) fn stored(&mut self, server: usize, writes: &Writes) {
        for (key, id) in writes {
            if let Some(history) = self.keys.get_mut(key) {
                history.stored(server, *id);
            }
        }
    }

    /// The database of a server is lost.
    pub(crate) fn lose(&mut self, server: usize) {
        for history in self.keys.values_mut() {
            history.lose(server);
        }
    }

    /// Without the keys of which more than one outcome is right.
    pub(crate) fn certain(&self, mut entries: Entries) -> Entries {
        entries.retain(|key, _| self.keys.get(key).is_none_or(History::is_certain));
        entries
    }

    /// Compares a database with what must be in it. Marks older than `forgotten` may be missing.
    pub(crate) fn check(&self, entries: &Entries, forgotten: u64) -> Result<(), TestCaseError> {
        for key in entries.keys() {
            prop_assert!(self.keys.contains_key(key), "nobody wrote {}", name(key));
        }
        for (key, history) in &self.keys {
            let outcome = history.check(entries.get(key), forgotten);
            outcome.map_err(|error| fail(key, &error))?;
        }
        Ok(())
    }

    /// All servers that store have `entries`, and so has the bucket: a new beginning. What was not demanded may still be somewhere.
    pub(crate) fn agree(&mut self, entries: &Entries) {
        for (key, history) in &mut self.keys {
            history.agree(entries.get(key));
        }
    }
}

fn name((dbi, key): &Key) -> String {
    format!("{dbi} {key:?}")
}

fn fail(key: &Key, error: &str) -> TestCaseError {
    TestCaseError::fail(format!("{}: {error}", name(key)))
}

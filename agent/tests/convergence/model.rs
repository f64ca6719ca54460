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
#[derive(Default)]
pub(crate) struct Model(BTreeMap<Key, History>);

impl Model {
    /// PowerDNS of a server writes a version.
    pub(crate) fn write(&mut self, server: usize, key: Key, version: Version) {
        self.0.entry(key).or_default().write(server, version);
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
            let history = self.0.entry(key.clone()).or_default();
            history
                .see(server, Some(version), stores)
                .map_err(|error| fail(key, &error))?;
        }
        for key in before.keys().filter(|key| !now.contains_key(*key)) {
            log.push(format!("server-{server} has nothing more in {}", name(key)));
            let history = self.0.entry(key.clone()).or_default();
            history
                .see(server, None, stores)
                .map_err(|error| fail(key, &error))?;
        }
        Ok(log)
    }

    /// A server shows others what its database has, or had.
    pub(crate) fn tell(&mut self, server: usize, entries: &Entries) -> Result<(), TestCaseError> {
        for (key, version) in entries {
            let history = self.0.entry(key.clone()).or_default();
            history.tell(server, version).map_err(|error| fail(key, &error))?;
        }
        Ok(())
    }

    /// What PowerDNS of a server wrote and its database has.
    pub(crate) fn own(&self, server: usize) -> Writes {
        let own = |(key, history): (&Key, &History)| Some((key.clone(), history.own(server)?));
        self.0.iter().filter_map(own).collect()
    }

    /// The agent of a server reported that these are stored.
    pub(crate) fn stored(&mut self, server: usize, writes: &Writes) {
        for (key, id) in writes {
            if let Some(history) = self.0.get_mut(key) {
                history.stored(server, *id);
            }
        }
    }

    /// The database of a server is lost.
    pub(crate) fn lose(&mut self, server: usize) {
        for history in self.0.values_mut() {
            history.lose(server);
        }
    }

    /// Without the keys of which more than one outcome is right.
    pub(crate) fn certain(&self, mut entries: Entries) -> Entries {
        entries.retain(|key, _| self.0.get(key).is_none_or(History::is_certain));
        entries
    }

    /// Compares a database with what must be in it. Marks older than `forgotten` may be missing.
    pub(crate) fn check(&self, entries: &Entries, forgotten: u64) -> Result<(), TestCaseError> {
        for key in entries.keys() {
            prop_assert!(self.0.contains_key(key), "nobody wrote {}", name(key));
        }
        for (key, history) in &self.0 {
            let outcome = history.check(entries.get(key), forgotten);
            outcome.map_err(|error| fail(key, &error))?;
        }
        Ok(())
    }

    /// All servers that store have `entries`, and so has the bucket: a new beginning. What was not demanded may still be somewhere.
    pub(crate) fn agree(&mut self, entries: &Entries) {
        for (key, history) in &mut self.0 {
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

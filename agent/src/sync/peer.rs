//! What replication needs of the other agents of the same cluster; how they are reached is another layer's.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::watch;

use crate::skew::Skew;
use crate::snapshot::DeltaName;

/// Longest object that peers are told of, bytes: they find longer ones in the store.
pub const MOST_TOLD: u64 = 1 << 20;

/// The other agents.
pub trait Peers: Send + Sync {
    /// Gives them a delta of a database. It may get lost on the way, and never waits.
    fn tell(&self, database: &str, name: &DeltaName, object: Bytes);
    /// They can find the state of this time (ns since the epoch) of a database in the store.
    fn announce(&self, database: &str, time: u64);
    /// The instances that there is contact with, each with the newest state of a database that it told of, ns since the epoch.
    fn contacts(&self, database: &str) -> BTreeMap<String, u64>;
    /// How many deltas of a database they have told so far.
    fn arrived(&self, _database: &str) -> u64 {
        0
    }
    /// How far the own clock is ahead of that of each of them that answers now and tells its time.
    fn skews(&self) -> Vec<Skew> {
        Vec::new()
    }
    /// Changes whenever one of them tells of a newer state, of any database.
    fn news(&self) -> watch::Receiver<u64>;
}

/// A delta that a peer told of.
#[derive(Debug, Clone)]
pub struct Told {
    /// The delta's name, as in the store.
    pub name: String,
    /// Who told it, as object names show it.
    pub from: String,
    pub object: Bytes,
}

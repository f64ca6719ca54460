//! What the databases of one PowerDNS share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::Lmdb;
use crate::sync::{Deletions, Order, Replica, Schemas};

/// PowerDNS names its shards after the main database: `pdns.lmdb-0` beside `pdns.lmdb`.
fn main_of<'l>(lmdbs: &'l BTreeMap<String, Lmdb>, path: &Path) -> Option<&'l String> {
    let (main, number) = path.to_str()?.rsplit_once('-')?;
    number.parse::<u32>().ok()?;
    let mut others = lmdbs.iter();
    others
        .find(|(_, other)| other.path == Path::new(main))
        .map(|(name, _)| name)
}

/// Shards share with their main database what is known of schemas.
pub(super) fn schemas(lmdbs: &BTreeMap<String, Lmdb>) -> BTreeMap<String, Schemas> {
    let mut schemas: BTreeMap<_, _> = lmdbs
        .keys()
        .map(|name| (name.clone(), Schemas::default()))
        .collect();
    for (name, lmdb) in lmdbs {
        if let Some(main) = main_of(lmdbs, &lmdb.path) {
            let guard = schemas[main].guard.clone();
            schemas.insert(name.clone(), Schemas { guard, main: false });
        }
    }
    schemas
}

/// The rest of what they share.
#[derive(Clone)]
pub(super) struct Shared {
    /// In which they go.
    order: Arc<Order>,
    /// How many zones were deleted.
    deletions: Arc<Deletions>,
}

impl Shared {
    /// By the databases' names. `most`: so many deleted zones others are told of within a minute.
    pub(super) fn of(lmdbs: &BTreeMap<String, Lmdb>, most: Option<u32>) -> BTreeMap<String, Self> {
        let new = |name: &String| Self {
            order: Arc::new(Order::new(name)),
            deletions: Arc::new(Deletions::at_most(most)),
        };
        let mut shared: BTreeMap<_, _> = lmdbs.keys().map(|name| (name.clone(), new(name))).collect();
        for (name, lmdb) in lmdbs {
            if let Some(main) = main_of(lmdbs, &lmdb.path) {
                shared.insert(name.clone(), shared[main].clone());
            }
        }
        shared
    }

    pub(super) fn give_to(self, replica: &mut Replica) {
        replica.set_order(self.order);
        replica.set_deletions(self.deletions);
    }
}

/// The main databases.
pub(super) fn mains(lmdbs: &BTreeMap<String, Lmdb>) -> impl Iterator<Item = (&String, &Lmdb)> {
    lmdbs
        .iter()
        .filter(|(_, lmdb)| main_of(lmdbs, &lmdb.path).is_none())
}

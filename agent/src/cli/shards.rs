//! What the databases of one PowerDNS share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::Lmdb;
use crate::sync::{Order, Schemas};

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

/// And the order in which they go.
pub(super) fn orders_of(lmdbs: &BTreeMap<String, Lmdb>) -> BTreeMap<String, Arc<Order>> {
    let new = |name: &String| (name.clone(), Arc::new(Order::new(name)));
    let mut orders: BTreeMap<_, _> = lmdbs.keys().map(new).collect();
    for (name, lmdb) in lmdbs {
        if let Some(main) = main_of(lmdbs, &lmdb.path) {
            orders.insert(name.clone(), orders[main].clone());
        }
    }
    orders
}

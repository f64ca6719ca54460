//! A database of many zones, each with three records, written beside PowerDNS in the form in which it has written the first.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};

use crate::node::{MAP_SIZE_MB, Node};

const DOMAINS: &str = "domains_v5";
const INDEX: &str = "domains_v5_0";
const RECORDS: &str = "records_v5";
/// IDs of the others follow from here.
const FIRST_ID: u32 = 1000;
const A_TRANSACTION: u32 = 10_000;
pub(crate) const ADDRESS: &str = "192.0.2.1";

/// All names are of one length.
fn label(zone: u32) -> String {
    format!("zt{zone:07}")
}

pub(crate) fn name(zone: u32) -> String {
    format!("{}.example.", label(zone))
}

/// The name that each has an address for.
pub(crate) fn host(zone: u32) -> String {
    format!("www.{}", name(zone))
}

/// As PowerDNS' API takes it.
pub(crate) fn body(zone: u32) -> Value {
    let records = json!([{"content": ADDRESS, "disabled": false}]);
    json!({
        "name": name(zone), "kind": "Native", "nameservers": ["ns1.elsewhere.test."],
        "rrsets": [{"name": host(zone), "type": "A", "ttl": 3600, "records": records}],
    })
}

type Entry = (Vec<u8>, Vec<u8>);

fn entries(env: &Environment, dbi: &str, is_wanted: impl Fn(&[u8], &[u8]) -> bool) -> Vec<Entry> {
    let mut found = Vec::new();
    env.read::<(), LmdbError>(|reader| {
        let dbi = reader.dbi(dbi)?.unwrap();
        reader.for_each(&dbi, |key, header, value| {
            if !header.deleted && is_wanted(key, value) {
                found.push((key.to_vec(), value.to_vec()));
            }
            Ok(())
        })
    })
    .unwrap();
    found
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// With `new` in the place of each `old`, which is as long.
fn with(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = find(&bytes, old).filter(|_| old != new) {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    bytes
}

/// Makes zones 0 to `zones`, the first by PowerDNS' API.
pub(crate) async fn fill(node: &Node, zones: u32) {
    node.dns.api().create(&body(0)).await.unwrap();
    let options = OpenOptions {
        map_size: (MAP_SIZE_MB as usize) << 20,
        max_dbs: 64,
        create: false,
        no_subdir: true,
    };
    let main = Environment::open(&node.database(), &options).unwrap();
    let shard = node.open_records();
    let first = label(0);
    let first = first.as_bytes();
    let (id, domain) = entries(&main, DOMAINS, |_, value| find(value, first).is_some()).remove(0);
    let (index, _) = entries(&main, INDEX, |key, _| find(key, first).is_some()).remove(0);
    let records = entries(&shard, RECORDS, |key, _| key.starts_with(&id));
    let little = |id: &[u8]| id.iter().rev().copied().collect::<Vec<_>>();
    let mut from = 1;
    while from < zones {
        let until = zones.min(from + A_TRANSACTION);
        let each = |zone: u32| (label(zone), (FIRST_ID + zone).to_be_bytes());
        main.write::<(), LmdbError>(|writer| {
            let (domains, indexes) = (writer.dbi(DOMAINS)?, writer.dbi(INDEX)?);
            for (label, new) in (from..until).map(each) {
                let value = with(&domain, first, label.as_bytes());
                let value = with(&value, &little(&id), &little(&new));
                writer.put(&domains, &new, now(), false, &value)?;
                let index = with(&index[..index.len() - 4], first, label.as_bytes());
                writer.put(&indexes, &[&index[..], &new].concat(), now(), false, b"")?;
            }
            Ok(())
        })
        .unwrap();
        shard
            .write::<(), LmdbError>(|writer| {
                let dbi = writer.dbi(RECORDS)?;
                for (label, new) in (from..until).map(each) {
                    for (key, value) in &records {
                        let key = [&new[..], &key[4..]].concat();
                        writer.put(&dbi, &key, now(), false, &with(value, first, label.as_bytes()))?;
                    }
                }
                Ok(())
            })
            .unwrap();
        from = until;
    }
}

fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(elapsed.as_nanos()).unwrap()
}

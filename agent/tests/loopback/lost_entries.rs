//! What PowerDNS lost without meaning to comes back, and nobody else is told that it was lost.

mod key_forms;
mod overwritten;
mod unmarked;

use std::collections::BTreeMap;

use zonetide_agent::lmdb::LmdbError;
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, Version, eventually};

use crate::node::{Node, SOON};

const SHARD: &str = "pdns.lmdb-0";
const RECORDS: &str = "records_v5";

/// Two servers that tell each other and have a bucket.
struct Servers {
    a: Node,
    b: Node,
    _garage: Garage,
}

impl Servers {
    async fn start(version: Version) -> Self {
        let garage = Garage::start().await;
        let bucket = garage.bucket("zones").await;
        let [mut a, mut b] = ["a", "b"].map(|name| Self::node(version, name, &bucket));
        let urls = [a.agent.peer_url(), b.agent.peer_url()];
        for node in [&mut a, &mut b] {
            node.agent.tell(&urls);
            node.start().await;
        }
        Self {
            a,
            b,
            _garage: garage,
        }
    }

    fn node(version: Version, name: &str, bucket: &Bucket) -> Node {
        let mut node = Node::of(version, name, bucket);
        node.dns.leave_caches_on();
        if version == Version::V5 {
            node.dns.set("views=yes");
            node.dns.set("lmdb-split-domains-table=yes");
        }
        node.agent.flush_caches_over(node.dns.control_socket());
        node
    }

    fn both(&self) -> [&Node; 2] {
        [&self.a, &self.b]
    }
}

/// Keys, and times, marks and values.
type Entries = BTreeMap<Vec<u8>, (u64, bool, Vec<u8>)>;

/// The entries of a DBI from entry to entry, without the transactions that wrote them here; each is found by its key.
fn entries(node: &Node, dbi: &str) -> Entries {
    whole(node, dbi).unwrap()
}

/// The same, unless the DBI is damaged.
fn whole(node: &Node, dbi: &str) -> Result<Entries, String> {
    let env = node.open(SHARD);
    let mut entries = BTreeMap::new();
    env.read::<_, LmdbError>(|reader| {
        let handle = reader.dbi(dbi)?.unwrap();
        reader.for_each_in_order::<LmdbError>(&handle, |key, header, value| {
            entries.insert(key.to_vec(), (header.timestamp, header.deleted, value.to_vec()));
            Ok(())
        })
    })
    .map_err(|error| error.to_string())?;
    Ok(entries)
}

/// The value of a metric of the shard.
async fn metric(node: &Node, name: &str) -> u64 {
    let metrics = node.agent.http().get_text("/metrics").await.unwrap();
    let start = format!("zonetide_agent_{name}{{database=\"shard\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&start));
    value
        .unwrap_or_else(|| panic!("no {name} in {metrics}"))
        .parse()
        .unwrap()
}

/// Waits until a server says in all ways that it had lost this.
async fn comes_to_tell_of(node: &Node, database: &str, lost: &str) {
    let what = format!("the agent of {} tells that {lost} was lost", node.name);
    eventually(SOON, &what, async || {
        let status = node.agent.status().await;
        let condition = &status["databases"][database]["conditions"]["lost_entries"];
        let warning = &status["health"]["warnings"][format!("{database}_lost_entries")];
        for told in [condition.to_string(), warning.to_string()] {
            if !told.contains(lost) {
                return Err(status.to_string());
            }
        }
        Ok(())
    })
    .await;
}

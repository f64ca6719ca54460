//! PowerDNS 5, whose database has a newer schema, beside PowerDNS 4.9.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use zonetide_agent::snapshot::{DecodeError, Snapshot};
use zonetide_agent::store::spool;
use zonetide_testbed::dns::Code;
use zonetide_testbed::{Version, eventually};

use crate::node::{Node, SOON, ZONE};

const ANOTHER_PREFIX: &str = "configure another prefix for each schema";
const NOT_MERGED: &str = "is not merged";

/// Two servers of one version that know a zone of each other.
async fn fleet(version: Version, shared: &Path, names: [&str; 2]) -> [Node; 2] {
    let mut nodes = names.map(|name| Node::of(version, name, shared));
    let [a, b] = &mut nodes;
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("first", "192.0.2.1").await;
    b.comes_to_say("first", "192.0.2.1").await;
    nodes
}

/// Whether both servers still exchange what is written on either.
async fn exchange(a: &Node, b: &Node, label: &str) {
    a.write(label, "192.0.2.10").await;
    b.comes_to_say(label, "192.0.2.10").await;
    b.write(label, "192.0.2.20").await;
    a.comes_to_say(label, "192.0.2.20").await;
}

/// All files below a shared directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The schemas that the objects of main databases say, snapshots and deltas.
fn schemas(shared: &Path) -> Vec<u32> {
    let mut schemas = Vec::new();
    // Neither what is being written, which has another ending, nor the history, whose segments are no snapshots.
    let of_main = |path: &PathBuf| {
        let name = path.strip_prefix(shared).unwrap().to_str().unwrap();
        let is_whole = path.extension().is_some_and(|extension| extension == "gz");
        is_whole && name.contains("main") && !name.contains("history")
    };
    for path in files(shared).iter().filter(|path| of_main(path)) {
        let mut object = spool(&std::env::temp_dir());
        std::io::copy(&mut std::fs::File::open(path).unwrap(), &mut object).unwrap();
        let mut snapshot = Snapshot::open(object).unwrap();
        schemas.extend(u32::try_from(snapshot.outline().meta.schema).ok());
        snapshot
            .for_each_entry::<DecodeError>(|_, entry| {
                if entry.key == b"schemaversion" {
                    schemas.push(u32::from_be_bytes(entry.value.try_into().unwrap()));
                }
                Ok(())
            })
            .unwrap();
    }
    // Before PowerDNS has made its database there is none.
    schemas.retain(|schema| *schema != 0);
    schemas.sort_unstable();
    schemas.dedup();
    schemas
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("zt-shared-").tempdir().unwrap()
}

#[tokio::test]
async fn a_powerdns_5_that_joins_a_fleet_of_4_9_reads_everything_and_writes_nothing_into_it() {
    let shared = directory();
    let [mut a, mut b] = fleet(Version::V4, shared.path(), ["a", "b"]).await;
    let mut newer = Node::of(Version::V5, "newer", shared.path());
    newer.start().await;
    newer.says("first", "192.0.2.1").await.unwrap();
    assert_eq!(newer.schema(), 6);
    newer.write("of-newer", "192.0.2.99").await;
    newer.comes_to_warn("other_schema", ANOTHER_PREFIX).await;

    exchange(&a, &b, "while-newer-is-there").await;
    newer.comes_to_say("while-newer-is-there", "192.0.2.20").await;
    newer.write("while-newer-is-there", "192.0.2.99").await;

    // One of 4.9 that makes its database now writes its schema after PowerDNS 5 wrote its own.
    let mut late = Node::of(Version::V4, "late", shared.path());
    late.dns.start().await;
    late.agent.start().await;
    late.write("of-late", "192.0.2.30").await;
    for node in [&a, &b, &newer] {
        node.comes_to_say("of-late", "192.0.2.30").await;
    }
    newer.write("of-newer", "192.0.2.98").await;
    newer.comes_to_warn("other_schema", ANOTHER_PREFIX).await;
    newer.stop();
    assert_eq!(newer.schema(), 6);
    // It reads on after a restart, and knows what it wrote.
    newer.start().await;
    a.write("of-late", "192.0.2.31").await;
    newer.comes_to_say("of-late", "192.0.2.31").await;
    newer.says("of-newer", "192.0.2.98").await.unwrap();
    newer.stop();

    assert_eq!(schemas(shared.path()), [5]);
    for node in [&mut a, &mut b, &mut late] {
        assert_eq!(node.schema(), 5);
        node.stop();
        node.start().await;
        node.says("first", "192.0.2.1").await.unwrap();
        node.says("while-newer-is-there", "192.0.2.20").await.unwrap();
        node.says_code(&format!("of-newer.{ZONE}"), Code::NXDomain)
            .await
            .unwrap();
    }
    exchange(&a, &b, "after-restart").await;
}

#[tokio::test]
async fn snapshots_of_powerdns_5_in_the_prefix_of_4_9_are_not_merged_and_the_rest_goes_on() {
    let (shared, theirs) = (directory(), directory());
    let [mut a, mut b] = fleet(Version::V4, shared.path(), ["a", "b"]).await;
    let mut newer = Node::of(Version::V5, "newer", theirs.path());
    newer.start().await;
    newer.api().create_zone("second.example.").await.unwrap();
    newer.stop();
    assert_eq!(schemas(theirs.path()), [6]);
    // What an agent beside it stores that does not know the rule.
    let copies: Vec<_> = files(theirs.path())
        .into_iter()
        .map(|file| {
            (
                shared.path().join(file.strip_prefix(theirs.path()).unwrap()),
                file,
            )
        })
        .collect();
    for (copy, file) in &copies {
        std::fs::copy(file, copy).unwrap();
    }

    for node in [&a, &b] {
        node.comes_to_warn("newer_schema", NOT_MERGED).await;
    }
    exchange(&a, &b, "beside-it").await;
    for node in [&mut a, &mut b] {
        node.stop();
        assert_eq!(node.schema(), 5);
        node.start().await;
        node.says("beside-it", "192.0.2.20").await.unwrap();
        assert_eq!(node.api().zones().await.unwrap(), [ZONE]);
    }
    exchange(&a, &b, "after-restart").await;

    // Once it is gone from the prefix, nobody warns any more.
    for (copy, _) in copies {
        std::fs::remove_file(copy).unwrap();
    }
    for node in [&a, &b] {
        eventually(SOON, "the warning is over", async || {
            let health = node.agent.http().get_text("/healthz").await;
            let health = health.map_err(|error| error.to_string())?;
            if health.contains(NOT_MERGED) {
                Err(health)
            } else {
                Ok(())
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_upgraded_in_its_place_goes_on_in_another_prefix_and_back_again() {
    let (old, new) = (directory(), directory());
    let [a, mut b] = fleet(Version::V4, old.path(), ["a", "b"]).await;
    b.dns.stop();
    b.dns.change_version(Version::V5);
    b.dns.start().await;
    b.says("first", "192.0.2.1").await.unwrap();
    assert_eq!(b.schema(), 6);
    b.comes_to_warn("other_schema", ANOTHER_PREFIX).await;
    b.write("upgraded", "192.0.2.2").await;
    a.write("old", "192.0.2.3").await;
    b.comes_to_say("old", "192.0.2.3").await;
    b.stop();
    assert_eq!(schemas(old.path()), [5]);

    // As the message says. What could not be stored is in the database still.
    b.agent.meet_in(new.path());
    b.start().await;
    let mut c = Node::of(Version::V5, "c", new.path());
    c.start().await;
    for (label, address) in [
        ("first", "192.0.2.1"),
        ("old", "192.0.2.3"),
        ("upgraded", "192.0.2.2"),
    ] {
        c.comes_to_say(label, address).await;
    }
    exchange(&b, &c, "both-upgraded").await;
    assert_eq!(schemas(new.path()), [6]);
    b.stop();

    // There is no way back for its database, but for the server.
    b.dns.change_version(Version::V4);
    b.agent.meet_in(old.path());
    b.dns.start_in_vain().await;
    assert!(b.dns.log().contains("schema"), "{}", b.dns.log());
    b.wipe();
    b.start().await;
    b.says("old", "192.0.2.3").await.unwrap();
    assert_eq!(b.schema(), 5);
    exchange(&a, &b, "back").await;
}

/// PowerDNS has views only with its zone cache, which looks for zones of others in intervals.
fn with_views(name: &str, shared: &Path) -> Node {
    let mut node = Node::of(Version::V5, name, shared);
    node.dns.set("views=yes");
    node.dns.set("zone-cache-refresh-interval=1");
    node
}

#[tokio::test]
async fn two_powerdns_5_replicate_comments_networks_and_views_in_either_order_of_start() {
    let shared = directory();
    let [mut a, mut b] = ["a", "b"].map(|name| with_views(name, shared.path()));
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("first", "192.0.2.1").await;
    // PowerDNS is the first here.
    b.dns.start().await;
    b.agent.start().await;
    b.comes_to_say("first", "192.0.2.1").await;
    exchange(&a, &b, "either-order").await;

    let name = format!("first.{ZONE}");
    a.api()
        .comment(ZONE, &name, "A", "ours since 2026")
        .await
        .unwrap();
    a.api().set_network("192.0.2.0/24", "inside").await.unwrap();
    b.api()
        .create_variant("zone.example..inside", ZONE)
        .await
        .unwrap();
    b.api()
        .add_to_view("inside", "zone.example..inside")
        .await
        .unwrap();
    for node in [&a, &b] {
        eventually(SOON, "all of it is there", async || shows_all(node).await).await;
    }

    // A lost volume is as in 4.9.
    b.stop();
    b.wipe();
    b.start().await;
    b.says("first", "192.0.2.1").await.unwrap();
    shows_all(&b).await.unwrap();
}

async fn shows_all(node: &Node) -> Result<(), String> {
    let api = node.api();
    let zone = api.zone(ZONE).await.map(|zone| zone.to_string());
    let networks = api.networks().await.map(|networks| networks.to_string());
    let view = api.view("inside").await.map(|view| view.to_string());
    for (answer, part) in [
        (zone, "ours since 2026"),
        (networks, "192.0.2.0/24"),
        (view, "zone.example..inside"),
    ] {
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.contains(part) {
            return Err(format!("no {part:?} in {answer}"));
        }
    }
    Ok(())
}

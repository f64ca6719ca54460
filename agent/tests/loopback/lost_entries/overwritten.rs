//! PowerDNS 4.9.18 writes keys over with other bytes when it rectifies a zone with an RRset of more than some 2 kB.

use std::collections::BTreeMap;
use std::fmt::Display;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use zonetide_agent::content::{is_possible, without_order};
use zonetide_testbed::dns::Type;
use zonetide_testbed::{Version, eventually};

use super::{RECORDS, Servers, comes_to_tell_of, entries, metric, whole};
use crate::node::{Node, SOON, ZONE};

/// Names and how many addresses they have: more than 160 are more than PowerDNS 4.9.18 can rectify.
const NAMES: [(&str, u32); 10] = [
    ("a", 1),
    ("big", 200),
    ("bigger", 300),
    ("c", 1),
    ("deep.below", 170),
    ("m0", 200),
    ("m1", 200),
    ("m2", 200),
    ("x", 2),
    ("z", 250),
];

fn addresses(index: usize, count: u32) -> Vec<String> {
    (0..count)
        .map(|n| format!("10.{index}.{}.{}", n / 200, n % 200 + 1))
        .collect()
}

async fn write(node: &Node, name: &str, addresses: &[String]) {
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let written = node
        .api()
        .replace(ZONE, &format!("{name}.{ZONE}"), "A", &addresses)
        .await;
    written.unwrap();
}

async fn answers(node: &Node, name: &str, addresses: &[String]) -> Result<(), String> {
    let answer = node
        .dns
        .dns_tcp()
        .ask(&format!("{name}.{ZONE}"), Type::A)
        .await
        .map_err(text)?;
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    answer.expect(&addresses)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Waits until both servers answer all names rightly, in a zone that is signed. Then their databases are equal, and whole.
async fn come_to_be_right(servers: &Servers, changed: Option<(&str, &[String])>) {
    for node in servers.both() {
        for (index, (name, count)) in NAMES.into_iter().enumerate() {
            let mut right = addresses(index, count);
            if let Some((_, new)) = changed.filter(|(changed, _)| *changed == name) {
                right = new.to_vec();
            }
            let what = format!("{} answers {name}", node.name);
            eventually(SOON, &what, || answers(node, name, &right)).await;
        }
        let what = format!("the zone is signed on {}", node.name);
        eventually(SOON, &what, async || {
            let answer = node.dns.dns().ask(ZONE, Type::DNSKEY).await.map_err(text)?;
            if answer.values().is_empty() {
                Err("no keys")
            } else {
                Ok(())
            }
            .map_err(text)
        })
        .await;
    }
    eventually(SOON, "both have the same records", async || {
        let [a, b] = servers.both().map(|node| entries(node, RECORDS));
        if a != b {
            return Err(format!("{} and {} entries", a.len(), b.len()));
        }
        let wrong = a.keys().find(|key| !is_possible(RECORDS, key));
        wrong.map_or(Ok(()), |key| Err(format!("{key:?}")))
    })
    .await;
}

async fn fill(servers: &Servers) {
    servers.a.api().create_zone(ZONE).await.unwrap();
    for (index, (name, count)) in NAMES.into_iter().enumerate() {
        write(&servers.a, name, &addresses(index, count)).await;
    }
    for (index, (name, count)) in NAMES.into_iter().enumerate() {
        let what = format!("b answers {name}");
        let right = addresses(index, count);
        eventually(SOON, &what, || answers(&servers.b, name, &right)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_with_large_rrsets_that_pdnsutil_signs_is_whole_on_all_servers() {
    let servers = Servers::start(Version::V4).await;
    fill(&servers).await;
    servers.a.dns.pdnsutil(&[], &["secure-zone", ZONE]);
    come_to_be_right(&servers, None).await;
    assert!(metric(&servers.a, "keys_mended_total").await > 0);
    assert_eq!(metric(&servers.b, "keys_mended_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_rrset_that_is_changed_in_a_signed_zone_is_changed_and_no_other_is_lost() {
    let servers = Servers::start(Version::V4).await;
    fill(&servers).await;
    servers.a.api().enable_dnssec(ZONE).await.unwrap();
    come_to_be_right(&servers, None).await;
    let new: Vec<_> = addresses(77, 190);
    write(&servers.a, "m1", &new).await;
    come_to_be_right(&servers, Some(("m1", &new))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_signed_while_the_agent_is_stopped_is_whole_again_once_it_is_back() {
    let mut servers = Servers::start(Version::V4).await;
    fill(&servers).await;
    servers.a.agent.stop();
    servers.a.dns.pdnsutil(&[], &["secure-zone", ZONE]);
    servers.a.agent.start().await;
    come_to_be_right(&servers, None).await;
    comes_to_tell_of(&servers.a, "shard", "keys of records_v5 were overwritten").await;
}

/// What the zones' RRsets of addresses say, by key.
fn said(node: &Node) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let mut addresses = whole(node, RECORDS)?;
    addresses.retain(|key, (_, deleted, _)| key.ends_with(&[0, 1]) && !*deleted);
    let said = |(key, (.., value)): (Vec<u8>, (u64, bool, Vec<u8>))| (key, without_order(&value).unwrap());
    Ok(addresses.into_iter().map(said).collect())
}

fn zone(random: &mut StdRng, zone: &str, number: u8) -> Value {
    let names = (0..40_u8).map(|name| {
        let label: String = (0..random.random_range(1..9))
            .map(|_| random.random_range('a'..='e'))
            .collect();
        let count = *[1, 1, 1, 165, 200, 200, 300].choose(random).unwrap();
        let records: Vec<_> = (0..count)
            .map(|n| json!({"content": format!("10.{number}.{name}.{}", n % 250), "disabled": false}))
            .take(250)
            .collect();
        (format!("{label}.{zone}"), records)
    });
    let rrsets: BTreeMap<_, _> = names.collect();
    let rrset = |(name, records)| json!({"name": name, "type": "A", "ttl": 60, "records": records});
    let rrsets: Vec<_> = rrsets.into_iter().map(rrset).collect();
    json!({"name": zone, "kind": "Native", "nameservers": ["ns.example.net."], "rrsets": rrsets})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_names_are_every_rrset_of_a_signed_zone_says_what_it_said() {
    let servers = Servers::start(Version::V4).await;
    let seed = std::env::var("ZONETIDE_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = StdRng::seed_from_u64(seed);
    let zones: Vec<_> = (0..6_u8).map(|number| format!("z{number}.example.")).collect();
    for (name, number) in zones.iter().zip(0..) {
        servers
            .a
            .api()
            .create(&zone(&mut random, name, number))
            .await
            .unwrap();
    }
    let before = said(&servers.a).unwrap();
    eventually(SOON, "b has all", async || {
        if said(&servers.b)? == before {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    for (number, zone) in zones.iter().enumerate() {
        if number % 2 == 0 {
            servers.a.dns.pdnsutil(&[], &["secure-zone", zone]);
        } else {
            servers.a.api().enable_dnssec(zone).await.unwrap();
        }
        let what = format!("all are as they were, with {seed} for the seed");
        eventually(SOON, &what, async || {
            let mended = metric(&servers.a, "keys_mended_total").await;
            for node in servers.both() {
                if mended == 0 || said(node)? != before {
                    return Err(node.name.clone());
                }
            }
            Ok(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_rrset_of_addresses_that_is_new_in_a_signed_zone_is_there() {
    let servers = Servers::start(Version::V4).await;
    fill(&servers).await;
    servers.a.api().enable_dnssec(ZONE).await.unwrap();
    come_to_be_right(&servers, None).await;
    for (name, octet) in [("new", 90), ("another", 91)] {
        let new = addresses(octet, 220);
        write(&servers.a, name, &new).await;
        for node in servers.both() {
            let what = format!("{} answers {name}", node.name);
            eventually(SOON, &what, || answers(node, name, &new)).await;
        }
    }
    come_to_be_right(&servers, None).await;
}

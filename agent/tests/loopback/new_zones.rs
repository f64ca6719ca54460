//! A zone that is made on one server, as another one answers meanwhile: as if it were not there, and then rightly. PowerDNS keeps zones
//! and records in two databases, and the own server answers no otherwise.

use serde_json::{Value, json};
use tokio::time::timeout;
use zonetide_testbed::agent::Storage;
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{DnsClient, Version};

use crate::node::{Node, SOON};
use crate::told::in_contact;

on_both_versions!(
    a_signed_zone_is_not_answered_without_signatures_before_its_keys_have_come,
    a_large_zone_is_never_answered_before_its_last_record_has_come,
    a_record_of_a_zone_of_which_the_store_alone_has_the_beginning_is_not_answered_before_it,
);

const ADDRESS: &str = "192.0.2.1";
/// Rounds: what goes wrong does so now and then, without any order in more than a third of them.
const ZONES: usize = 40;
/// More than one transaction of a merge has room for.
const LARGE: usize = 25_000;
/// New clusters, and the first zone of each: where nothing waits for its beginning about one in twenty answers wrongly.
const CLUSTERS: usize = 8;
const FIRST: &str = "first.example.";
/// Right answers in a row after which no other is waited for.
const ENOUGH: usize = 50;

async fn a_signed_zone_is_not_answered_without_signatures_before_its_keys_have_come(version: Version) {
    let shared = tempfile::tempdir().unwrap();
    let [a, b] = pair(version, shared.path()).await;
    let mut wrong = Vec::new();
    for number in 0..ZONES {
        let zone = format!("zone{number}.example.");
        wrong.extend(make_and_ask(&a, &b.dns.dns().with_dnssec(), &zone, 2).await);
    }
    // A shard waits for the main database for two seconds. Disks were seen to take four for a commit.
    let has_stalled = b.agent.log().contains("the main database is held up");
    assert!(has_stalled || wrong.is_empty(), "{wrong:?}");
}

async fn a_large_zone_is_never_answered_before_its_last_record_has_come(version: Version) {
    let shared = tempfile::tempdir().unwrap();
    let [a, b] = pair(version, shared.path()).await;
    let wrong = make_and_ask(&a, &b.dns.dns(), "large.example.", LARGE).await;
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The store gets the beginning of a new database as a snapshot, and peers what is written after that.
async fn a_record_of_a_zone_of_which_the_store_alone_has_the_beginning_is_not_answered_before_it(
    version: Version,
) {
    let names: Vec<_> = (0..5).map(|number| format!("r{number}.{FIRST}")).collect();
    let [first, .., last] = &names[..] else {
        unreachable!("there are five")
    };
    let mut wrong = Vec::new();
    for _ in 0..CLUSTERS {
        let shared = tempfile::tempdir().unwrap();
        let [a, b] = pair(version, shared.path()).await;
        let (api, other) = (a.api(), b.dns.dns());
        let writing = async {
            api.create_zone(FIRST).await.unwrap();
            for name in &names {
                api.replace(FIRST, name, "A", &[ADDRESS]).await.unwrap();
            }
        };
        let asking = async {
            while other
                .ask(last, Type::A)
                .await
                .unwrap()
                .expect(&[ADDRESS])
                .is_err()
            {}
            other.ask(first, Type::A).await.unwrap().expect(&[ADDRESS])
        };
        let ((), said) = tokio::join!(writing, timeout(SOON, asking));
        wrong.extend(said.expect("it is answered").err());
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

async fn pair(version: Version, shared: &std::path::Path) -> [Node; 2] {
    let mut nodes = ["a", "b"].map(|name| Node::of(version, name, Storage::from(shared)));
    let urls: Vec<_> = nodes.iter().map(|node| node.agent.peer_url()).collect();
    for node in &mut nodes {
        node.agent.tell(&urls);
        node.dns.set("webserver-max-bodysize=20");
        node.start().await;
    }
    for node in &nodes {
        in_contact(node, 1).await;
    }
    nodes
}

/// Makes a zone on a server, which is signed unless it is large, and asks another one for its last record all the while. Returns
/// what was wrong.
async fn make_and_ask(server: &Node, other: &DnsClient, zone: &str, records: usize) -> Vec<String> {
    let is_signed = records != LARGE;
    let name = format!("zz.{zone}");
    let zone = zone_of(zone, records, is_signed);
    let asking = timeout(SOON, answered(other, &name, is_signed));
    let api = server.api();
    let (made, answered) = tokio::join!(api.create(&zone), asking);
    made.unwrap();
    answered.expect("it is answered")
}

fn zone_of(zone: &str, records: usize, is_signed: bool) -> Value {
    let rrset = |label: &str| {
        let records = json!([{"content": ADDRESS, "disabled": false}]);
        json!({"name": format!("{label}.{zone}"), "type": "A", "ttl": 60, "records": records})
    };
    let others = (1..records).map(|number| rrset(&format!("a{number}")));
    let rrsets: Vec<_> = others.chain([rrset("zz")]).collect();
    json!({
        "name": zone, "kind": "Native", "dnssec": is_signed, "nameservers": [format!("ns1.{zone}")], "rrsets": rrsets,
    })
}

/// Asks until the answer is right and stays so, and returns what was answered meanwhile but that the zone is not there.
async fn answered(client: &DnsClient, name: &str, is_signed: bool) -> Vec<String> {
    let (mut wrong, mut right) = (Vec::new(), 0);
    while right < ENOUGH {
        let answer = client.ask(name, Type::A).await.unwrap();
        let has_signature = answer
            .records
            .iter()
            .any(|record| record.record_type() == Type::RRSIG);
        let said = answer.expect(&[ADDRESS]).map(|()| has_signature);
        match said {
            Ok(found) if found == is_signed => right += 1,
            _ if answer.code == Code::Refused && right == 0 => {}
            said => wrong.push(format!("of {name} after {right} right answers {said:?}")),
        }
    }
    wrong
}

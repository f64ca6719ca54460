//! What is written on a server is answered by this server, too, though PowerDNS has all its caches at their defaults: its tools
//! write behind its back, and its API does not make it forget all that it changes.

use std::time::Duration;

use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{Version, eventually};

use crate::cached_pair::absolute;
use crate::node::{Node, ZONE};

/// No cache forgets an answer by itself so soon: PowerDNS' shortest keeps it for 20 s.
const A_MOMENT: Duration = Duration::from_secs(10);

on_both_versions!(
    a_zone_that_pdnsutil_makes_changes_and_deletes_is_answered_so_by_its_own_server,
    a_key_that_the_api_adds_is_in_the_next_answers_of_its_own_server,
);

struct Server {
    node: Node,
    _store: tempfile::TempDir,
}

impl Server {
    async fn start(version: Version) -> Self {
        let store = tempfile::tempdir().unwrap();
        let mut node = Node::of(version, "a", store.path());
        node.dns.leave_caches_on();
        node.agent.flush_caches_over(node.dns.control_socket());
        node.start().await;
        Self { node, _store: store }
    }

    async fn comes_to_say(&self, label: &str, address: &str) {
        let what = format!("{label} is answered with {address}");
        eventually(A_MOMENT, &what, || self.node.says(label, address)).await;
    }

    async fn comes_to_say_code(&self, label: &str, code: Code) {
        let (what, name) = (format!("{label} is answered with {code}"), absolute(label));
        eventually(A_MOMENT, &what, || self.node.says_code(&name, code)).await;
    }

    fn pdnsutil(&self, arguments: &[&str]) {
        self.node.dns.pdnsutil(&[], arguments);
    }
}

async fn a_zone_that_pdnsutil_makes_changes_and_deletes_is_answered_so_by_its_own_server(version: Version) {
    let server = Server::start(version).await;
    // The old answer is in the caches, each time.
    server.comes_to_say_code("www", Code::Refused).await;
    server.pdnsutil(&["create-zone", ZONE, "ns1.example."]);
    server.comes_to_say_code("www", Code::NXDomain).await;
    // 4.9's tool takes names in a zone for relative ones.
    let www = match version {
        Version::V4 => "www".to_owned(),
        Version::V5 => absolute("www"),
    };
    let record = async |action, address| {
        server.pdnsutil(&[action, ZONE, &www, "A", "3600", address]);
    };
    record("add-record", "192.0.2.1").await;
    server.comes_to_say("www", "192.0.2.1").await;
    record("replace-rrset", "192.0.2.2").await;
    server.comes_to_say("www", "192.0.2.2").await;
    server.pdnsutil(&["delete-rrset", ZONE, &www, "A"]);
    server.comes_to_say_code("www", Code::NXDomain).await;
    record("add-record", "192.0.2.3").await;
    server.comes_to_say("www", "192.0.2.3").await;
    server.pdnsutil(&["delete-zone", ZONE]);
    server.comes_to_say_code("www", Code::Refused).await;
}

async fn a_key_that_the_api_adds_is_in_the_next_answers_of_its_own_server(version: Version) {
    let server = Server::start(version).await;
    let api = server.node.api();
    api.create_zone(ZONE).await.unwrap();
    let keys = async || {
        let answer = server.node.dns.dns_tcp().ask(ZONE, Type::DNSKEY).await;
        answer
            .map(|answer| answer.values().len())
            .map_err(|error| error.to_string())
    };
    for number in 1..=3 {
        assert_eq!(keys().await, Ok(number - 1));
        api.add_key(ZONE).await.unwrap();
        eventually(A_MOMENT, "the new key is there", async || match keys().await? {
            found if found == number => Ok(()),
            found => Err(format!("{found} keys")),
        })
        .await;
    }
}

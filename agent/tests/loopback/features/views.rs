//! Views and networks, which PowerDNS has since 5.0: who asks from a network is shown another variant of a zone.

use zonetide_testbed::dns::Code;
use zonetide_testbed::{PowerDns, Version};

use super::Servers;
use crate::node::ZONE;

const VARIANT: &str = "zone.example..inside";
/// The tests ask from here.
const HERE: &str = "127.0.0.0/8";

#[tokio::test]
async fn a_view_and_its_network_set_on_either_server_decide_at_once_what_both_answer() {
    // With the list of zones in memory, which PowerDNS itself reads every 300 s: there are no views without it.
    let servers = Servers::start(Version::V5, &["views=yes"]).await;
    let (a, b) = (&servers.a.api(), &servers.b.api());
    let www = format!("www.{ZONE}");
    let only_inside = format!("only-inside.{ZONE}");
    a.create_zone(ZONE).await.unwrap();
    servers.a.write("www", "192.0.2.1").await;
    servers.come_to_answer(&www, &["192.0.2.1"]).await;

    // A variant in no view is not shown to anybody.
    a.create_variant(VARIANT, ZONE).await.unwrap();
    a.replace(VARIANT, &www, "A", &["192.0.2.11"]).await.unwrap();
    a.replace(VARIANT, &only_inside, "A", &["192.0.2.12"])
        .await
        .unwrap();
    a.add_to_view("inside", VARIANT).await.unwrap();
    servers.come_to_say_code(&only_inside, Code::NXDomain).await;
    a.set_network(HERE, "inside").await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.11"]).await;
    servers.come_to_answer(&only_inside, &["192.0.2.12"]).await;

    // The variant's records change like any other's, whoever writes.
    b.replace(VARIANT, &www, "A", &["192.0.2.13"]).await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.13"]).await;
    a.replace(VARIANT, &www, "A", &["192.0.2.14"]).await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.14"]).await;
    a.delete(VARIANT, &only_inside, "A").await.unwrap();
    servers.come_to_say_code(&only_inside, Code::NXDomain).await;

    b.remove_from_view("inside", VARIANT).await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.1"]).await;
    b.add_to_view("inside", VARIANT).await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.14"]).await;
    // No view takes the network away.
    a.set_network(HERE, "").await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.1"]).await;
    b.set_network(HERE, "inside").await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.14"]).await;
    // A view still has a variant that is deleted, and PowerDNS, whoever it was deleted by, refuses what it would answer.
    a.delete_zone(VARIANT).await.unwrap();
    servers.come_to_say_code(&www, Code::Refused).await;
    a.remove_from_view("inside", VARIANT).await.unwrap();
    servers.come_to_answer(&www, &["192.0.2.1"]).await;
}

/// So the operator leaves the list of zones on where there are views.
#[tokio::test]
async fn powerdns_does_not_start_with_views_and_without_its_list_of_zones() {
    let dir = tempfile::tempdir().unwrap();
    let mut dns = PowerDns::new("pdns", &dir.path().join("pdns.lmdb"));
    for setting in ["views=yes", "zone-cache-refresh-interval=0"] {
        dns.set(setting);
    }
    dns.start_in_vain().await;
    let log = dns.log();
    assert!(log.contains("views requires the zone cache"), "{log}");
}

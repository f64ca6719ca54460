//! What is written on one server is answered by the other.

use zonetide_testbed::dns::{Code, DnsClient, Type};
use zonetide_testbed::{Garage, PowerDns, Version, eventually};

use crate::node::{Node, SOON, ZONE};

async fn pair(version: Version, garage: &Garage) -> (Node, Node) {
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::of(version, "a", &bucket), Node::of(version, "b", &bucket));
    a.start().await;
    b.start().await;
    (a, b)
}

on_both_versions!(
    a_zone_made_on_either_server_is_answered_by_the_other_and_so_is_every_later_change,
    of_two_changes_of_one_record_the_newer_wins_whichever_agent_comes_first,
    a_signed_zone_has_the_same_keys_and_denials_on_both_servers,
    a_directory_serves_as_the_store_as_well,
);

async fn a_zone_made_on_either_server_is_answered_by_the_other_and_so_is_every_later_change(
    version: Version,
) {
    let garage = Garage::start().await;
    let (a, b) = pair(version, &garage).await;

    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;

    b.api().create_zone("second.example.").await.unwrap();
    b.api()
        .replace("second.example.", "www.second.example.", "A", &["192.0.2.2"])
        .await
        .unwrap();
    let both = ["second.example.", ZONE];
    eventually(SOON, "a lists both zones", async || match a.api().zones().await {
        Ok(zones) if zones == both => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    // The zone that came from A is written on B, and back again.
    b.write("www", "192.0.2.3").await;
    a.comes_to_say("www", "192.0.2.3").await;
    a.write("www", "192.0.2.4").await;
    b.comes_to_say("www", "192.0.2.4").await;

    a.write("gone", "192.0.2.5").await;
    b.comes_to_say("gone", "192.0.2.5").await;
    a.api().delete(ZONE, &format!("gone.{ZONE}"), "A").await.unwrap();
    b.comes_to_say_code(&format!("gone.{ZONE}"), Code::NXDomain).await;
    b.says("www", "192.0.2.4").await.unwrap();

    a.api().delete_zone("second.example.").await.unwrap();
    b.comes_to_say_code("www.second.example.", Code::Refused).await;
    // Its records are in one file and the zone itself in the other, which may come a moment later.
    eventually(SOON, "b has lost the zone", async || {
        match b.api().zones().await {
            Ok(zones) if zones == [ZONE] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    b.api().create_zone("second.example.").await.unwrap();
    b.api()
        .replace("second.example.", "new.second.example.", "A", &["192.0.2.6"])
        .await
        .unwrap();
    eventually(SOON, "a answers the zone made again", async || {
        let answer = a.dns.dns().ask("new.second.example.", Type::A).await;
        answer.map_err(|error| error.to_string())?.expect(&["192.0.2.6"])
    })
    .await;
    // What the deleted zone of that name held stays deleted.
    a.says_code("www.second.example.", Code::NXDomain).await.unwrap();
}

async fn of_two_changes_of_one_record_the_newer_wins_whichever_agent_comes_first(version: Version) {
    let garage = Garage::start().await;
    let (mut a, mut b) = pair(version, &garage).await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("both", "192.0.2.1").await;
    a.write("edited", "192.0.2.1").await;
    b.comes_to_say("both", "192.0.2.1").await;
    b.comes_to_say("edited", "192.0.2.1").await;

    // Nobody replicates while both write: the network is cut between them.
    a.agent.stop();
    b.agent.stop();
    b.write("both", "192.0.2.20").await;
    a.write("both", "192.0.2.10").await;
    a.api()
        .delete(ZONE, &format!("edited.{ZONE}"), "A")
        .await
        .unwrap();
    b.write("edited", "192.0.2.20").await;

    // A stores its newer `both` and its older deletion first, then B comes with the opposite.
    a.agent.start().await;
    b.agent.start().await;
    for node in [&a, &b] {
        node.comes_to_say("both", "192.0.2.10").await;
        node.comes_to_say("edited", "192.0.2.20").await;
    }
}

async fn a_signed_zone_has_the_same_keys_and_denials_on_both_servers(version: Version) {
    let garage = Garage::start().await;
    let (a, b) = pair(version, &garage).await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    a.api().enable_dnssec(ZONE).await.unwrap();

    let keys = async |server: &PowerDns| server.dns().ask(ZONE, Type::DNSKEY).await.unwrap().values();
    let of_a = keys(&a.dns).await;
    assert_eq!(of_a.len(), 1, "{of_a:?}");
    eventually(SOON, "b answers with the key of a", async || {
        let of_b = keys(&b.dns).await;
        if of_b == of_a {
            Ok(())
        } else {
            Err(format!("{of_b:?} instead of {of_a:?}"))
        }
    })
    .await;

    let denial = async |client: DnsClient| {
        client
            .with_dnssec()
            .ask(&format!("no.{ZONE}"), Type::A)
            .await
            .map(|answer| answer.code)
    };
    assert_eq!(denial(a.dns.dns()).await.unwrap(), Code::NXDomain);
    assert_eq!(denial(b.dns.dns()).await.unwrap(), Code::NXDomain);
}

async fn a_directory_serves_as_the_store_as_well(version: Version) {
    let shared = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (
        Node::of(version, "a", shared.path()),
        Node::of(version, "b", shared.path()),
    );
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;
    b.write("www", "192.0.2.2").await;
    a.comes_to_say("www", "192.0.2.2").await;
}

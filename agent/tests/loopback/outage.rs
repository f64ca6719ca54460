//! A bucket that cannot be reached stops replication and nothing else; it goes on by itself afterwards.

use std::time::Duration;

use zonetide_testbed::Garage;

use crate::node::{Node, ZONE};

#[tokio::test]
async fn servers_answer_and_take_changes_without_the_bucket_and_exchange_them_when_it_is_back() {
    let mut garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::new("a", &bucket), Node::new("b", &bucket));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    b.comes_to_say("www", "192.0.2.1").await;

    garage.crash();
    a.write("on-a", "192.0.2.2").await;
    b.write("on-b", "192.0.2.3").await;
    a.says("on-a", "192.0.2.2").await.unwrap();
    b.says("on-b", "192.0.2.3").await.unwrap();
    a.says("www", "192.0.2.1").await.unwrap();
    // Being ready once is enough: a server without its bucket still has all its zones.
    assert!(
        a.agent.is_ready().await && b.agent.is_ready().await,
        "an outage must not take servers out"
    );
    a.says_code(&format!("on-b.{ZONE}"), zonetide_testbed::dns::Code::NXDomain)
        .await
        .unwrap();

    garage.up().await;
    a.comes_to_say("on-b", "192.0.2.3").await;
    b.comes_to_say("on-a", "192.0.2.2").await;
}

#[tokio::test]
async fn an_agent_that_starts_without_the_bucket_waits_for_it_and_is_not_ready() {
    let mut garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut a = Node::new("a", &bucket);
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    a.stop();
    a.wipe();

    garage.crash();
    a.agent.launch();
    // It is up and tries, but what it cannot know yet it must not let PowerDNS serve.
    a.agent.await_healthy(Duration::from_secs(10)).await;
    assert!(
        !a.agent.is_ready().await,
        "ready without having seen the bucket:\n{}",
        a.agent.log()
    );
    garage.up().await;
    a.agent.await_ready(Duration::from_mins(1)).await;
    a.dns.start().await;
    a.says("www", "192.0.2.1").await.unwrap();
}

//! An agent that ends, is killed or loses its database loses nothing that it has stored.

use std::time::Duration;

use zonetide_testbed::dns::Code;
use zonetide_testbed::{Garage, Version};

use crate::node::{Node, ZONE};

on_both_versions!(
    a_wiped_database_is_complete_before_ready_and_its_only_copy_is_not_overwritten,
    a_wiped_database_comes_back_with_what_both_wrote_and_with_deletions,
    sigterm_stores_the_last_change,
    an_agent_killed_between_changes_stores_them_all_when_it_is_back,
    a_deletion_on_a_server_that_does_not_have_the_record_yet_writes_nothing_and_the_record_stays,
);

async fn a_wiped_database_is_complete_before_ready_and_its_only_copy_is_not_overwritten(version: Version) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut a = Node::of(version, "a", &bucket);
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    a.write("later", "192.0.2.2").await;
    a.stop();

    a.wipe();
    // No polling from here on: ready means complete.
    a.start().await;
    a.says("www", "192.0.2.1").await.unwrap();
    a.says("later", "192.0.2.2").await.unwrap();

    // The instance's own snapshot was the only copy. Its next one must hold everything too.
    a.write("new", "192.0.2.3").await;
    a.stop();
    let mut b = Node::of(version, "b", &bucket);
    b.start().await;
    for (label, address) in [("www", "192.0.2.1"), ("later", "192.0.2.2"), ("new", "192.0.2.3")] {
        b.says(label, address).await.unwrap();
    }
}

async fn a_wiped_database_comes_back_with_what_both_wrote_and_with_deletions(version: Version) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::of(version, "a", &bucket), Node::of(version, "b", &bucket));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("from-a", "192.0.2.1").await;
    a.write("deleted-on-b", "192.0.2.9").await;
    b.comes_to_say("deleted-on-b", "192.0.2.9").await;
    b.write("from-b", "192.0.2.2").await;
    a.comes_to_say("from-b", "192.0.2.2").await;

    a.stop();
    a.wipe();
    b.write("while-away", "192.0.2.3").await;
    b.api()
        .delete(ZONE, &format!("deleted-on-b.{ZONE}"), "A")
        .await
        .unwrap();
    b.agent.stop();
    b.agent.start().await;

    a.start().await;
    for (label, address) in [
        ("from-a", "192.0.2.1"),
        ("from-b", "192.0.2.2"),
        ("while-away", "192.0.2.3"),
    ] {
        a.says(label, address).await.unwrap();
    }
    a.says_code(
        &format!("deleted-on-b.{ZONE}"),
        zonetide_testbed::dns::Code::NXDomain,
    )
    .await
    .unwrap();
}

async fn sigterm_stores_the_last_change(version: Version) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let mut a = Node::of(version, "a", &bucket);
    // It looks at the database once an hour, so only the end of the agent can store what was written.
    a.agent.look_at_the_database_every(Duration::from_hours(1));
    a.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("last", "192.0.2.1").await;
    a.stop();

    let mut b = Node::of(version, "b", &bucket);
    b.start().await;
    b.says("last", "192.0.2.1").await.unwrap();
}

async fn an_agent_killed_between_changes_stores_them_all_when_it_is_back(version: Version) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::of(version, "a", &bucket), Node::of(version, "b", &bucket));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    for number in 0..30_u8 {
        match number {
            8 => a.agent.kill(),
            12 => a.agent.launch(),
            16 => b.agent.kill(),
            20 => b.agent.launch(),
            _ => {}
        }
        a.write(&format!("r{number}"), &format!("192.0.2.{number}")).await;
    }
    for number in 0..30_u8 {
        b.comes_to_say(&format!("r{number}"), &format!("192.0.2.{number}"))
            .await;
    }
    b.write("back", "192.0.2.200").await;
    a.comes_to_say("back", "192.0.2.200").await;
}

/// PowerDNS' own way, which no agent can see: there is no entry, and no time.
async fn a_deletion_on_a_server_that_does_not_have_the_record_yet_writes_nothing_and_the_record_stays(
    version: Version,
) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    let (mut a, mut b) = (Node::of(version, "a", &bucket), Node::of(version, "b", &bucket));
    a.start().await;
    b.start().await;
    a.api().create_zone(ZONE).await.unwrap();
    a.write("both", "192.0.2.1").await;
    b.comes_to_say("both", "192.0.2.1").await;

    let name = |label: &str| format!("{label}.{ZONE}");
    a.agent.stop();
    b.write("late", "192.0.2.2").await;
    b.write("both", "192.0.2.3").await;
    for label in ["late", "both"] {
        a.api().delete(ZONE, &name(label), "A").await.unwrap();
    }
    a.agent.start().await;
    for node in [&a, &b] {
        node.comes_to_say("late", "192.0.2.2").await;
        // What the server had, it has deleted, and later than the other wrote.
        node.comes_to_say_code(&name("both"), Code::NXDomain).await;
    }
}

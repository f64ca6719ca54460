//! Two servers whose clocks differ: what PowerDNS put over what it had is the later write, whatever the clocks say.

use zonetide_testbed::dns::Code;
use zonetide_testbed::{Clock, Garage, Version, eventually};

use crate::kills::differences;
use crate::node::{Node, SOON, ZONE};
use crate::told::in_contact;

const RECORDS: u32 = 20;
const BEFORE: &str = "192.0.2.1";
const AFTER: &str = "192.0.2.2";

/// Two servers in contact; the clock is B's.
struct Pair {
    a: Node,
    b: Node,
    clock: Clock,
    _garage: Garage,
}

impl Pair {
    async fn start(version: Version, ahead: f64) -> Self {
        let garage = Garage::start().await;
        let bucket = garage.bucket("clocks").await;
        let (mut a, mut b) = (Node::of(version, "a", &bucket), Node::of(version, "b", &bucket));
        let urls = [a.agent.peer_url(), b.agent.peer_url()];
        let clock = Clock::default();
        clock.set(ahead);
        b.live_by(&clock);
        for node in [&mut a, &mut b] {
            node.agent.tell(&urls);
            node.start().await;
        }
        in_contact(&a, 1).await;
        in_contact(&b, 1).await;
        a.api().create_zone(ZONE).await.unwrap();
        a.write("ready", BEFORE).await;
        b.comes_to_say("ready", BEFORE).await;
        Self {
            a,
            b,
            clock,
            _garage: garage,
        }
    }

    /// What was written before on either server has arrived on the other.
    async fn exchange(&self, round: &str) {
        for (writer, reader) in [(&self.b, &self.a), (&self.a, &self.b)] {
            let label = format!("{round}-of-{}", writer.name);
            writer.write(&label, BEFORE).await;
            reader.comes_to_say(&label, BEFORE).await;
        }
        for file in ["pdns.lmdb", "pdns.lmdb-0"] {
            eventually(SOON, "both databases are the same", async || {
                differences([&self.a, &self.b], file)
            })
            .await;
        }
    }

    /// Both say the same of these records in the end: also when all has been compared anew.
    async fn ends_with(&mut self, labels: &[String], address: Option<&str>) {
        for round in ["told", "restarted"] {
            self.exchange(round).await;
            let mut lost = Vec::new();
            for label in labels {
                for node in [&self.a, &self.b] {
                    let said = match address {
                        Some(address) => node.says(label, address).await,
                        None => node.says_code(&format!("{label}.{ZONE}"), Code::NXDomain).await,
                    };
                    lost.extend(said.err().map(|said| format!("{} of {label}: {said}", node.name)));
                }
            }
            assert!(
                lost.is_empty(),
                "{round}: {} of {} answers are not of the later write:\n{}",
                lost.len(),
                2 * labels.len(),
                lost.join("\n")
            );
            if round == "told" {
                for node in [&mut self.a, &mut self.b] {
                    node.stop();
                    node.start().await;
                }
            }
        }
    }
}

fn labels() -> Vec<String> {
    (0..RECORDS).map(|number| format!("record{number}")).collect()
}

async fn delete(node: &Node, label: &str) {
    let name = format!("{label}.{ZONE}");
    node.api().delete(ZONE, &name, "A").await.unwrap();
}

/// A writes, B answers it and is written to.
async fn writes_over_what_came(version: Version, ahead: f64) {
    let mut pair = Pair::start(version, ahead).await;
    let labels = labels();
    for label in &labels {
        pair.a.write(label, BEFORE).await;
        pair.b.comes_to_say(label, BEFORE).await;
        pair.b.write(label, AFTER).await;
    }
    pair.ends_with(&labels, Some(AFTER)).await;
}

on_both_versions!(
    a_record_is_written_on_the_server_that_has_it_from_another_and_whose_clock_is_300_ms_behind,
    it_is_written_where_the_clock_is_an_hour_behind,
    it_is_written_where_the_clock_is_300_ms_ahead_and_then_on_the_other,
    it_is_deleted_where_the_clock_is_behind,
    it_is_written_where_the_clock_is_behind_and_then_deleted_on_the_other,
    it_is_written_while_the_agent_that_brought_it_is_killed,
    it_is_written_while_the_agent_that_brought_it_is_stopped_and_the_other_writes_more,
    a_clock_that_jumps_back_by_an_hour_between_two_writes_of_a_record_does_not_lose_the_second,
);

async fn a_record_is_written_on_the_server_that_has_it_from_another_and_whose_clock_is_300_ms_behind(
    version: Version,
) {
    writes_over_what_came(version, -0.3).await;
}

async fn it_is_written_where_the_clock_is_an_hour_behind(version: Version) {
    writes_over_what_came(version, -3600.0).await;
}

async fn it_is_written_where_the_clock_is_300_ms_ahead_and_then_on_the_other(version: Version) {
    let mut pair = Pair::start(version, 0.3).await;
    let labels = labels();
    for label in &labels {
        pair.b.write(label, BEFORE).await;
        pair.a.comes_to_say(label, BEFORE).await;
        pair.a.write(label, AFTER).await;
    }
    pair.ends_with(&labels, Some(AFTER)).await;
}

async fn it_is_deleted_where_the_clock_is_behind(version: Version) {
    let mut pair = Pair::start(version, -0.3).await;
    let labels = labels();
    for label in &labels {
        pair.a.write(label, BEFORE).await;
        pair.b.comes_to_say(label, BEFORE).await;
        delete(&pair.b, label).await;
    }
    pair.ends_with(&labels, None).await;
}

async fn it_is_written_where_the_clock_is_behind_and_then_deleted_on_the_other(version: Version) {
    let mut pair = Pair::start(version, -0.3).await;
    let labels = labels();
    for label in &labels {
        pair.a.write(label, BEFORE).await;
        pair.b.comes_to_say(label, BEFORE).await;
        pair.b.write(label, AFTER).await;
        pair.a.comes_to_say(label, AFTER).await;
        delete(&pair.a, label).await;
    }
    pair.ends_with(&labels, None).await;
}

async fn it_is_written_while_the_agent_that_brought_it_is_killed(version: Version) {
    let mut pair = Pair::start(version, -60.0).await;
    let labels = labels();
    for label in &labels {
        pair.a.write(label, BEFORE).await;
    }
    for label in &labels {
        pair.b.comes_to_say(label, BEFORE).await;
    }
    pair.b.agent.kill();
    let (written, deleted) = labels.split_at(labels.len() / 2);
    for label in written {
        pair.b.write(label, AFTER).await;
    }
    for label in deleted {
        delete(&pair.b, label).await;
    }
    // It finds in the store once more what was replaced.
    pair.b.agent.start().await;
    pair.ends_with(written, Some(AFTER)).await;
    pair.ends_with(deleted, None).await;
}

async fn it_is_written_while_the_agent_that_brought_it_is_stopped_and_the_other_writes_more(
    version: Version,
) {
    let mut pair = Pair::start(version, -60.0).await;
    let labels = labels();
    for label in &labels {
        pair.a.write(label, BEFORE).await;
    }
    for label in &labels {
        pair.b.comes_to_say(label, BEFORE).await;
    }
    pair.b.agent.freeze();
    // The same values with the same times: what a second delivery of them is like.
    pair.a.agent.stop();
    pair.a.agent.launch();
    for label in &labels {
        pair.b.write(label, AFTER).await;
    }
    pair.a.write("more", BEFORE).await;
    pair.b.agent.thaw();
    pair.a.agent.await_ready(SOON).await;
    pair.b.comes_to_say("more", BEFORE).await;
    pair.ends_with(&labels, Some(AFTER)).await;
}

async fn a_clock_that_jumps_back_by_an_hour_between_two_writes_of_a_record_does_not_lose_the_second(
    version: Version,
) {
    let mut pair = Pair::start(version, 0.0).await;
    let labels = labels();
    let (written, deleted) = labels.split_at(labels.len() / 2);
    for label in &labels {
        pair.b.write(label, BEFORE).await;
        pair.a.comes_to_say(label, BEFORE).await;
    }
    pair.clock.set(-3600.0);
    for label in written {
        pair.b.write(label, AFTER).await;
    }
    for label in deleted {
        delete(&pair.b, label).await;
    }
    pair.ends_with(written, Some(AFTER)).await;
    pair.ends_with(deleted, None).await;
}

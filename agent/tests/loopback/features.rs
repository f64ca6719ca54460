//! What PowerDNS offers beside zones and records: two servers whose caches are all on serve it alike.

mod catalogs;
mod checks;
pub(crate) mod comments;
mod metadata;
mod search;
mod updates;
mod views;

use std::fmt::Display;
use std::time::Duration;

use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{Garage, PowerDns, Version, eventually};

use crate::node::Node;

/// No cache forgets an answer by itself so soon: PowerDNS' shortest keeps it for 20 s.
const A_MOMENT: Duration = Duration::from_secs(10);

/// Two servers that replicate through a bucket, with their caches on.
struct Servers {
    a: Node,
    b: Node,
    _garage: Garage,
}

impl Servers {
    async fn start(version: Version, settings: &[&str]) -> Self {
        let garage = Garage::start().await;
        let bucket = garage.bucket("zones").await;
        let [mut a, mut b] = ["a", "b"].map(|name| Node::of(version, name, &bucket));
        for node in [&mut a, &mut b] {
            node.dns.leave_caches_on();
            for setting in settings {
                node.dns.set(setting);
            }
            node.agent.flush_caches_over(node.dns.control_socket());
            node.start().await;
        }
        Self {
            a,
            b,
            _garage: garage,
        }
    }

    fn both(&self) -> [&Node; 2] {
        [&self.a, &self.b]
    }

    /// Waits until both answer a name with these addresses, before any cache has forgotten what it knew.
    async fn come_to_answer(&self, name: &str, addresses: &[&str]) {
        for node in self.both() {
            let what = format!("{} answers {name} with {addresses:?}", node.name);
            eventually(A_MOMENT, &what, || answers(&node.dns, name, addresses)).await;
        }
    }

    /// The same for a name without addresses.
    async fn come_to_say_code(&self, name: &str, code: Code) {
        for node in self.both() {
            let what = format!("{} answers {name} with {code}", node.name);
            eventually(A_MOMENT, &what, || node.says_code(name, code)).await;
        }
    }
}

async fn answers(dns: &PowerDns, name: &str, addresses: &[&str]) -> Result<(), String> {
    let answer = dns.dns().ask(name, Type::A).await.map_err(text)?;
    answer.expect(addresses)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

//! A store that fails in every way that a network and an S3 server know: no write is lost, nothing wrong is served, the
//! status names the trouble, and all is well again by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use zonetide_testbed::fault_proxy::{Fault, FaultProxy, Refusal, mix};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, eventually};

use crate::node::{Node, SOON, ZONE};

/// Two servers whose agents reach their bucket through the proxy.
pub(crate) struct Pair<K = ()> {
    pub(crate) garage: Garage,
    pub(crate) bucket: Bucket,
    pub(crate) proxy: FaultProxy,
    pub(crate) a: Node,
    pub(crate) b: Node,
    /// What the nodes' configuration needs.
    pub(crate) kept: [K; 2],
}

impl Pair {
    async fn start() -> Self {
        Self::configured(|_, _| ()).await
    }
}

impl<K> Pair<K> {
    pub(crate) async fn configured(configure: impl Fn(&mut Node, &Bucket) -> K) -> Self {
        let garage = Garage::start().await;
        let bucket = garage.bucket("zones").await;
        let proxy = FaultProxy::start(&bucket);
        let node = |name| {
            let mut node = Node::new(name, &proxy.bucket(&bucket));
            // What hangs is given up soon.
            node.agent.set_store_option("client_timeout", json!("2s"));
            let kept = configure(&mut node, &bucket);
            (node, kept)
        };
        let ((mut a, kept_a), (mut b, kept_b)) = (node("a"), node("b"));
        a.start().await;
        b.start().await;
        a.api().create_zone(ZONE).await.unwrap();
        a.write("www", "192.0.2.1").await;
        b.comes_to_say("www", "192.0.2.1").await;
        Self {
            garage,
            bucket,
            proxy,
            a,
            b,
            kept: [kept_a, kept_b],
        }
    }

    pub(crate) fn nodes(&self) -> [&Node; 2] {
        [&self.a, &self.b]
    }

    /// Every request meets `fault` while both servers take a change; `words` are what a person reads of it.
    async fn endure(&self, label: &str, fault: &Fault, words: &str) {
        // Else what the last fault left could be taken for this one's doing.
        self.nothing_fails().await;
        self.proxy.always(fault);
        self.a.write(&format!("a-{label}"), "192.0.2.11").await;
        self.b.write(&format!("b-{label}"), "192.0.2.12").await;
        for node in self.nodes() {
            comes_to_fail_with(node, words).await;
            // What was known is served as before.
            node.says("www", "192.0.2.1").await.unwrap();
        }
        self.a.says(&format!("a-{label}"), "192.0.2.11").await.unwrap();
        self.b.says(&format!("b-{label}"), "192.0.2.12").await.unwrap();
        self.proxy.heal();
        self.a.comes_to_say(&format!("b-{label}"), "192.0.2.12").await;
        self.b.comes_to_say(&format!("a-{label}"), "192.0.2.11").await;
        assert!(self.proxy.happened()[fault.name()] > 0);
    }

    async fn nothing_fails(&self) {
        for node in self.nodes() {
            eventually(SOON, "nothing fails any more", async || {
                let failing = failures(&node.agent.status().await);
                if failing.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{failing:?}"))
                }
            })
            .await;
        }
    }

    /// Nothing fails any more nor is warned of, and both databases are what the bucket says.
    pub(crate) async fn comes_to_be_well(&self) {
        self.nothing_fails().await;
        for node in self.nodes() {
            eventually(SOON, "nothing is wrong any more", async || {
                let health = node.agent.status().await["health"].clone();
                let quiet = |kind: &str| health[kind] == json!({});
                // A false alarm, such as a namesake in the place of an own upload whose answer was lost, is wrong too.
                if quiet("warnings") && quiet("failures") {
                    Ok(())
                } else {
                    Err(health.to_string())
                }
            })
            .await;
        }
        for node in self.nodes() {
            eventually(SOON, "database and bucket are equal", async || {
                match node.agent.run(&["check"]) {
                    (true, _) => Ok(()),
                    (false, difference) => Err(difference),
                }
            })
            .await;
        }
    }
}

/// The last errors of what fails now.
pub(crate) fn failures(status: &Value) -> Vec<String> {
    let databases = status["databases"].as_object().unwrap().values();
    let failing = databases.flat_map(|database| database["failing"].as_object().unwrap().values());
    failing
        .map(|failing| failing["last_error"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) async fn comes_to_fail_with(node: &Node, words: &str) {
    eventually(SOON, &format!("the status says {words:?}"), async || {
        let failures = failures(&node.agent.status().await);
        if failures.iter().any(|failure| failure.contains(words)) {
            Ok(())
        } else {
            Err(format!("{failures:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn connections_that_break_at_any_point_are_named_and_cost_nothing() {
    let pair = Pair::start().await;
    for (label, fault, words) in [
        ("before", Fault::ResetBefore, "connection"),
        ("request", Fault::ResetInRequest, "connection"),
        ("after", Fault::ResetAfter, "connection"),
        ("answer", Fault::ResetInAnswer, "connection"),
        (
            "truncated",
            Fault::Truncate,
            "end of file before message length reached",
        ),
        ("silent", Fault::Hang, "timed out"),
    ] {
        pair.endure(label, &fault, words).await;
    }
    pair.comes_to_be_well().await;
}

#[tokio::test]
async fn a_store_that_refuses_is_quoted_with_the_remedy_and_a_slow_one_is_waited_for() {
    let pair = Pair::start().await;
    for (label, refusal, words) in [
        ("busy", Refusal::SLOW_DOWN, "SlowDown"),
        ("many", Refusal::TOO_MANY, "TooManyRequests"),
        ("internal", Refusal::INTERNAL, "InternalError"),
        ("key", Refusal::NO_KEY, "check the keys"),
        ("expired", Refusal::EXPIRED, "check the keys"),
    ] {
        pair.endure(label, &Fault::Refuse(refusal), words).await;
    }
    pair.proxy.always(&Fault::Trickle(200, Duration::from_millis(20)));
    pair.a.write("slow", "192.0.2.13").await;
    pair.b.comes_to_say("slow", "192.0.2.13").await;
    pair.proxy.heal();
    pair.comes_to_be_well().await;
}

#[tokio::test]
async fn a_wrong_clock_is_measured_and_warned_of_and_named_when_the_store_refuses_for_it() {
    let pair = Pair::start().await;
    let warning = async |node: &Node| {
        let status = node.agent.status().await;
        let condition = &status["databases"]["main"]["conditions"]["store_clock"];
        (
            condition["text"].as_str().map(str::to_owned),
            status["store_clock"].clone(),
        )
    };
    for node in pair.nodes() {
        let (text, clock) = warning(node).await;
        assert!(text.is_none(), "{text:?}");
        // One machine has one clock.
        let (ahead, uncertainty) = (&clock["ahead_seconds"], &clock["uncertainty_seconds"]);
        let (ahead, uncertainty) = (ahead.as_f64().unwrap(), uncertainty.as_f64().unwrap());
        assert!(ahead.abs() <= uncertainty + 0.001, "{clock}");
    }

    // As if both machines were 8 s behind: replication goes on.
    pair.proxy.set_clock(8);
    pair.a.write("skewed", "192.0.2.20").await;
    pair.b.comes_to_say("skewed", "192.0.2.20").await;
    for node in pair.nodes() {
        eventually(SOON, "the warning is there", async || match warning(node).await {
            (Some(text), _) if text.contains("s behind the store's") && text.contains("NTP") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        let metrics = node.agent.http().get_text("/metrics").await.unwrap();
        assert!(
            metrics.contains("zonetide_agent_store_clock_ahead_seconds{database=\"main\"} -"),
            "{metrics}"
        );
        assert!(
            metrics.contains("condition{database=\"main\",condition=\"store_clock\"} 1"),
            "{metrics}"
        );
    }

    pair.proxy.set_clock(-1_200);
    pair.endure("refused", &Fault::Refuse(Refusal::SKEWED), "ahead of the store's")
        .await;
    pair.proxy.always(&Fault::Refuse(Refusal::SKEWED));
    comes_to_fail_with(&pair.a, "ahead of the store's").await;
    let failures = failures(&pair.a.agent.status().await).join("\n");
    assert!(
        failures.contains("NTP") && !failures.contains("check the keys"),
        "{failures}"
    );

    pair.proxy.heal();
    pair.proxy.set_clock(0);
    pair.comes_to_be_well().await;
    assert_eq!(warning(&pair.a).await.0, None);
}

/// The seed is in `ZONETIDE_SEED`, or is made up and printed.
fn seed() -> u64 {
    let given = std::env::var("ZONETIDE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("ZONETIDE_SEED={seed}");
    seed
}

#[tokio::test]
async fn under_a_random_mix_of_all_faults_and_writes_on_both_servers_no_write_is_lost() {
    let pair = Pair::start().await;
    pair.proxy.plan(mix(seed(), 40));
    let total = || pair.proxy.happened().values().sum::<u64>();
    let mut written = BTreeMap::new();
    for round in 0..25_u8 {
        // Writes and faults take turns, however fast the machine is.
        let before = total();
        eventually(SOON, "one more fault", async || {
            let now = total();
            if now > before { Ok(()) } else { Err(now) }
        })
        .await;
        for (node, name) in [(&pair.a, "a"), (&pair.b, "b")] {
            let (own, address) = (format!("{name}-{round}"), format!("192.0.2.{round}"));
            node.write(&own, &address).await;
            written.insert(own, address);
        }
        // One record is written by both in turn: the last write is what counts.
        let last = if round % 2 == 0 { &pair.a } else { &pair.b };
        last.write("both", &format!("198.51.100.{round}")).await;
        written.insert("both".to_owned(), format!("198.51.100.{round}"));
        // What was there before never goes away.
        for node in pair.nodes() {
            node.says("www", "192.0.2.1").await.unwrap();
        }
    }
    println!("{:?}", pair.proxy.happened());
    pair.proxy.heal();
    for node in pair.nodes() {
        for (label, address) in &written {
            node.comes_to_say(label, address).await;
        }
    }
    pair.comes_to_be_well().await;
}

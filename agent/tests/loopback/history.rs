//! What was done to zones is seen, and taken back, with the commands that a person has.

mod comments;
mod held;
mod renamed;
mod whole;

use serde_json::{Value, json};
use zonetide_testbed::dns::Type;
use zonetide_testbed::{Version, eventually};

use crate::node::{Node, SOON, ZONE};

on_both_versions!(
    a_signed_zone_that_was_deleted_is_back_everywhere_with_its_keys,
    a_change_is_seen_with_what_was_there_before_and_can_be_taken_back,
);

/// Records below the zone, of kinds that are shown in different ways.
const KINDS: [(&str, &str, &str); 7] = [
    ("alias", "CNAME", "www.zone.example."),
    ("a.b.c", "CNAME", "alias.zone.example."),
    ("post", "MX", "10 mail.zone.example."),
    ("away", "NS", "ns1.other.example."),
    ("text", "TXT", r#""v=spf1 -all" "and more; of it""#),
    ("_x._tcp", "SRV", "1 2 443 www.zone.example."),
    ("auth", "CAA", r#"0 issue "ca.example""#),
];

/// The records of a zone file, with single spaces.
fn lines(text: &str) -> Vec<String> {
    let plain = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let line = words.join(" ").to_lowercase();
        line.replace(". ", " ").trim_end_matches('.').to_owned()
    };
    let is_record = |line: &&str| line.contains("IN") && !line.starts_with('$');
    let mut lines: Vec<_> = text.lines().filter(is_record).map(plain).collect();
    lines.sort();
    lines
}

/// Two servers that keep their history as it comes.
struct Pair {
    a: Node,
    b: Node,
    store: tempfile::TempDir,
}

impl Pair {
    async fn start(version: Version) -> Self {
        Self::start_with(version, |_| {}).await
    }

    /// The first one is set up a bit differently.
    async fn start_with(version: Version, set_up: impl FnOnce(&mut Node)) -> Self {
        let store = tempfile::tempdir().unwrap();
        let storage = json!({
            "type": "fs",
            "options": {"root_path": store.path()},
            "cleanup": {"enabled": true, "interval": "1s", "must_keep_interval": "1s"},
        });
        let [mut a, mut b] = ["a", "b"].map(|name| Node::of(version, name, &storage));
        set_up(&mut a);
        for node in [&mut a, &mut b] {
            node.dns.leave_caches_on();
            node.agent.flush_caches_over(node.dns.control_socket());
            node.start().await;
        }
        let pair = Self { a, b, store };
        for database in ["main", "shard"] {
            let bases = format!("zonetide/history/{database}/bases");
            let bases = pair.store.path().join(bases);
            eventually(SOON, "the history begins", async || {
                let any = std::fs::read_dir(&bases).is_ok_and(|mut bases| bases.next().is_some());
                any.then_some(()).ok_or("no base snapshot yet")
            })
            .await;
        }
        pair
    }

    /// Runs a command that must end well.
    fn run(&self, args: &[&str]) -> String {
        let (is_good, text) = self.a.agent.run(args);
        assert!(is_good, "{args:?}: {text}");
        text
    }

    /// What the tool of PowerDNS prints is what is shown, but for spaces.
    async fn comes_to_show_what_pdnsutil_lists(&self) {
        let listed = lines(&self.a.dns.pdnsutil(&[], &["list-zone", ZONE]));
        eventually(SOON, "the zone is in the store as it is", async || {
            let shown = lines(&self.run(&["zone", "show", "zone.example"]));
            if shown == listed {
                Ok(())
            } else {
                Err(format!("{shown:#?}\n{listed:#?}"))
            }
        })
        .await;
    }

    async fn dnskeys(node: &Node) -> Vec<String> {
        let answer = node.dns.dns().ask(ZONE, Type::DNSKEY).await.unwrap();
        let mut keys = answer.values();
        keys.sort();
        keys
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

async fn a_signed_zone_that_was_deleted_is_back_everywhere_with_its_keys(version: Version) {
    let pair = Pair::start(version).await;
    let api = pair.a.api();
    api.create_zone(ZONE).await.unwrap();
    pair.a.write("www", "192.0.2.1").await;
    pair.a.dns.pdnsutil(&[], &["secure-zone", ZONE]);
    for node in [&pair.a, &pair.b] {
        node.comes_to_say("www", "192.0.2.1").await;
        eventually(SOON, "the zone is signed", async || {
            let keys = Pair::dnskeys(node).await;
            (!keys.is_empty()).then_some(()).ok_or("no keys")
        })
        .await;
    }
    let keys = Pair::dnskeys(&pair.a).await;
    let at = now();
    pair.b.api().delete_zone(ZONE).await.unwrap();
    for node in [&pair.a, &pair.b] {
        eventually(SOON, "the zone is gone", async || {
            let answer = node.dns.dns().ask(ZONE, Type::DNSKEY).await;
            let gone = answer.is_ok_and(|answer| answer.values().is_empty());
            gone.then_some(()).ok_or("there are still keys")
        })
        .await;
    }
    // The time until what was stored is in the history, or still in deltas, makes no difference.
    let show = |at: &str| pair.a.agent.run(&["zone", "show", "zone.example", "--at", at]);
    let (is_good, shown) = show(&at);
    assert!(is_good && shown.contains("www.zone.example. "), "{shown}");
    // The zone goes before its records.
    let plan = eventually(SOON, "what is planned has the record", async || {
        let plan = pair.run(&["restore", "--zone", "zone.example", "--at", &at, "--dry-run"]);
        if plan.contains("+ www.zone.example. ") {
            Ok(plan)
        } else {
            Err(plan)
        }
    })
    .await;
    assert!(
        plan.contains("nothing was changed") && !plan.contains("NSEC3"),
        "{plan}"
    );
    let done = pair.run(&["restore", "--zone", "zone.example", "--at", &at]);
    assert!(done.contains("entries written"), "{done}");
    for node in [&pair.a, &pair.b] {
        node.comes_to_say("www", "192.0.2.1").await;
        eventually(SOON, "the zone has its keys again", async || {
            let back = Pair::dnskeys(node).await;
            if back == keys {
                Ok(())
            } else {
                Err(format!("{back:?}"))
            }
        })
        .await;
    }
    let again = pair.run(&["restore", "--zone", "zone.example", "--at", &at]);
    assert!(again.contains("All is as it was"), "{again}");
    // And it can be written to as ever.
    pair.b.write("www", "192.0.2.2").await;
    pair.a.comes_to_say("www", "192.0.2.2").await;
}

async fn a_change_is_seen_with_what_was_there_before_and_can_be_taken_back(version: Version) {
    let pair = Pair::start(version).await;
    pair.a.api().create_zone(ZONE).await.unwrap();
    for (label, address) in [("www", "192.0.2.1"), ("mail", "192.0.2.9")] {
        pair.a.write(label, address).await;
    }
    for (label, kind, content) in KINDS {
        let name = format!("{label}.{ZONE}");
        pair.a.api().replace(ZONE, &name, kind, &[content]).await.unwrap();
    }
    pair.b.comes_to_say("www", "192.0.2.1").await;
    pair.b.comes_to_say("mail", "192.0.2.9").await;
    let at = now();
    pair.b.write("www", "192.0.2.2").await;
    pair.b.write("new", "192.0.2.3").await;
    pair.a.comes_to_say("new", "192.0.2.3").await;
    pair.comes_to_show_what_pdnsutil_lists().await;
    let history = pair.run(&["history", "--zone", "zone.example", "--since", &at]);
    for line in [
        "- www.zone.example. 60 IN A 192.0.2.1",
        "+ www.zone.example. 60 IN A 192.0.2.2",
        "+ new.zone.example. 60 IN A 192.0.2.3",
        "UTC  b  zone.example.",
    ] {
        assert!(history.contains(line), "{line}: {history}");
    }
    assert!(!history.contains("mail"), "{history}");
    let of_a_name = pair.run(&[
        "history",
        "--name",
        "www.zone.example",
        "--since",
        "1h",
        "-o",
        "json",
    ]);
    let changes: Vec<Value> = of_a_name
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(changes.len(), 2, "{of_a_name}");
    assert_eq!(changes[1]["before"][0], "www.zone.example. 60 IN A 192.0.2.1");

    let serial = async |node: &Node| {
        let soa = node.dns.dns().ask(ZONE, Type::SOA).await.unwrap().values();
        let serial = soa[0].split_whitespace().nth(2).unwrap().to_owned();
        serial.parse::<u32>().unwrap()
    };
    let before = serial(&pair.b).await;
    pair.run(&["restore", "--zone", "zone.example", "--at", &at]);
    for node in [&pair.a, &pair.b] {
        node.comes_to_say("www", "192.0.2.1").await;
        node.comes_to_say("mail", "192.0.2.9").await;
        eventually(SOON, "the record that came later is gone", async || {
            let answer = node.dns.dns().ask(&format!("new.{ZONE}"), Type::A).await;
            let gone = answer.is_ok_and(|answer| answer.values().is_empty());
            gone.then_some(()).ok_or("it is still there")
        })
        .await;
    }
    eventually(SOON, "the serial moves on", async || {
        let now = serial(&pair.b).await;
        (now > before).then_some(()).ok_or(now)
    })
    .await;
    let taken_back = pair.run(&["history", "--zone", "zone.example", "--since", &at]);
    assert!(
        taken_back.contains("- new.zone.example. 60 IN A 192.0.2.3"),
        "{taken_back}"
    );
    let error = pair
        .a
        .agent
        .run(&["restore", "--zone", "none.example", "--at", &at]);
    assert!(
        !error.0 && error.1.contains("there is no zone none.example."),
        "{}",
        error.1
    );
}

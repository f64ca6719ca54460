//! A zone as it was, under another name beside the present one.

use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{Version, eventually};

use super::{KINDS, Pair, lines, now};
use crate::node::{Node, SOON, ZONE};

on_both_versions!(
    a_zone_as_it_was_is_answered_under_another_name_beside_the_present_one,
    a_copy_of_a_signed_zone_is_not_signed,
);

const OTHER: &str = "old.test.";

async fn comes_to_say(node: &Node, name: &str, address: &[&str]) {
    let what = format!("{} answers {name} with {address:?}", node.name);
    eventually(SOON, &what, async || {
        let answer = node.dns.dns().ask(name, Type::A).await;
        answer.map_err(|error| error.to_string())?.expect(address)
    })
    .await;
}

async fn a_zone_as_it_was_is_answered_under_another_name_beside_the_present_one(version: Version) {
    let pair = Pair::start(version).await;
    let api = pair.a.api();
    api.create_zone(ZONE).await.unwrap();
    pair.a.write("www", "192.0.2.1").await;
    for (label, kind, content) in KINDS {
        let name = format!("{label}.{ZONE}");
        api.replace(ZONE, &name, kind, &[content]).await.unwrap();
    }
    let nothing: [&str; 0] = [];
    api.set_metadata(ZONE, "ALSO-NOTIFY", &["192.0.2.53"])
        .await
        .unwrap();
    pair.comes_to_show_what_pdnsutil_lists().await;
    let listed = lines(&pair.a.dns.pdnsutil(&[], &["list-zone", ZONE]));
    let at = now();
    pair.b.comes_to_say("www", "192.0.2.1").await;
    pair.b.write("www", "192.0.2.2").await;
    pair.a.comes_to_say("www", "192.0.2.2").await;

    let copy = [
        "restore",
        "--zone",
        "zone.example",
        "--at",
        &at,
        "--as",
        "old.test",
    ];
    let expected = [
        "+ www.old.test. 60 IN A 192.0.2.1",
        "IN CNAME www.old.test.",
        "IN MX 10 mail.old.test.",
        "Left out: metadata ALSO-NOTIFY",
        "nothing was changed",
    ];
    eventually(SOON, "all of it is in the plan", async || {
        let plan = pair.run(&[&copy[..], &["--dry-run"]].concat());
        match expected.iter().find(|line| !plan.contains(**line)) {
            None => Ok(()),
            Some(line) => Err(format!("{line}: {plan}")),
        }
    })
    .await;
    for node in [&pair.a, &pair.b] {
        assert!(!node.api().zone_exists(OTHER).await.unwrap(), "{}", node.name);
    }

    pair.run(&copy);
    for node in [&pair.a, &pair.b] {
        comes_to_say(node, "www.old.test.", &["192.0.2.1"]).await;
        // By names that moved, too.
        let alias = node.dns.dns().ask("a.b.c.old.test.", Type::A).await.unwrap();
        assert!(
            alias.values().contains(&"192.0.2.1".to_owned()),
            "{:?}",
            alias.values()
        );
        node.comes_to_say("www", "192.0.2.2").await;
        let copied = lines(&node.dns.pdnsutil(&[], &["list-zone", OTHER]));
        let mut expected: Vec<_> = listed
            .iter()
            .map(|line| line.replace("zone.example", "old.test"))
            .collect();
        expected.sort();
        assert_eq!(copied, expected);
        assert_eq!(node.api().metadata(OTHER, "ALSO-NOTIFY").await.unwrap(), nothing);
        let zone = node.api().zone(OTHER).await.unwrap();
        assert_eq!(zone["kind"], "Native", "{zone}");
    }

    let (is_good, error) = pair.a.agent.run(&copy);
    assert!(!is_good && error.contains("there is a zone old.test."), "{error}");
    // It is a zone as any other.
    let www = format!("www.{OTHER}");
    let replaced = pair.b.api().replace(OTHER, &www, "A", &["192.0.2.3"]).await;
    replaced.unwrap();
    comes_to_say(&pair.a, &www, &["192.0.2.3"]).await;
    pair.b.api().delete_zone(OTHER).await.unwrap();
    pair.a.comes_to_say_code(&www, Code::Refused).await;
    pair.run(&copy);
    for node in [&pair.a, &pair.b] {
        comes_to_say(node, &www, &["192.0.2.1"]).await;
        node.comes_to_say("www", "192.0.2.2").await;
    }
}

async fn a_copy_of_a_signed_zone_is_not_signed(version: Version) {
    let pair = Pair::start(version).await;
    pair.a.api().create_zone(ZONE).await.unwrap();
    pair.a.write("www", "192.0.2.1").await;
    pair.a.dns.pdnsutil(&[], &["secure-zone", ZONE]);
    pair.a.dns.pdnsutil(&[], &["set-nsec3", ZONE, "1 0 0 -"]);
    pair.a.dns.pdnsutil(&[], &["rectify-zone", ZONE]);
    for node in [&pair.a, &pair.b] {
        node.comes_to_say("www", "192.0.2.1").await;
        eventually(SOON, "the zone is signed", async || {
            let keys = Pair::dnskeys(node).await;
            (!keys.is_empty()).then_some(()).ok_or("no keys")
        })
        .await;
    }
    let at = now();
    let copy = [
        "restore",
        "--zone",
        "zone.example",
        "--at",
        &at,
        "--as",
        "old.test",
    ];
    let plan = eventually(SOON, "the history has the keys", async || {
        let plan = pair.run(&[&copy[..], &["--dry-run"]].concat());
        let is_all = plan.contains("DNSSEC keys") && plan.contains("NSEC3PARAM");
        if is_all { Ok(plan) } else { Err(plan) }
    })
    .await;
    assert!(plan.contains("RRsets that signing made"), "{plan}");
    pair.run(&copy);
    for node in [&pair.a, &pair.b] {
        comes_to_say(node, "www.old.test.", &["192.0.2.1"]).await;
        let dns = node.dns.dns().with_dnssec();
        for kind in [Type::DNSKEY, Type::CDS, Type::NSEC3PARAM] {
            let answer = dns.ask(OTHER, kind).await.unwrap();
            assert_eq!(answer.values(), Vec::<String>::new(), "{kind} of {}", node.name);
        }
        assert!(
            !Pair::dnskeys(node).await.is_empty(),
            "the zone itself stays signed"
        );
    }
}

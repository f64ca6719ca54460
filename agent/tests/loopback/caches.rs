//! What is written on one server is answered by another whose PowerDNS has all its caches at their defaults: right after
//! each kind of change, though it was asked the same just before and keeps answers for 20 s and more.

use serde_json::json;
use zonetide_testbed::dns::Type;
use zonetide_testbed::{PowerDnsApi, Version, eventually};

use crate::cached_pair::{Pair, absolute, set};
use crate::node::{SOON, ZONE};

on_both_versions!(
    records_and_aliases_are_right_after_every_kind_of_change,
    wildcards_deep_names_and_delegations_are_right_after_every_kind_of_change,
    a_zone_made_removed_or_made_again_is_answered_though_the_old_answers_were_cached,
    without_a_list_of_zones_a_zone_made_removed_or_made_again_is_answered_as_well,
    signed_answers_and_denials_are_right_after_every_kind_of_change,
    changes_that_came_while_powerdns_took_no_commands_are_answered_once_it_does,
    the_last_of_many_changes_of_a_zone_is_what_stays_answered_though_it_is_asked_all_the_time,
);

async fn records_and_aliases_are_right_after_every_kind_of_change(version: Version) {
    let pair = Pair::start(version).await;
    pair.change(
        "a zone made",
        &[("@", Type::SOA), ("www", Type::A)],
        async |api| api.create_zone(ZONE).await,
    )
    .await;
    let emptied = pair.emptied();
    let www = [
        ("www", Type::A),
        ("www", Type::TXT),
        ("other", Type::A),
        ("@", Type::SOA),
    ];
    pair.change("a record added", &www, async |api| {
        set(api, "www", "A", &["192.0.2.1"]).await
    })
    .await;
    pair.change("a record changed", &www, async |api| {
        set(api, "www", "A", &["192.0.2.2"]).await
    })
    .await;
    pair.change("a type added", &www, async |api| {
        set(api, "www", "TXT", &["\"a\""]).await
    })
    .await;
    pair.change("a type removed", &www, async |api| {
        api.delete(ZONE, &absolute("www"), "TXT").await
    })
    .await;
    pair.change("a record disabled", &www, async |api| {
        let records = json!([{"content": "192.0.2.2", "disabled": true}]);
        let rrset = json!({"name": absolute("www"), "type": "A", "ttl": 60, "changetype": "REPLACE", "records": records});
        api.patch(ZONE, &rrset).await
    })
    .await;
    pair.change("a record enabled", &www, async |api| {
        set(api, "www", "A", &["192.0.2.2"]).await
    })
    .await;

    let alias = [("alias", Type::A), ("mail", Type::MX), ("web", Type::A)];
    pair.change("an alias added", &alias, async |api| {
        set(api, "alias", "CNAME", &[&absolute("www")]).await
    })
    .await;
    pair.change(
        "the end of an alias changed",
        &[("alias", Type::A)],
        async |api| set(api, "www", "A", &["192.0.2.3"]).await,
    )
    .await;
    pair.change("a mail server added", &alias, async |api| {
        set(api, "mail", "MX", &[&format!("10 {}", absolute("web"))]).await
    })
    .await;
    pair.change("its address added", &alias, async |api| {
        set(api, "web", "A", &["192.0.2.4"]).await
    })
    .await;
    pair.change("its address changed", &[("mail", Type::MX)], async |api| {
        set(api, "web", "A", &["192.0.2.5"]).await
    })
    .await;
    pair.change("the target of an alias changed", &alias, async |api| {
        set(api, "alias", "CNAME", &[&absolute("web")]).await
    })
    .await;

    pair.change(
        "another serial, seen in denials",
        &[("no", Type::A), ("www", Type::MX)],
        async |api| set(api, "www", "A", &["192.0.2.11"]).await,
    )
    .await;
    // Other zones keep their answers: what was written was understood.
    assert_eq!(pair.emptied(), emptied);
}

async fn wildcards_deep_names_and_delegations_are_right_after_every_kind_of_change(version: Version) {
    let pair = Pair::start(version).await;
    pair.change(
        "a zone made",
        &[("@", Type::SOA), ("www", Type::A)],
        async |api| api.create_zone(ZONE).await,
    )
    .await;
    let wild = [
        ("x.wild", Type::A),
        ("y.x.wild", Type::A),
        ("wild", Type::A),
        ("x.wild", Type::TXT),
    ];
    pair.change("a wildcard added", &wild, async |api| {
        set(api, "*.wild", "A", &["192.0.2.6"]).await
    })
    .await;
    pair.change("a wildcard changed", &wild, async |api| {
        set(api, "*.wild", "A", &["192.0.2.7"]).await
    })
    .await;
    pair.change("a name below a wildcard added", &wild, async |api| {
        set(api, "x.wild", "TXT", &["\"a\""]).await
    })
    .await;
    pair.change("a name below a wildcard removed", &wild, async |api| {
        api.delete(ZONE, &absolute("x.wild"), "TXT").await
    })
    .await;
    pair.change("a wildcard removed", &wild, async |api| {
        api.delete(ZONE, &absolute("*.wild"), "A").await
    })
    .await;

    let deep = [("b.c", Type::A), ("c", Type::A), ("a.b.c", Type::A)];
    pair.change("a deep name added", &deep, async |api| {
        set(api, "a.b.c", "A", &["192.0.2.8"]).await
    })
    .await;
    pair.change("a deep name removed", &deep, async |api| {
        api.delete(ZONE, &absolute("a.b.c"), "A").await
    })
    .await;

    let sub = [
        ("sub", Type::A),
        ("x.sub", Type::A),
        ("x.y.sub", Type::A),
        ("sub", Type::DS),
    ];
    pair.change("a delegation added", &sub, async |api| {
        set(api, "sub", "NS", &[&absolute("ns.sub")]).await
    })
    .await;
    pair.change("its glue added", &sub, async |api| {
        set(api, "ns.sub", "A", &["192.0.2.9"]).await
    })
    .await;
    pair.change("its glue changed", &sub, async |api| {
        set(api, "ns.sub", "A", &["192.0.2.10"]).await
    })
    .await;
    pair.change("a delegation removed", &sub, async |api| {
        api.delete(ZONE, &absolute("sub"), "NS").await
    })
    .await;
}

async fn a_zone_made_removed_or_made_again_is_answered_though_the_old_answers_were_cached(version: Version) {
    zones_come_and_go(&Pair::start(version).await).await;
}

/// As the operator has it.
async fn without_a_list_of_zones_a_zone_made_removed_or_made_again_is_answered_as_well(version: Version) {
    zones_come_and_go(&Pair::start_with(version, &["zone-cache-refresh-interval=0"]).await).await;
}

async fn zones_come_and_go(pair: &Pair) {
    let child = format!("child.{ZONE}");
    let in_child = format!("www.{child}");
    let questions = [
        ("@", Type::SOA),
        ("www", Type::A),
        (child.as_str(), Type::A),
        (&in_child, Type::A),
    ];
    let made = async |api: &PowerDnsApi| {
        api.create_zone(ZONE).await?;
        set(api, "www", "A", &["192.0.2.1"]).await
    };
    pair.change("a zone made", &questions, made).await;
    pair.change("a zone made below it", &questions, async |api| {
        api.create_zone(&child).await?;
        api.replace(&child, &in_child, "A", &["192.0.2.2"]).await
    })
    .await;
    pair.change("the zone below removed", &questions, async |api| {
        api.delete_zone(&child).await
    })
    .await;
    pair.change("the zone made again", &questions, async |api| {
        api.delete_zone(ZONE).await?;
        api.create_zone(ZONE).await?;
        set(api, "www", "A", &["192.0.2.3"]).await
    })
    .await;
    pair.change("the zone removed", &questions, async |api| {
        api.delete_zone(ZONE).await
    })
    .await;
    pair.change("the zone made once more", &questions, made).await;
}

async fn signed_answers_and_denials_are_right_after_every_kind_of_change(version: Version) {
    let pair = Pair::start(version).await;
    let questions = [
        ("@", Type::DNSKEY),
        ("@", Type::SOA),
        ("a", Type::A),
        ("b", Type::A),
        ("c", Type::A),
        ("b", Type::TXT),
        ("x.b", Type::A),
        ("sub", Type::DS),
        ("x.sub", Type::A),
    ];
    pair.change("a zone made", &questions, async |api| {
        api.create_zone(ZONE).await?;
        set(api, "a", "A", &["192.0.2.1"]).await
    })
    .await;
    let emptied = pair.emptied();
    let nsec3 = json!({"nsec3param": "1 0 0 -", "api_rectify": true});
    for how in ["NSEC", "NSEC3"] {
        if how == "NSEC" {
            pair.change("the zone signed", &questions, async |api| {
                api.enable_dnssec(ZONE).await
            })
            .await;
        } else {
            pair.change("NSEC3 in the place of NSEC", &questions, async |api| {
                api.set(ZONE, &nsec3).await
            })
            .await;
        }
        let what = |what: &str| format!("{what} ({how})");
        pair.change(&what("a name added"), &questions, async |api| {
            set(api, "b", "A", &["192.0.2.2"]).await
        })
        .await;
        pair.change(&what("a type added"), &questions, async |api| {
            set(api, "b", "TXT", &["\"a\""]).await
        })
        .await;
        pair.change(&what("a deep name added"), &questions, async |api| {
            set(api, "y.x.b", "A", &["192.0.2.3"]).await
        })
        .await;
        pair.change(&what("a delegation added"), &questions, async |api| {
            set(api, "sub", "NS", &[&absolute("ns.sub")]).await
        })
        .await;
        pair.change(&what("a signed delegation"), &questions, async |api| {
            let ds = "12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
            set(api, "sub", "DS", &[ds]).await
        })
        .await;
        pair.change(&what("all of it removed"), &questions, async |api| {
            for (label, kind) in [
                ("sub", "DS"),
                ("sub", "NS"),
                ("y.x.b", "A"),
                ("b", "TXT"),
                ("b", "A"),
            ] {
                api.delete(ZONE, &absolute(label), kind).await?;
            }
            Ok(())
        })
        .await;
    }
    pair.change("the zone not signed any more", &questions, async |api| {
        api.set(ZONE, &json!({"dnssec": false})).await
    })
    .await;
    // Keys and metadata were understood as well.
    assert_eq!(pair.emptied(), emptied);
}

async fn changes_that_came_while_powerdns_took_no_commands_are_answered_once_it_does(version: Version) {
    let pair = Pair::start(version).await;
    pair.a.api().create_zone(ZONE).await.unwrap();
    pair.a.write("www", "192.0.2.1").await;
    pair.b.comes_to_say("www", "192.0.2.1").await;

    // What is in the caches must stay there.
    pair.b.rests().await;
    let socket = pair.b.dns.control_socket();
    let aside = socket.with_extension("aside");
    let questions = [("www", Type::A), ("www.other.example.", Type::A)];
    pair.change("a change without a control socket", &questions, async |api| {
        std::fs::rename(&socket, &aside).unwrap();
        set(api, "www", "A", &["192.0.2.2"]).await?;
        api.create_zone("other.example.").await?;
        let failed = async || {
            let metrics = pair.b.agent.http().get_text("/metrics").await;
            let metrics = metrics.map_err(|error| error.to_string())?;
            let failures = r#"zonetide_agent_failures_total{database="main",step="powerdns"}"#;
            if metrics.contains(failures) {
                Ok(())
            } else {
                Err("no failure".to_owned())
            }
        };
        eventually(SOON, "the agent misses the socket", failed).await;
        // It is stale, and that does not stop replication.
        pair.b.says("www", "192.0.2.1").await.unwrap();
        std::fs::rename(&aside, &socket).unwrap();
        Ok(())
    })
    .await;
}

async fn the_last_of_many_changes_of_a_zone_is_what_stays_answered_though_it_is_asked_all_the_time(
    version: Version,
) {
    let pair = Pair::start(version).await;
    pair.a.api().create_zone(ZONE).await.unwrap();
    pair.a.write("www", "192.0.2.1").await;
    set(&pair.a.api(), "alias", "CNAME", &[&absolute("www")])
        .await
        .unwrap();
    pair.b.comes_to_say("alias", "192.0.2.1").await;
    let questions = [("www", Type::A), ("alias", Type::A), ("no", Type::A)];
    // Whether the last change finds the zone restless is chance, so there are several last ones.
    for round in 1..=6 {
        pair.change("many changes", &questions, async |api| {
            let names = ["www", "alias", "no"].map(absolute);
            // So that there is always an answer on its way into the caches.
            let ask = async {
                loop {
                    for name in &names {
                        let _ = pair.b.dns.dns().ask(name, Type::A).await;
                    }
                }
            };
            let write = async {
                for host in 1..=12 {
                    set(api, "www", "A", &[&format!("192.0.{round}.{host}")]).await?;
                }
                Ok(())
            };
            tokio::select! {
                () = ask => unreachable!(),
                written = write => written,
            }
        })
        .await;
    }
}

//! Every key that PowerDNS writes is one that it can have meant.

use std::io::Write as _;

use serde_json::json;
use zonetide_agent::content::is_possible;
use zonetide_agent::lmdb::LmdbError;
use zonetide_testbed::Version;

use super::{Servers, metric};
use crate::node::{Node, ZONE};

on_both_versions!(every_key_of_every_table_is_possible);

async fn every_key_of_every_table_is_possible(version: Version) {
    let servers = Servers::start(version).await;
    let (node, api) = (&servers.a, servers.a.api());
    api.create_zone(ZONE).await.unwrap();
    let label = "a".repeat(63);
    let names = [
        ZONE.to_owned(),
        format!("*.{ZONE}"),
        format!("_443._tcp.www.{ZONE}"),
        format!("UPPER.Case.{ZONE}"),
        format!("{label}.{label}.{label}.{}.{ZONE}", "b".repeat(40)),
        format!("1.2.3.4.5.6.7.8.9.0.a.b.c.d.e.f.1.2.3.4.5.6.7.8.9.0.{ZONE}"),
    ];
    for name in &names {
        api.replace(ZONE, name, "TXT", &["\"text\""]).await.unwrap();
    }
    load_by_hand(node);
    api.enable_dnssec(ZONE).await.unwrap();
    api.set_metadata(ZONE, "ALLOW-AXFR-FROM", &["192.0.2.0/24"])
        .await
        .unwrap();
    api.create_tsig_key("key.example.").await.unwrap();
    for zone in [".", "arpa.", "xn--bcher-kva.example."] {
        api.create(&json!({"name": zone, "kind": "Native", "nameservers": ["ns.example.net."]}))
            .await
            .unwrap();
    }
    if version == Version::V5 {
        api.comment(ZONE, ZONE, "TXT", "comment").await.unwrap();
        api.create_variant("zone.example..inside", ZONE).await.unwrap();
        api.add_to_view("inside", "zone.example..inside").await.unwrap();
        api.set_network("192.0.2.0/24", "inside").await.unwrap();
    }
    api.delete(ZONE, &names[1], "TXT").await.unwrap();
    api.delete_zone("arpa.").await.unwrap();

    assert!(keys(node, "pdns.lmdb") > 10);
    assert!(keys(node, "pdns.lmdb-0") > 15);
    assert_eq!(metric(node, "keys_mended_total").await, 0);
    assert_eq!(metric(node, "entries_restored_total").await, 0);
}

/// Names that the API does not take.
fn load_by_hand(node: &Node) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "@ 60 IN SOA ns.example.net. hostmaster.example.net. 1 3600 600 86400 60"
    )
    .unwrap();
    for name in [
        "a\\032b\\.c",
        "\\255",
        "\\000",
        "a\\000\\000b.\\000.c",
        "quote\\\"d",
    ] {
        writeln!(file, "{name} 60 IN A 192.0.2.1").unwrap();
    }
    let path = file.path().to_str().unwrap();
    node.dns.pdnsutil(&[], &["load-zone", "by-hand.example", path]);
}

/// How many keys there are, all of which are possible.
fn keys(node: &Node, file: &str) -> u32 {
    let env = node.open(file);
    let mut keys = 0;
    env.read::<_, LmdbError>(|reader| {
        for dbi in reader.dbis()? {
            reader.for_each_in_order::<LmdbError>(&dbi, |key, _, _| {
                assert!(is_possible(&dbi.name, key), "{} {key:?}", dbi.name);
                keys += 1;
                Ok(())
            })?;
        }
        Ok(())
    })
    .unwrap();
    keys
}

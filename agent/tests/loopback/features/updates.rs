//! DNS UPDATE (RFC 2136), signed with a TSIG key: any server takes it.

use std::net::Ipv4Addr;

use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::{TsigKey, Version, eventually};

use super::{A_MOMENT, Servers, text};
use crate::node::{Node, ZONE};

const SETTINGS: [&str; 2] = ["dnsupdate=yes", "allow-dnsupdate-from=127.0.0.0/8"];

async fn update(node: &Node, label: &str, address: Option<Ipv4Addr>, key: Option<&TsigKey>) -> Code {
    let name = format!("{label}.{ZONE}");
    node.dns.dns().update(ZONE, &name, address, key).await.unwrap()
}

/// The SOA's values, which hold its serial.
async fn soa(node: &Node) -> Result<Vec<String>, String> {
    Ok(node.dns.dns().ask(ZONE, Type::SOA).await.map_err(text)?.values())
}

/// Waits until both answer with the same SOA, another than before, and gives it.
async fn come_to_agree(servers: &Servers, before: &[String]) -> Vec<String> {
    eventually(A_MOMENT, "both have the new serial", async || {
        let (a, b) = (soa(&servers.a).await?, soa(&servers.b).await?);
        if a == b && a != before {
            Ok(a)
        } else {
            Err(format!("{a:?} and {b:?}, {before:?} before"))
        }
    })
    .await
}

// PowerDNS' manual has it for LMDB from 5.0 on only.
on_both_versions!(any_server_takes_updates_that_a_tsig_key_signs_and_no_others);

async fn any_server_takes_updates_that_a_tsig_key_signs_and_no_others(version: Version) {
    let servers = Servers::start(version, &SETTINGS).await;
    let (a, b) = (&servers.a, &servers.b);
    a.api().create_zone(ZONE).await.unwrap();
    a.write("www", "192.0.2.1").await;
    let www = format!("www.{ZONE}");
    servers.come_to_answer(&www, &["192.0.2.1"]).await;
    let key = a.api().create_tsig_key("update-key").await.unwrap();
    eventually(A_MOMENT, "b has the key", async || {
        match b.api().tsig_keys().await {
            Ok(keys) if keys == ["update-key"] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // The metadata that says whose key may update are cached from here on: for 60 s.
    let other = a.api().create_tsig_key("other-key").await.unwrap();
    let allowed = "TSIG-ALLOW-DNSUPDATE";
    a.api().set_metadata(ZONE, allowed, &["other-key"]).await.unwrap();
    let address = |host| Some(Ipv4Addr::new(192, 0, 2, host));
    eventually(
        A_MOMENT,
        "b takes updates with the other key",
        async || match update(b, "first", address(9), Some(&other)).await {
            Code::NoError => Ok(()),
            code => Err(code),
        },
    )
    .await;
    a.api()
        .set_metadata(ZONE, allowed, &["update-key"])
        .await
        .unwrap();
    eventually(A_MOMENT, "b takes updates with the key", async || {
        match update(b, "www", address(2), Some(&key)).await {
            Code::NoError => Ok(()),
            code => Err(code),
        }
    })
    .await;
    servers.come_to_answer(&www, &["192.0.2.2"]).await;
    let mut serial = come_to_agree(&servers, &[]).await;

    for (writer, host) in [(a, 3), (b, 4), (a, 5)] {
        assert_eq!(
            update(writer, "www", address(host), Some(&key)).await,
            Code::NoError
        );
        servers.come_to_answer(&www, &[&format!("192.0.2.{host}")]).await;
        serial = come_to_agree(&servers, &serial).await;
    }
    assert_eq!(update(b, "www", None, Some(&key)).await, Code::NoError);
    servers.come_to_say_code(&www, Code::NXDomain).await;
    serial = come_to_agree(&servers, &serial).await;

    let forged = TsigKey {
        secret: vec![0; 32],
        ..key.clone()
    };
    let unknown = TsigKey {
        name: "unknown-key".to_owned(),
        ..key
    };
    for node in servers.both() {
        for wrong in [None, Some(&other), Some(&forged), Some(&unknown)] {
            let code = update(node, "forged", address(6), wrong).await;
            assert_eq!(code, Code::Refused, "{wrong:?}");
        }
        let export = node.api().export(ZONE).await.unwrap();
        assert!(!export.contains("192.0.2.6"), "{export}");
        assert_eq!(soa(node).await.unwrap(), serial);
    }
}

//! Snapshots that Lightning Stream itself wrote (`tests/golden`) are loaded, and PowerDNS answers what is in them.

use std::path::{Path, PathBuf};

use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as ObjectPath;
use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{Garage, PowerDns, Version, agent::PREFIX};

use crate::node::Node;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn store(bucket: &Bucket) -> AmazonS3 {
    // The test's own TLS choice; the agent makes its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    AmazonS3Builder::new()
        .with_endpoint(&bucket.endpoint)
        .with_allow_http(true)
        .with_region(bucket.region)
        .with_bucket_name(&bucket.name)
        .with_access_key_id(&bucket.access_key)
        .with_secret_access_key(&bucket.secret_key)
        .build()
        .unwrap()
}

async fn put_golden_snapshots(bucket: &Bucket) {
    let store = store(bucket);
    let mut count = 0;
    for entry in std::fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let target = ObjectPath::from(format!("{PREFIX}{name}"));
        store
            .put(&target, std::fs::read(&path).unwrap().into())
            .await
            .unwrap();
        count += 1;
    }
    assert!(count >= 10, "only {count} golden snapshots found");
}

/// Every zone as its server tells it, for comparison.
async fn all_zones(server: &PowerDns) -> Vec<String> {
    let mut texts = Vec::new();
    for zone in server.api().zones().await.unwrap() {
        let text = server.api().export(&zone).await.unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        texts.push(format!("{zone}\n{}", lines.join("\n")));
    }
    texts
}

on_both_versions!(snapshots_of_lightning_stream_are_loaded_and_answered,);

async fn snapshots_of_lightning_stream_are_loaded_and_answered(version: Version) {
    let garage = Garage::start().await;
    let bucket = garage.bucket("zones").await;
    put_golden_snapshots(&bucket).await;
    let mut node = Node::of(version, "joined", &bucket);
    node.start().await;

    let dns = node.dns.dns();
    for (name, kind, value) in [
        ("www.plain.example.", Type::A, "192.0.2.12"),
        ("www.plain.example.", Type::AAAA, "2001:db8::10"),
        ("any.wild.plain.example.", Type::A, "192.0.2.20"),
        ("deep.a.b.c.plain.example.", Type::A, "192.0.2.30"),
        (
            "_sip._tcp.plain.example.",
            Type::SRV,
            "10 20 5060 www.plain.example.",
        ),
        ("onb.plain.example.", Type::A, "192.0.2.77"),
        ("www.madeonb.example.", Type::A, "192.0.2.80"),
        ("www.signed.example.", Type::A, "192.0.2.50"),
        ("www.nsec3.example.", Type::A, "192.0.2.60"),
    ] {
        let answer = dns.ask(name, kind).await.unwrap();
        assert!(
            answer.expect(&[value]).is_ok(),
            "{name}: {:?}",
            answer.expect(&[value])
        );
    }
    node.says_code("gone.plain.example.", Code::NXDomain)
        .await
        .unwrap();
    node.says_code("www.deleted.example.", Code::Refused)
        .await
        .unwrap();
    node.says_code("ent.signed.example.", Code::NoError)
        .await
        .unwrap();

    // The same zones and keys as a server on the database that Lightning Stream ended with.
    let copy = tempfile::tempdir().unwrap();
    for file in ["pdns.lmdb", "pdns.lmdb-0"] {
        std::fs::copy(golden().join("lmdb-a").join(file), copy.path().join(file)).unwrap();
    }
    let mut reference = PowerDns::new("reference", &copy.path().join("pdns.lmdb"));
    reference.change_version(version);
    reference.start().await;
    let expected = all_zones(&reference).await;
    assert_eq!(expected.len(), 5, "{expected:#?}");
    assert_eq!(all_zones(&node.dns).await, expected);
    for zone in ["signed.example.", "nsec3.example."] {
        let keys = async |server: &PowerDns| server.dns().ask(zone, Type::DNSKEY).await.unwrap().values();
        let of_reference = keys(&reference).await;
        assert!(!of_reference.is_empty(), "{zone} has no key");
        assert_eq!(keys(&node.dns).await, of_reference);
    }
}

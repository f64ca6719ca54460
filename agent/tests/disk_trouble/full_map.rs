//! A memory map that is too small for what the others have.

use tempfile::tempdir;
use zonetide_testbed::dns::Type;
use zonetide_testbed::{PowerDns, PowerDnsApi};

use crate::bench::{Bench, new_database, refusal};

const ZONE: &str = "zone.example.";
const NAME: &str = "www.zone.example.";

async fn write(api: &PowerDnsApi, address: &str) {
    api.replace(ZONE, NAME, "A", &[address]).await.unwrap();
}

async fn answers(dns: &PowerDns, address: &str) {
    dns.dns()
        .ask(NAME, Type::A)
        .await
        .unwrap()
        .expect(&[address])
        .unwrap();
}

#[tokio::test]
async fn a_full_map_names_both_settings_and_a_larger_one_takes_everything() {
    let dir = tempdir().unwrap();
    let (data, store) = (dir.path().join("data"), dir.path().join("store"));
    let database = data.join("pdns.lmdb");
    let mut bench = Bench::at(dir, &data, &store);
    let mut dns = PowerDns::with_map_size("small", &database, 2);
    bench.agent.set_map_size(2);
    bench.agent.start().await;
    dns.start().await;
    dns.api().create_zone(ZONE).await.unwrap();
    write(&dns.api(), "192.0.2.1").await;

    bench.other_instance_stores(2500);
    let text = bench.comes_to_complain("shard", "map_full").await;
    for part in [
        "pdns.lmdb-0",
        "lmdb-map-size",
        "options.map_size",
        "both to the same size",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(refusal(&bench.agent, "/healthz").await.contains("lmdb-map-size"));
    // What was there is still served, and the agent tells of it to the others.
    answers(&dns, "192.0.2.1").await;
    assert!(bench.agent.is_ready().await);

    dns.stop();
    bench.agent.stop();
    let mut dns = PowerDns::with_map_size("large", &database, 64);
    bench.agent.set_map_size(64);
    bench.agent.start().await;
    dns.start().await;
    bench.comes_to_be_well().await;
    answers(&dns, "192.0.2.1").await;
    write(&dns.api(), "192.0.2.2").await;
    answers(&dns, "192.0.2.2").await;
    assert_eq!(bench.entries(), 2500);
}

#[tokio::test]
async fn a_map_that_powerdns_has_larger_is_made_as_large_and_the_setting_is_named() {
    let mut bench = Bench::new();
    bench.agent.set_map_size(1);
    bench.agent.start().await;
    // Another process, as PowerDNS would be, with a larger map.
    drop(new_database(&bench.records(), 2000));
    bench.comes_to_have_stored_everything("shard").await;
    bench.comes_to_be_well().await;
    let log = bench.agent.log();
    assert!(
        log.contains("options.map_size") && log.contains("lmdb-map-size"),
        "{log}"
    );
    bench.agent.stop();
}

//! Promise: a signed zone is answered with the same DNSKEY by every server, and with signatures that this key made; also after it
//! was deleted and restored from the history.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use hickory_proto::dnssec::Verifier;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use zonetide_e2e::answers::{self, REPLICATED};
use zonetide_e2e::names::AGENT_CONTAINER;
use zonetide_e2e::{Bench, Handle, exec};
use zonetide_testbed::dns::{Answer, Code, Type};
use zonetide_testbed::eventually;

const ZONE: &str = "signed.example.";

#[tokio::test]
async fn every_server_answers_a_signed_zone_with_the_same_key_and_valid_signatures() {
    Bench::run("dnssec", async |bench| {
        let cluster = bench.managed("dns", 3).await;
        answers::make_zone(&cluster, "dns-0", ZONE, 3).await.unwrap();
        cluster
            .powerdns("dns-0")
            .await
            .unwrap()
            .enable_dnssec(ZONE)
            .await
            .unwrap();

        let key = keys(&cluster, "dns-0").await.unwrap();
        assert_eq!(key.len(), 1, "{key:?}");
        for pod in cluster.pod_names().await.unwrap() {
            eventually(
                REPLICATED,
                &format!("{pod} has the key and signs with it"),
                async || check(&cluster, &pod, &key).await,
            )
            .await;
        }

        // A record added on the other server is signed by both.
        let api = cluster.powerdns("dns-1").await.unwrap();
        api.replace(ZONE, &format!("r1.{ZONE}"), "A", &["192.0.2.77"])
            .await
            .unwrap();
        for pod in cluster.pod_names().await.unwrap() {
            eventually(
                REPLICATED,
                &format!("{pod} signs the changed record"),
                async || {
                    let answer = signed(&cluster, &pod, &format!("r1.{ZONE}"), Type::A).await?;
                    answer.expect(&["192.0.2.77"])?;
                    verify(&answer, &key[0])
                },
            )
            .await;
        }
        api.replace(ZONE, &format!("r1.{ZONE}"), "A", &[&answers::address(1)])
            .await
            .unwrap();
        restore(&cluster, &key).await;
    })
    .await;
}

/// A zone that was deleted by mistake is back on every server, with its key: its parent's DS record stays right.
async fn restore(cluster: &Handle, key: &[DNSKEY]) {
    let agent = async |command: &[&str]| {
        let command = [&["zonetide-agent"], command].concat();
        exec::run_in(cluster, "dns-0", AGENT_CONTAINER, &command)
            .await
            .map_err(|error| format!("{error:#}"))
    };
    eventually(REPLICATED, "the history has the zone", async || {
        let shown = agent(&["zone", "show", ZONE]).await?;
        let (name, address) = (format!("r1.{ZONE} "), format!(" A {}", answers::address(1)));
        let is_it = |line: &str| line.starts_with(&name) && line.ends_with(&address);
        if shown.lines().any(is_it) {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
    let at = jiff::Timestamp::now().to_string();
    let api = cluster.powerdns("dns-1").await.unwrap();
    api.delete_zone(ZONE).await.unwrap();
    let pods = cluster.pod_names().await.unwrap();
    for pod in &pods {
        eventually(REPLICATED, &format!("{pod} has no such zone"), async || {
            let answer = signed(cluster, pod, ZONE, Type::SOA).await?;
            answer.expect_code(Code::Refused)
        })
        .await;
    }
    let begin = Instant::now();
    let done = agent(&["restore", "--zone", ZONE, "--at", &at]).await.unwrap();
    assert!(done.contains("DNSSEC key of signed.example."), "{done}");
    for pod in &pods {
        eventually(REPLICATED, &format!("{pod} has the zone again"), async || {
            check(cluster, pod, key).await
        })
        .await;
    }
    println!(
        "restored on {} servers {:?} after the command",
        pods.len(),
        begin.elapsed()
    );
}

async fn signed(cluster: &Handle, pod: &str, name: &str, kind: Type) -> Result<Answer, String> {
    cluster
        .dns(pod)
        .with_dnssec()
        .ask(name, kind)
        .await
        .map_err(|error| error.to_string())
}

async fn keys(cluster: &Handle, pod: &str) -> Result<Vec<DNSKEY>, String> {
    let answer = signed(cluster, pod, ZONE, Type::DNSKEY).await?;
    let key = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key.clone()),
        _ => None,
    };
    Ok(answer.records.iter().filter_map(key).collect())
}

async fn check(cluster: &Handle, pod: &str, key: &[DNSKEY]) -> Result<(), String> {
    let found = keys(cluster, pod).await?;
    if found != key {
        return Err(format!("{found:?}"));
    }
    for number in 0..3_u8 {
        let answer = signed(cluster, pod, &format!("r{number}.{ZONE}"), Type::A).await?;
        answer.expect(&[&answers::address(number)])?;
        verify(&answer, &key[0])?;
    }
    signed(cluster, pod, &format!("no.{ZONE}"), Type::A)
        .await?
        .expect_code(Code::NXDomain)
}

fn verify(answer: &Answer, key: &DNSKEY) -> Result<(), String> {
    let signature = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature.clone()),
        _ => None,
    };
    let signature: RRSIG = answer
        .records
        .iter()
        .find_map(signature)
        .ok_or("the answer has no RRSIG")?;
    let records: Vec<&Record> = answer
        .records
        .iter()
        .filter(|record| record.record_type() == Type::A)
        .collect();
    let name: &Name = &records.first().ok_or("the answer has no record")?.name;
    key.verify_rrsig(name, DNSClass::IN, &signature, records.iter().copied())
        .map_err(|error| format!("the signature is not valid: {error}"))
}

//! The bench itself: when these fail, no other test's failure means anything.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use zonetide_testbed::dns::{Code, Type};
use zonetide_testbed::minio::Temporary;
use zonetide_testbed::sigv4::Signer;
use zonetide_testbed::{Garage, Minio, PowerDns, poll};

#[tokio::test]
async fn a_zone_made_through_the_api_is_answered_over_udp_and_tcp_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = PowerDns::new("pdns", &dir.path().join("pdns.lmdb"));
    server.start().await;
    assert!(server.api().version().await.unwrap().starts_with("5.1."));

    let api = server.api();
    assert!(!api.zone_exists("bench.example.").await.unwrap());
    server
        .dns()
        .ask("www.bench.example.", Type::A)
        .await
        .unwrap()
        .expect_code(Code::Refused)
        .unwrap();

    api.create_zone("bench.example.").await.unwrap();
    api.replace(
        "bench.example.",
        "www.bench.example.",
        "A",
        &["192.0.2.1", "192.0.2.2"],
    )
    .await
    .unwrap();
    assert_eq!(api.zones().await.unwrap(), ["bench.example."]);
    for client in [server.dns(), server.dns_tcp()] {
        let answer = client.ask("www.bench.example.", Type::A).await.unwrap();
        answer.expect(&["192.0.2.2", "192.0.2.1"]).unwrap();
        assert!(
            answer.expect(&["192.0.2.1"]).is_err(),
            "a missing value must be seen"
        );
        client
            .ask("no.bench.example.", Type::A)
            .await
            .unwrap()
            .expect_code(Code::NXDomain)
            .unwrap();
    }

    api.enable_dnssec("bench.example.").await.unwrap();
    let keys = server.dns().ask("bench.example.", Type::DNSKEY).await.unwrap();
    assert_eq!(keys.values().len(), 1, "{keys:?}");

    server.stop();
    let silence = server
        .dns_tcp()
        .ask("www.bench.example.", Type::A)
        .await
        .unwrap_err();
    assert!(silence.is_silence(), "{silence}");
    server.start().await;
    let answer = server.dns().ask("www.bench.example.", Type::A).await.unwrap();
    answer.expect(&["192.0.2.1", "192.0.2.2"]).unwrap();
}

#[tokio::test]
async fn garage_makes_a_bucket_with_a_key_and_comes_back_on_its_old_ports() {
    let mut garage = Garage::start().await;
    let bucket = garage.bucket("bench").await;
    assert!(!bucket.access_key.is_empty() && !bucket.secret_key.is_empty());
    garage.crash();
    garage.up().await;
    let other = garage.bucket("bench-2").await;
    assert_eq!(other.endpoint, bucket.endpoint);
}

#[tokio::test]
async fn minio_gives_temporary_keys_that_can_be_revoked_and_comes_back_on_its_old_port() {
    let mut minio = Minio::start().await;
    let bucket = minio.bucket("bench").await;
    let [one, other] = [minio.temporary(&bucket).await, minio.temporary(&bucket).await];
    assert_ne!(one.bucket.access_key, other.bucket.access_key);
    minio.crash();
    minio.up().await;
    let may = async |keys: &Temporary| {
        let signer = Signer {
            access_key: &keys.bucket.access_key,
            secret_key: &keys.bucket.secret_key,
            session_token: &keys.session_token,
            region: bucket.region,
            service: "s3",
        };
        let mut http = minio.http();
        for (name, value) in signer.headers(&http::Method::GET, "localhost", "/bench", b"") {
            http = http.header(name, value);
        }
        http.get_text("/bench").await.is_ok()
    };
    assert!(may(&one).await && may(&other).await);
    minio.revoke(&one).await;
    assert!(!may(&one).await && may(&other).await);
}

#[tokio::test]
async fn giving_up_tells_what_was_seen_last() {
    let mut tries = 0;
    let gave_up = poll::within(Duration::from_millis(250), || {
        tries += 1;
        let seen = format!("answer {tries}");
        async move { Err::<(), _>(seen) }
    })
    .await
    .unwrap_err();
    assert!(
        gave_up
            .to_string()
            .ends_with(&format!("seen last: answer {}", gave_up.tries)),
        "{gave_up}"
    );
}

//! Promise: agents tell each other changes by TLS alone, and their certificates are renewed while the servers go on.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use zonetide_e2e::bench::await_ready;
use zonetide_e2e::writer::Writer;
use zonetide_e2e::{Bench, Handle, contact, names};
use zonetide_testbed::eventually;

const ZONE: &str = "private.example.";
const HELLO: &str = "/peer/v1/hello";
/// For the kubelet to bring a Secret to all pods, and for the agents to read it.
const RENEWED: Duration = Duration::from_mins(5);

/// What the agents call the certificates that they use.
async fn in_use(cluster: &Handle) -> anyhow::Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for pod in cluster.pod_names().await? {
        let status = contact::status(cluster, &pod).await?;
        let shown = &status["peers"]["certificate"]["fingerprint"];
        used.insert(shown.as_str().unwrap_or("none").to_owned());
    }
    Ok(used)
}

async fn all_links_are_private(cluster: &Handle) {
    for pod in cluster.pod_names().await.unwrap() {
        let status = contact::status(cluster, &pod).await.unwrap();
        let links = status["peers"]["links"].as_array().unwrap();
        assert!(!links.is_empty());
        for link in links {
            let address = link["address"].as_str().unwrap();
            assert!(
                address.starts_with("https://") && address.ends_with(":8502"),
                "{address}"
            );
        }
    }
}

async fn nobody_comes_in_without_a_certificate(cluster: &Handle, pod: &str) {
    let plain = cluster.http(pod, names::AGENT_PORT);
    let refused = plain.send(Method::POST, HELLO, None).await.unwrap_err();
    assert_eq!(refused.status(), Some(StatusCode::NOT_FOUND), "{refused}");
    let private = cluster.http(pod, names::PEERS_PORT);
    let refused = private.send(Method::POST, HELLO, None).await.unwrap_err();
    assert_eq!(refused.status(), None, "{refused}");
}

#[tokio::test]
async fn agents_meet_by_tls_alone_and_their_certificates_are_renewed_without_a_restart() {
    Bench::run("peers", async |bench| {
        let cluster = bench.managed("dns", 2).await;
        await_ready(&cluster).await;
        contact::of_all(&cluster).await.unwrap();
        all_links_are_private(&cluster).await;
        nobody_comes_in_without_a_certificate(&cluster, &cluster.pod_name(0)).await;

        let before = in_use(&cluster).await.unwrap();
        assert!(before.len() == 2 && !before.contains("none"), "{before:?}");
        let lived = cluster.lives().await.unwrap();
        let writer = Writer::start(&cluster, ZONE).await.unwrap();
        let start = Instant::now();
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let name = names::peers_certificates_secret(&cluster.name);
        secrets.delete(&name, &DeleteParams::default()).await.unwrap();
        eventually(RENEWED, "all agents use other certificates", async || {
            let now = in_use(&cluster).await.map_err(|error| format!("{error:#}"))?;
            if now.len() == 2 && now.is_disjoint(&before) && !now.contains("none") {
                Ok(())
            } else {
                Err(format!("{now:?}, and before {before:?}"))
            }
        })
        .await;
        contact::of_all(&cluster).await.unwrap();
        eprintln!("all agents use other certificates after {:?}", start.elapsed());
        writer.goes_on().await.unwrap();
        let written = writer.finish().await.unwrap();
        contact::settled(&cluster).await.unwrap();
        written.is_everywhere().await.unwrap();
        assert_eq!(cluster.lives().await.unwrap(), lived, "something was restarted");
    })
    .await;
}

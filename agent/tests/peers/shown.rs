//! Peers on the agent's own endpoints, beside those of its status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;
use zonetide_agent::config::Health;
use zonetide_agent::peers::Peers;
use zonetide_agent::status::{Identity, Metrics, Status, serve};
use zonetide_agent::store::ObjectBackend;

use crate::agent::{Agent, listen, until, with_list};

#[tokio::test]
async fn status_page_and_metrics_show_who_was_told_who_is_heard_and_what_was_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (gone, dead) = listen().await;
    drop(gone);
    let mut b = Agent::lonely("b").await;
    let (listener, address) = listen().await;
    let peers = Peers::start(
        with_list(&[b.address, dead]),
        "a",
        ["main".to_owned()],
        Arc::new(crate::agent::Addresses::default()),
    )
    .unwrap();
    let mut metrics = Metrics::new();
    metrics.collect_from(peers.collector().unwrap());
    let identity = Identity {
        instance: "a".into(),
        health: Health::default().rules(),
        patience: Duration::from_secs(60),
    };
    let reporter = peers.reporter().unwrap();
    let status = Status::new(identity, BTreeMap::new()).with_peers(Some(reporter.clone()));
    let store = Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), ""));
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(
        listener,
        status,
        metrics,
        store,
        peers.router(),
        stop.clone(),
    ));
    let c = Agent::telling("c", with_list(&[address])).await;
    until("c is heard", || peers.contacts().in_contact("c")).await;
    until("b is reached and the dead one given up", || {
        let standing: Vec<_> = reporter().links.into_iter().map(|link| link.standing).collect();
        standing.contains(&"reached") && standing.contains(&"away")
    })
    .await;
    peers.outbox().tell(&crate::agent::changes("n", 10));
    b.next().await;
    peers.flush(Duration::from_secs(60)).await;
    c.outbox.set_progress("main", 42);
    until("the progress is known", || {
        peers.contacts().progress("c", "main") == Some(42)
    })
    .await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let response = client
            .get(format!("http://{address}{path}"))
            .send()
            .await
            .unwrap();
        response.text().await.unwrap()
    };
    let wrong = client.post(format!("http://{address}/peer/v1/hello")).body("x");
    assert_eq!(wrong.send().await.unwrap().status(), 401);

    let shown: serde_json::Value = serde_json::from_str(&get("/status").await).unwrap();
    let shown = &shown["peers"];
    let of = |standing: &str| {
        let links = shown["links"].as_array().unwrap();
        links.iter().find(|link| link["standing"] == standing).unwrap()
    };
    assert_eq!(
        (&of("reached")["instance"], &of("reached")["told"]),
        (&"b".into(), &1.into())
    );
    assert_eq!(
        (&of("away")["dropped"], &of("away")["instance"]),
        (&1.into(), &serde_json::Value::Null)
    );
    assert_eq!(shown["contacts"]["c"]["progress"]["main"], 42);
    assert_eq!(shown["contacts"]["c"]["in_contact"], true);
    assert_eq!(shown["refused"]["token"], 1);

    let page = get("/").await;
    for part in [
        "Peers",
        "1 dropped",
        "not among the addresses",
        "its token is none of those",
        "127.0.0.1",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let metrics = get("/metrics").await;
    for sample in [
        format!("peer_told_total{{address=\"http://{}\",peer=\"b\"}} 1", b.address),
        format!("peer_dropped_total{{address=\"http://{dead}\",peer=\"\"}} 1"),
        format!("peer_reached{{address=\"http://{dead}\",peer=\"\"}} 0"),
        "peer_in_contact{peer=\"c\"} 1".to_owned(),
        "peer_refused_total{reason=\"token\"} 1".to_owned(),
        "peer_tell_seconds_count 1".to_owned(),
    ] {
        assert!(
            metrics.contains(&format!("zonetide_agent_{sample}")),
            "{sample}: {metrics}"
        );
    }
    stop.cancel();
    served.await.unwrap();
}

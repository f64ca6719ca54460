//! What the endpoints say of a server that answers, or waits, without the store.

use super::*;

impl Agent {
    /// With a place where the basis is reported to.
    fn serving() -> (Self, Arc<ServingStatus>) {
        let mut agent = Self::new(Health::default());
        let serving = Arc::new(ServingStatus::default());
        agent.status = agent.status.clone().with_serving(serving.clone());
        agent.router = router(agent.status.clone(), Metrics::new(), agent.store.clone());
        (agent, serving)
    }

    fn now(&self) -> u64 {
        (self.status.clock)().wall
    }
}

#[tokio::test]
async fn readyz_page_and_status_say_what_a_server_waits_for() {
    let (agent, serving) = Agent::serving();
    let why = "the store does not answer yet; own data of 3h ago may be served in 7 s";
    serving.wait(why.to_owned());
    let ready = agent.get("/readyz").await;
    assert_eq!(ready.code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.text, format!("{why}\nmain: 0 of 0 instances are merged\n"));
    let page = agent.get("/").await.text;
    assert!(
        page.contains("It must not be asked yet.") && page.contains(why),
        "{page}"
    );
    let status = agent.get("/status").await.json();
    assert_eq!(
        status["serving"],
        serde_json::json!({"basis": null, "since": null, "last_in_sync": null, "waits_for": why})
    );
    assert_eq!(status["ready"], false);
}

#[tokio::test]
async fn who_serves_without_the_store_is_ready_and_warns_by_what() {
    let (agent, serving) = Agent::serving();
    serving.in_sync(Some((START - 3 * 3600) * 1_000_000_000));
    agent.after(10);
    assert!(serving.serve(Basis::OwnData, agent.now()));
    assert_eq!(agent.get("/readyz").await.code, StatusCode::OK);
    let status = agent.get("/status").await.json();
    assert_eq!(status["serving"]["basis"], "own-data");
    assert_eq!(status["serving"]["since"], "2026-09-21T14:13:30.000Z");
    assert_eq!(status["serving"]["last_in_sync"], "2026-09-21T11:13:20.000Z");
    assert_eq!(status["serving"]["waits_for"], Value::Null);
    assert_eq!(status["ready"], true);
    assert_eq!(
        status["databases"]["main"]["ready"], false,
        "it has not seen the store"
    );
    let health = agent.get("/healthz").await;
    assert_eq!(health.code, StatusCode::OK);
    let warning = health.json()["warnings"]["serving"].clone();
    assert_eq!(
        warning,
        "the store does not answer since the start: it answers from its own data, in sync 3h ago"
    );
    let page = agent.get("/").await.text;
    assert!(page.contains("from its own data"), "{page}");
    let metrics = agent.get("/metrics").await.text;
    for sample in [
        "zonetide_agent_serving{basis=\"own-data\"} 1",
        "zonetide_agent_serving{basis=\"peers\"} 0",
        "zonetide_agent_serving{basis=\"bucket\"} 0",
        "zonetide_agent_last_in_sync_timestamp_seconds 1789989200.0",
    ] {
        assert!(metrics.contains(sample), "no {sample}: {metrics}");
    }
}

#[tokio::test]
async fn the_bucket_is_the_basis_as_soon_as_all_of_it_is_merged() {
    let (agent, serving) = Agent::serving();
    serving.serve(Basis::Peers, agent.now());
    agent.after(60);
    agent.list();
    agent.main.set_ready();
    let status = agent.get("/status").await.json();
    assert_eq!(status["serving"]["basis"], "bucket");
    assert_eq!(status["serving"]["since"], "2026-09-21T14:14:20.000Z");
    assert!(agent.get("/healthz").await.json()["warnings"]["serving"].is_null());
}

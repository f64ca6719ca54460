//! The endpoints through the real router, at times that the tests choose.

mod serving;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use object_store::memory::InMemory;
use serde_json::Value;
use tower::ServiceExt as _;

use super::http::router;
use super::*;
use crate::config::Health;
use crate::report::{Report as _, ReportServing as _};
use crate::snapshot::SnapshotName;
use crate::store::{ObjectBackend, Store};

/// When the agent started, seconds since the epoch.
const START: u64 = 1_790_000_000;

/// An agent of one database without a replica: the test reports in its place.
struct Agent {
    elapsed: Arc<AtomicU64>,
    status: Status,
    main: Arc<DatabaseStatus>,
    store: Arc<dyn Store>,
    router: Router,
}

struct Answer {
    code: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Agent {
    fn new(health: Health) -> Self {
        let elapsed = Arc::new(AtomicU64::new(0));
        let (begin, seconds) = (Instant::now(), elapsed.clone());
        let clock: Clock = Arc::new(move || {
            let elapsed = seconds.load(Ordering::Relaxed);
            Now {
                steady: begin + Duration::from_secs(elapsed),
                wall: (START + elapsed) * 1_000_000_000,
            }
        });
        let metrics = Metrics::new();
        let main = Arc::new(DatabaseStatus::with_clock(
            metrics.database("main"),
            clock.clone(),
        ));
        let identity = Identity {
            instance: "test".into(),
            health: health.rules(),
            patience: Duration::from_secs(1_800),
        };
        let databases = BTreeMap::from([("main".to_owned(), main.clone())]);
        let status = Status::with_clock(identity, databases, clock);
        let store: Arc<dyn Store> = Arc::new(ObjectBackend::new(Arc::new(InMemory::new()), ""));
        let router = router(status.clone(), metrics, store.clone());
        Self {
            elapsed,
            status,
            main,
            store,
            router,
        }
    }

    fn after(&self, seconds: u64) {
        self.elapsed.store(seconds, Ordering::Relaxed);
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (code, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer {
            code,
            headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// The first listing shows two instances.
    fn list(&self) {
        let newest = [("test", START - 50), ("other", START + 5)];
        let newest = newest.map(|(instance, seconds)| (instance.to_owned(), seconds * 1_000_000_000));
        self.main.listed(newest.into());
    }

    fn merge_other(&self) {
        self.main.merged(&snapshot("other", START + 5), 12);
        self.main.loaded();
    }
}

fn snapshot(instance: &str, seconds: u64) -> SnapshotName {
    SnapshotName::new("main", instance, seconds * 1_000_000_000).unwrap()
}

#[tokio::test]
async fn healthz_warns_and_then_fails_when_the_store_is_away_but_livez_does_not_ask_for_a_restart() {
    let agent = Agent::new(Health::default());
    for (seconds, code, failures, warnings) in [
        (0, StatusCode::OK, 0, 0),
        (60, StatusCode::OK, 0, 1),
        (300, StatusCode::SERVICE_UNAVAILABLE, 1, 0),
    ] {
        agent.after(seconds);
        agent.main.failed("list", &"no route to the store");
        let answer = agent.get("/healthz").await;
        let health = answer.json();
        assert_eq!(answer.code, code, "{health}");
        assert_eq!(health["ok"], code == StatusCode::OK);
        assert_eq!(health["has_warnings"], warnings == 1);
        assert_eq!(
            health["failures"].as_object().unwrap().len(),
            failures,
            "{health}"
        );
        assert_eq!(
            health["warnings"].as_object().unwrap().len(),
            warnings,
            "{health}"
        );
        assert_eq!(agent.get("/livez").await.code, StatusCode::OK);
    }
    let health = agent.get("/healthz").await.json();
    let reason = health["failures"]["main_storage_list_failed_duration"]
        .as_str()
        .unwrap();
    assert!(reason.contains("5m") && reason.contains("no route"), "{reason}");
    agent.list();
    assert_eq!(agent.get("/healthz").await.code, StatusCode::OK);
}

#[tokio::test]
async fn each_kind_of_failure_counts_for_its_own_check() {
    let agent = Agent::new(Health::default());
    for step in ["merge", "write", "sweep"] {
        agent.main.failed(step, &"no");
    }
    agent.after(400);
    // Another check's success ends nothing.
    agent.list();
    let health = agent.get("/healthz").await.json();
    let failing: Vec<_> = health["failures"].as_object().unwrap().keys().collect();
    assert_eq!(
        failing,
        [
            "main_storage_load_failed_duration",
            "main_storage_store_failed_duration"
        ]
    );
    agent.main.loaded();
    agent.main.stored(&snapshot("test", START + 400), 10);
    assert_eq!(agent.get("/healthz").await.code, StatusCode::OK);
}

#[tokio::test]
async fn a_slow_start_counts_only_where_it_is_configured_and_shows_in_the_metadata() {
    let mut config = Health::default();
    let silent = Agent::new(config);
    config.start.report_healthz = true;
    config.start.report_metadata = false;
    let telling = Agent::new(config);
    for agent in [&silent, &telling] {
        agent.after(300);
    }
    let health = silent.get("/healthz").await;
    assert_eq!(health.code, StatusCode::OK);
    assert_eq!(health.json()["metadata"]["startup_main"], false);
    let health = telling.get("/healthz").await;
    assert_eq!(health.code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(health.json()["metadata"].get("startup_main").is_none());
    for agent in [&silent, &telling] {
        agent.main.set_ready();
        agent.main.local_txn(7, 7, false);
        assert_eq!(agent.get("/healthz").await.code, StatusCode::OK);
    }
    assert_eq!(
        silent.get("/healthz").await.json()["metadata"]["startup_main"],
        true
    );
}

#[tokio::test]
async fn livez_fails_when_a_replica_has_not_moved_for_too_long_whatever_the_counter_does() {
    let agent = Agent::new(Health::default());
    agent.list();
    agent.after(1_800);
    agent.main.counted(1, 2);
    agent.main.measured("/x".as_ref(), 1, 2);
    let answer = agent.get("/livez").await;
    assert_eq!(answer.code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text, "main: has done nothing for 30m\n");
    agent.main.failed("list", &"still away");
    assert_eq!(agent.get("/livez").await.code, StatusCode::OK);
}

#[tokio::test]
async fn readyz_says_what_is_awaited() {
    let agent = Agent::new(Health::default());
    agent.list();
    assert_eq!(
        agent.get("/readyz").await.text,
        "main: 0 of 2 instances are merged\n"
    );
    agent.main.failed("read", &"the store refuses the keys");
    let answer = agent.get("/readyz").await;
    assert_eq!(answer.code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text, "main: the store refuses the keys\n");
    agent.main.set_ready();
    assert_eq!(agent.get("/readyz").await.code, StatusCode::OK);
}

#[tokio::test]
async fn status_has_its_version_and_every_instance_with_its_lag() {
    let agent = Agent::new(Health::default());
    agent.list();
    agent.after(7);
    agent.merge_other();
    agent.main.counted(43, 20);
    agent.main.measured("/data/pdns.lmdb".as_ref(), 4096, 1 << 24);
    agent
        .main
        .corrupt(&snapshot("other", START + 5), "it is incomplete");
    let status = agent.get("/status").await.json();
    assert_eq!(status["version"], 1);
    assert_eq!(status["time"], "2026-09-21T14:13:27.000Z");
    let main = &status["databases"]["main"];
    assert_eq!((&main["entries"], &main["marks"]), (&43.into(), &20.into()));
    assert_eq!(main["file_bytes"], 4096);
    let other = &main["instances"]["other"];
    assert_eq!(
        (&other["up_to_date"], &other["delay_seconds"]),
        (&true.into(), &2.0.into())
    );
    assert_eq!(other["written"], 12);
    let own = &main["instances"]["test"];
    assert_eq!((&own["own"], &own["merged"]), (&true.into(), &Value::Null));
    assert_eq!(main["troubles"][0]["kind"], "corrupt");
    let warning = status["health"]["warnings"]["main_corrupt_snapshots"]
        .as_str()
        .unwrap();
    assert!(warning.ends_with("other"), "{warning}");
    agent.main.merged(&snapshot("other", START + 7), 1);
    let status = agent.get("/status").await.json();
    assert_eq!(status["databases"]["main"]["corrupt"], serde_json::json!({}));
    assert_eq!(
        status["databases"]["main"]["instances"]["other"]["up_to_date"],
        true
    );
}

#[tokio::test]
async fn a_hostile_name_is_text_on_the_page_and_nothing_foreign_is_loaded() {
    let agent = Agent::new(Health::default());
    let hostile = "<script>alert(1)</script>\"'&";
    agent
        .main
        .listed([(hostile.to_owned(), START * 1_000_000_000)].into());
    agent.main.failed("write", &hostile);
    agent.main.raise("namesake", Level::Error, hostile);
    agent.main.measured(hostile.as_ref(), 1, 2);
    let page = agent.get("/").await;
    assert!(!page.text.contains("<script"), "{}", page.text);
    assert!(
        page.text
            .matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;")
            .count()
            >= 4
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!page.text.contains("src=") && !page.text.contains("http://127"));
}

#[tokio::test]
async fn the_page_shows_what_a_person_asks() {
    let agent = Agent::new(Health::default());
    agent.list();
    agent.main.failed("write", &"the bucket is full");
    agent.after(7);
    agent.main.failed("write", &"the bucket is full");
    agent.merge_other();
    agent.main.counted(12_345, 6);
    let page = agent.get("/").await.text;
    for part in [
        "trying again",
        "not ready",
        "12\u{202f}345",
        "2s ago",
        "2.0 s",
        "2 times in 7s",
        "the bucket is full",
        "http-equiv=\"refresh\"",
        "prefers-color-scheme: dark",
        "lang=\"en\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test]
async fn a_condition_counts_in_health_metric_and_page_until_it_is_cleared() {
    let agent = Agent::new(Health::default());
    agent
        .main
        .raise("namesake", Level::Error, "another agent has this name");
    let health = agent.get("/healthz").await;
    assert_eq!(health.code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        health.json()["failures"]["main_namesake"],
        "another agent has this name"
    );
    let sample = "zonetide_agent_condition{database=\"main\",condition=\"namesake\"}";
    assert!(agent.get("/metrics").await.text.contains(&format!("{sample} 1")));
    agent.main.clear("namesake");
    assert_eq!(agent.get("/healthz").await.code, StatusCode::OK);
    assert!(agent.get("/metrics").await.text.contains(&format!("{sample} 0")));
    assert!(agent.get("/").await.text.contains("another agent has this name"));
}

#[tokio::test]
async fn metrics_follow_what_happens_and_forget_instances_that_are_gone() {
    let agent = Agent::new(Health::default());
    agent.list();
    agent.after(7);
    agent.merge_other();
    agent.main.stored(&snapshot("test", START + 7), 10);
    agent.main.failed("write", &"no");
    agent.after(17);
    let text = agent.get("/metrics").await.text;
    for sample in [
        "zonetide_agent_failing_seconds{database=\"main\",check=\"storage_store\"} 10.0",
        "zonetide_agent_failing_seconds{database=\"main\",check=\"storage_list\"} 0.0",
        "zonetide_agent_merge_delay_seconds_sum{database=\"main\"} 2.0",
        "zonetide_agent_peer_merged_timestamp_seconds{database=\"main\",peer=\"other\"} 1790000005.0",
        "zonetide_agent_peer_newest_timestamp_seconds{database=\"main\",peer=\"test\"} 1790000007.0",
        "zonetide_agent_peer_merged_timestamp_seconds{database=\"main\",peer=\"test\"} 1790000007.0",
        "zonetide_agent_failures_total{database=\"main\",step=\"write\"} 1",
    ] {
        assert!(text.contains(sample), "{sample}: {text}");
    }
    agent.main.listed(BTreeMap::new());
    let text = agent.get("/metrics").await.text;
    assert!(!text.contains("peer=\"other\""), "{text}");
    assert!(agent.status.states()["main"].instances.is_empty());
}

#[tokio::test]
async fn the_database_is_counted_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pdns.lmdb");
    std::fs::copy("tests/golden/lmdb-a/pdns.lmdb", &path).unwrap();
    let options = crate::lmdb::OpenOptions {
        map_size: 16 << 20,
        max_dbs: 64,
        create: false,
        no_subdir: true,
    };
    let env = Arc::new(crate::lmdb::Environment::open(&path, &options).unwrap());
    let agent = Agent::new(Health::default());
    let stop = CancellationToken::new();
    let task = tokio::spawn(census(env, 16 << 20, agent.main.clone(), stop.clone()));
    let counted = async {
        while agent.main.state().content.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), counted)
        .await
        .unwrap();
    stop.cancel();
    task.await.unwrap();
    let state = agent.main.state();
    let content = state.content.unwrap();
    assert_eq!((content.entries, content.marks), (43, 20));
    assert_eq!(state.file.unwrap().bytes, std::fs::metadata(&path).unwrap().len());
}

//! What the endpoints say of the store, and what that costs it.

use async_trait::async_trait;
use futures::FutureExt as _;
use tempfile::SpooledTempFile;
use tokio::sync::Semaphore;

use super::*;
use crate::store::{Listed, StoreError, spool};

#[tokio::test(start_paused = true)]
async fn storage_lists_the_objects_and_asks_the_store_every_ten_seconds_at_most() {
    let agent = Agent::new(Health::default());
    let name = snapshot("other", START);
    agent
        .store
        .put(name.as_str(), spool(&std::env::temp_dir()))
        .await
        .unwrap();
    let answer = agent.get("/storage").await;
    let both = format!("           0  {name}\n");
    assert_eq!(answer.text, both);
    agent.store.delete(name.as_str()).await.unwrap();
    assert_eq!(agent.get("/storage").await.text, both);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(agent.get("/storage").await.text, "");
}

/// A store that takes its time to list what it has: a permit for each listing.
struct Slow {
    lists: AtomicU64,
    permits: Semaphore,
}

#[async_trait]
impl Store for Slow {
    async fn list(&self, _prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.permits.acquire().await.unwrap().forget();
        Ok(Vec::new())
    }

    async fn get(
        &self,
        _name: &str,
        _object: SpooledTempFile,
    ) -> Result<Option<SpooledTempFile>, StoreError> {
        Ok(None)
    }

    async fn put(&self, _name: &str, _object: SpooledTempFile) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, _name: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_go_away_before_the_answer_have_the_store_asked_no_more_often() {
    let mut agent = Agent::new(Health::default());
    let slow = Arc::new(Slow {
        lists: AtomicU64::new(0),
        permits: Semaphore::new(0),
    });
    agent.router = router(agent.status.clone(), Metrics::new(), slow.clone());
    for _ in 0..100 {
        assert!(agent.get("/storage").now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.lists.load(Ordering::Relaxed), 1);
    assert_eq!(
        Arc::strong_count(&slow),
        3,
        "nobody else holds it, in a task that waits"
    );
    slow.permits.add_permits(1);
    assert_eq!(agent.get("/storage").await.code, StatusCode::OK);
    assert_eq!(slow.lists.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_store_s_clock_is_in_status_page_and_metrics_once_it_is_known() {
    let agent = Agent::new(Health::default());
    assert_eq!(agent.get("/status").await.json()["store_clock"], Value::Null);
    assert!(
        !agent
            .get("/metrics")
            .await
            .text
            .contains("store_clock_ahead_seconds{")
    );
    let skew = crate::store::Skew::between(-5_100_000_000, -4_100_000_000);
    agent.main.compared_clocks(skew);
    let clock = agent.get("/status").await.json()["store_clock"].clone();
    assert_eq!(
        (&clock["ahead_seconds"], &clock["uncertainty_seconds"]),
        (&(-4.6).into(), &0.5.into())
    );
    let page = agent.get("/").await.text;
    assert!(page.contains("this clock is 4.6 s behind the store"), "{page}");
    let metrics = agent.get("/metrics").await.text;
    for sample in [
        "zonetide_agent_store_clock_ahead_seconds{database=\"main\"} -4.6",
        "zonetide_agent_store_clock_uncertainty_seconds{database=\"main\"} 0.5",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
}

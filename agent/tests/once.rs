//! A run that ends once everything is merged and stored.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use object_store::memory::InMemory;
use support::open;
use tempfile::SpooledTempFile;
use tokio_util::sync::CancellationToken;
use zonetide_agent::lmdb::LmdbError;
use zonetide_agent::status::{DatabaseStatus, Metrics};
use zonetide_agent::store::{Listed, ObjectBackend, Store, StoreError};
use zonetide_agent::sync::{
    Cleanup, Origin, Pace, Replica, Retention, SchemaGuard, Schemas, SyncError, Ways, run,
};

struct Counting(ObjectBackend, AtomicU64);

#[async_trait]
impl Store for Counting {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let lists = self.1.fetch_add(1, Ordering::Relaxed);
        assert!(lists < 1_000, "it asks without a pause");
        self.0.list(prefix).await
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.0.get(name, object).await
    }

    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError> {
        self.0.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.0.delete(name).await
    }
}

fn pace() -> Pace {
    let second = Duration::from_secs(1);
    Pace {
        lmdb_poll: second,
        storage_poll: second,
        retry: second,
        retry_limit: None,
        force_snapshot: 3600 * second,
        receive_only: false,
        cleanup: Cleanup {
            interval: 3600 * second,
            retention: Retention {
                must_keep: 600 * second,
                remove_old_instances: 3600 * second,
            },
            snapshots: false,
            history: None,
            retired: None,
        },
        once: true,
        sweep: None,
        shutdown: second,
    }
}

async fn run_once(store: &Arc<Counting>, guard: Arc<SchemaGuard>) -> Result<(), SyncError> {
    let dir = tempfile::tempdir().unwrap();
    let env = open(&dir.path().join("lmdb"));
    env.write::<(), LmdbError>(|writer| {
        let dbi = writer.dbi("records")?;
        writer.put(&dbi, b"key", 1, false, b"value")
    })
    .unwrap();
    let origin = Origin {
        database: "shard".into(),
        instance: "a".into(),
        hostname: "test".into(),
    };
    let status = Arc::new(DatabaseStatus::new(Metrics::new().database("shard")));
    let now = Arc::new(|| 1_795_510_850_000_000_000);
    let mut replica = Replica::new(env, store.clone(), status, origin, now);
    replica.set_schemas(Schemas { guard, main: false });
    Box::pin(run(replica, pace(), Ways::default(), CancellationToken::new())).await
}

fn store() -> Arc<Counting> {
    let inner = ObjectBackend::new(Arc::new(InMemory::new()), "");
    Arc::new(Counting(inner, AtomicU64::new(0)))
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_all_is_stored() {
    let store = store();
    run_once(&store, Arc::default()).await.unwrap();
    assert_eq!(store.list("shard__a__").await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_asks_now_and_then_while_storing_is_on_hold() {
    let store = store();
    let guard = Arc::new(SchemaGuard::default());
    guard.set_own(Some(6));
    guard.judge("older", Some(5), true);
    let ended = tokio::time::timeout(Duration::from_secs(100), run_once(&store, guard)).await;
    assert!(ended.is_err());
    assert!(store.1.load(Ordering::Relaxed) > 100);
}

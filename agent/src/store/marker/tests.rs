use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use object_store::memory::InMemory;

use super::*;
use crate::store::ObjectBackend;

const LONG: Duration = Duration::from_secs(3600);

/// Counts listings, and refuses writes of the marker on demand.
struct Counting {
    inner: ObjectBackend,
    listings: AtomicUsize,
    refuse_marker: AtomicBool,
}

#[async_trait]
impl Store for Counting {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix).await
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.inner.get(name, object).await
    }

    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError> {
        if name == UPDATE_MARKER && self.refuse_marker.load(Ordering::Relaxed) {
            let missing = self.inner.put("a//b", object).await;
            return missing;
        }
        self.inner.put(name, object).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }
}

fn bucket() -> Arc<Counting> {
    Arc::new(Counting {
        inner: ObjectBackend::new(Arc::new(InMemory::new()), "ns/"),
        listings: AtomicUsize::new(0),
        refuse_marker: AtomicBool::new(false),
    })
}

async fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut names: Vec<_> = store
        .list(prefix)
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_store_is_listed_again_only_when_somebody_changed_the_marker() {
    let bucket = bucket();
    let reader = MarkedStore::new(bucket.clone(), "ns/", LONG);
    let writer = MarkedStore::new(bucket.clone(), "ns/", LONG);
    writer.put("main__a", empty()).await.unwrap();
    writer.put("shard__a", empty()).await.unwrap();
    assert_eq!(names(&reader, "main__").await, ["main__a"]);
    // Both databases live on one listing.
    assert_eq!(names(&reader, "shard__").await, ["shard__a"]);
    assert_eq!(names(&reader, "").await, ["main__a", "shard__a"]);
    assert_eq!(bucket.listings.load(Ordering::Relaxed), 1);

    writer.put("main__b", empty()).await.unwrap();
    assert_eq!(names(&reader, "main__").await, ["main__a", "main__b"]);
    writer.delete("main__a").await.unwrap();
    assert_eq!(names(&reader, "main__").await, ["main__b"]);
    assert_eq!(bucket.listings.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn own_changes_are_in_the_next_listing_and_the_marker_says_what_lightning_streams_says() {
    let bucket = bucket();
    let store = MarkedStore::new(bucket.clone(), "ns/", LONG);
    assert!(names(&store, "main__").await.is_empty());
    store.put("main__a", empty()).await.unwrap();
    assert_eq!(names(&store, "main__").await, ["main__a"]);
    let marker = String::from_utf8(store.read_marker().await.unwrap().unwrap()).unwrap();
    let fields: Vec<_> = marker.split(':').collect();
    assert_eq!(
        (fields.len(), fields[0], fields[3]),
        (4, "ns/main__a", "false"),
        "{marker}"
    );
    assert!(fields[2].parse::<u64>().is_ok(), "{marker}");
    store.delete("main__a").await.unwrap();
    let marker = String::from_utf8(store.read_marker().await.unwrap().unwrap()).unwrap();
    assert!(marker.ends_with(":true"), "{marker}");
}

#[tokio::test]
async fn without_a_marker_and_after_the_interval_the_store_is_listed() {
    let bucket = bucket();
    bucket.inner.put("main__a", empty()).await.unwrap();
    let store = MarkedStore::new(bucket.clone(), "ns/", LONG);
    for _ in 0..2 {
        assert_eq!(names(&store, "main__").await, ["main__a"]);
    }
    assert_eq!(bucket.listings.load(Ordering::Relaxed), 2);
    let impatient = MarkedStore::new(bucket.clone(), "ns/", Duration::ZERO);
    bucket.inner.put(UPDATE_MARKER, empty()).await.unwrap();
    for _ in 0..2 {
        names(&impatient, "main__").await;
    }
    assert_eq!(bucket.listings.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_marker_that_cannot_be_written_does_not_undo_the_change_and_is_written_later() {
    let bucket = bucket();
    let (writer, reader) = (
        MarkedStore::new(bucket.clone(), "ns/", LONG),
        MarkedStore::new(bucket.clone(), "ns/", LONG),
    );
    writer.put("main__a", empty()).await.unwrap();
    names(&reader, "main__").await;
    bucket.refuse_marker.store(true, Ordering::Relaxed);
    writer.put("main__b", empty()).await.unwrap();
    assert_eq!(names(&reader, "main__").await, ["main__a"]);
    bucket.refuse_marker.store(false, Ordering::Relaxed);
    names(&writer, "main__").await;
    assert_eq!(names(&reader, "main__").await, ["main__a", "main__b"]);
}

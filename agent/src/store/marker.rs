//! The update marker: a small object that every writer changes, so that readers need not list the store while it stays
//! the same. A GET costs a twelfth of a LIST.
//!
//! All instances must use it, Lightning Stream's too: nobody sees at once what somebody stored without changing it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tempfile::SpooledTempFile;

use super::{Listed, Skew, Store, StoreError, Traffic, spool};

/// Its name, below the configured prefix.
pub const UPDATE_MARKER: &str = "update-marker";
/// Markers are a line; whatever is longer is cut, which still tells one from another.
const MAX_MARKER: u64 = 16 << 10;

/// A store that is listed only when its marker changed, or after an interval.
pub struct MarkedStore {
    inner: Arc<dyn Store>,
    /// Before every name in the marker, as Lightning Stream writes it.
    prefix: String,
    force_list: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The last listing of each folder, and the marker that was read before it.
    listings: BTreeMap<String, (Vec<u8>, Vec<Listed>, Instant)>,
    /// A marker that could not be written yet: others do not know of the change.
    unwritten: Option<String>,
}

impl MarkedStore {
    pub fn new(inner: Arc<dyn Store>, prefix: &str, force_list: Duration) -> Self {
        Self {
            inner,
            prefix: prefix.to_owned(),
            force_list,
            known: Mutex::default(),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read_marker(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(object) = self.inner.get(UPDATE_MARKER, empty()).await? else {
            return Ok(None);
        };
        let mut marker = Vec::new();
        // From memory: it cannot fail, and a marker that seems empty only costs a listing.
        let _ = object.take(MAX_MARKER).read_to_end(&mut marker);
        Ok(Some(marker))
    }

    async fn write_marker(&self, marker: &str) -> Result<(), StoreError> {
        let mut object = empty();
        // Into memory: it cannot fail.
        let _ = object.write_all(marker.as_bytes());
        self.inner.put(UPDATE_MARKER, object).await
    }

    /// Tells others of a change. That the change itself was made must not be hidden by a marker that was not.
    async fn tell(&self, name: &str, deleted: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The second field is an ETag to Lightning Stream, which only compares whole markers.
        let marker = format!("{}{name}::{}:{deleted}", self.prefix, now.as_nanos());
        self.change(|known| {
            known.listings.clear();
            known.unwritten = Some(marker);
        });
        self.tell_the_rest().await;
    }

    async fn tell_the_rest(&self) {
        let Some(marker) = self.change(|known| known.unwritten.take()) else {
            return;
        };
        if let Err(error) = self.write_marker(&marker).await {
            tracing::warn!(%error, "others see the change later: will write the update marker again");
            self.change(|known| {
                known.unwritten.get_or_insert(marker);
            });
        }
    }
}

fn empty() -> SpooledTempFile {
    spool(&std::env::temp_dir())
}

#[async_trait]
impl Store for MarkedStore {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.tell_the_rest().await;
        let folder = &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)];
        // Read before the listing: what is stored in between makes a listing that is newer than its marker, never older.
        let marker = self.read_marker().await?;
        let below = |all: &[Listed]| {
            all.iter()
                .filter(|it| it.name.starts_with(prefix))
                .cloned()
                .collect()
        };
        if let Some(marker) = &marker {
            let unchanged = self.change(|known| match known.listings.get(folder) {
                Some((old, all, when)) if old == marker && when.elapsed() < self.force_list => {
                    Some(below(all))
                }
                _ => None,
            });
            if let Some(listed) = unchanged {
                return Ok(listed);
            }
        }
        let mut all = self.inner.list(folder).await?;
        all.retain(|object| object.name != UPDATE_MARKER);
        let listed = below(&all);
        if let Some(marker) = marker {
            let listing = (marker, all, Instant::now());
            self.change(|known| known.listings.insert(folder.to_owned(), listing));
        }
        Ok(listed)
    }

    async fn get(&self, name: &str, object: SpooledTempFile) -> Result<Option<SpooledTempFile>, StoreError> {
        self.inner.get(name, object).await
    }

    async fn get_start(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get_start(name, most).await
    }

    async fn put(&self, name: &str, object: SpooledTempFile) -> Result<(), StoreError> {
        self.inner.put(name, object).await?;
        self.tell(name, false).await;
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await?;
        self.tell(name, true).await;
        Ok(())
    }

    fn skew(&self) -> Option<Skew> {
        self.inner.skew()
    }

    fn traffic(&self) -> Option<Traffic> {
        self.inner.traffic()
    }

    fn key(&self) -> Option<String> {
        self.inner.key()
    }
}

#[cfg(test)]
mod tests;

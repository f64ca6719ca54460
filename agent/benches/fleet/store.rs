//! A store in memory that counts what is asked of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tempfile::SpooledTempFile;
use zonetide_agent::store::{Listed, Store, StoreError, StoreErrorReason};

/// Names in one answer of a listing, as S3 has it.
const PAGE: usize = 1000;

/// What was asked of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) pages: u64,
    pub(crate) snapshots_read: u64,
    pub(crate) starts_read: u64,
    pub(crate) deltas_read: u64,
    pub(crate) bytes_read: u64,
    pub(crate) snapshots_stored: u64,
    pub(crate) deltas_stored: u64,
}

/// All objects, whoever asks.
#[derive(Default)]
pub(crate) struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Bucket {
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) {
        self.objects.lock().unwrap().insert(name.to_owned(), content);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.objects.lock().unwrap().remove(name);
    }

    fn list(&self, prefix: &str, after: &str) -> Vec<Listed> {
        let objects = self.objects.lock().unwrap();
        let from = prefix.max(after).to_owned();
        let below = objects
            .range(from..)
            .take_while(|(name, _)| name.starts_with(prefix));
        let below = below.filter(|(name, _)| name.as_str() > after);
        below
            .map(|(name, content)| Listed {
                name: name.clone(),
                size: content.len() as u64,
                modified: None,
            })
            .collect()
    }

    /// Bytes of all snapshots, and how many there are.
    pub(crate) fn snapshots(&self) -> (usize, u64) {
        let listed = self.list("main__", "");
        (listed.len(), listed.iter().map(|listed| listed.size).sum())
    }
}

/// The store as one server has it.
pub(crate) struct Door {
    pub(crate) bucket: Arc<Bucket>,
    asked: Mutex<Asked>,
    refuses: Mutex<bool>,
}

impl Door {
    pub(crate) fn new(bucket: &Arc<Bucket>) -> Arc<Self> {
        Arc::new(Self {
            bucket: bucket.clone(),
            asked: Mutex::default(),
            refuses: Mutex::default(),
        })
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Asked {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    pub(crate) fn refuse_uploads(&self, refuses: bool) {
        *self.refuses.lock().unwrap() = refuses;
    }

    fn count(&self, count: impl FnOnce(&mut Asked)) {
        count(&mut self.asked.lock().unwrap());
    }
}

fn is_snapshot(name: &str) -> bool {
    name.starts_with("main__")
}

#[async_trait]
impl Store for Door {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.list_after(prefix, "").await
    }

    async fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = self.bucket.list(prefix, after);
        self.count(|asked| asked.pages += listed.len().div_ceil(PAGE).max(1) as u64);
        Ok(listed)
    }

    async fn get(
        &self,
        name: &str,
        mut object: SpooledTempFile,
    ) -> Result<Option<SpooledTempFile>, StoreError> {
        let Some(content) = self.bucket.objects.lock().unwrap().get(name).cloned() else {
            return Ok(None);
        };
        self.count(|asked| {
            asked.bytes_read += content.len() as u64;
            if is_snapshot(name) {
                asked.snapshots_read += 1;
            } else {
                asked.deltas_read += 1;
            }
        });
        object.write_all(&content).unwrap();
        object.rewind().unwrap();
        Ok(Some(object))
    }

    async fn get_start(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let content = self.bucket.objects.lock().unwrap().get(name).cloned();
        let most = usize::try_from(most).unwrap();
        let start = content.map(|content| content[..content.len().min(most)].to_vec());
        self.count(|asked| {
            asked.starts_read += 1;
            asked.bytes_read += start.as_ref().map_or(0, |start| start.len() as u64);
        });
        Ok(start)
    }

    async fn put(&self, name: &str, mut object: SpooledTempFile) -> Result<(), StoreError> {
        if *self.refuses.lock().unwrap() {
            return Err(StoreError {
                operation: "write",
                name: name.to_owned(),
                reason: StoreErrorReason::Create("uploads are refused".into()),
            });
        }
        let mut content = Vec::new();
        object.rewind().unwrap();
        object.read_to_end(&mut content).unwrap();
        self.count(|asked| {
            if is_snapshot(name) {
                asked.snapshots_stored += 1;
            } else {
                asked.deltas_stored += 1;
            }
        });
        self.bucket.put(name, content);
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.bucket.remove(name);
        Ok(())
    }
}

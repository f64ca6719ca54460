//! [`Store`] over any store of the crate object_store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};

use super::{Store, StoreError, StoreErrorReason};

/// A store with the prefix before every name.
pub struct ObjectBackend {
    objects: Arc<dyn ObjectStore>,
    /// Object stores in the cloud list by any text; local ones by whole path segments only.
    pages: Option<Arc<dyn PaginatedListStore>>,
    prefix: String,
}

impl ObjectBackend {
    /// A store that lists by path segments: a local directory or memory.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            objects,
            pages: None,
            prefix: prefix.to_owned(),
        }
    }

    /// A store that lists by text.
    pub fn paginated<S: ObjectStore + PaginatedListStore>(store: S, prefix: &str) -> Self {
        let store = Arc::new(store);
        Self {
            objects: store.clone(),
            pages: Some(store),
            prefix: prefix.to_owned(),
        }
    }

    fn path(&self, operation: &'static str, name: &str) -> Result<Path, StoreError> {
        Path::parse(format!("{}{name}", self.prefix)).map_err(|error| StoreError {
            operation,
            name: name.to_owned(),
            reason: StoreErrorReason::Name(error),
        })
    }

    /// The name of an object below the prefix, `None` when it does not belong to the listing.
    fn name_of(&self, path: &Path, prefix: &str) -> Option<String> {
        let name = path.as_ref().strip_prefix(&self.prefix)?;
        (name.starts_with(prefix) && !name.contains('/')).then(|| name.to_owned())
    }

    async fn list_pages(
        &self,
        pages: &dyn PaginatedListStore,
        prefix: &str,
    ) -> object_store::Result<Vec<String>> {
        let full = format!("{}{prefix}", self.prefix);
        let full = (!full.is_empty()).then_some(full);
        let mut names = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = pages.list_paginated(full.as_deref(), options).await?;
            names.extend(
                page.result
                    .objects
                    .iter()
                    .filter_map(|o| self.name_of(&o.location, prefix)),
            );
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(names);
            }
        }
    }

    async fn list_segments(&self, prefix: &str) -> object_store::Result<Vec<String>> {
        let folder = match self.prefix.rsplit_once('/') {
            Some((folder, _)) => Some(Path::parse(folder)?),
            None => None,
        };
        let objects = self.objects.list_with_delimiter(folder.as_ref()).await?.objects;
        Ok(objects
            .iter()
            .filter_map(|o| self.name_of(&o.location, prefix))
            .collect())
    }
}

fn explain(operation: &'static str, name: &str, error: Error) -> StoreError {
    let reason = match &error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreErrorReason::Denied(error),
        Error::NotFound { .. } => StoreErrorReason::NoBucket(error),
        _ => StoreErrorReason::Other(error),
    };
    StoreError {
        operation,
        name: name.to_owned(),
        reason,
    }
}

/// Tells a missing object from a missing bucket, which S3 also answers with 404.
fn bucket_is_missing(error: &Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}

#[async_trait]
impl Store for ObjectBackend {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let listed = match &self.pages {
            Some(pages) => self.list_pages(pages.as_ref(), prefix).await,
            None => self.list_segments(prefix).await,
        };
        listed.map_err(|error| explain("list", prefix, error))
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let path = self.path("read", name)?;
        let fetched = async {
            self.objects
                .get(&path)
                .await?
                .into_stream()
                .try_collect::<Vec<_>>()
                .await
        };
        match fetched.await {
            Ok(chunks) => Ok(Some(join(chunks))),
            Err(error @ Error::NotFound { .. }) if !bucket_is_missing(&error) => Ok(None),
            Err(error) => Err(explain("read", name, error)),
        }
    }

    async fn put(&self, name: &str, content: Bytes) -> Result<(), StoreError> {
        let path = self.path("write", name)?;
        let put = self.objects.put(&path, content.into()).await;
        put.map(drop).map_err(|error| explain("write", name, error))
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path("remove", name)?;
        match self.objects.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error @ Error::NotFound { .. }) if !bucket_is_missing(&error) => Ok(()),
            Err(error) => Err(explain("remove", name, error)),
        }
    }
}

fn join(chunks: Vec<Bytes>) -> Bytes {
    let mut chunks = chunks;
    match chunks.len() {
        1 => chunks.swap_remove(0),
        _ => chunks.concat().into(),
    }
}

/// Every kind of store must pass this.
#[cfg(test)]
mod conformance {
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::*;

    async fn conforms(store: &dyn Store) {
        assert!(store.get("main__a").await.unwrap().is_none());
        store.put("main__a", Bytes::from_static(b"1")).await.unwrap();
        store.put("main__b", Bytes::from_static(b"2")).await.unwrap();
        store.put("mainly", Bytes::from_static(b"3")).await.unwrap();
        store.put("main__deep/c", Bytes::from_static(b"4")).await.unwrap();
        store.put("main__a", Bytes::from_static(b"5")).await.unwrap();
        let mut names = store.list("main__").await.unwrap();
        names.sort();
        assert_eq!(names, ["main__a", "main__b"]);
        assert_eq!(store.get("main__a").await.unwrap().unwrap(), "5");
        store.delete("main__a").await.unwrap();
        store.delete("main__a").await.unwrap();
        assert_eq!(store.list("main__").await.unwrap(), ["main__b"]);
    }

    #[tokio::test]
    async fn memory_conforms() {
        for prefix in ["", "ns/name/", "ns/name-"] {
            conforms(&ObjectBackend::new(Arc::new(InMemory::new()), prefix)).await;
        }
    }

    #[tokio::test]
    async fn a_directory_conforms() {
        for prefix in ["", "ns/name/", "ns/name-"] {
            let dir = tempfile::tempdir().unwrap();
            let files = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
            conforms(&ObjectBackend::new(Arc::new(files), prefix)).await;
        }
    }

    #[tokio::test]
    async fn a_name_that_is_no_key_is_refused_with_the_name() {
        let store = ObjectBackend::new(Arc::new(InMemory::new()), "");
        let error = store.get("a//b").await.unwrap_err().to_string();
        assert!(error.contains("\"a//b\""), "{error}");
    }
}

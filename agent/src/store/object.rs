//! [`Store`] over any store of the crate object_store.

use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload,
};
use tempfile::SpooledTempFile;

use super::credentials::Renewable;
use super::{Listed, Store, StoreError, StoreErrorReason};

/// Length of the parts of a large upload, bytes. All but the last must be equally long and at least 5 MiB (R2, S3).
const PART_LEN: usize = 8 << 20;

/// A store with the prefix before every name.
pub struct ObjectBackend {
    objects: Arc<dyn ObjectStore>,
    /// Object stores in the cloud list by any text; local ones by whole path segments only.
    pages: Option<Arc<dyn PaginatedListStore>>,
    prefix: String,
    /// Given with every object.
    attributes: Attributes,
    /// Keys that may have changed when they are refused.
    keys: Option<Arc<dyn Renewable>>,
}

impl ObjectBackend {
    /// A store that lists by path segments: a local directory or memory.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            objects,
            pages: None,
            prefix: prefix.to_owned(),
            attributes: Attributes::new(),
            keys: None,
        }
    }

    /// A store that lists by text.
    pub fn paginated<S: ObjectStore + PaginatedListStore>(store: Arc<S>, prefix: &str) -> Self {
        Self {
            pages: Some(store.clone()),
            ..Self::new(store, prefix)
        }
    }

    /// Gives every object a storage class.
    #[must_use]
    pub(super) fn with_storage_class(mut self, class: &str) -> Self {
        self.attributes
            .insert(Attribute::StorageClass, class.to_owned().into());
        self
    }

    /// Reads keys again when the store refuses them.
    #[must_use]
    pub(super) fn with_renewable(mut self, keys: Arc<dyn Renewable>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Makes a request, and once more when the store refuses the keys and they have changed meanwhile.
    async fn renewing<T, F>(&self, request: impl Fn() -> F) -> object_store::Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        match request().await {
            Err(error) if is_denied(&error) && self.keys.as_ref().is_some_and(|keys| keys.renew()) => {
                request().await
            }
            answer => answer,
        }
    }

    async fn put_whole(&self, path: &Path, content: Vec<u8>) -> object_store::Result<()> {
        let content = PutPayload::from(content);
        let put = || {
            let options = PutOptions {
                attributes: self.attributes.clone(),
                ..PutOptions::default()
            };
            self.objects.put_opts(path, content.clone(), options)
        };
        self.renewing(put).await.map(drop)
    }

    async fn begin_upload(&self, path: &Path) -> object_store::Result<Box<dyn MultipartUpload>> {
        let begin = || {
            let options = PutMultipartOptions {
                attributes: self.attributes.clone(),
                ..PutMultipartOptions::default()
            };
            self.objects.put_multipart_opts(path, options)
        };
        self.renewing(begin).await
    }

    fn path(&self, operation: &'static str, name: &str) -> Result<Path, StoreError> {
        Path::parse(format!("{}{name}", self.prefix)).map_err(|error| StoreError {
            operation,
            name: name.to_owned(),
            reason: StoreErrorReason::Name(error),
        })
    }

    /// An object below the prefix, `None` when it does not belong to the listing.
    fn listed(&self, object: &ObjectMeta, prefix: &str) -> Option<Listed> {
        let name = object.location.as_ref().strip_prefix(&self.prefix)?;
        let belongs = name.starts_with(prefix) && !name.contains('/');
        belongs.then(|| Listed {
            name: name.to_owned(),
            size: object.size,
        })
    }

    async fn list_pages(
        &self,
        pages: &dyn PaginatedListStore,
        prefix: &str,
    ) -> object_store::Result<Vec<Listed>> {
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
                    .filter_map(|object| self.listed(object, prefix)),
            );
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(names);
            }
        }
    }

    async fn list_segments(&self, prefix: &str) -> object_store::Result<Vec<Listed>> {
        let folder = match self.prefix.rsplit_once('/') {
            Some((folder, _)) => Some(Path::parse(folder)?),
            None => None,
        };
        let objects = self.objects.list_with_delimiter(folder.as_ref()).await?.objects;
        Ok(objects
            .iter()
            .filter_map(|object| self.listed(object, prefix))
            .collect())
    }
}

fn explain(operation: &'static str, name: &str, error: Error) -> StoreError {
    let reason = if is_denied(&error) {
        StoreErrorReason::Denied(error)
    } else if matches!(error, Error::NotFound { .. }) || bucket_is_missing(&error) {
        StoreErrorReason::NoBucket(error)
    } else {
        StoreErrorReason::Other(error)
    };
    StoreError {
        operation,
        name: name.to_owned(),
        reason,
    }
}

/// A refusal of the keys. Of a listing that is refused the crate makes a general error, whose text alone says so.
fn is_denied(error: &Error) -> bool {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        Error::Generic { .. } => {
            let text = error.to_string();
            ["401", "403"]
                .iter()
                .any(|code| text.contains(&format!("status code: {code}")))
        }
        _ => false,
    }
}

/// Tells a missing object from a missing bucket, which S3 also answers with 404.
fn bucket_is_missing(error: &Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}

#[async_trait]
impl Store for ObjectBackend {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = match &self.pages {
            Some(pages) => self.renewing(|| self.list_pages(pages.as_ref(), prefix)).await,
            None => self.list_segments(prefix).await,
        };
        listed.map_err(|error| explain("list", prefix, error))
    }

    async fn get(
        &self,
        name: &str,
        mut object: SpooledTempFile,
    ) -> Result<Option<SpooledTempFile>, StoreError> {
        let path = self.path("read", name)?;
        let fetched = async {
            let mut chunks = self.renewing(|| self.objects.get(&path)).await?.into_stream();
            while let Some(chunk) = chunks.try_next().await? {
                // Into memory or the page cache: too short to be worth another thread.
                if let Err(error) = object.write_all(&chunk) {
                    return Ok(Err(error));
                }
            }
            Ok(object.rewind())
        };
        match fetched.await {
            Ok(Ok(())) => Ok(Some(object)),
            Ok(Err(error)) => Err(spool_error("read", name, error)),
            Err(error @ Error::NotFound { .. }) if !bucket_is_missing(&error) => Ok(None),
            Err(error) => Err(explain("read", name, error)),
        }
    }

    async fn put(&self, name: &str, mut object: SpooledTempFile) -> Result<(), StoreError> {
        let path = self.path("write", name)?;
        object
            .rewind()
            .map_err(|error| spool_error("write", name, error))?;
        let first = read_part(&mut object).map_err(|error| spool_error("write", name, error))?;
        if first.len() < PART_LEN {
            let put = self.put_whole(&path, first).await;
            return put.map_err(|error| explain("write", name, error));
        }
        let upload = self.begin_upload(&path).await;
        let mut upload = upload.map_err(|error| explain("write", name, error))?;
        let sent = send_parts(upload.as_mut(), first, &mut object).await;
        let sent = sent.map_err(|error| match error {
            PartError::Spool(error) => spool_error("write", name, error),
            PartError::Store(error) => explain("write", name, error),
        });
        if sent.is_err() {
            // Parts that stay behind cost money and are seen by nobody; the error that counts is the first.
            let _ = upload.abort().await;
        }
        sent
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path("remove", name)?;
        match self.renewing(|| self.objects.delete(&path)).await {
            Ok(()) => Ok(()),
            Err(error @ Error::NotFound { .. }) if !bucket_is_missing(&error) => Ok(()),
            Err(error) => Err(explain("remove", name, error)),
        }
    }
}

fn spool_error(operation: &'static str, name: &str, error: std::io::Error) -> StoreError {
    StoreError {
        operation,
        name: name.to_owned(),
        reason: StoreErrorReason::Spool(error),
    }
}

enum PartError {
    Spool(std::io::Error),
    Store(Error),
}

/// Sends one part after the other, so that only one is in memory.
async fn send_parts(
    upload: &mut dyn MultipartUpload,
    first: Vec<u8>,
    object: &mut SpooledTempFile,
) -> Result<(), PartError> {
    let mut part = first;
    while !part.is_empty() {
        upload.put_part(part.into()).await.map_err(PartError::Store)?;
        part = read_part(object).map_err(PartError::Spool)?;
    }
    upload.complete().await.map(drop).map_err(PartError::Store)
}

fn read_part(object: &mut SpooledTempFile) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::new();
    object.take(PART_LEN as u64).read_to_end(&mut part)?;
    Ok(part)
}

/// Every kind of store must pass this.
#[cfg(test)]
mod conformance {
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::*;

    fn object(content: &[u8]) -> SpooledTempFile {
        let mut object = crate::store::spool(&std::env::temp_dir());
        object.write_all(content).unwrap();
        object
    }

    async fn get(store: &dyn Store, name: &str) -> Option<Vec<u8>> {
        let mut object = store.get(name, object(b"")).await.unwrap()?;
        let mut content = Vec::new();
        object.read_to_end(&mut content).unwrap();
        Some(content)
    }

    async fn conforms(store: &dyn Store) {
        assert!(get(store, "main__a").await.is_none());
        store.put("main__a", object(b"1")).await.unwrap();
        store.put("main__b", object(b"2")).await.unwrap();
        store.put("mainly", object(b"3")).await.unwrap();
        store.put("main__deep/c", object(b"4")).await.unwrap();
        store.put("main__a", object(b"55")).await.unwrap();
        let mut listed = store.list("main__").await.unwrap();
        listed.sort();
        assert_eq!(
            listed,
            [
                Listed {
                    name: "main__a".into(),
                    size: 2
                },
                Listed {
                    name: "main__b".into(),
                    size: 1
                }
            ]
        );
        assert_eq!(get(store, "main__a").await.unwrap(), b"55");
        store.delete("main__a").await.unwrap();
        store.delete("main__a").await.unwrap();
        let left = store.list("main__").await.unwrap();
        assert_eq!(
            left,
            [Listed {
                name: "main__b".into(),
                size: 1
            }]
        );

        for len in [0, PART_LEN - 1, PART_LEN, 2 * PART_LEN, 2 * PART_LEN + 1] {
            let content: Vec<_> = (0..=250).cycle().take(len).collect();
            store.put("main__large", object(&content)).await.unwrap();
            assert!(get(store, "main__large").await.unwrap() == content, "{len} bytes");
        }
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
        let error = store.get("a//b", object(b"")).await.unwrap_err().to_string();
        assert!(error.contains("\"a//b\""), "{error}");
    }
}

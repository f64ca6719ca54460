//! [`Store`] over any store of the crate object_store.

use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
};
use tempfile::SpooledTempFile;

use super::client::StoreClient;
use super::credentials::Renewable;
use super::refusal::{Refusal, clock_words};
use super::region;
use super::upload::{Leftovers, PART_LEN, PartError, Unfinished, read_part};
use super::{Listed, Skew, Store, StoreError, StoreErrorReason, Traffic, start_of_whole};

/// A store with the prefix before every name.
pub struct ObjectBackend {
    objects: Arc<dyn ObjectStore>,
    /// Object stores in the cloud list by any text; local ones by whole path segments only.
    pages: Option<Arc<dyn PaginatedListStore>>,
    /// Listings can begin after a name; where not, what comes before it is left out here.
    offsets: bool,
    prefix: String,
    /// Requests are signed for it.
    region: String,
    /// Given with every object.
    attributes: Attributes,
    /// Keys that may have changed when they are refused.
    keys: Option<Arc<dyn Renewable>>,
    /// What the requests go through, and what knows the store's clock.
    client: Option<StoreClient>,
    leftovers: Leftovers,
    traffic: Traffic,
}

impl ObjectBackend {
    /// A store that lists by path segments: a local directory or memory.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            objects,
            pages: None,
            offsets: false,
            prefix: prefix.to_owned(),
            region: String::new(),
            attributes: Attributes::new(),
            keys: None,
            client: None,
            leftovers: Leftovers::default(),
            traffic: Traffic::default(),
        }
    }

    /// A store that lists by text.
    pub fn paginated<S: ObjectStore + PaginatedListStore>(store: Arc<S>, prefix: &str) -> Self {
        Self {
            pages: Some(store.clone()),
            ..Self::new(store, prefix)
        }
    }

    /// The store's listings can begin after a name, as those of S3 and Google can.
    #[must_use]
    pub(super) fn with_offsets(mut self) -> Self {
        self.offsets = true;
        self
    }

    /// Gives every object a storage class.
    #[must_use]
    pub(super) fn with_storage_class(mut self, class: &str) -> Self {
        self.attributes
            .insert(Attribute::StorageClass, class.to_owned().into());
        self
    }

    /// The region that requests are signed for.
    #[must_use]
    pub(super) fn with_region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }

    /// Reads keys again when the store refuses them.
    #[must_use]
    pub(super) fn with_renewable(mut self, keys: Arc<dyn Renewable>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Asks this client for the store's clock.
    #[must_use]
    pub(super) fn with_client(mut self, client: StoreClient) -> Self {
        self.client = Some(client);
        self
    }

    /// Makes a request, and once more when the store refuses the keys and they have changed meanwhile.
    async fn renewing<T, F>(&self, request: impl Fn() -> F) -> object_store::Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let before = self.key_changes();
        match request().await {
            Err(error) if refusal(&error, None).is_some() && self.are_renewed(before) => request().await,
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

    /// Sends a large object. A key that ends between two parts costs all of them: the crate cannot send one part again.
    async fn put_in_parts(&self, path: &Path, object: &mut SpooledTempFile) -> Result<(), PartError> {
        let mut renewed = false;
        loop {
            object.rewind().map_err(PartError::Spool)?;
            let before = self.key_changes();
            let upload = self.begin_upload(path).await.map_err(PartError::Store)?;
            match Unfinished::new(upload, &self.leftovers)
                .send(object, &self.traffic)
                .await
            {
                // Not only a refusal: a store that refuses before it has read the part may just break the connection.
                Err(PartError::Store(_)) if !renewed && self.are_renewed(before) => renewed = true,
                sent => return sent,
            }
        }
    }

    fn key_changes(&self) -> u64 {
        self.keys.as_ref().map_or(0, |keys| keys.changes())
    }

    /// The keys have changed since then.
    fn are_renewed(&self, before: u64) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.changed_since(before))
    }

    fn explain(&self, operation: &'static str, name: &str, error: Error) -> StoreError {
        let skew = self.skew();
        let in_header = self.client.as_ref().and_then(StoreClient::region);
        let reason = match refusal(&error, skew.as_ref()) {
            Some(Refusal::Clock) => StoreErrorReason::Skewed {
                clock: clock_words(skew.as_ref()),
                refusal: error.into(),
            },
            Some(Refusal::Redirected) if in_header.is_none() => StoreErrorReason::Redirected(error),
            Some(Refusal::Region | Refusal::Redirected) => {
                let told = in_header.or_else(|| region::of_text(&error.to_string()));
                StoreErrorReason::Region {
                    remedy: region::remedy(&self.region, told.as_deref()),
                    refusal: error.into(),
                }
            }
            Some(Refusal::HostStyle) => StoreErrorReason::HostStyle(error.into()),
            // Who is let in looks at the store before anything is removed.
            Some(Refusal::Keys) if operation == "remove" => StoreErrorReason::NotDeletable(error),
            Some(Refusal::Keys) => StoreErrorReason::Denied(error),
            None if matches!(error, Error::NotFound { .. }) || bucket_is_missing(&error) => {
                StoreErrorReason::NoBucket(error)
            }
            None => StoreErrorReason::Other(error),
        };
        StoreError {
            operation,
            name: name.to_owned(),
            reason,
        }
    }

    async fn list_from(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let listed = match &self.pages {
            Some(pages) => {
                self.renewing(|| self.list_pages(pages.as_ref(), prefix, after))
                    .await
            }
            None => self.list_segments(prefix).await,
        };
        listed.map_err(|error| self.explain("list", prefix, error))
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
        let folder = prefix.rfind('/').map_or(0, |slash| slash + 1);
        let belongs = name.starts_with(prefix) && !name[folder..].contains('/');
        belongs.then(|| Listed {
            name: name.to_owned(),
            size: object.size,
            modified: object
                .last_modified
                .timestamp_nanos_opt()
                .and_then(|modified| u64::try_from(modified).ok()),
        })
    }

    async fn list_pages(
        &self,
        pages: &dyn PaginatedListStore,
        prefix: &str,
        after: Option<&str>,
    ) -> object_store::Result<Vec<Listed>> {
        let full = format!("{}{prefix}", self.prefix);
        let offset = after
            .filter(|_| self.offsets)
            .map(|after| format!("{}{after}", self.prefix));
        let full = (!full.is_empty()).then_some(full);
        let mut names = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                page_token,
                offset: offset.clone(),
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
        let folder = match format!("{}{prefix}", self.prefix).rsplit_once('/') {
            Some((folder, _)) => Some(Path::parse(folder)?),
            None => None,
        };
        let objects = match self.objects.list_with_delimiter(folder.as_ref()).await {
            Ok(listed) => listed.objects,
            // A folder begins to exist with the first object in it.
            Err(Error::NotFound { .. }) if prefix.contains('/') => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(objects
            .iter()
            .filter_map(|object| self.listed(object, prefix))
            .collect())
    }
}

fn refusal(error: &Error, skew: Option<&Skew>) -> Option<Refusal> {
    Refusal::of(&error.to_string(), skew).or_else(|| {
        matches!(
            error,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
        )
        .then_some(Refusal::Keys)
    })
}

/// Tells a missing object from a missing bucket, which S3 also answers with 404.
fn bucket_is_missing(error: &Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}

#[async_trait]
impl Store for ObjectBackend {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.list_from(prefix, None).await
    }

    async fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.list_from(prefix, Some(after)).await?;
        listed.retain(|object| object.name.as_str() > after);
        Ok(listed)
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
                self.traffic.carried(chunk.len());
            }
            Ok(object.rewind())
        };
        match fetched.await {
            Ok(Ok(())) => Ok(Some(object)),
            Ok(Err(error)) => Err(spool_error("read", name, error)),
            Err(error @ Error::NotFound { .. }) if !bucket_is_missing(&error) => Ok(None),
            Err(error) => Err(self.explain("read", name, error)),
        }
    }

    async fn get_start(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path("read", name)?;
        let options = || GetOptions::new().with_range(Some(GetRange::Bounded(0..most)));
        let fetched = async {
            let start = self
                .renewing(|| self.objects.get_opts(&path, options()))
                .await?
                .bytes()
                .await?;
            self.traffic.carried(start.len());
            Ok(start)
        };
        match fetched.await {
            Ok(start) => Ok(Some(start.to_vec())),
            Err(error @ Error::NotFound { .. }) if !bucket_is_missing(&error) => Ok(None),
            // Of an empty object there is no part, and some stores give only whole ones.
            Err(_) => start_of_whole(self, name, most).await,
        }
    }

    async fn put(&self, name: &str, mut object: SpooledTempFile) -> Result<(), StoreError> {
        let path = self.path("write", name)?;
        object
            .rewind()
            .map_err(|error| spool_error("write", name, error))?;
        let first = read_part(&mut object).map_err(|error| spool_error("write", name, error))?;
        if first.len() < PART_LEN {
            let bytes = first.len();
            let put = self.put_whole(&path, first).await;
            put.map_err(|error| self.explain("write", name, error))?;
            self.traffic.carried(bytes);
            self.leftovers.remove().await;
            return Ok(());
        }
        drop(first);
        let sent = self.put_in_parts(&path, &mut object).await;
        self.leftovers.remove().await;
        sent.map_err(|error| match error {
            PartError::Spool(error) => spool_error("write", name, error),
            PartError::Store(error) => self.explain("write", name, error),
        })
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path("remove", name)?;
        match self.renewing(|| self.objects.delete(&path)).await {
            Ok(()) => Ok(()),
            Err(error @ Error::NotFound { .. }) if !bucket_is_missing(&error) => Ok(()),
            Err(error) => Err(self.explain("remove", name, error)),
        }
    }

    fn traffic(&self) -> Option<Traffic> {
        Some(self.traffic.clone())
    }

    fn skew(&self) -> Option<Skew> {
        self.client.as_ref().and_then(StoreClient::skew)
    }

    fn key(&self) -> Option<String> {
        self.client.as_ref().and_then(StoreClient::key)
    }
}

fn spool_error(operation: &'static str, name: &str, error: std::io::Error) -> StoreError {
    StoreError {
        operation,
        name: name.to_owned(),
        reason: StoreErrorReason::Spool(error),
    }
}

#[cfg(test)]
mod conformance;

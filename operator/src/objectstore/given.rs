//! A bucket of any S3 service, with keys that the user gives.

use futures::{FutureExt, future::BoxFuture};

use super::{Bucket, Keys, Minted, S3Bucket, S3Http, Source, StoreError, Supply};

/// What validation knows of given keys.
#[derive(Clone, Debug)]
pub struct GivenRequest {
    pub bucket: Bucket,
    pub create_bucket: bool,
    pub keys: Result<Keys, StoreError>,
    /// Name of the Secret that the keys are from, for messages.
    pub secret: String,
}

pub struct GivenSource {
    pub(super) bucket: S3Bucket,
    create_bucket: bool,
    keys: Result<Keys, StoreError>,
}

impl GivenSource {
    pub fn new(http: S3Http, request: GivenRequest) -> Self {
        Self {
            bucket: S3Bucket::new(http, request.bucket, request.secret),
            create_bucket: request.create_bucket,
            keys: request.keys,
        }
    }

    async fn prepare_bucket(&self) -> Result<bool, StoreError> {
        let keys = self.keys.clone()?;
        if self.create_bucket {
            return self.bucket.ensure(&keys).await;
        }
        self.bucket.check(&keys).await.map(|()| false)
    }
}

impl Source for GivenSource {
    fn supply(&self) -> Supply {
        Supply::Given(self.keys.clone())
    }

    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.prepare_bucket().boxed()
    }

    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>> {
        let minted = self.keys.clone().map(|keys| Minted { keys, expires: None });
        std::future::ready(minted).boxed()
    }

    fn check<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>> {
        self.bucket.check(keys).boxed()
    }

    fn revoke_others<'a>(&'a self, _keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        // They are the user's.
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn s3(&self) -> Option<&S3Bucket> {
        Some(&self.bucket)
    }
}

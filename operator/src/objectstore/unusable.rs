//! In place of a source that cannot make keys, because something that it needs is missing.

use futures::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;

use super::{Bucket, Keys, Minted, S3Bucket, S3Http, Source, StoreError, Supply};

/// Answers with why, but for keys that it made before: those are still tried.
pub(super) struct UnusableSource {
    error: StoreError,
    s3: S3Bucket,
}

impl UnusableSource {
    pub(super) fn new(http: S3Http, bucket: Bucket, error: StoreError) -> Self {
        let s3 = S3Bucket::new(http, bucket, String::new());
        Self { error, s3 }
    }
}

impl Source for UnusableSource {
    fn supply(&self) -> Supply {
        // Those that there are live as long as they were made for.
        Supply::Minted {
            lifetime: SignedDuration::MAX,
        }
    }

    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        std::future::ready(Err(self.error.clone())).boxed()
    }

    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>> {
        std::future::ready(Err(self.error.clone())).boxed()
    }

    fn check<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>> {
        self.s3.check(keys).boxed()
    }

    fn revoke_others<'a>(&'a self, _keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        std::future::ready(Err(self.error.clone())).boxed()
    }

    fn s3(&self) -> Option<&S3Bucket> {
        Some(&self.s3)
    }
}

//! A bucket without keys: the store trusts the pods' service account. The operator itself is not let in.

use futures::{FutureExt, future::BoxFuture};

use super::{Keys, Minted, Source, StoreError, Supply};

pub(super) struct WebIdentitySource;

impl Source for WebIdentitySource {
    fn supply(&self) -> Supply {
        Supply::ServiceAccount
    }

    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        // Only the pods can tell whether the bucket is there.
        std::future::ready(Ok(false)).boxed()
    }

    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>> {
        std::future::ready(Err(StoreError::NoCredentialsIssued)).boxed()
    }

    fn check<'a>(&'a self, _keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn revoke_others<'a>(&'a self, _keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}

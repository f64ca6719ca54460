//! The bucket and key in the Garage that the operator runs.

use futures::{FutureExt, future::BoxFuture};

use super::{
    Keys, Source, StoreError,
    garage_api::{GarageApi, GarageApiError, KeyInfo},
};
use crate::{error::root_cause, secret::SecretText};

/// Name of the key, by which it is found again.
const KEY_NAME: &str = "zonetide";

pub struct GarageSource {
    api: GarageApi,
    bucket: String,
}

impl GarageSource {
    pub fn new(api: GarageApi, bucket: String) -> Self {
        Self { api, bucket }
    }

    async fn ensure_all(&self) -> Result<Keys, StoreError> {
        let bucket = match self
            .api
            .bucket(&self.bucket)
            .await
            .map_err(|error| self.explain("find the bucket", &error))?
        {
            Some(id) => id,
            None => self
                .api
                .create_bucket(&self.bucket)
                .await
                .map_err(|error| self.explain("make the bucket", &error))?,
        };
        let key = self.key().await?;
        let allowed = key
            .buckets
            .iter()
            .any(|entry| entry.id == bucket && entry.permissions.read && entry.permissions.write);
        if !allowed {
            self.api
                .allow(&bucket, &key.access_key_id)
                .await
                .map_err(|error| self.explain("allow the key to use the bucket", &error))?;
        }
        let secret = key.secret_access_key.ok_or_else(|| StoreError::Managed {
            endpoint: self.api.url().to_owned(),
            action: "show the key's secret",
            message: "the answer has none".to_owned(),
        })?;
        Ok(Keys {
            access_key_id: key.access_key_id,
            secret_access_key: SecretText::new(secret),
        })
    }

    /// The key by its name, which Garage remembers with its secret. So nothing is lost when we die between making it
    /// and writing it down, nor when our Secrets go with the `DnsCluster` and Garage's volume stays.
    async fn key(&self) -> Result<KeyInfo, StoreError> {
        let keys = self
            .api
            .keys()
            .await
            .map_err(|error| self.explain("list its keys", &error))?;
        let oldest = keys
            .into_iter()
            .filter(|key| key.name == KEY_NAME && !key.expired)
            // Always the same one, should there be several.
            .min_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        match oldest {
            Some(key) => self
                .api
                .key(&key.id)
                .await
                .map_err(|error| self.explain("show the key", &error)),
            None => self
                .api
                .create_key(KEY_NAME)
                .await
                .map_err(|error| self.explain("make a key", &error)),
        }
    }

    fn explain(&self, action: &'static str, error: &GarageApiError) -> StoreError {
        let endpoint = self.api.url().to_owned();
        match error {
            GarageApiError::Connect { source, .. } => StoreError::ManagedUnreachable {
                endpoint,
                cause: root_cause(source),
            },
            other => StoreError::Managed {
                endpoint,
                action,
                message: other.to_string(),
            },
        }
    }
}

impl Source for GarageSource {
    fn ensure(&self) -> BoxFuture<'_, Result<Keys, StoreError>> {
        self.ensure_all().boxed()
    }
}

#[cfg(test)]
#[path = "garage_tests.rs"]
mod tests;

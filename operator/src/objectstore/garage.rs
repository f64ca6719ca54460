//! A bucket and keys in a Garage, by its admin API: in the operator's own or in one that is there already.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};

use super::{
    Bucket, BucketRemoval, Keys, Minted, S3Bucket, S3Http, Source, StoreError, Supply,
    exposure::public_warning,
    garage_api::{GarageApi, GarageApiError, NO_CODE},
};
use crate::{error::root_cause, secret::SecretText};

const FIND: &str = "find the bucket";
/// No server takes so long for an upload.
const ABANDONED: Duration = Duration::from_hours(24);

/// What validation knows of a Garage.
#[derive(Clone, Debug)]
pub struct GarageRequest {
    pub admin_url: String,
    pub admin_token: SecretText,
    pub bucket: Bucket,
    /// Name of the cluster's keys, by which they are found again.
    pub key_name: String,
    pub key_lifetime: SignedDuration,
    /// The operator runs it.
    pub managed: bool,
    /// Whether to make the bucket when there is none.
    pub create_bucket: bool,
    /// Name of the Secret that the token is from, for messages.
    pub token_secret: String,
}

pub struct GarageSource {
    api: GarageApi,
    s3: S3Bucket,
    request: GarageRequest,
}

impl GarageSource {
    pub fn new(http: reqwest::Client, s3: S3Http, request: GarageRequest) -> Self {
        let admin = (request.admin_url.clone(), request.admin_token.clone());
        Self {
            api: GarageApi::new(http, admin.0, admin.1),
            s3: S3Bucket::new(s3, request.bucket.clone(), String::new()),
            request,
        }
    }

    /// The bucket's ID, and whether it was made now.
    async fn bucket(&self) -> Result<(String, bool), StoreError> {
        let name = &self.request.bucket.name;
        let found = self.api.bucket(name).await;
        if let Some(id) = found.map_err(|error| self.explain(FIND, &error))? {
            return Ok((id, false));
        }
        let missing = || StoreError::BucketMissing {
            endpoint: self.request.bucket.endpoint.clone(),
            bucket: name.clone(),
        };
        if !self.request.create_bucket {
            return Err(missing());
        }
        match self.api.create_bucket(name).await {
            Ok(id) => Ok((id, true)),
            // Another cluster's reconcile was a little faster.
            Err(error) if error.is_bucket_exists() => {
                let found = self.api.bucket(name).await;
                let found = found.map_err(|error| self.explain(FIND, &error))?;
                found.map(|id| (id, false)).ok_or_else(missing)
            }
            Err(error) => Err(self.explain("make the bucket", &error)),
        }
    }

    /// In the operator's own Garage nobody else would ever end the uploads of servers that were killed.
    async fn prepare_bucket(&self) -> Result<bool, StoreError> {
        let (id, made) = self.bucket().await?;
        if self.request.managed
            && !made
            && let Err(error) = self.api.end_uploads(&id, ABANDONED).await
        {
            tracing::warn!(%error, "failed to end abandoned uploads, it is tried again");
        }
        Ok(made)
    }

    async fn look_around(&self, keys: &Keys) -> Vec<String> {
        let bucket = &self.request.bucket.name;
        let mut warnings = self.s3.warnings(keys, keys).await;
        if self.api.is_website(bucket).await.unwrap_or_default() {
            let remedy = format!("end its website: garage bucket website --deny {bucket}");
            warnings.push(public_warning(bucket, &remedy));
        }
        warnings
    }

    async fn make_key(&self) -> Result<Minted, StoreError> {
        let (bucket, _) = self.bucket().await?;
        let expires = Timestamp::now() + self.request.key_lifetime;
        // Died between this and writing the key down, we make another one: this one ends with `revoke_others`.
        let made = self.api.create_key(&self.request.key_name, expires).await;
        let key = made.map_err(|error| self.explain("make a key", &error))?;
        let allowed = self.api.allow(&bucket, &key.access_key_id).await;
        allowed.map_err(|error| self.explain("allow the key to use the bucket", &error))?;
        let secret = key.secret_access_key.ok_or_else(|| StoreError::Managed {
            endpoint: self.api.url().to_owned(),
            action: "show the key's secret",
            message: "the answer has none".to_owned(),
        })?;
        let keys = Keys {
            access_key_id: key.access_key_id,
            secret_access_key: secret,
            session_token: None,
        };
        Ok(Minted {
            keys,
            expires: Some(expires),
        })
    }

    async fn end_others(&self, keep: Option<&str>) -> Result<Vec<String>, StoreError> {
        let keys = self.api.keys().await;
        let keys = keys.map_err(|error| self.explain("list its keys", &error))?;
        let mut ended = Vec::new();
        for key in keys {
            if key.name != self.request.key_name || Some(key.id.as_str()) == keep {
                continue;
            }
            let deleted = self.api.delete_key(&key.id).await;
            deleted.map_err(|error| self.explain("end an old key", &error))?;
            ended.push(key.id);
        }
        Ok(ended)
    }

    /// By the admin API: the servers' keys may not.
    async fn remove_empty_bucket(&self) -> Result<BucketRemoval, StoreError> {
        let explain = |error| self.explain("remove the bucket", &error);
        let found = self.api.bucket(&self.request.bucket.name).await;
        let Some(id) = found.map_err(explain)? else {
            return Ok(BucketRemoval::Removed);
        };
        let removed = self.api.delete_bucket(&id).await.map_err(explain)?;
        Ok(if removed {
            BucketRemoval::Removed
        } else {
            BucketRemoval::NotEmpty
        })
    }

    fn explain(&self, action: &'static str, error: &GarageApiError) -> StoreError {
        let endpoint = self.api.url().to_owned();
        let secret = self.request.token_secret.clone();
        match error {
            GarageApiError::Connect { source, .. } if self.request.managed => {
                StoreError::ManagedUnreachable {
                    endpoint,
                    cause: root_cause(source),
                }
            }
            GarageApiError::Connect { source, .. } => {
                let cause = root_cause(source);
                StoreError::untrusted(&endpoint, &cause)
                    .unwrap_or(StoreError::GarageUnreachable { endpoint, cause })
            }
            other if self.request.managed => StoreError::Managed {
                endpoint,
                action,
                message: other.to_string(),
            },
            GarageApiError::Refused { status, code, .. }
                if matches!(status.as_u16(), 401 | 403) && code != NO_CODE =>
            {
                StoreError::GarageTokenRefused {
                    endpoint,
                    action,
                    secret,
                    code: code.clone(),
                }
            }
            // The first call of each reconcile: older versions do not know it, nor does S3.
            other if action == FIND && !other.is_server_error() => StoreError::NoGarageApi {
                endpoint,
                answer: other.to_string(),
            },
            other => StoreError::Garage {
                endpoint,
                action,
                message: other.to_string(),
            },
        }
    }
}

impl Source for GarageSource {
    fn supply(&self) -> Supply {
        Supply::Minted {
            lifetime: self.request.key_lifetime,
        }
    }

    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.prepare_bucket().boxed()
    }

    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>> {
        self.make_key().boxed()
    }

    fn check<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>> {
        self.s3.check(keys).boxed()
    }

    fn revoke_others<'a>(&'a self, keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        self.end_others(keep).boxed()
    }

    fn s3(&self) -> Option<&S3Bucket> {
        Some(&self.s3)
    }

    fn remove_bucket<'a>(&'a self, _keys: &'a Keys) -> BoxFuture<'a, Result<BucketRemoval, StoreError>> {
        self.remove_empty_bucket().boxed()
    }

    fn warnings<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Vec<String>> {
        self.look_around(keys).boxed()
    }
}

#[cfg(test)]
#[path = "garage_tests.rs"]
mod tests;

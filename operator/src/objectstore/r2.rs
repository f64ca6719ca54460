//! A bucket of Cloudflare R2 and temporary keys to it, by Cloudflare's API.

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};

use super::{
    Bucket, BucketRemoval, Keys, Minted, S3Bucket, S3Http, Source, StoreError, Supply,
    cloudflare_api::{CloudflareApi, CloudflareError, Scope},
    exposure::public_warning,
};
use crate::{error::root_cause, secret::SecretText};

/// What Cloudflare allows for.
const SHORTEST: SignedDuration = SignedDuration::from_mins(15);
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What validation knows of it.
#[derive(Clone, Debug)]
pub struct R2Request {
    /// A setting of the operator: the token goes there and nowhere else, whatever a `DnsCluster` says.
    pub api_url: String,
    pub account: String,
    pub token: SecretText,
    /// Name of the Secret that the token is from, for messages.
    pub token_secret: String,
    pub bucket: Bucket,
    pub create_bucket: bool,
    pub key_lifetime: SignedDuration,
}

pub struct R2Source {
    api: CloudflareApi,
    s3: S3Bucket,
    request: R2Request,
}

impl R2Source {
    pub fn new(http: reqwest::Client, s3: S3Http, request: R2Request) -> Self {
        let (account, token) = (request.account.clone(), request.token.clone());
        Self {
            api: CloudflareApi::new(http, &request.api_url, account, token),
            s3: S3Bucket::new(s3, request.bucket.clone(), String::new()),
            request,
        }
    }

    async fn prepare_bucket(&self) -> Result<bool, StoreError> {
        let name = &self.request.bucket.name;
        let jurisdiction = jurisdiction(&self.request.bucket.endpoint, &self.request.account);
        let found = self.api.has_bucket(name, jurisdiction).await;
        if found.map_err(|error| self.explain("find the bucket", &error))? {
            return Ok(false);
        }
        if !self.request.create_bucket {
            return Err(StoreError::BucketMissing {
                endpoint: self.request.bucket.endpoint.clone(),
                bucket: name.clone(),
            });
        }
        let made = self.api.create_bucket(name, jurisdiction).await;
        made.map_err(|error| self.explain("make the bucket", &error))
    }

    async fn make_keys(&self) -> Result<Minted, StoreError> {
        let invalid = |code: String| StoreError::CloudflareTokenInvalid {
            code,
            secret: self.request.token_secret.clone(),
        };
        let parent = match self.api.token_id().await {
            Ok(Some(id)) => id,
            Ok(None) => return Err(invalid("not active".to_owned())),
            Err(error) if error.is_denied() => return Err(invalid(error.codes())),
            Err(error) => return Err(self.explain("verify the token", &error)),
        };
        let lifetime = self.lifetime();
        // Before the request: the keys must not end before we think so.
        let expires = Timestamp::now() + lifetime;
        let scope = Scope {
            bucket: &self.request.bucket.name,
            prefix: &self.request.bucket.prefix,
            ttl_seconds: lifetime.as_secs(),
        };
        let made = self.api.temporary_keys(&parent, scope).await;
        let made = made.map_err(|error| self.explain("make temporary keys", &error))?;
        let keys = Keys {
            access_key_id: made.access_key_id,
            secret_access_key: made.secret_access_key,
            session_token: Some(made.session_token),
        };
        Ok(Minted {
            keys,
            expires: Some(expires),
        })
    }

    /// By Cloudflare's API: temporary keys may not.
    async fn remove_empty_bucket(&self) -> Result<BucketRemoval, StoreError> {
        let bucket = &self.request.bucket;
        let jurisdiction = jurisdiction(&bucket.endpoint, &self.request.account);
        let removed = self.api.delete_bucket(&bucket.name, jurisdiction).await;
        let removed = removed.map_err(|error| self.explain("remove the bucket", &error))?;
        Ok(if removed {
            BucketRemoval::Removed
        } else {
            BucketRemoval::NotEmpty
        })
    }

    /// R2 keeps no old versions, and its S3 address is closed to all without keys: there are other addresses for them.
    async fn look_around(&self) -> Vec<String> {
        let bucket = &self.request.bucket;
        let jurisdiction = jurisdiction(&bucket.endpoint, &self.request.account);
        match self.api.public_domains(&bucket.name, jurisdiction).await {
            Ok(domains) if !domains.is_empty() => {
                let remedy = format!("disable its public addresses: {}", domains.join(", "));
                vec![public_warning(&bucket.name, &remedy)]
            }
            _ => Vec::new(),
        }
    }

    fn lifetime(&self) -> SignedDuration {
        self.request.key_lifetime.clamp(SHORTEST, LONGEST)
    }

    fn explain(&self, action: &'static str, error: &CloudflareError) -> StoreError {
        let account = self.request.account.clone();
        match error {
            CloudflareError::Connect { source, .. } => StoreError::CloudflareUnreachable {
                api: self.api.url().to_owned(),
                cause: root_cause(source),
            },
            other if other.is_no_subscription() => StoreError::NoR2 { account },
            other if other.is_denied() => StoreError::CloudflareDenied {
                action,
                account,
                code: other.codes(),
                secret: self.request.token_secret.clone(),
            },
            other => StoreError::Cloudflare {
                action,
                message: other.to_string(),
            },
        }
    }
}

impl Source for R2Source {
    fn supply(&self) -> Supply {
        Supply::Minted {
            lifetime: self.lifetime(),
        }
    }

    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.prepare_bucket().boxed()
    }

    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>> {
        self.make_keys().boxed()
    }

    fn check<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>> {
        self.s3.check(keys).boxed()
    }

    fn revoke_others<'a>(&'a self, _keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        // They end by themselves or with the token, not one by one.
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn s3(&self) -> Option<&S3Bucket> {
        Some(&self.s3)
    }

    fn remove_bucket<'a>(&'a self, _keys: &'a Keys) -> BoxFuture<'a, Result<BucketRemoval, StoreError>> {
        self.remove_empty_bucket().boxed()
    }

    fn warnings<'a>(&'a self, _keys: &'a Keys) -> BoxFuture<'a, Vec<String>> {
        self.look_around().boxed()
    }
}

/// Where the bucket must stay, which R2 says in its endpoint: `ACCOUNT.eu.r2.cloudflarestorage.com`.
fn jurisdiction<'a>(endpoint: &'a str, account: &str) -> Option<&'a str> {
    let host = endpoint.strip_prefix("https://")?.strip_prefix(account)?;
    let name = host
        .strip_prefix('.')?
        .strip_suffix(".r2.cloudflarestorage.com")?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jurisdiction_is_what_the_endpoint_says() {
        let of = |host: &str| jurisdiction(host, "a1").map(str::to_owned);
        assert_eq!(of("https://a1.r2.cloudflarestorage.com"), None);
        assert_eq!(of("https://a1.eu.r2.cloudflarestorage.com"), Some("eu".into()));
        assert_eq!(of("https://a2.eu.r2.cloudflarestorage.com"), None);
        assert_eq!(of("http://127.0.0.1:9000"), None);
    }
}

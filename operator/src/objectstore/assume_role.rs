//! Keys by STS `AssumeRole`, for one bucket and prefix, made with an admin's keys: AWS, Ceph, MinIO, and the operator's own
//! MinIO. STS keys end by themselves, and cannot be ended before.

use futures::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;

use super::{
    Bucket, BucketRemoval, Keys, Minted, Own, Removed, S3Bucket, S3Http, Source, StoreError, Supply,
    session_policy::{policy, removal_policy},
    sts::{self, StsRequest},
};

/// What validation knows.
#[derive(Clone, Debug)]
pub struct AssumeRoleRequest {
    pub bucket: Bucket,
    pub create_bucket: bool,
    /// The admin's.
    pub keys: Result<Keys, StoreError>,
    /// Name of the Secret that those are from, for messages.
    pub secret: String,
    pub sts_endpoint: String,
    pub role_arn: Option<String>,
    pub session_name: String,
    pub key_lifetime: SignedDuration,
    /// The operator runs the store.
    pub managed: bool,
}

pub struct AssumeRoleSource {
    http: S3Http,
    /// The bucket, for the admin's keys and for those that we make.
    admin: S3Bucket,
    made: S3Bucket,
    sts: StsRequest,
    request: AssumeRoleRequest,
}

impl AssumeRoleSource {
    pub fn new(http: S3Http, request: AssumeRoleRequest) -> Self {
        let bucket = |secret: &str| S3Bucket::new(http.clone(), request.bucket.clone(), secret.to_owned());
        Self {
            admin: bucket(&request.secret),
            made: bucket(""),
            sts: StsRequest {
                endpoint: request.sts_endpoint.clone(),
                region: sts::region_of(&request.sts_endpoint, &request.bucket),
                role_arn: request.role_arn.clone(),
                session_name: request.session_name.clone(),
                policy: policy(&request.bucket, request.role_arn.as_deref()),
                lifetime: request.key_lifetime,
                secret: request.secret.clone(),
            },
            http,
            request,
        }
    }

    async fn make_bucket(&self) -> Result<bool, StoreError> {
        let keys = self.request.keys.clone()?;
        // Without it the admin's keys need no rights to the bucket; whether there is one is seen with those we make.
        if !self.request.create_bucket {
            return Ok(false);
        }
        match self.admin.ensure(&keys).await {
            // A bucket that the admin's keys may not see is perhaps the role's.
            Err(StoreError::AccessDenied { .. }) => Ok(false),
            Err(StoreError::WrongKeys {
                endpoint,
                code,
                secret,
            }) => Err(StoreError::AdminKeysRefused {
                endpoint,
                code,
                secret,
            }),
            other => other.map_err(|error| self.own(error)),
        }
    }

    async fn make_keys(&self) -> Result<Minted, StoreError> {
        let keys = self.request.keys.clone()?;
        let minted = sts::assume_role(self.http.clone(), &self.sts, &keys).await;
        minted.map_err(|error| self.own(error))
    }

    async fn try_keys(&self, keys: &Keys) -> Result<(), StoreError> {
        self.made.check(keys).await.map_err(|error| match error {
            StoreError::MadeKeysRefused { code, .. } => StoreError::SessionDenied {
                endpoint: self.request.bucket.endpoint.clone(),
                bucket: self.request.bucket.name.clone(),
                prefix: self.request.bucket.prefix.clone(),
                code,
                who: match &self.request.role_arn {
                    Some(arn) => format!("the role {arn}"),
                    None => format!("the user whose keys are in the Secret {}", self.request.secret),
                },
            },
            other => self.own(other),
        })
    }

    async fn remove(&self, keys: &Keys, own: &Own) -> Result<Removed, StoreError> {
        let mut removed = self.made.remove_own(keys, own).await?;
        if removed.done {
            removed.uploads = self.abort_uploads(own).await?;
        }
        Ok(removed)
    }

    /// With keys for this alone: those of the servers do not list uploads.
    async fn abort_uploads(&self, own: &Own) -> Result<u64, StoreError> {
        let request = StsRequest {
            policy: removal_policy(&self.request.bucket, self.request.role_arn.as_deref()),
            ..self.sts.clone()
        };
        let made = match &self.request.keys {
            Ok(admin) => sts::assume_role(self.http.clone(), &request, admin).await,
            Err(error) => Err(error.clone()),
        };
        match made {
            Ok(minted) => self.made.abort_uploads(&minted.keys, own).await,
            // The objects are gone; this is not worth to hold up a removal.
            Err(error) => {
                tracing::info!(%error, "unfinished uploads are not looked for");
                Ok(0)
            }
        }
    }

    /// Of a store that the operator runs itself, nothing in the spec needs to be corrected.
    fn own(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Unreachable { endpoint, cause } | StoreError::StsUnreachable { endpoint, cause }
                if self.request.managed =>
            {
                StoreError::ManagedUnreachable { endpoint, cause }
            }
            StoreError::Sts { endpoint, answer, .. } if self.request.managed => StoreError::Managed {
                endpoint,
                action: "make keys",
                message: answer,
            },
            other => other,
        }
    }
}

impl Source for AssumeRoleSource {
    fn supply(&self) -> Supply {
        Supply::Minted {
            lifetime: self.request.key_lifetime,
        }
    }

    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.make_bucket().boxed()
    }

    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>> {
        self.make_keys().boxed()
    }

    fn check<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>> {
        self.try_keys(keys).boxed()
    }

    fn revoke_others<'a>(&'a self, _keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn s3(&self) -> Option<&S3Bucket> {
        Some(&self.made)
    }

    fn remove_own<'a>(&'a self, keys: &'a Keys, own: &'a Own) -> BoxFuture<'a, Result<Removed, StoreError>> {
        self.remove(keys, own).boxed()
    }

    fn remove_bucket<'a>(&'a self, _keys: &'a Keys) -> BoxFuture<'a, Result<BucketRemoval, StoreError>> {
        // Those that we make may only list under the prefix.
        match &self.request.keys {
            Ok(admin) => self.admin.remove_if_empty(admin).boxed(),
            Err(error) => std::future::ready(Err(error.clone())).boxed(),
        }
    }

    fn warnings<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Vec<String>> {
        self.admin
            .warnings(self.request.keys.as_ref().unwrap_or(keys), keys)
            .boxed()
    }
}

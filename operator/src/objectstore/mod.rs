//! Where a cluster's bucket and its keys come from: one source per file, all behind `Source`.

mod assume_role;
mod bucket;
mod bucket_contents;
mod ca;
mod cloudflare_api;
mod error;
mod error_kinds;
mod exposure;
mod garage;
mod garage_api;
mod given;
mod proxy;
mod r2;
mod region;
pub mod renewal;
mod session_policy;
mod store_node;
mod sts;
mod unusable;
mod uploads;
mod web_identity;

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};

pub use self::{
    assume_role::{AssumeRoleRequest, AssumeRoleSource},
    bucket::{S3Bucket, S3Http},
    bucket_contents::{BucketRemoval, Own, Removed},
    ca::CaBundle,
    error::StoreError,
    garage::{GarageRequest, GarageSource},
    garage_api::{GarageApi, GarageApiError},
    given::{GivenRequest, GivenSource},
    proxy::StoreProxy,
    r2::{R2Request, R2Source},
    store_node::{KnownNode, NodeOrder, NodeView, StoreNode},
    sts::{default_endpoint, session_name},
};
use self::{unusable::UnusableSource, web_identity::WebIdentitySource};
use sha2::{Digest, Sha256};

use crate::{error::root_cause, hex::hex, secret::SecretText};

/// Where the objects of a cluster are. It follows from the spec alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// URL of the S3 service, without a slash at its end.
    pub endpoint: String,
    pub region: String,
    pub name: String,
    /// It is named in the path of requests; false: in the name of the host.
    pub path_style: bool,
    /// What object names start with. It may be empty.
    pub prefix: String,
}

impl Bucket {
    /// `bucket crater under shore/tide/`, for people.
    pub fn place(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("bucket {}", self.name),
            prefix => format!("bucket {} under {prefix}", self.name),
        }
    }

    /// Whom requests go to.
    fn host_url(&self) -> String {
        match self.endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style => format!("{scheme}://{}.{host}", self.name),
            _ => self.endpoint.clone(),
        }
    }
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: SecretText,
    /// Temporary keys have one.
    pub session_token: Option<SecretText>,
}

impl Keys {
    /// What agents call a key in their `/status`, and pods in an annotation: 12 hexadecimal digits that tell it from others.
    /// The session token is in it, as all temporary keys of R2 have the ID of the token they were made with.
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new_with_prefix(&self.access_key_id);
        if let Some(token) = &self.session_token {
            digest.update("\n");
            digest.update(token.expose());
        }
        hex(&digest.finalize()[..6])
    }
}

/// Keys that a source has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    pub keys: Keys,
    /// When the store stops to accept them.
    pub expires: Option<Timestamp>,
}

/// How servers come to be let into the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supply {
    /// The user gives keys.
    Given(Result<Keys, StoreError>),
    /// The source makes keys that live this long.
    Minted { lifetime: SignedDuration },
    /// There are no keys: the store trusts the pods' service account.
    ServiceAccount,
}

/// One way to get a bucket and keys to it. All calls are safe to repeat, also after having been interrupted anywhere.
pub trait Source: Send + Sync {
    fn supply(&self) -> Supply;

    /// Sees to it that the bucket exists, as far as the source may. True when it was made by this call.
    fn prepare(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Makes new keys for the bucket and prefix, and nothing else. Those made before stay good.
    fn mint(&self) -> BoxFuture<'_, Result<Minted, StoreError>>;

    /// Tries keys as the agents use them.
    fn check<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Ends all keys that it has made for this cluster but the one with the ID `keep`, and gives the IDs of the ended. Where a
    /// store cannot end keys before their time, it ends none.
    fn revoke_others<'a>(&'a self, keep: Option<&'a str>) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

    /// The bucket over S3. None where the operator has no keys to it.
    fn s3(&self) -> Option<&S3Bucket> {
        None
    }

    /// Whether there is an object whose name starts so. False where the operator has no keys.
    fn has_objects<'a>(&'a self, keys: &'a Keys, prefix: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        match self.s3() {
            Some(s3) => s3.has_objects(keys, prefix).boxed(),
            None => std::future::ready(Ok(false)).boxed(),
        }
    }

    /// Removes the objects of the cluster's own servers, for a while, and what they have not uploaded to the end.
    fn remove_own<'a>(&'a self, keys: &'a Keys, own: &'a Own) -> BoxFuture<'a, Result<Removed, StoreError>> {
        match self.s3() {
            Some(s3) => remove_own(s3, keys, own).boxed(),
            None => std::future::ready(Err(StoreError::NotRemovable)).boxed(),
        }
    }

    /// Removes the bucket if nothing is in it.
    fn remove_bucket<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Result<BucketRemoval, StoreError>> {
        match self.s3() {
            Some(s3) => s3.remove_if_empty(keys).boxed(),
            None => std::future::ready(Err(StoreError::NotRemovable)).boxed(),
        }
    }

    /// What people should know of the bucket, and nothing where the store does not tell.
    fn warnings<'a>(&'a self, keys: &'a Keys) -> BoxFuture<'a, Vec<String>> {
        match self.s3() {
            Some(s3) => s3.warnings(keys, keys).boxed(),
            None => std::future::ready(Vec::new()).boxed(),
        }
    }
}

async fn remove_own(s3: &S3Bucket, keys: &Keys, own: &Own) -> Result<Removed, StoreError> {
    let mut removed = s3.remove_own(keys, own).await?;
    if removed.done {
        removed.uploads = s3.abort_uploads(keys, own).await?;
    }
    Ok(removed)
}

/// What a source needs, decided by validation.
#[derive(Clone, Debug)]
pub enum SourceRequest {
    /// Given keys to any S3 service.
    Given(GivenRequest),
    /// A Garage, the operator's own or another.
    Garage(GarageRequest),
    /// Temporary keys of Cloudflare's.
    R2(R2Request),
    /// No keys.
    WebIdentity,
    /// It cannot be asked, and this is why.
    Unusable { error: StoreError, bucket: Bucket },
    /// Keys by STS, of the operator's own MinIO or of any service that has one.
    AssumeRole(AssumeRoleRequest),
}

/// How a store is reached, and who makes keys to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// None: whom everybody trusts.
    pub ca: Option<CaBundle>,
    pub proxy: Option<StoreProxy>,
}

/// Makes sources from requests. Tests put their own in its place.
pub trait Sources: Send + Sync {
    fn source(&self, request: &SourceRequest) -> Box<dyn Source>;

    /// A source that trusts these authorities and no others, and asks through this proxy.
    fn reached(&self, way: &Way, request: &SourceRequest) -> Result<Box<dyn Source>, StoreError>;

    /// A node of a managed Garage by itself.
    fn store_node(&self, admin_url: String, admin_token: SecretText) -> Box<dyn StoreNode>;
}

/// The real ones.
#[derive(Clone)]
pub struct RealSources {
    http: reqwest::Client,
    s3_http: S3Http,
}

impl RealSources {
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: http_client().build()?,
            s3_http: bucket::http_client(),
        })
    }

    fn by(way: &Way) -> Result<Self, String> {
        let mut http = http_client();
        if let Some(ca) = &way.ca {
            let certificates = reqwest::Certificate::from_pem_bundle(ca.pem().as_bytes());
            http = http.tls_certs_only(certificates.map_err(|error| root_cause(&error))?);
        }
        if let Some(proxy) = &way.proxy {
            http = http.proxy(proxy.of_reqwest().map_err(|error| root_cause(&error))?);
        }
        Ok(Self {
            http: http.build().map_err(|error| root_cause(&error))?,
            s3_http: bucket::http_client_by(way)?,
        })
    }
}

fn http_client() -> reqwest::ClientBuilder {
    crate::http_client::builder()
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_secs(10))
}

impl Sources for RealSources {
    /// Made anew each time: we ask seldom, and certificates change.
    fn reached(&self, way: &Way, request: &SourceRequest) -> Result<Box<dyn Source>, StoreError> {
        match Self::by(way) {
            Ok(sources) => Ok(sources.source(request)),
            Err(reason) => Err(StoreError::NoTls { reason }),
        }
    }

    fn store_node(&self, admin_url: String, admin_token: SecretText) -> Box<dyn StoreNode> {
        Box::new(GarageApi::new(self.http.clone(), admin_url, admin_token))
    }

    fn source(&self, request: &SourceRequest) -> Box<dyn Source> {
        let s3 = self.s3_http.clone();
        match request {
            SourceRequest::Given(request) => Box::new(GivenSource::new(s3, request.clone())),
            SourceRequest::Garage(request) => {
                Box::new(GarageSource::new(self.http.clone(), s3, request.clone()))
            }
            SourceRequest::R2(request) => Box::new(R2Source::new(self.http.clone(), s3, request.clone())),
            SourceRequest::WebIdentity => Box::new(WebIdentitySource),
            SourceRequest::Unusable { error, bucket } => {
                Box::new(UnusableSource::new(s3, bucket.clone(), error.clone()))
            }
            SourceRequest::AssumeRole(request) => Box::new(AssumeRoleSource::new(s3, request.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_the_agents() {
        let mut keys = Keys {
            access_key_id: "abc".into(),
            secret_access_key: SecretText::new("s"),
            session_token: None,
        };
        assert_eq!(keys.fingerprint(), "ba7816bf8f01");
        keys.session_token = Some(SecretText::new("one"));
        assert_eq!(keys.fingerprint(), "7528c3acf788");
    }
}

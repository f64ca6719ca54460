//! What a spec comes to: a plan, or what is wrong with it. Pure.

use std::net::IpAddr;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zonetide_crds::{DnsClusterSpec, PowerDnsVersion, Reason, WebIdentity};

use super::{expose::Exposure, origin::Origin, sts_store};
use crate::{
    hex::hex,
    map_size::SizeError,
    names::{self, Names, VERSION_ANNOTATION},
    objectstore::{
        AssumeRoleRequest, Bucket, CaBundle, GarageRequest, GivenRequest, Keys, R2Request, Source,
        SourceRequest, Sources, StoreError, StoreProxy, Way,
    },
    secret::SecretText,
    settings::Settings,
};

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ValidateError {
    #[error("spec.powerdns.config has the setting {0:?}: names have only a-z, 0-9 and -, correct it")]
    SettingName(String),
    #[error("spec.powerdns.config must not set {0}: the operator owns it, remove it")]
    SettingOwned(String),
    #[error("the value of {0} in spec.powerdns.config {1}")]
    SettingValue(String, &'static str),
    #[error(
        "spec.powerdns.version is {:?}, but the servers' data are of PowerDNS {}, and this release does not move them: write {:?}, or remove the field",
        wanted.as_str(), made.as_str(), made.as_str()
    )]
    VersionChanged {
        wanted: PowerDnsVersion,
        made: PowerDnsVersion,
    },
    #[error(
        "there is a PersistentVolumeClaim {0} already, which does not say of which PowerDNS its data are: if it was made for servers of an earlier release of Zonetide, annotate it with {VERSION_ANNOTATION}=4.9; if it is empty, with {VERSION_ANNOTATION}=5.1"
    )]
    ClaimUnknown(String),
    #[error(
        "the volumes are of PowerDNS {0}, which this release of Zonetide does not know: upgrade Zonetide to the release that made them"
    )]
    VersionUnknown(String),
    #[error("spec.storage.size {size}: {source}")]
    Size { size: String, source: SizeError },
    #[error("spec.objectStore needs exactly one of managed and s3")]
    Store,
    #[error("spec.objectStore.s3.credentials names no keys: give exactly one of its fields")]
    NoKeys,
    #[error("spec.objectStore.{field} {text:?} is no duration: write one like 1h or 90m")]
    Lifetime { field: &'static str, text: String },
    #[error(
        "the Secret {name}, named in spec.powerdns.apiKeySecretRef, is missing: create it with the key {key}"
    )]
    ApiKeySecretMissing { name: String, key: String },
    #[error(
        "the Secret {name} has no usable API key under {key}: it must be text of 8 or more characters without spaces and without #"
    )]
    ApiKeyUnusable { name: String, key: String },
    #[error("the API key in the Secret {name} under {key} {why}")]
    ApiKeyMisread {
        name: String,
        key: String,
        why: &'static str,
    },
    #[error("the Secret {name} has lost its key {key}: delete it, another one is made")]
    OwnSecretBroken { name: String, key: &'static str },
}

impl ValidateError {
    /// The word for the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::ApiKeySecretMissing { .. } | Self::ApiKeyUnusable { .. } | Self::ApiKeyMisread { .. } => {
                Reason::SecretMissing
            }
            _ => Reason::InvalidSpec,
        }
    }
}

/// Everything that building needs, decided.
#[derive(Clone, Debug)]
pub struct Plan {
    pub names: Names,
    pub owner: OwnerReference,
    pub spec: DnsClusterSpec,
    pub settings: Settings,
    /// What it was made as.
    pub origin: Origin,
    /// What instance IDs start with, up to the pod's name.
    pub instance_prefix: String,
    pub bucket: Bucket,
    pub store: StorePlan,
    /// What of a managed store is reached from outside.
    pub exposure: Exposure,
    /// Who signed the store's certificate, if not one whom everybody trusts; or why that cannot be read.
    pub ca: Result<Option<CaBundle>, StoreError>,
    /// What is on the way to the store, or why it may not be.
    pub proxy: Result<Option<StoreProxy>, StoreError>,
    /// What the servers are made from, or why they are left as they are. Store and keys do without it.
    pub servers: Result<ServerPlan, ValidateError>,
}

/// What servers need besides.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    pub map_size_mb: u64,
    pub api_key: SecretText,
    /// What agents show each other.
    pub peers_token: SecretText,
}

/// Where the bucket comes from.
#[derive(Clone, Debug)]
pub enum StorePlan {
    Garage {
        rpc_secret: SecretText,
        admin_token: SecretText,
        key_lifetime: SignedDuration,
    },
    Minio {
        /// None: there is none to be had.
        image: Option<String>,
        root: Keys,
        key_lifetime: SignedDuration,
    },
    /// Somebody else's; keys are asked for with this.
    Given(GivenRequest),
    /// A Garage that is there already, or why it cannot be asked.
    ExistingGarage(Result<GarageRequest, StoreError>),
    /// Cloudflare R2, or why it cannot be asked.
    R2(Result<R2Request, StoreError>),
    /// Somebody else's that trusts the pods' service account.
    WebIdentity(WebIdentity),
    /// Somebody else's, where an STS makes keys.
    AssumeRole(AssumeRoleRequest),
}

/// The bucket in the managed store. The store is this cluster's alone, so the name needs nothing of the cluster's.
pub(super) const MANAGED_BUCKET: &str = "zonetide";
/// What its keys are called.
const MANAGED_KEY: &str = "zonetide";
/// The region that Garage is told, and requests are signed for.
pub const MANAGED_REGION: &str = "garage";

impl Plan {
    /// The question to the source of the bucket. `store_ip` is the address of the managed store's pod: a new
    /// Service may be unknown to DNS and to the nodes for a while, and its name resolve to who knows what outside.
    pub fn source_request(&self, store_ip: Option<IpAddr>) -> SourceRequest {
        match &self.store {
            StorePlan::Garage {
                admin_token,
                key_lifetime,
                ..
            } => {
                let host = url_host(store_ip).unwrap_or_else(|| self.names.garage_host());
                SourceRequest::Garage(GarageRequest {
                    admin_url: format!("http://{host}:{}", names::GARAGE_ADMIN_PORT),
                    admin_token: admin_token.clone(),
                    bucket: Bucket {
                        endpoint: format!("http://{host}:{}", names::GARAGE_S3_PORT),
                        ..self.bucket.clone()
                    },
                    key_name: MANAGED_KEY.to_owned(),
                    key_lifetime: *key_lifetime,
                    managed: true,
                    create_bucket: true,
                    token_secret: self.names.garage(),
                })
            }
            StorePlan::Minio {
                root, key_lifetime, ..
            } => {
                let host = url_host(store_ip).unwrap_or_else(|| self.names.minio_host());
                let request = sts_store::minio_request(self, &host, root, *key_lifetime);
                SourceRequest::AssumeRole(request)
            }
            StorePlan::Given(request) => SourceRequest::Given(request.clone()),
            StorePlan::ExistingGarage(request) => self.or_unusable(request, SourceRequest::Garage),
            StorePlan::R2(request) => self.or_unusable(request, SourceRequest::R2),
            StorePlan::WebIdentity(_) => SourceRequest::WebIdentity,
            StorePlan::AssumeRole(request) => SourceRequest::AssumeRole(request.clone()),
        }
    }

    fn or_unusable<T: Clone>(
        &self,
        request: &Result<T, StoreError>,
        then: impl FnOnce(T) -> SourceRequest,
    ) -> SourceRequest {
        match request {
            Ok(request) => then(request.clone()),
            Err(error) => SourceRequest::Unusable {
                error: error.clone(),
                bucket: self.bucket.clone(),
            },
        }
    }

    /// The source of the bucket and its keys.
    pub fn source(
        &self,
        sources: &dyn Sources,
        store_ip: Option<IpAddr>,
    ) -> Result<Box<dyn Source>, StoreError> {
        let request = self.source_request(store_ip);
        let way = Way {
            ca: self.ca.clone()?,
            proxy: self.proxy.clone()?,
        };
        if way == Way::default() {
            return Ok(sources.source(&request));
        }
        sources.reached(&way, &request)
    }

    /// What keys must be good for: others are of no use. Keys that are made in another way replace those there are.
    pub fn source_id(&self) -> String {
        let how = match &self.store {
            StorePlan::Garage { .. } => "managed Garage".to_owned(),
            StorePlan::Minio { .. } => "managed MinIO".to_owned(),
            StorePlan::Given(_) => "given".to_owned(),
            StorePlan::ExistingGarage(_) => "Garage".to_owned(),
            StorePlan::R2(_) => "R2".to_owned(),
            StorePlan::AssumeRole(request) => sts_store::id(request),
            StorePlan::WebIdentity(_) => "service account".to_owned(),
        };
        let bucket = &self.bucket;
        let mut parts = vec![
            how.as_str(),
            &bucket.endpoint,
            &bucket.region,
            &bucket.name,
            &bucket.prefix,
        ];
        // Servers are sent another way when the store has opened on it.
        if !bucket.path_style {
            parts.push("in the name of the host");
        }
        let proxy = self.proxy.as_ref().ok().and_then(Option::as_ref);
        let proxy = proxy.and_then(|proxy| proxy.before(&bucket.endpoint));
        parts.extend(proxy.as_deref());
        hex(&Sha256::digest(parts.join("\n"))[..8])
    }

    /// The name of a pod's server in the bucket.
    pub fn instance(&self, pod: &str) -> String {
        format!("{}{pod}", self.instance_prefix)
    }

    /// The same as agents write it into the names of objects.
    pub fn stored_instance(&self, pod: &str) -> String {
        names::stored(&self.instance(pod))
    }
}

/// An address as URLs have it.
pub(super) fn url_host(ip: Option<IpAddr>) -> Option<String> {
    ip.map(|ip| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    })
}

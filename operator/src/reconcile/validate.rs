//! Step 2: turns a spec and what was found into a plan, or says what is wrong with it. Pure.
//!
//! The schema's rules have refused most mistakes already. What is left needs other objects, or more than CEL affords.

use std::net::IpAddr;

use jiff::SignedDuration;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zonetide_crds::{DnsClusterSpec, Engine, OWNED_SETTINGS, Reason, WebIdentity, misread};

use super::{expose::Exposure, fetch::Fetched, s3_sources, sts_store};
use crate::{
    hex::hex,
    map_size::{self, SizeError},
    names::{self, Names},
    objectstore::{
        AssumeRoleRequest, Bucket, CaBundle, GarageRequest, GivenRequest, Keys, R2Request, Source,
        SourceRequest, Sources, StoreError,
    },
    secret::SecretText,
    settings::Settings,
};

/// The database schema of PowerDNS 4.8 and 4.9, the versions that this release runs. It ends every prefix: servers of
/// different schemas must never share one.
pub const SCHEMA: u32 = 5;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ValidateError {
    #[error("spec.powerdns.config has the setting {0:?}: names have only a-z, 0-9 and -, correct it")]
    SettingName(String),
    #[error("spec.powerdns.config must not set {0}: the operator owns it, remove it")]
    SettingOwned(String),
    #[error("the value of {0} in spec.powerdns.config {1}")]
    SettingValue(String, &'static str),
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
    /// What instance IDs start with, up to the pod's name.
    pub instance_prefix: String,
    pub bucket: Bucket,
    pub store: StorePlan,
    /// What of a managed store is reached from outside.
    pub exposure: Exposure,
    /// Who signed the store's certificate, if not one whom everybody trusts; or why that cannot be read.
    pub ca: Result<Option<CaBundle>, StoreError>,
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
            StorePlan::Minio { root, key_lifetime } => {
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
        match self.ca.clone()? {
            Some(ca) => sources.trusting(&ca, &request),
            None => Ok(sources.source(&request)),
        }
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
        let parts = [
            &how,
            &bucket.endpoint,
            &bucket.region,
            &bucket.name,
            &bucket.prefix,
        ];
        hex(&Sha256::digest(parts.map(String::as_str).join("\n"))[..8])
    }

    /// The name of a pod's server in the bucket.
    pub fn instance(&self, pod: &str) -> String {
        format!("{}{pod}", self.instance_prefix)
    }
}

/// An address as URLs have it.
fn url_host(ip: Option<IpAddr>) -> Option<String> {
    ip.map(|ip| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    })
}

/// Turns what was found into a plan.
///
/// # Errors
/// When not even the store and its keys can be looked after. What is wrong with the servers alone is in the plan.
pub fn validate(fetched: &Fetched, settings: &Settings) -> Result<Plan, ValidateError> {
    let cluster = &fetched.cluster;
    let names = Names {
        namespace: cluster.namespace().unwrap_or_default(),
        cluster: cluster.name_any(),
    };
    let (bucket, store) = store(fetched, settings, &names)?;
    Ok(Plan {
        owner: cluster.controller_owner_ref(&()).unwrap_or_default(),
        instance_prefix: format!("{}-{}-", site(fetched), names.namespace),
        servers: servers(fetched, &names),
        bucket,
        store,
        exposure: Exposure::of(&cluster.spec, &names, &settings.expose),
        ca: s3_sources::ca(fetched),
        spec: cluster.spec.clone(),
        settings: settings.clone(),
        names,
    })
}

fn servers(fetched: &Fetched, names: &Names) -> Result<ServerPlan, ValidateError> {
    let spec = &fetched.cluster.spec;
    check_config(spec)?;
    let size = &spec.storage.size;
    let map_size_mb = map_size::from_volume(size).map_err(|source| ValidateError::Size {
        size: size.clone(),
        source,
    })?;
    Ok(ServerPlan {
        map_size_mb,
        api_key: api_key(fetched, names)?,
        peers_token: kept(
            fetched.secrets.peers.as_ref(),
            &names.peers_secret(),
            names::PEERS_TOKEN,
            SecretText::random_hex,
        )?,
    })
}

/// The schema cannot bound the names of settings at a bearable cost, and objects older than a rule are not checked by it.
fn check_config(spec: &DnsClusterSpec) -> Result<(), ValidateError> {
    for (setting, value) in &spec.powerdns.config {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if setting.is_empty() || !setting.bytes().all(plain) {
            return Err(ValidateError::SettingName(setting.clone()));
        }
        if OWNED_SETTINGS.iter().any(|(owned, _)| owned == setting) {
            return Err(ValidateError::SettingOwned(setting.clone()));
        }
        if let Some(why) = misread(value) {
            return Err(ValidateError::SettingValue(setting.clone(), why));
        }
    }
    Ok(())
}

fn site(fetched: &Fetched) -> String {
    let given = fetched.cluster.spec.replication.site.clone();
    given.unwrap_or_else(|| fetched.short_uid())
}

fn api_key(fetched: &Fetched, names: &Names) -> Result<SecretText, ValidateError> {
    let Some(reference) = &fetched.cluster.spec.powerdns.api_key_secret_ref else {
        let (name, own) = (names.api_key(), fetched.secrets.api_key.as_ref());
        let made = kept(own, &name, names::API_KEY, || SecretText::random(40))?;
        // Somebody may have put another one into it.
        return readable(made, &name, names::API_KEY);
    };
    let (name, key) = (reference.name.clone(), reference.key.clone());
    let Some(secret) = &fetched.secrets.given_api_key else {
        return Err(ValidateError::ApiKeySecretMissing { name, key });
    };
    let text = value(secret, &key).unwrap_or_default();
    // It becomes a line of a file, where a blank and a # begin a comment.
    if text.len() < 8 || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(ValidateError::ApiKeyUnusable { name, key });
    }
    readable(SecretText::new(text), &name, &key)
}

/// The API key becomes a line of a file of settings too.
fn readable(api_key: SecretText, name: &str, key: &str) -> Result<SecretText, ValidateError> {
    match misread(api_key.expose()) {
        None => Ok(api_key),
        Some(why) => Err(ValidateError::ApiKeyMisread {
            name: name.to_owned(),
            key: key.to_owned(),
            why,
        }),
    }
}

fn store(
    fetched: &Fetched,
    settings: &Settings,
    names: &Names,
) -> Result<(Bucket, StorePlan), ValidateError> {
    let object_store = &fetched.cluster.spec.object_store;
    let default_prefix = format!("{}/{}", names.namespace, names.cluster);
    match (&object_store.managed, &object_store.s3) {
        (Some(managed), None) if managed.engine == Engine::MinIO => {
            sts_store::minio(fetched, names, managed, with_schema(&default_prefix))
        }
        (Some(managed), None) => {
            let own = fetched.secrets.garage.as_ref();
            let keep = |key| kept(own, &names.garage(), key, SecretText::random_hex);
            let bucket = Bucket {
                endpoint: format!("http://{}:{}", names.garage_host(), names::GARAGE_S3_PORT),
                region: MANAGED_REGION.to_owned(),
                name: MANAGED_BUCKET.to_owned(),
                prefix: with_schema(&default_prefix),
            };
            let plan = StorePlan::Garage {
                rpc_secret: keep(names::GARAGE_RPC_SECRET)?,
                admin_token: keep(names::GARAGE_ADMIN_TOKEN)?,
                key_lifetime: lifetime("managed.keyLifetime", &managed.key_lifetime)?,
            };
            Ok((bucket, plan))
        }
        (None, Some(s3)) => {
            let bucket = Bucket {
                endpoint: s3.endpoint.trim_end_matches('/').to_owned(),
                region: s3.region.clone(),
                name: s3.bucket.clone(),
                prefix: with_schema(s3.prefix.as_deref().unwrap_or(&default_prefix)),
            };
            let plan = s3_sources::plan(fetched, settings, names, s3, &bucket)?;
            Ok((bucket, plan))
        }
        _ => Err(ValidateError::Store),
    }
}

/// A duration like `1h30m`, which the schema has checked.
pub(super) fn lifetime(field: &'static str, text: &str) -> Result<SignedDuration, ValidateError> {
    text.parse().map_err(|_| ValidateError::Lifetime {
        field,
        text: text.to_owned(),
    })
}

/// What we made once stays. Where the Secret is there but the key is not, someone has edited it: making another key
/// in silence could lock users or servers out.
pub(super) fn kept(
    secret: Option<&Secret>,
    name: &str,
    key: &'static str,
    make: impl FnOnce() -> SecretText,
) -> Result<SecretText, ValidateError> {
    match secret {
        None => Ok(make()),
        Some(secret) => value(secret, key)
            .filter(|text| !text.is_empty())
            .map(SecretText::new)
            .ok_or_else(|| ValidateError::OwnSecretBroken {
                name: name.to_owned(),
                key,
            }),
    }
}

/// Text under a key of a Secret, without the line break that editors leave at its end.
pub(super) fn value(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(bytes.0.clone()).ok()?.trim().to_owned())
}

fn with_schema(prefix: &str) -> String {
    format!("{}/schema-{SCHEMA}/", prefix.trim_end_matches('/'))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

//! Step 2: turns a spec and what was found into a plan, or says what is wrong with it. Pure.
//!
//! The schema's rules have refused most mistakes already. What is left needs other objects, or more than CEL affords.

use std::net::IpAddr;

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource, ResourceExt};
use thiserror::Error;
use zonetide_crds::{DnsClusterSpec, OWNED_SETTINGS, Reason};

use super::fetch::Fetched;
use crate::{
    map_size::{self, SizeError},
    names::{self, Names},
    objectstore::{Bucket, Keys, SourceRequest, StoreError},
    secret::SecretText,
    settings::Settings,
};

/// The database schema of PowerDNS 4.8 and 4.9, the versions that this release runs. It ends every prefix: servers of
/// different schemas must never share one.
pub const SCHEMA: u32 = 5;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum ValidateError {
    #[error("spec.powerdns.config has the setting {0:?}: names have only a-z, 0-9 and -, correct it")]
    SettingName(String),
    #[error("spec.powerdns.config must not set {0}: the operator owns it, remove it")]
    SettingOwned(String),
    #[error("spec.powerdns.config sets {0} to more than one line: put it on one")]
    SettingValue(String),
    #[error("spec.storage.size {size}: {source}")]
    Size { size: String, source: SizeError },
    #[error("spec.objectStore needs exactly one of managed and s3")]
    Store,
    #[error(
        "the Secret {name}, named in spec.powerdns.apiKeySecretRef, is missing: create it with the key {key}"
    )]
    ApiKeySecretMissing { name: String, key: String },
    #[error(
        "the Secret {name} has no usable API key under {key}: it must be text of 8 or more characters without spaces and without #"
    )]
    ApiKeyUnusable { name: String, key: String },
    #[error("the Secret {name} has lost its key {key}: delete it, another one is made")]
    OwnSecretBroken { name: String, key: &'static str },
}

impl ValidateError {
    /// The word for the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::ApiKeySecretMissing { .. } | Self::ApiKeyUnusable { .. } => Reason::SecretMissing,
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
    pub map_size_mb: u64,
    pub api_key: SecretText,
    pub bucket: Bucket,
    pub store: StorePlan,
}

/// Where the bucket comes from.
#[derive(Clone, Debug)]
pub enum StorePlan {
    Garage {
        rpc_secret: SecretText,
        admin_token: SecretText,
    },
    S3 {
        create_bucket: bool,
        keys: Result<Keys, StoreError>,
        secret: String,
    },
}

/// The bucket in the managed store. The store is this cluster's alone, so the name needs nothing of the cluster's.
const MANAGED_BUCKET: &str = "zonetide";
/// The region that Garage is told, and requests are signed for.
pub const MANAGED_REGION: &str = "garage";

impl Plan {
    /// The question to the source of the bucket. `garage_ip` is the address of the managed store's pod: a new
    /// Service may be unknown to DNS and to the nodes for a while, and its name resolve to who knows what outside.
    pub fn source_request(&self, garage_ip: Option<IpAddr>) -> SourceRequest {
        match &self.store {
            StorePlan::Garage { admin_token, .. } => SourceRequest::Garage {
                admin_url: {
                    let host = match garage_ip {
                        Some(IpAddr::V4(ip)) => ip.to_string(),
                        Some(IpAddr::V6(ip)) => format!("[{ip}]"),
                        None => self.names.garage_host(),
                    };
                    format!("http://{host}:{}", names::GARAGE_ADMIN_PORT)
                },
                admin_token: admin_token.clone(),
                bucket: self.bucket.name.clone(),
            },
            StorePlan::S3 {
                create_bucket,
                keys,
                secret,
            } => SourceRequest::S3 {
                bucket: self.bucket.clone(),
                create_bucket: *create_bucket,
                keys: keys.clone(),
                secret: secret.clone(),
            },
        }
    }

    /// The name of a pod's server in the bucket.
    pub fn instance(&self, pod: &str) -> String {
        format!("{}{pod}", self.instance_prefix)
    }
}

pub fn validate(fetched: &Fetched, settings: &Settings) -> Result<Plan, ValidateError> {
    let cluster = &fetched.cluster;
    let names = Names {
        namespace: cluster.namespace().unwrap_or_default(),
        cluster: cluster.name_any(),
    };
    check_config(&cluster.spec)?;
    let size = &cluster.spec.storage.size;
    let map_size_mb = map_size::from_volume(size).map_err(|source| ValidateError::Size {
        size: size.clone(),
        source,
    })?;
    let (bucket, store) = store(fetched, &names)?;
    Ok(Plan {
        owner: cluster.controller_owner_ref(&()).unwrap_or_default(),
        instance_prefix: format!("{}-{}-", site(fetched), names.namespace),
        map_size_mb,
        api_key: api_key(fetched, &names)?,
        bucket,
        store,
        spec: cluster.spec.clone(),
        settings: settings.clone(),
        names,
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
        if value.contains(['\n', '\r']) {
            return Err(ValidateError::SettingValue(setting.clone()));
        }
    }
    Ok(())
}

fn site(fetched: &Fetched) -> String {
    let default = || {
        fetched
            .kubernetes_uid
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect()
    };
    fetched
        .cluster
        .spec
        .replication
        .site
        .clone()
        .unwrap_or_else(default)
}

fn api_key(fetched: &Fetched, names: &Names) -> Result<SecretText, ValidateError> {
    let Some(reference) = &fetched.cluster.spec.powerdns.api_key_secret_ref else {
        return kept(
            fetched.secrets.api_key.as_ref(),
            &names.api_key(),
            names::API_KEY,
            || SecretText::random(40),
        );
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
    Ok(SecretText::new(text))
}

fn store(fetched: &Fetched, names: &Names) -> Result<(Bucket, StorePlan), ValidateError> {
    let object_store = &fetched.cluster.spec.object_store;
    let default_prefix = format!("{}/{}", names.namespace, names.cluster);
    match (&object_store.managed, &object_store.s3) {
        (Some(_), None) => {
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
            let plan = StorePlan::S3 {
                create_bucket: s3.create_bucket,
                keys: given_keys(fetched, &s3.credentials.secret_ref),
                secret: s3.credentials.secret_ref.name.clone(),
            };
            Ok((bucket, plan))
        }
        _ => Err(ValidateError::Store),
    }
}

fn given_keys(
    fetched: &Fetched,
    reference: &zonetide_crds::CredentialsSecretRef,
) -> Result<Keys, StoreError> {
    let Some(secret) = &fetched.secrets.given_credentials else {
        return Err(StoreError::SecretMissing {
            name: reference.name.clone(),
            id_key: reference.access_key_id_key.clone(),
            secret_key: reference.secret_access_key_key.clone(),
        });
    };
    let get = |key: &str, field| {
        value(secret, key)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| StoreError::SecretKeyMissing {
                name: reference.name.clone(),
                key: key.to_owned(),
                field,
            })
    };
    Ok(Keys {
        access_key_id: get(
            &reference.access_key_id_key,
            "spec.objectStore.s3.credentials.secretRef.accessKeyIdKey",
        )?,
        secret_access_key: SecretText::new(get(
            &reference.secret_access_key_key,
            "spec.objectStore.s3.credentials.secretRef.secretAccessKeyKey",
        )?),
    })
}

/// What we made once stays. Where the Secret is there but the key is not, someone has edited it: making another key
/// in silence could lock users or servers out.
fn kept(
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
fn value(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(bytes.0.clone()).ok()?.trim().to_owned())
}

fn with_schema(prefix: &str) -> String {
    format!("{}/schema-{SCHEMA}/", prefix.trim_end_matches('/'))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

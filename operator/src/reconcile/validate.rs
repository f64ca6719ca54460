//! Step 2: turns a spec and what was found into a plan, or says what is wrong with it. Pure.
//!
//! The schema's rules have refused most mistakes already. What is left needs other objects, or more than CEL affords.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use zonetide_crds::{DnsClusterSpec, Engine, OWNED_SETTINGS, misread};

use super::{
    expose::Exposure,
    fetch::Fetched,
    origin::Origin,
    plan::{MANAGED_BUCKET, MANAGED_REGION, Plan, ServerPlan, StorePlan, ValidateError},
    s3_sources, sts_store,
};
use crate::{
    map_size,
    names::{self, Names},
    objectstore::Bucket,
    secret::SecretText,
    settings::Settings,
};

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
    let origin = Origin::of(fetched)?;
    let (bucket, store) = store(fetched, settings, &names, origin)?;
    Ok(Plan {
        owner: cluster.controller_owner_ref(&()).unwrap_or_default(),
        instance_prefix: format!("{}-{}-", site(fetched), names.namespace),
        servers: servers(fetched, &names, origin),
        origin,
        bucket,
        store,
        exposure: Exposure::of(&cluster.spec, &names, &settings.expose),
        ca: s3_sources::ca(fetched),
        proxy: s3_sources::proxy(fetched, settings),
        spec: cluster.spec.clone(),
        settings: settings.clone(),
        names,
    })
}

fn servers(fetched: &Fetched, names: &Names, origin: Origin) -> Result<ServerPlan, ValidateError> {
    let spec = &fetched.cluster.spec;
    if let Some(wanted) = spec.powerdns.version.filter(|wanted| *wanted != origin.version) {
        let made = origin.version;
        return Err(ValidateError::VersionChanged { wanted, made });
    }
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
    origin: Origin,
) -> Result<(Bucket, StorePlan), ValidateError> {
    let object_store = &fetched.cluster.spec.object_store;
    let default_prefix = format!("{}/{}/", names.namespace, names.cluster);
    match (&object_store.managed, &object_store.s3) {
        (Some(managed), None) if managed.engine == Engine::MinIO => {
            sts_store::minio(fetched, settings, names, managed, origin.prefix(&default_prefix))
        }
        (Some(managed), None) => {
            let own = fetched.secrets.garage.as_ref();
            let keep = |key| kept(own, &names.garage(), key, SecretText::random_hex);
            let bucket = Bucket {
                endpoint: format!("http://{}:{}", names.garage_host(), names::GARAGE_S3_PORT),
                region: MANAGED_REGION.to_owned(),
                name: MANAGED_BUCKET.to_owned(),
                path_style: true,
                prefix: origin.prefix(&default_prefix),
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
                path_style: s3.path_style,
                prefix: origin.prefix(s3.prefix.as_deref().unwrap_or(&default_prefix)),
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

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

//! From `spec.objectStore.s3.credentials` to the question that a source is asked. Pure.

use zonetide_crds::{Credentials, CredentialsSecretRef, ExistingGarage, R2, S3Store, TokenRef};

use super::{
    admin,
    fetch::Fetched,
    grant::{Scope, Wanted},
    plan::{StorePlan, ValidateError},
    sts_store,
    validate::{lifetime, value},
};
use crate::{
    names::Names,
    objectstore::{Bucket, CaBundle, GarageRequest, GivenRequest, Keys, R2Request, StoreError, StoreProxy},
    secret::SecretText,
    settings::Settings,
};

/// The plan for the source that is named.
pub(super) fn plan(
    fetched: &Fetched,
    settings: &Settings,
    names: &Names,
    s3: &S3Store,
    bucket: &Bucket,
) -> Result<StorePlan, ValidateError> {
    let credentials = &s3.credentials;
    if let Some(reference) = &credentials.secret_ref {
        return Ok(StorePlan::Given(GivenRequest {
            bucket: bucket.clone(),
            create_bucket: s3.create_bucket,
            keys: given_keys(fetched, reference),
            secret: reference.name.clone(),
        }));
    }
    if let Some(role) = &credentials.assume_role {
        return sts_store::assume_role(fetched, names, s3, role, bucket.clone());
    }
    if let Some(source) = &credentials.garage {
        return garage(fetched, names, s3, source, bucket);
    }
    if let Some(source) = &credentials.r2 {
        return r2(fetched, settings, names, s3, source, bucket);
    }
    if let Some(source) = &credentials.web_identity {
        return Ok(StorePlan::WebIdentity(source.clone()));
    }
    Err(ValidateError::NoKeys)
}

/// The authorities that the spec names, for all that is asked of the store.
pub(super) fn ca(fetched: &Fetched) -> Result<Option<CaBundle>, StoreError> {
    let s3 = fetched.cluster.spec.object_store.s3.as_ref();
    let Some((s3, reference)) = s3.and_then(|s3| Some((s3, s3.ca_secret_ref.as_ref()?))) else {
        return Ok(None);
    };
    let (name, key) = (reference.name.clone(), reference.key.clone());
    let Some(secret) = &fetched.secrets.ca else {
        return Err(StoreError::TokenMissing { name, key });
    };
    // Whoever chooses whom we trust could put himself in the place of the server that is allowed.
    let token = s3
        .credentials
        .garage
        .as_ref()
        .map(|garage| &garage.token_secret_ref);
    if is_foreign(token, fetched) {
        return Err(StoreError::CaNotGranted);
    }
    let Some(text) = value(secret, &key).filter(|text| !text.is_empty()) else {
        let field = "spec.objectStore.s3.caSecretRef.key";
        return Err(StoreError::SecretKeyMissing { name, key, field });
    };
    match CaBundle::parse(&text) {
        Ok(ca) => Ok(Some(ca)),
        Err(reason) => Err(StoreError::CaUnusable { name, key, reason }),
    }
}

/// The proxy that the spec names, or else the operator's. Stores of the operator's own are beside it.
pub(super) fn proxy(fetched: &Fetched, settings: &Settings) -> Result<Option<StoreProxy>, StoreError> {
    let Some(s3) = &fetched.cluster.spec.object_store.s3 else {
        return Ok(None);
    };
    let Credentials { garage, r2, .. } = &s3.credentials;
    let token = garage.as_ref().map(|garage| &garage.token_secret_ref);
    let token = token.or(r2.as_ref().map(|r2| &r2.token_secret_ref));
    match s3.proxy.as_deref() {
        None => Ok(settings.store_proxy.clone()),
        Some("none") => Ok(None),
        // Whoever chooses the proxy could read on it what is not encrypted on its way.
        Some(_) if is_foreign(token, fetched) => Err(StoreError::ProxyNotGranted),
        Some(url) => match StoreProxy::parse(url, "") {
            Some(proxy) => Ok(Some(proxy)),
            None => Err(StoreError::NoProxy),
        },
    }
}

/// Whether a token is in a Secret of another namespace.
fn is_foreign(token: Option<&TokenRef>, fetched: &Fetched) -> bool {
    let namespace = token.and_then(|token| token.namespace.as_ref());
    namespace.is_some_and(|other| Some(other) != fetched.cluster.metadata.namespace.as_ref())
}

fn given_keys(fetched: &Fetched, reference: &CredentialsSecretRef) -> Result<Keys, StoreError> {
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
        session_token: None,
    })
}

/// A Garage that is there already.
pub(super) fn garage(
    fetched: &Fetched,
    names: &Names,
    s3: &S3Store,
    source: &ExistingGarage,
    bucket: &Bucket,
) -> Result<StorePlan, ValidateError> {
    let reference = &source.token_secret_ref;
    let field = "spec.objectStore.s3.credentials.garage.tokenSecretRef.key";
    let key_lifetime = lifetime("s3.credentials.garage.keyLifetime", &source.key_lifetime)?;
    let wanted = Wanted {
        namespace: &names.namespace,
        // Where the token goes. What is sent to the bucket's endpoint is signed with the keys that are made.
        endpoints: vec![&source.admin_endpoint],
        account: None,
        bucket,
        scope: Scope::Bucket,
    };
    let token = admin::granted(fetched, &wanted).and_then(|secret| admin::token(secret, reference, field));
    let request = token.map(|admin_token| GarageRequest {
        admin_url: source.admin_endpoint.trim_end_matches('/').to_owned(),
        admin_token,
        bucket: bucket.clone(),
        // The keys of others have other names: ending ours ends none of theirs.
        key_name: format!(
            "zonetide {}/{} {}",
            names.namespace,
            names.cluster,
            fetched.short_uid()
        ),
        key_lifetime,
        managed: false,
        create_bucket: s3.create_bucket,
        token_secret: reference.name.clone(),
    });
    Ok(StorePlan::ExistingGarage(request))
}

/// Cloudflare R2.
pub(super) fn r2(
    fetched: &Fetched,
    settings: &Settings,
    names: &Names,
    s3: &S3Store,
    source: &R2,
    bucket: &Bucket,
) -> Result<StorePlan, ValidateError> {
    let reference = &source.token_secret_ref;
    let field = "spec.objectStore.s3.credentials.r2.tokenSecretRef.key";
    let key_lifetime = lifetime("s3.credentials.r2.keyLifetime", &source.key_lifetime)?;
    let wanted = Wanted {
        namespace: &names.namespace,
        // The token goes to the API that the operator was told of.
        endpoints: vec![],
        account: Some(&source.account_id),
        bucket,
        scope: Scope::Prefix,
    };
    let token = admin::granted(fetched, &wanted).and_then(|secret| admin::token(secret, reference, field));
    let request = token.map(|token| R2Request {
        api_url: settings.cloudflare_api.clone(),
        account: source.account_id.clone(),
        token,
        token_secret: reference.name.clone(),
        bucket: bucket.clone(),
        create_bucket: s3.create_bucket,
        key_lifetime,
    });
    Ok(StorePlan::R2(request))
}

#[cfg(test)]
#[path = "s3_sources_tests.rs"]
mod tests;

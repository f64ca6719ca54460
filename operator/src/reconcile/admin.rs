//! The Secret with an admin's keys or token, with which a source makes keys. Pure.

use k8s_openapi::api::core::v1::Secret;
use zonetide_crds::{AdminKeysRef, Credentials, DnsClusterSpec, TokenRef};

use super::{
    fetch::Fetched,
    grant::{Wanted, allowed},
    validate::value,
};
use crate::{
    objectstore::{Keys, StoreError},
    secret::SecretText,
};

/// A Secret that a spec names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminSecret<'a> {
    /// None is that of the `DnsCluster`.
    pub namespace: Option<&'a str>,
    pub name: &'a str,
}

/// The one that this spec names, if any.
pub fn named(spec: &DnsClusterSpec) -> Option<AdminSecret<'_>> {
    let credentials = &spec.object_store.s3.as_ref()?.credentials;
    match credentials {
        Credentials {
            assume_role: Some(source),
            ..
        } => Some(AdminSecret {
            namespace: source.secret_ref.namespace.as_deref(),
            name: &source.secret_ref.name,
        }),
        Credentials {
            garage: Some(source), ..
        } => Some(of_token(&source.token_secret_ref)),
        Credentials { r2: Some(source), .. } => Some(of_token(&source.token_secret_ref)),
        _ => None,
    }
}

fn of_token(reference: &TokenRef) -> AdminSecret<'_> {
    AdminSecret {
        namespace: reference.namespace.as_deref(),
        name: &reference.name,
    }
}

/// The Secret that the spec names, if this `DnsCluster` may use it: one of its own namespace always, another if it says so.
/// None when its own namespace has none.
pub fn granted<'a>(fetched: &'a Fetched, wanted: &Wanted<'_>) -> Result<Option<&'a Secret>, StoreError> {
    let reference = named(&fetched.cluster.spec).and_then(|secret| {
        let other = secret.namespace.filter(|other| *other != wanted.namespace)?;
        Some((other, secret.name))
    });
    match reference {
        Some(reference) => allowed(&fetched.secrets.foreign_admin, reference, wanted).map(Some),
        None => Ok(fetched.secrets.admin.as_ref()),
    }
}

/// The token in it. `field` is the reference's place in the spec, for the message.
pub fn token(
    secret: Option<&Secret>,
    reference: &TokenRef,
    field: &'static str,
) -> Result<SecretText, StoreError> {
    let secret = secret.ok_or_else(|| StoreError::TokenMissing {
        name: reference.name.clone(),
        key: reference.key.clone(),
    })?;
    text(secret, &reference.name, &reference.key, field).map(SecretText::new)
}

/// The keys in it.
pub fn keys(secret: Option<&Secret>, reference: &AdminKeysRef) -> Result<Keys, StoreError> {
    let (id_key, secret_key) = (&reference.access_key_id_key, &reference.secret_access_key_key);
    let secret = secret.ok_or_else(|| StoreError::SecretMissing {
        name: reference.name.clone(),
        id_key: id_key.clone(),
        secret_key: secret_key.clone(),
    })?;
    let get = |key: &str, field| text(secret, &reference.name, key, field);
    Ok(Keys {
        access_key_id: get(
            id_key,
            "spec.objectStore.s3.credentials.assumeRole.secretRef.accessKeyIdKey",
        )?,
        secret_access_key: SecretText::new(get(
            secret_key,
            "spec.objectStore.s3.credentials.assumeRole.secretRef.secretAccessKeyKey",
        )?),
        session_token: None,
    })
}

fn text(secret: &Secret, name: &str, key: &str, field: &'static str) -> Result<String, StoreError> {
    let found = value(secret, key).filter(|text| !text.is_empty());
    found.ok_or_else(|| StoreError::SecretKeyMissing {
        name: name.to_owned(),
        key: key.to_owned(),
        field,
    })
}

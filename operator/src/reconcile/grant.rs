//! Whether an admin's Secret of another namespace may be used for a `DnsCluster`. Pure.
//!
//! The operator reads all Secrets, but whoever makes a `DnsCluster` may not. So the Secret itself must say who may use it and
//! with which servers: else anybody could have another's token sent to a server of his own. And what is reached with it is
//! confined to what is the namespace's, so that it opens nobody else's data.
//!
//! A Secret that is missing and one that does not allow it get the same answer: nobody learns which Secrets others have.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use zonetide_crds::{
    ALLOWED_ACCOUNTS_ANNOTATION, ALLOWED_BUCKETS_ANNOTATION, ALLOWED_ENDPOINTS_ANNOTATION,
    ALLOWED_NAMESPACES_ANNOTATION,
};

use crate::objectstore::{Bucket, StoreError};

/// Stands for all namespaces, or all buckets. Never for all endpoints: a token must not go to just any server.
const ALL: &str = "*";

/// How far keys reach that are made with the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They open what is under the prefix.
    Prefix,
    /// They open the whole bucket.
    Bucket,
}

/// What a Secret of another namespace is wanted for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Where the `DnsCluster` is.
    pub namespace: &'a str,
    /// Servers of the spec's choice that see the Secret, or something that is signed with it.
    pub endpoints: Vec<&'a str>,
    /// The Cloudflare account to act in.
    pub account: Option<&'a str>,
    pub bucket: &'a Bucket,
    pub scope: Scope,
}

/// A Secret of another namespace, as far as it could be read.
#[derive(Clone, Debug, Default)]
pub enum Foreign {
    /// There is none.
    #[default]
    Missing,
    /// This operator was installed for one namespace, and cannot tell.
    Unreadable,
    Found(Box<Secret>),
}

/// The Secret `namespace`/`name`, if it may be used.
pub fn allowed<'a>(
    foreign: &'a Foreign,
    (namespace, name): (&str, &str),
    wanted: &Wanted<'_>,
) -> Result<&'a Secret, StoreError> {
    if wanted.scope == Scope::Prefix && !is_under(&wanted.bucket.prefix, wanted.namespace) {
        return Err(StoreError::PrefixNotGranted {
            secret: format!("{namespace}/{name}"),
            namespace: wanted.namespace.to_owned(),
            prefix: wanted.bucket.prefix.clone(),
        });
    }
    match foreign {
        Foreign::Unreadable => Err(StoreError::OtherNamespace {
            secret: format!("{namespace}/{name}"),
            namespace: wanted.namespace.to_owned(),
        }),
        Foreign::Found(secret) if grants(secret, wanted) => Ok(secret),
        Foreign::Found(_) | Foreign::Missing => Err(StoreError::NotGranted {
            secret: format!("{namespace}/{name}"),
            needs: needs(wanted),
        }),
    }
}

fn grants(secret: &Secret, wanted: &Wanted<'_>) -> bool {
    let list = |annotation: &str| secret.annotations().get(annotation).map(|text| entries(text));
    let has = |annotation: &str, entry: &str| list(annotation).is_some_and(|list| list.contains(&entry));
    let endpoints = list(ALLOWED_ENDPOINTS_ANNOTATION).unwrap_or_default();
    let bucket = match list(ALLOWED_BUCKETS_ANNOTATION) {
        Some(buckets) => buckets.contains(&wanted.bucket.name.as_str()) || buckets.contains(&ALL),
        None => wanted.scope == Scope::Prefix || is_named_after(&wanted.bucket.name, wanted.namespace),
    };
    (has(ALLOWED_NAMESPACES_ANNOTATION, wanted.namespace) || has(ALLOWED_NAMESPACES_ANNOTATION, ALL))
        && wanted
            .endpoints
            .iter()
            .all(|endpoint| endpoints.iter().any(|allowed| same_endpoint(allowed, endpoint)))
        && wanted
            .account
            .is_none_or(|account| has(ALLOWED_ACCOUNTS_ANNOTATION, account))
        && bucket
}

/// What to write on the Secret. It follows from the spec alone.
fn needs(wanted: &Wanted<'_>) -> String {
    let mut needs = vec![format!(
        "{ALLOWED_NAMESPACES_ANNOTATION} with {}",
        wanted.namespace
    )];
    let mut endpoints: Vec<&str> = wanted
        .endpoints
        .iter()
        .map(|url| url.trim_end_matches('/'))
        .collect();
    endpoints.dedup();
    if !endpoints.is_empty() {
        needs.push(format!(
            "{ALLOWED_ENDPOINTS_ANNOTATION} with {}",
            endpoints.join(",")
        ));
    }
    if let Some(account) = wanted.account {
        needs.push(format!("{ALLOWED_ACCOUNTS_ANNOTATION} with {account}"));
    }
    let name = &wanted.bucket.name;
    let needless = wanted.scope == Scope::Prefix || is_named_after(name, wanted.namespace);
    let unless = if needless { " if it has that one" } else { "" };
    needs.push(format!("{ALLOWED_BUCKETS_ANNOTATION} with {name}{unless}"));
    needs.join(", ")
}

fn entries(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect()
}

/// The same scheme, host and port as written. Whether two names lead to the same server is not asked.
fn same_endpoint(one: &str, other: &str) -> bool {
    one.trim_end_matches('/')
        .eq_ignore_ascii_case(other.trim_end_matches('/'))
}

/// The namespace is the first of the prefix' parts, and nothing in it leads out again for a server that resolves `..`.
fn is_under(prefix: &str, namespace: &str) -> bool {
    let mut parts = prefix.trim_end_matches('/').split('/');
    parts.next() == Some(namespace)
        && parts.clone().next().is_some()
        && parts.all(|part| !matches!(part, "" | "." | ".."))
}

/// Names of namespaces have no dots, so `a.b.c` is a bucket of namespace `a` and of no other.
fn is_named_after(bucket: &str, namespace: &str) -> bool {
    bucket
        .strip_prefix(namespace)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;

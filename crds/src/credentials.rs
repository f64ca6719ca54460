//! Where the keys to a bucket come from.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Set on a DnsCluster to anything it did not have before (a date, say), new keys are made at once.
pub const RENEW_ANNOTATION: &str = "zonetide.dev/renew-credentials";
/// On a Secret with an admin's keys: the namespaces, separated by commas, whose DnsClusters may use it from there.
pub const ALLOWED_NAMESPACES_ANNOTATION: &str = "zonetide.dev/allowed-namespaces";
/// On such a Secret: the endpoints, separated by commas, that it may be used with from there.
pub const ALLOWED_ENDPOINTS_ANNOTATION: &str = "zonetide.dev/allowed-endpoints";
/// On such a Secret with a token for Cloudflare: the accounts, separated by commas, that it may be used in from there.
pub const ALLOWED_ACCOUNTS_ANNOTATION: &str = "zonetide.dev/allowed-accounts";
/// On such a Secret: the buckets, separated by commas, that it may be used for from there, and no others.
pub const ALLOWED_BUCKETS_ANNOTATION: &str = "zonetide.dev/allowed-buckets";

/// Where the keys to the bucket come from. Give exactly one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.secretRef) ? 1 : 0) + (has(self.assumeRole) ? 1 : 0) + (has(self.garage) ? 1 : 0) + (has(self.r2) ? 1 : 0) + (has(self.webIdentity) ? 1 : 0) == 1").message(
        "spec.objectStore.s3.credentials needs exactly one of secretRef (keys that you give), assumeRole, garage, r2 (keys that the operator makes) and webIdentity (no keys): remove the others"
    )
)]
pub struct Credentials {
    /// A Secret with an access key, in the namespace of the DnsCluster. Changes to it are picked up without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<CredentialsSecretRef>,

    /// Keys for this bucket and prefix alone, made by the store's STS (AWS, MinIO, Ceph) with an admin's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,

    /// A key for this bucket alone, made by the admin API of a Garage that is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub garage: Option<ExistingGarage>,

    /// Temporary keys for this bucket and prefix alone, made by Cloudflare's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r2: Option<R2>,

    /// No keys: the pods' service account is what the store trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_identity: Option<WebIdentity>,
}

impl Credentials {
    /// The name of the field that is set.
    pub fn source(&self) -> Option<&'static str> {
        let Self {
            secret_ref,
            assume_role,
            garage,
            r2,
            web_identity,
        } = self;
        [
            (secret_ref.is_some(), "secretRef"),
            (assume_role.is_some(), "assumeRole"),
            (garage.is_some(), "garage"),
            (r2.is_some(), "r2"),
            (web_identity.is_some(), "webIdentity"),
        ]
        .into_iter()
        .find_map(|(set, name)| set.then_some(name))
    }
}

/// A Secret with an access key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Which of its keys holds the access key's ID.
    #[serde(default = "default_access_key_id_key")]
    #[schemars(length(min = 1, max = 253))]
    pub access_key_id_key: String,

    /// Which of its keys holds the secret access key.
    #[serde(default = "default_secret_access_key_key")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_access_key_key: String,
}

/// A Secret with an admin's access key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AdminKeysRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its namespace. Default: that of the DnsCluster. A Secret of another namespace must allow this one by its annotations
    /// zonetide.dev/allowed-namespaces and zonetide.dev/allowed-endpoints, and the prefix must begin with this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// Which of its keys holds the access key's ID.
    #[serde(default = "default_access_key_id_key")]
    #[schemars(length(min = 1, max = 253))]
    pub access_key_id_key: String,

    /// Which of its keys holds the secret access key.
    #[serde(default = "default_secret_access_key_key")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_access_key_key: String,
}

/// A Secret with a token.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its namespace. Default: that of the DnsCluster. A Secret of another namespace must allow this one by its annotations
    /// zonetide.dev/allowed-namespaces and, for Garage, zonetide.dev/allowed-endpoints, for R2 zonetide.dev/allowed-accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,

    /// Which of its keys holds the token.
    #[serde(default = "default_token_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Keys by STS AssumeRole, with a policy for this bucket and prefix alone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// The Secret with the admin's access key.
    pub secret_ref: AdminKeysRef,

    /// URL of the STS. Default: the endpoint of the bucket, which is right for MinIO and Ceph; for AWS that of its region, like
    /// `https://sts.eu-central-1.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/@?# ]+/?$')").message(
        "spec.objectStore.s3.credentials.assumeRole.stsEndpoint must be a URL that starts with http:// or https:// and has no path or user, like https://sts.eu-central-1.amazonaws.com"
    ))]
    pub sts_endpoint: Option<String>,

    /// The role to assume, like `arn:aws:iam::123456789012:role/dns`. AWS and Ceph need one; MinIO does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub role_arn: Option<String>,

    /// How long keys live, `15m` to `12h`. They are renewed when two thirds of it are over.
    #[serde(default = "default_session")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && duration(self) >= duration('15m') && duration(self) <= duration('12h')").message(
        "spec.objectStore.s3.credentials.assumeRole.keyLifetime must be a duration from 15m to 12h, like 1h"
    ))]
    pub key_lifetime: String,
}

/// A key by the admin API of a Garage that is there already.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExistingGarage {
    /// URL of its admin API (version 2), like `http://garage.storage.svc:3903`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/@?# ]+/?$')").message(
        "spec.objectStore.s3.credentials.garage.adminEndpoint must be a URL that starts with http:// or https:// and has no path or user, like http://garage.storage.svc:3903"
    ))]
    pub admin_endpoint: String,

    /// The Secret with its admin token.
    pub token_secret_ref: TokenRef,

    /// How long keys live, from `1m`. They are renewed when two thirds of it are over.
    #[serde(default = "default_key_lifetime")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && duration(self) >= duration('1m')").message(
        "spec.objectStore.s3.credentials.garage.keyLifetime must be a duration of 1m or more, like 720h"
    ))]
    pub key_lifetime: String,
}

/// Temporary keys by Cloudflare's API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct R2 {
    /// The account, 32 hexadecimal digits.
    #[schemars(length(min = 32, max = 32), regex(pattern = r"^[0-9a-f]{32}$"))]
    pub account_id: String,

    /// The Secret with an API token that may edit R2 storage.
    pub token_secret_ref: TokenRef,

    /// How long keys live, `15m` to `168h`. They are renewed when two thirds of it are over.
    #[serde(default = "default_day")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && duration(self) >= duration('15m') && duration(self) <= duration('168h')").message(
        "spec.objectStore.s3.credentials.r2.keyLifetime must be a duration from 15m to 168h, like 24h"
    ))]
    pub key_lifetime: String,
}

/// The pods' service account in place of keys.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.roleArn) || has(self.serviceAccountAnnotations)").message(
        "spec.objectStore.s3.credentials.webIdentity needs serviceAccountAnnotations (where something in the cluster acts on them, as on EKS) or roleArn (then the operator gives the pods a token)"
    )
)]
pub struct WebIdentity {
    /// Annotations for the pods' service account, like `eks.amazonaws.com/role-arn`, for a cluster where something acts on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16))]
    pub service_account_annotations: Option<BTreeMap<String, String>>,

    /// The role that the service account may assume. With it the operator gives the pods a token of the service account, and
    /// nothing else in the cluster is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub role_arn: Option<String>,

    /// Whom that token is for.
    #[serde(default = "default_audience")]
    #[schemars(length(min = 1, max = 253))]
    pub audience: String,

    /// URL of the STS. Default: AWS' own of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/@?# ]+/?$')").message(
        "spec.objectStore.s3.credentials.webIdentity.stsEndpoint must be a URL that starts with http:// or https:// and has no path or user"
    ))]
    pub sts_endpoint: Option<String>,
}

/// What happens to the bucket's content when the DnsCluster is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Nothing is removed.
    #[default]
    Retain,
    /// The objects of this DnsCluster's servers are removed. Of a managed store: its volume.
    DeleteObjects,
    /// The same, and the bucket too if the operator made it and nothing else is in it.
    DeleteBucket,
}

fn default_access_key_id_key() -> String {
    "access-key-id".to_owned()
}

fn default_secret_access_key_key() -> String {
    "secret-access-key".to_owned()
}

fn default_token_key() -> String {
    "token".to_owned()
}

fn default_session() -> String {
    "1h".to_owned()
}

fn default_day() -> String {
    "24h".to_owned()
}

pub(crate) fn default_key_lifetime() -> String {
    "720h".to_owned()
}

fn default_audience() -> String {
    "sts.amazonaws.com".to_owned()
}

//! The bucket that the servers share, and where it comes from.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::is_default,
    credentials::{Credentials, DeletionPolicy, default_key_lifetime},
    expose::ExposeSpec,
};

/// The bucket that the servers share. Give exactly one of `managed` and `s3`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.managed) != has(self.s3)").message(
        "spec.objectStore needs exactly one store: set managed (the operator runs one) or s3 (you name a bucket), and remove the other"
    ),
    validation = Rule::new("has(self.managed) == has(oldSelf.managed)").message(
        "spec.objectStore cannot change between managed and s3, the zones are in the bucket: make a second DnsCluster and move the zones through the API"
    ),
    validation = Rule::new("!has(self.deletionPolicy) || self.deletionPolicy == 'Retain' || !has(self.s3) || !has(self.s3.credentials.webIdentity)").message(
        "spec.objectStore.deletionPolicy must be Retain with credentials.webIdentity: the operator has no keys to remove anything with"
    )
)]
pub struct ObjectStoreSpec {
    /// The operator runs an object store for this cluster alone, and makes its bucket and keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedStore>,

    /// A bucket of any service that speaks S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Store>,

    /// What happens to the bucket's content when the DnsCluster is deleted: Retain (nothing is removed), DeleteObjects (the
    /// objects of this DnsCluster's servers, of a managed store its volume) or DeleteBucket (the same, and the bucket if
    /// the operator made it and nothing else is in it). It can be changed until the removal is done.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deletion_policy: DeletionPolicy,
}

impl ObjectStoreSpec {
    /// What `status.objectStore.source` calls the way to the keys.
    pub fn source(&self) -> Option<&'static str> {
        match (&self.managed, &self.s3) {
            (Some(managed), _) => Some(managed.engine.as_str()),
            (None, Some(s3)) => s3.credentials.source(),
            (None, None) => None,
        }
    }
}

/// An object store that the operator runs beside the DNS servers, `NAME-garage` or `NAME-minio`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.expose) || !has(self.expose.console) || self.engine == 'MinIO'").message(
        "spec.objectStore.managed.expose.console needs engine MinIO, Garage has no console: remove it"
    ),
    validation = Rule::new("!has(self.replicas) || self.replicas == 1 || self.engine == 'Garage'").message(
        "spec.objectStore.managed.replicas must be 1 with engine MinIO, which is run as one node: remove it"
    )
)]
pub struct ManagedStore {
    /// Which object store to run.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "spec.objectStore.managed.engine cannot change, the zones are in its bucket: make a second DnsCluster and move the zones through the API"
    ))]
    pub engine: Engine,

    /// How many nodes the store has, each with a volume: 1, or 3, which is for Garage only. Three hold every object three times, on
    /// three Kubernetes nodes if possible, and go on when one of them is lost with its volume. It can grow from 1 to 3, and not shrink.
    #[serde(default = "default_store_replicas")]
    #[x_kube(
        validation = Rule::new("self == 1 || self == 3").message(
            "spec.objectStore.managed.replicas must be 1 or 3: two hold no more than one when one is lost, as two of three must agree"
        ),
        validation = Rule::new("self >= oldSelf").message(
            "spec.objectStore.managed.replicas cannot go from 3 to 1: leave it at 3, or make a second DnsCluster with 1, move the zones to it through the API, and delete this one when its clients ask the other"
        )
    )]
    pub replicas: i32,

    /// The image of the object store. Default: the image that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,

    /// The volume of each node of the object store. It stays when the DnsCluster is deleted, unless deletionPolicy says otherwise.
    #[serde(default)]
    pub storage: ManagedStorageSpec,

    /// CPU and memory of the object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// How long the servers' keys live, from `1m`. MinIO's live `15m` to `168h`: what is less or more is taken as that. They are renewed when two thirds of it are over.
    #[serde(
        default = "default_key_lifetime",
        skip_serializing_if = "is_default_key_lifetime"
    )]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && duration(self) >= duration('1m')").message(
        "spec.objectStore.managed.keyLifetime must be a duration of 1m or more, like 720h"
    ))]
    pub key_lifetime: String,

    /// What of the store is reached from outside of the Kubernetes cluster, and under which names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<ExposeSpec>,
}

impl Default for ManagedStore {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            replicas: default_store_replicas(),
            image: None,
            storage: ManagedStorageSpec::default(),
            resources: None,
            key_lifetime: default_key_lifetime(),
            expose: None,
        }
    }
}

fn default_store_replicas() -> i32 {
    1
}

fn is_default_key_lifetime(lifetime: &String) -> bool {
    *lifetime == default_key_lifetime()
}

/// An object store that the operator can run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Garage, one node with one volume, or three.
    #[default]
    Garage,
    /// MinIO, one node with one volume. Its makers have ended its community edition: for those who run it already.
    MinIO,
}

impl Engine {
    /// The word in the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Garage => "Garage",
            Self::MinIO => "MinIO",
        }
    }
}

/// The volume of the managed object store.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message(
        "spec.objectStore.managed.storage.storageClassName cannot change once the volume is made: make a second DnsCluster and move the zones through the API"
    )
)]
pub struct ManagedStorageSpec {
    /// Size of each node's volume. Snapshots of all servers go there.
    #[serde(default = "default_managed_size")]
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "spec.objectStore.managed.storage.size cannot change once the volume is made: to grow it, grow the PersistentVolumeClaim data-NAME-garage-0 (of three nodes also data-NAME-garage-1 and data-NAME-garage-2; of MinIO: data-NAME-minio-0) by hand and leave the spec as it is; where its StorageClass cannot grow volumes, make a second DnsCluster and move the zones through the API"
    ))]
    pub size: String,

    /// StorageClass of the volume. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

impl Default for ManagedStorageSpec {
    fn default() -> Self {
        Self {
            size: default_managed_size(),
            storage_class_name: None,
        }
    }
}

/// A bucket of any service that speaks S3.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.prefix) == has(oldSelf.prefix) && (!has(self.prefix) || self.prefix == oldSelf.prefix)").message(
        "spec.objectStore.s3.prefix cannot change, the zones are under it: make a second DnsCluster and move the zones through the API"
    ),
    validation = Rule::new("!has(self.prefix) || !self.prefix.matches('(^|/)[.][.]?(/|$)')").message(
        "spec.objectStore.s3.prefix must not have . or .. between slashes: name the folder itself"
    ),
    validation = Rule::new("!has(self.caSecretRef) || self.endpoint.startsWith('https://')").message(
        "spec.objectStore.s3.caSecretRef is of use with an endpoint that begins with https:// only: correct spec.objectStore.s3.endpoint, or remove caSecretRef"
    ),
    validation = Rule::new("self.pathStyle || !self.bucket.contains('.')").message(
        "spec.objectStore.s3.pathStyle must be true with a dot in the name of the bucket: no certificate would be for such a host, remove it"
    ),
    validation = Rule::new("self.pathStyle || !self.endpoint.matches('//(\\\\[|[0-9.]+(:|/|$))')").message(
        "spec.objectStore.s3.pathStyle must be true with an address in spec.objectStore.s3.endpoint: name the host there, or remove pathStyle"
    ),
    validation = Rule::new("!has(self.caSecretRef) || !has(self.credentials.r2)").message(
        "spec.objectStore.s3.caSecretRef is of no use with credentials.r2: everybody trusts Cloudflare's certificates, remove it"
    )
)]
pub struct S3Store {
    /// URL of the service, like `https://s3.eu-central-1.amazonaws.com`. The operator and the servers must both reach it:
    /// for a Service of this cluster name its namespace too, like `http://minio.storage.svc:9000`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/@?# ]+/?$')").message(
        "spec.objectStore.s3.endpoint must be a URL that starts with http:// or https:// and has no path or user, like https://s3.example.com:9000: the bucket goes into spec.objectStore.s3.bucket, keys into a Secret"
    ))]
    pub endpoint: String,

    /// Whether requests have the bucket in their path (`https://endpoint/bucket`), which nearly every store takes. Set false for
    /// stores that take it in the name of the host only (`https://bucket.endpoint`), such as Alibaba Cloud. The endpoint is named
    /// without the bucket in either case, and by a name; the bucket's own name has no dot then.
    #[serde(default = "is_so")]
    pub path_style: bool,

    /// Region to sign requests for.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63))]
    pub region: String,

    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "spec.objectStore.s3.bucket cannot change, the zones are in it: make a second DnsCluster and move the zones through the API"
    ))]
    pub bucket: String,

    /// What the names of this cluster's objects start with, as written here: usually it ends in `/`, and may be empty.
    /// DnsClusters with the same bucket and prefix serve the same zones, in different Kubernetes clusters too, and so do Lightning
    /// Streams; their databases must be of the same schema. To DnsClusters that an older release made, `/schema-5/` is appended for ever.
    /// Default: `NAMESPACE/NAME/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        regex(pattern = r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?)?$")
    )]
    pub prefix: Option<String>,

    /// Make the bucket if there is none. The keys must be allowed to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_bucket: bool,

    /// A Secret of the same namespace with the certificates of a private authority, where the store's own is signed by one.
    /// Only they are trusted then, for the endpoint, an STS and the admin API of a Garage. Changes are picked up without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,

    /// The proxy through which the operator and the servers reach the endpoint and who makes keys for it, like
    /// `http://proxy.example.com:3128`, or `none`. Default: the one that the operator was installed with, if any, but for the hosts
    /// that it leaves out. Changing it replaces the servers. Servers never ask each other through a proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self == 'none' || self.matches('^https?://[^/@?# ]+/?$')").message(
        "spec.objectStore.s3.proxy must be none, or a URL that starts with http:// or https:// and has no path or user, like http://proxy.example.com:3128: a proxy with a password is a setting of the operator"
    ))]
    pub proxy: Option<String>,

    /// The keys to the bucket.
    pub credentials: Credentials,
}

/// A Secret with certificates.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Which of its keys holds the certificates, in PEM.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn is_so() -> bool {
    true
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

fn default_managed_size() -> String {
    "10Gi".to_owned()
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

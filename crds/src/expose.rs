//! How a managed store is reached from outside.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Which parts of a managed store are reached from outside, each by an Ingress (`NAME-s3`, `NAME-console`). Class and
/// annotations of Ingresses, and the domains that hosts may be in, are set where the operator was installed. Default: none is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.s3) || has(self.console)").message(
        "spec.objectStore.managed.expose needs s3 or console: name a host in one of them, or remove expose to expose nothing"
    ),
    validation = Rule::new("!has(self.s3) || !has(self.console) || self.s3.host != self.console.host").message(
        "spec.objectStore.managed.expose needs two hosts for s3 and console, one host leads to one of them: change one"
    )
)]
pub struct ExposeSpec {
    /// The S3 API. Clients must put the bucket into the path (`https://HOST/BUCKET`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<ExposedHost>,

    /// MinIO's console, in which the root user of the Secret `NAME-minio` can log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<ExposedHost>,
}

/// Where a part is reached.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExposedHost {
    /// The DNS name. It must be in a domain that the operator was installed with.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')").message(
        "spec.objectStore.managed.expose needs a host that is a full DNS name in small letters, like s3.example.org: no scheme, port, path or *"
    ))]
    pub host: String,

    /// A Secret of type kubernetes.io/tls of the same namespace, with a certificate for the host. Without one the Ingress is for
    /// plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub tls_secret_name: Option<String>,
}

impl ExposedHost {
    /// What a client is told.
    pub fn url(&self) -> String {
        let scheme = if self.tls_secret_name.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.host)
    }
}

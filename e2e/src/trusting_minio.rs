//! A MinIO of somebody else's that lets the cluster's service accounts in: it takes the API server for an `OpenID` provider.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zonetide_testbed::http::{HOST, HttpClient};
use zonetide_testbed::poll::within;
use zonetide_testbed::sigv4::{Signer, encode};

use crate::Bench;
use crate::forward::PodPort;
use crate::handle::pod_is_ready;
use crate::installed;

const NAME: &str = "minio";
const PORT: u16 = 9000;
const ROOT_USER: &str = "root-of-the-tests";
const ROOT_PASSWORD: &str = "of-one-namespace";
const STARTED: Duration = Duration::from_mins(2);

pub struct TrustingMinio {
    client: Client,
    namespace: String,
}

impl TrustingMinio {
    /// Starts it in the bench's namespace, and waits until it has read who its users are. `audience` is whom tokens must be
    /// for. What a service account may do is the policy that is called like the account in its token.
    pub async fn start(bench: &Bench, audience: &str) -> Result<Self> {
        let minio = Self {
            client: bench.client.clone(),
            namespace: bench.namespace.clone(),
        };
        minio.publish_the_issuer().await?;
        let image = installed::setting(&minio.client, installed::MINIO_IMAGE).await?;
        minio.create::<Service>(&service()).await?;
        minio.create::<Pod>(&pod(&image, audience)).await?;
        within(STARTED, async || {
            minio.answers().await.map_err(|error| format!("{error:#}"))
        })
        .await
        .context("the MinIO does not start")?;
        Ok(minio)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{NAME}.{}.svc:{PORT}", self.namespace)
    }

    pub async fn make_bucket(&self, name: &str) -> Result<()> {
        self.call("PUT", &format!("/{name}"), "").await?;
        Ok(())
    }

    /// Makes a policy, or changes it.
    pub async fn put_policy(&self, name: &str, policy: &Value) -> Result<()> {
        let path = format!("/minio/admin/v3/add-canned-policy?name={}", encode(name));
        self.call("PUT", &path, &policy.to_string()).await?;
        Ok(())
    }

    /// The bucket's objects, as S3 lists them.
    pub async fn list(&self, bucket: &str, prefix: &str) -> Result<String> {
        let path = format!("/{bucket}?list-type=2&prefix={}", encode(prefix));
        self.call("GET", &path, "").await
    }

    /// A request of the root user.
    async fn call(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let signer = Signer {
            access_key: ROOT_USER,
            secret_key: ROOT_PASSWORD,
            session_token: "",
            region: "us-east-1",
            service: "s3",
        };
        let method = method.parse()?;
        let mut http = self.http();
        for (name, value) in signer.headers(&method, HOST, path, body.as_bytes()) {
            http = http.header(name, value);
        }
        let answer = http.send_bytes(method, path, body.to_owned().into()).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn http(&self) -> HttpClient {
        HttpClient::new(PodPort::dialer(&self.client, &self.namespace, NAME, PORT))
    }

    async fn answers(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod = pods.get(NAME).await?;
        anyhow::ensure!(pod_is_ready(&pod), "{:?}", pod.status);
        // It is ready before it has read its users.
        self.call("GET", "/", "").await?;
        Ok(())
    }

    /// Lets everybody read with which keys the API server signs tokens. It ends with the namespace.
    async fn publish_the_issuer(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let owner = namespaces.get(&self.namespace).await?;
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {
                "name": format!("{}-issuer-discovery", self.namespace),
                "ownerReferences": [{
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "name": self.namespace,
                    "uid": owner.metadata.uid,
                }],
            },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:service-account-issuer-discovery",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Group",
                "name": "system:unauthenticated",
            }],
        }))?;
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        bindings.create(&PostParams::default(), &binding).await?;
        Ok(())
    }

    async fn create<K>(&self, object: &Value) -> Result<()>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + serde::Serialize
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let objects: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let object = serde_json::from_value(object.clone())?;
        objects.create(&PostParams::default(), &object).await?;
        Ok(())
    }
}

/// What the agents of a DnsCluster need, below a prefix.
pub fn policy(bucket: &str, prefix: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [format!("arn:aws:s3:::{bucket}")],
            "Condition": {"StringLike": {"s3:prefix": [format!("{prefix}*")]}},
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": [format!("arn:aws:s3:::{bucket}/{prefix}*")],
        },
    ]})
}

fn labels() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("app.kubernetes.io/name", NAME)])
}

fn service() -> Value {
    json!({
        "metadata": {"name": NAME},
        "spec": {"selector": labels(), "ports": [{"name": "s3", "port": PORT}]},
    })
}

fn pod(image: &str, audience: &str) -> Value {
    let env: Vec<Value> = [
        ("MINIO_ROOT_USER", ROOT_USER),
        ("MINIO_ROOT_PASSWORD", ROOT_PASSWORD),
        (
            "MINIO_IDENTITY_OPENID_CONFIG_URL",
            "https://kubernetes.default.svc.cluster.local/.well-known/openid-configuration",
        ),
        ("MINIO_IDENTITY_OPENID_CLIENT_ID", audience),
        ("MINIO_IDENTITY_OPENID_CLAIM_NAME", "sub"),
        ("MINIO_BROWSER", "off"),
        ("MINIO_UPDATE", "off"),
        ("HOME", "/data"),
    ]
    .iter()
    .map(|(name, value)| json!({"name": name, "value": value}))
    .collect();
    json!({
        "metadata": {"name": NAME, "labels": labels()},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "automountServiceAccountToken": false,
            "containers": [{
                "name": NAME,
                "image": image,
                "command": ["minio"],
                "args": ["server", format!("--address=:{PORT}"), "--certs-dir=/certs", "/data/store"],
                "env": env,
                "ports": [{"name": "s3", "containerPort": PORT}],
                "readinessProbe": {
                    "httpGet": {"path": "/minio/health/ready", "port": "s3"},
                    "periodSeconds": 2,
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "authorities", "mountPath": "/certs/CAs"},
                ],
            }],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                // The API server's, which is in every namespace.
                {"name": "authorities", "configMap": {"name": "kube-root-ca.crt"}},
            ],
        },
    })
}

//! Promise: a managed store is reached from outside by the names that the spec says, if the installation allows them, and no
//! longer when they are taken away. The ingress controller is a real one that runs beside the test.

// Helpers of tests count as tests, which clippy does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use zonetide_crds::ObjectStoreStatus;
use zonetide_e2e::bench::{READY, await_ready};
use zonetide_e2e::forward::PodPort;
use zonetide_e2e::{Bench, Handle, connect, manifest, names};
use zonetide_testbed::http::HttpError;
use zonetide_testbed::sigv4::{Signer, encode};
use zonetide_testbed::{IngressController, eventually};

/// For a change to reach the operator and the ingress controller.
const CHANGED: Duration = Duration::from_mins(2);

#[tokio::test]
async fn an_exposed_minio_is_reached_by_its_names_and_no_longer_when_they_are_taken_away() {
    Bench::run("expose", async |bench| {
        let domain = format!("{}.zonetide.test", bench.namespace);
        let [s3, console] = ["s3", "console"].map(|part| format!("{part}.{domain}"));
        let mut spec = manifest::managed(1);
        manifest::merge(
            &mut spec,
            &json!({"objectStore": {"managed": {"engine": "MinIO", "expose": {
                "s3": {"host": s3}, "console": {"host": console, "tlsSecretName": "console-tls"},
            }}}}),
        );
        let cluster = bench.apply("dns", &spec).await;
        await_ready(&cluster).await;
        let store = store(&cluster).await;
        assert_eq!(
            store.exposed,
            [format!("http://{s3}"), format!("https://{console}")]
        );
        assert_eq!(exposed(&cluster).await.expect("a condition").status, "True");

        let port = |port| {
            (
                port,
                PodPort::dialer(&bench.client, &bench.namespace, "dns-minio-0", port),
            )
        };
        let kubeconfig = connect::kubeconfig().unwrap();
        let pods = [port(9000), port(9001)];
        let ingress = IngressController::start(Path::new(&kubeconfig), &bench.namespace, &pods).await;

        eventually(
            CHANGED,
            "the bucket is listed by the name of its S3 API",
            async || {
                let list = list(&ingress, &cluster, &store, &s3)
                    .await
                    .map_err(|error| error.to_string())?;
                let object = format!("<Key>{}", store.prefix);
                list.contains(&object).then_some(()).ok_or(list)
            },
        )
        .await;
        eventually(CHANGED, "the console shows its page", async || {
            let page = ingress
                .http(&console)
                .get_text("/login")
                .await
                .map_err(|error| error.to_string())?;
            page.contains("<title>MinIO Console</title>")
                .then_some(())
                .ok_or(page)
        })
        .await;
        let other = list(&ingress, &cluster, &store, &format!("other.{domain}")).await;
        assert_eq!(
            other.expect_err("nobody has this name").status(),
            Some(StatusCode::NOT_FOUND)
        );

        // A name that the installation does not allow takes that one Ingress away and harms nothing else.
        let elsewhere = json!({"console": {"host": "console.elsewhere.test", "tlsSecretName": null}});
        cluster
            .patch(&json!({"spec": {"objectStore": {"managed": {"expose": elsewhere}}}}))
            .await
            .unwrap();
        eventually(CHANGED, "the name is refused", async || {
            let condition = exposed(&cluster).await.ok_or("no condition")?;
            if condition.reason != "HostNotAllowed" {
                return Err(condition.reason);
            }
            assert!(
                condition.message.contains(&format!("choose a host in {domain},")),
                "{}",
                condition.message
            );
            Ok(())
        })
        .await;
        gone(&ingress, &console).await;
        assert_eq!(ingresses(bench).await, ["dns-s3"]);
        await_ready(&cluster).await;
        // The store is started anew to forget the console's address, and servers do not wait for it.
        eventually(CHANGED, "S3 is still exposed", async || {
            let listed = list(&ingress, &cluster, &store, &s3).await;
            listed.map(drop).map_err(|error| error.to_string())
        })
        .await;

        cluster
            .patch(&json!({"spec": {"objectStore": {"managed": {"expose": null}}}}))
            .await
            .unwrap();
        none_left(bench).await;
        gone(&ingress, &s3).await;
        eventually(CHANGED, "nothing is said of it any more", async || {
            let store = cluster.get().await.unwrap().status.unwrap().object_store.unwrap();
            match (store.exposed.as_slice(), exposed(&cluster).await) {
                ([], None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        await_ready(&cluster).await;
    })
    .await;
}

async fn store(cluster: &Handle) -> ObjectStoreStatus {
    let status = cluster.get().await.unwrap().status.unwrap();
    status.object_store.expect("a bucket")
}

async fn exposed(cluster: &Handle) -> Option<Condition> {
    let status = cluster.get().await.unwrap().status.unwrap();
    let mut conditions = status.conditions.into_iter();
    conditions.find(|condition| condition.type_ == "Exposed")
}

async fn ingresses(bench: &Bench) -> Vec<String> {
    let api: Api<Ingress> = Api::namespaced(bench.client.clone(), &bench.namespace);
    let list = api.list(&ListParams::default()).await.unwrap();
    list.iter().map(ResourceExt::name_any).collect()
}

/// That a name leads nowhere could as well mean that the store is being started anew.
async fn none_left(bench: &Bench) {
    eventually(CHANGED, "no Ingress is left", async || {
        let left = ingresses(bench).await;
        left.is_empty().then_some(()).ok_or_else(|| left.join(", "))
    })
    .await;
}

/// Lists the bucket with the servers' keys, as they are now.
async fn list(
    ingress: &IngressController,
    cluster: &Handle,
    store: &ObjectStoreStatus,
    host: &str,
) -> Result<String, HttpError> {
    let secret = names::object_store_secret(&cluster.name);
    let key = async |key: &str| cluster.secret_value(&secret, key).await.unwrap();
    let signer = Signer {
        access_key: &key("access-key-id").await,
        secret_key: &key("secret-access-key").await,
        session_token: &key("session-token").await,
        region: "us-east-1",
        service: "s3",
    };
    let path = format!("/{}?list-type=2&prefix={}", store.bucket, encode(&store.prefix));
    let mut http = ingress.http(host);
    for (name, value) in signer.headers(&Method::GET, host, &path, b"") {
        http = http.header(name, value);
    }
    http.get_text(&path).await
}

async fn gone(ingress: &IngressController, host: &str) {
    eventually(READY, &format!("{host} leads nowhere"), async || {
        match ingress.http(host).get_text("/").await {
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(page) => Err(page),
        }
    })
    .await;
}

//! A throw-away namespace for one test, with everything in it shown when the test fails.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use zonetide_crds::DnsCluster;
use zonetide_testbed::eventually;

use crate::handle::Handle;
use crate::{connect, diagnose, manifest, readiness};

/// Set to keep the namespaces of tests, to look at them afterwards.
pub const KEEP: &str = "ZONETIDE_E2E_KEEP";

/// For a cluster to become ready on a small machine that runs other tests too.
pub const READY: Duration = Duration::from_mins(5);

pub struct Bench {
    pub client: Client,
    pub namespace: String,
}

impl Bench {
    /// Runs `test` in a new namespace, and deletes that afterwards, whatever came out.
    ///
    /// # Panics
    /// When the test does, or when there is no cluster with the operator to test on.
    #[allow(clippy::panic)]
    pub async fn run(promise: &str, test: impl AsyncFnOnce(&Self)) {
        let bench = match Self::set_up(promise).await {
            Ok(bench) => bench,
            Err(error) => panic!("cannot run the test: {error:#}"),
        };
        bench.go(test).await;
    }

    /// Runs `test` with a second namespace, which is called like this one with `-suffix` at its end.
    ///
    /// # Panics
    /// When the test does, or when the namespace cannot be made.
    #[allow(clippy::panic)]
    pub async fn also(&self, suffix: &str, test: impl AsyncFnOnce(&Self)) {
        let namespace = format!("{}-{suffix}", self.namespace);
        match Self::make(self.client.clone(), namespace, suffix).await {
            Ok(bench) => bench.go(test).await,
            Err(error) => panic!("cannot run the test: {error:#}"),
        }
    }

    async fn go(self, test: impl AsyncFnOnce(&Self)) {
        let outcome = AssertUnwindSafe(test(&self)).catch_unwind().await;
        if outcome.is_err() {
            diagnose::print(&self.client, &self.namespace).await;
        }
        self.tear_down().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    async fn set_up(promise: &str) -> Result<Self> {
        let client = connect::client().await?;
        connect::require_operator(&client).await?;
        let namespace = format!("zt-{promise}-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
        Self::make(client, namespace, promise).await
    }

    async fn make(client: Client, namespace: String, promise: &str) -> Result<Self> {
        // Whatever the operator makes must run under the strictest Pod Security level.
        let object: Namespace = serde_json::from_value(json!({"metadata": {
            "name": namespace,
            "labels": {"zonetide.dev/e2e": promise, "pod-security.kubernetes.io/enforce": "restricted"},
        }}))?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .context("cannot make a namespace")?;
        eprintln!("namespace {namespace}");
        Ok(Self { client, namespace })
    }

    async fn tear_down(&self) {
        if std::env::var(KEEP).is_ok_and(|value| value == "1") {
            eprintln!("namespace {} is kept, because {KEEP}=1", self.namespace);
            return;
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if let Err(error) = namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await
        {
            eprintln!("namespace {} is left behind: {error}", self.namespace);
        }
    }

    pub fn handle(&self, name: &str) -> Handle {
        Handle::new(&self.client, &self.namespace, name)
    }

    /// Applies a DnsCluster with this spec.
    ///
    /// # Panics
    /// When the API server refuses it.
    #[allow(clippy::expect_used)]
    pub async fn apply(&self, name: &str, spec: &Value) -> Handle {
        let handle = self.handle(name);
        handle
            .apply(&manifest::cluster(name, spec))
            .await
            .expect("an accepted DnsCluster");
        handle
    }

    /// Applies a DnsCluster with a managed store and waits until it is ready.
    pub async fn managed(&self, name: &str, replicas: i32) -> Handle {
        let handle = self.apply(name, &manifest::managed(replicas)).await;
        await_ready(&handle).await;
        handle
    }
}

/// Waits until all replicas of the newest spec are ready.
pub async fn await_ready(handle: &Handle) -> DnsCluster {
    let what = format!("DnsCluster {} is ready", handle.name);
    eventually(READY, &what, async || {
        let cluster = handle.get().await.map_err(|error| error.to_string())?;
        readiness::is_ready(&cluster).map(|()| cluster)
    })
    .await
}

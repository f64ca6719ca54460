//! The demo: applies the example to a cluster where the operator runs, and proves with a record written just now that
//! every server answers what one was told.

mod proof;
mod screen;
mod wait;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use zonetide_e2e::{Handle, connect, manifest};

/// Shows Zonetide at work on the cluster whose kubeconfig the environment names.
#[derive(Parser)]
struct Args {
    /// Take the example away again, with its volumes.
    #[arg(long)]
    delete: bool,

    /// Where to apply the example.
    #[arg(long, default_value = "default")]
    namespace: String,

    /// Give up after so many seconds without a ready cluster.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let client = connect::client().await?;
    let manifest = manifest::example();
    let name = manifest["metadata"]["name"]
        .as_str()
        .context("the example has no name")?;
    let cluster = Handle::new(&client, &args.namespace, name);
    if args.delete {
        return take_away(&client, &cluster).await;
    }
    connect::require_operator(&client).await?;
    let clock = wait::Clock::start();
    make_namespace(&client, &args.namespace).await?;
    cluster.apply(&manifest).await?;
    clock.say(&format!(
        "applied examples/dnscluster.yaml: DnsCluster {name} in namespace {}",
        args.namespace
    ));
    let ready = wait::until_ready(&cluster, &clock, Duration::from_secs(args.timeout)).await?;
    let proof = proof::give(&cluster, &ready, &clock).await?;
    print!(
        "{}",
        screen::render(&screen::Facts::new(
            &cluster,
            &ready,
            proof,
            connect::kubeconfig()?
        ))
    );
    Ok(())
}

async fn make_namespace(client: &Client, name: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(name).await?.is_none() {
        let namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
    }
    Ok(())
}

async fn take_away(client: &Client, cluster: &Handle) -> Result<()> {
    let clock = wait::Clock::start();
    if cluster.clusters().get_opt(&cluster.name).await?.is_some() {
        cluster.delete().await?;
    }
    // The operator keeps volumes on purpose. The demo's hold nothing that anyone wants back.
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &cluster.namespace);
    let of_cluster = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", cluster.name));
    claims
        .delete_collection(&DeleteParams::default(), &of_cluster)
        .await?;
    wait::until_gone(cluster, &clock).await?;
    clock.say(&format!("DnsCluster {} and its volumes are gone", cluster.name));
    Ok(())
}

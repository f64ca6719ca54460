//! Puts the parts together, and takes them apart in order.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use kube::{Api, Client, api::ListParams, runtime::events::Reporter};
use prometheus_client::registry::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::EnvFilter;
use zonetide_crds::{DnsCluster, DnsRestore};

use crate::{
    agents::{RealAgents, Silences},
    args::{Args, LogFormat},
    context::{Backoff, Context},
    controller::{self, api},
    events::Events,
    http,
    leader::Leadership,
    metrics::Metrics,
    names::MANAGER,
    objectstore::RealSources,
    restores::{RealRestorers, Turns},
    settings::Settings,
};

/// How often to look for the definition of `DnsCluster` before giving up.
const DEFINITION_TRIES: u32 = 12;
const DEFINITION_PAUSE: Duration = Duration::from_secs(5);

pub fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// Works until SIGTERM, and returns an error when it can or may not go on.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let store_proxy = args.store_proxy()?;
    let mut stop = on_signal()?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let health = http::Health::new(registry);
    http::serve(args.http_address, health.clone()).await?;

    let client = Client::try_default()
        .await
        .context("no way to the API server: run in a pod, or name a kubeconfig in KUBECONFIG")?;
    tokio::select! {
        found = find_definition(&client, args.namespace.as_deref()) => found?,
        () = stopped(&mut stop) => return Ok(()),
    }
    tokio::select! {
        () = look_for_restores(&client, args.namespace.as_deref()) => {}
        () = stopped(&mut stop) => return Ok(()),
    }
    health.set_ready();

    let identity = args.identity.clone().unwrap_or_else(host_name);
    let mut leadership = Leadership::begin(client.clone(), &args.lease_namespace, &identity).await?;
    tracing::info!(%identity, "waiting for the Lease");
    tokio::select! {
        gained = leadership.gained() => gained?,
        () = stopped(&mut stop) => {
            leadership.give_up().await;
            return Ok(());
        }
    }
    tracing::info!(%identity, version = env!("CARGO_PKG_VERSION"), "holding the Lease, watching DnsClusters");

    // Pods' addresses are of the family that the API server's Service has first.
    let ipv6_first = std::env::var("KUBERNETES_SERVICE_HOST").is_ok_and(|host| host.contains(':'));
    let context = Arc::new(Context {
        events: Events::new(
            client.clone(),
            Reporter {
                controller: MANAGER.to_owned(),
                instance: Some(identity),
            },
        ),
        settings: Settings {
            store_proxy,
            ..args.settings(ipv6_first, kubelet_sleeps(&client).await?)
        },
        client,
        sources: Arc::new(RealSources::new().context("failed to set up the HTTP client")?),
        agents: Arc::new(RealAgents::new().context("failed to set up the HTTP client")?),
        metrics,
        kubernetes_uid: tokio::sync::OnceCell::new(),
        backoff: Backoff::default(),
        handing_over: Backoff::default(),
        choosing: Backoff::default(),
        restorers: Arc::new(RealRestorers),
        restoring: Backoff::default(),
        turns: Turns::default(),
        silences: Silences::default(),
    });
    let mut stop_controller = stop.clone();
    let controller = controller::run(context, args.namespace, async move {
        stopped(&mut stop_controller).await;
    });
    tokio::select! {
        () = controller => {}
        // Another operator may be at work already: no time for a graceful end.
        () = leadership.lost() => anyhow::bail!("lost the Lease to another operator, or could not renew it"),
    }
    leadership.give_up().await;
    tracing::info!("ended");
    Ok(())
}

/// Whether the hook `sleep` is there. An API server that does not know it would leave it out in silence.
async fn kubelet_sleeps(client: &Client) -> anyhow::Result<bool> {
    // Not guessed: with the other answer all pods would be replaced.
    let version = client.apiserver_version().await;
    let version = version.context("cannot ask the API server for its version")?;
    Ok(knows_sleep(&version.major, &version.minor))
}

/// From Kubernetes 1.30 on. Some providers write a minor version like `30+`.
fn knows_sleep(major: &str, minor: &str) -> bool {
    let number = |text: &str| {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        digits.parse::<u32>().unwrap_or_default()
    };
    (number(major), number(minor)) >= (1, 30)
}

/// Without the definition every watch would fail, with messages that do not say why.
async fn find_definition(client: &Client, namespace: Option<&str>) -> anyhow::Result<()> {
    let clusters: Api<DnsCluster> = api(client, namespace);
    let mut tries = 0;
    loop {
        let Err(error) = clusters.list_metadata(&ListParams::default().limit(1)).await else {
            return Ok(());
        };
        let remedy = match &error {
            kube::Error::Api(status) if status.is_not_found() => {
                "the kind DnsCluster is not known to the API server: `kubectl apply -f crds/`, or install the chart with crds.install=true"
            }
            kube::Error::Api(status) if status.is_forbidden() => {
                "the operator may not list DnsClusters: install the chart's ClusterRole"
            }
            _ => "the API server does not answer",
        };
        tries += 1;
        if tries >= DEFINITION_TRIES {
            return Err(anyhow::Error::new(error).context(remedy));
        }
        tracing::warn!(%error, retry_in = ?DEFINITION_PAUSE, "{remedy}");
        tokio::time::sleep(DEFINITION_PAUSE).await;
    }
}

/// Without their definition all else works.
async fn look_for_restores(client: &Client, namespace: Option<&str>) {
    let restores: Api<DnsRestore> = api(client, namespace);
    if let Err(error) = restores.list_metadata(&ListParams::default().limit(1)).await {
        tracing::warn!(%error, "no DnsRestore is done until they can be listed: apply crds/ and the chart of this version");
    }
}

/// True once SIGTERM or SIGINT has come.
fn on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to end, finishing what is under way");
        // Nobody listening means that all has ended already.
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error would mean that the sender is gone, which waits for ever.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| MANAGER.to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_sleep_from_1_30_on() {
        for (major, minor, sleeps) in [
            ("1", "29", false),
            ("1", "30", true),
            ("1", "30+", true),
            ("1", "34", true),
            ("2", "0", true),
            ("", "", false),
        ] {
            assert_eq!(knows_sleep(major, minor), sleeps, "{major}.{minor}");
        }
    }
}

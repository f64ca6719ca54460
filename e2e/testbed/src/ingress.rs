//! An ingress controller as a process on loopback, which reads the Ingresses of one namespace of a Kubernetes cluster.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http::HttpClient;
use crate::net::{Dialer, free_port, loopback};
use crate::process::Process;
use crate::tools;

const START_DEADLINE: Duration = Duration::from_secs(60);

pub struct IngressController {
    /// Dropped first, so that its log is still there.
    _process: Process,
    _dir: TempDir,
    _relays: JoinSet<()>,
    port: u16,
}

impl IngressController {
    /// Starts one and returns once it answers. Pods need not be reachable from here: `pods` has for each of their ports a way
    /// to it.
    ///
    /// # Panics
    /// When it does not come up; the message has the end of its log.
    pub async fn start(kubeconfig: &Path, namespace: &str, pods: &[(u16, Dialer)]) -> Self {
        let dir = tempfile::Builder::new().prefix("zt-ingress-").tempdir();
        let dir = dir.expect("a temporary directory");
        let port = free_port();
        let mut relays = JoinSet::new();
        let mut command = std::process::Command::new(tools::ingress());
        command
            .arg(format!("-listen={}", loopback(port)))
            .arg(format!("-namespace={namespace}"))
            .env("KUBECONFIG", kubeconfig)
            // In a pod it would take the pod's own service account.
            .env_remove("KUBERNETES_SERVICE_HOST");
        for (pod_port, dialer) in pods {
            let here = relay(&mut relays, dialer.clone()).await;
            command.arg(format!("-reach={pod_port}={here}"));
        }
        let mut process = Process::start("the ingress controller", &mut command, &dir.path().join("log"));
        let http = HttpClient::new(Arc::new(loopback(port)));
        let answers = async || match http.get_text("/").await {
            Err(error) if error.status().is_none() => Err(error.to_string()),
            _ => Ok(()),
        };
        process.await_ready(START_DEADLINE, answers).await;
        Self {
            _process: process,
            _dir: dir,
            _relays: relays,
            port,
        }
    }

    /// What a client sees whose DNS leads this name here.
    pub fn http(&self, host: &str) -> HttpClient {
        HttpClient::new(Arc::new(loopback(self.port))).host(host)
    }
}

/// A port here that leads where the dialer does.
async fn relay(tasks: &mut JoinSet<()>, dialer: Dialer) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).await.expect("a free port");
    let address = listener.local_addr().expect("the address of a listener");
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let dialer = dialer.clone();
            connections.spawn(async move {
                // A server that cannot be reached ends the client's connection.
                if let Ok(mut server) = dialer.dial().await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}

//! Connections on which nobody says anything.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;

use crate::handle::Handle;
use crate::names;

/// What the agent's port once had room for, and more.
pub const MANY: usize = 1152;

const CONNECTED: Duration = Duration::from_secs(2);

/// Opens many to the agents' port of each pod, which stay open until they are dropped. A server that refuses more is right.
pub async fn to_agents(cluster: &Handle) -> Result<Vec<TcpStream>> {
    let pods = cluster.pods().await?;
    room_for(pods.len() * MANY + 256)?;
    let mut open = Vec::new();
    for pod in pods {
        let ip = pod
            .status
            .and_then(|status| status.pod_ip)
            .context("a pod without an address")?;
        let agent = SocketAddr::new(ip.parse()?, names::AGENT_PORT);
        for _ in 0..MANY {
            match tokio::time::timeout(CONNECTED, TcpStream::connect(agent)).await {
                Ok(Ok(stream)) => open.push(stream),
                Ok(Err(_)) | Err(_) => break,
            }
        }
    }
    ensure!(!open.is_empty(), "no agent is reached from here");
    eprintln!("{} idle connections to port {}", open.len(), names::AGENT_PORT);
    Ok(open)
}

/// Lets this process have so many files open.
fn room_for(files: usize) -> Result<()> {
    let wanted = u64::try_from(files)?;
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if now < wanted {
        ensure!(
            most >= wanted,
            "no more than {most} files may be open here, and {wanted} are needed"
        );
        setrlimit(Resource::RLIMIT_NOFILE, wanted, most)?;
    }
    Ok(())
}

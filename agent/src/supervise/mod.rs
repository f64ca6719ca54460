//! The supervisor of an agent: the main process of its container, so that the agent's end is not the pod's.
//!
//! It starts the agent as a child, starts it again when it ends or hangs, and answers probes for both the agent and PowerDNS on
//! a listener of its own. It opens no database and no store and reads neither configuration nor keys: what can break the
//! agent must not break it. Pure: [`Backoff`](backoff), [`Pulse`](pulse), [`Story`](story) and the judgement of answers in
//! `question`; `keeper` has the process, `agent` and `dns` ask, `endpoints` answers.

mod agent;
mod alone;
mod backoff;
mod coalesced;
mod dns;
mod endpoints;
mod keeper;
mod landmarks;
mod parent;
mod pulse;
mod question;
mod startup;
mod story;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::serve::{listen, serve_router};
use endpoints::Probes;
use keeper::Keeper;
use story::Story;

pub use parent::{PARENT, die_with_parent};

/// What a supervisor is told.
#[derive(Debug)]
pub struct Settings {
    /// Where it answers probes.
    pub listen: String,
    /// Where PowerDNS answers.
    pub dns: SocketAddr,
    /// Where the agent has its endpoints.
    pub agent: SocketAddr,
    /// The directory of PowerDNS' control socket.
    pub socket_dir: PathBuf,
    /// An agent that has not said that it lives for so long is started anew.
    pub patience: Duration,
    /// What whoever says that the pod ends has to show; `None`: nobody can say so.
    pub drain_token: Option<String>,
    /// What the agent is told on its command line.
    pub arguments: Vec<OsString>,
    /// What it is told in its environment besides.
    pub environment: Vec<(&'static str, OsString)>,
}

/// Supervises an agent until a signal ends both.
///
/// # Errors
/// That it cannot listen, or not find its own program.
pub async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let address = &settings.listen;
    let listener = listen(address).await;
    let listener = listener.with_context(|| format!("--listen: cannot listen on {address}"))?;
    let story = Arc::new(Mutex::new(Story::default()));
    let keeper = Keeper::new(&settings, story.clone())?;
    let probes = Probes::new(&settings, story);
    let serving = tokio::spawn(serve_router(listener, probes.router(), CancellationToken::new()));
    tracing::info!(listen = %address, dns = %settings.dns, agent = %settings.agent, "supervising the agent");
    // Probes are answered to the end: the last change of an agent that is told to stop takes a while.
    let ended = keeper.keep().await;
    serving.abort();
    Ok(ended)
}

//! Whether what waits for the agent's start may go on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::agent::ask;
use super::dns::probe;
use super::story::Story;

/// Shorter than the kubelet's usual second together with a look at PowerDNS.
const PATIENCE: Duration = Duration::from_millis(800);

/// Opens once, and stays open.
pub(super) struct Startup {
    agent: SocketAddr,
    dns: SocketAddr,
    story: Arc<Mutex<Story>>,
    done: AtomicBool,
}

impl Startup {
    pub(super) fn new(agent: SocketAddr, dns: SocketAddr, story: Arc<Mutex<Story>>) -> Self {
        Self {
            agent,
            dns,
            story,
            done: AtomicBool::new(false),
        }
    }

    /// `Ok` once the agent has been ready in the life of this supervisor, or when PowerDNS answers whatever it may be: it was
    /// started then when the agent of an earlier supervisor was, and there is nothing left to hold back.
    ///
    /// # Errors
    /// What is waited for.
    pub(super) async fn look(&self) -> Result<(), String> {
        if self.done.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (agent, (udp, tcp)) = tokio::join!(self.look_at_agent(), probe(self.dns, &[]));
        let answers = udp.is_any_answer() || tcp.is_any_answer();
        if agent.is_err() && !answers {
            return agent;
        }
        let why = if agent.is_ok() {
            "the agent is ready"
        } else {
            "PowerDNS answers already"
        };
        if !self.done.swap(true, Ordering::Relaxed) {
            tracing::info!("started: {why}");
        }
        Ok(())
    }

    async fn look_at_agent(&self) -> Result<(), String> {
        let words = {
            let story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
            (story.last.is_some() || !story.is_running()).then(|| story.words(Instant::now()))
        };
        let said = ask(self.agent, "/readyz", PATIENCE).await;
        // One that ends again and again says nothing itself.
        said.map_err(|said| words.map_or(said.clone(), |words| format!("{words}\n{said}")))
    }
}

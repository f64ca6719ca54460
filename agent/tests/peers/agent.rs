//! An agent that has nothing but its peers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zonetide_agent::peers::{Arrived, Changes, Contacts, Outbox, Peers, Resolver, Settings, TokenSource};
use zonetide_agent::report::{PeerLink, PeersReport};
use zonetide_agent::serve::{serve_privately, serve_router};

pub(crate) const TOKEN: &str = "a-token-that-only-tests-have";
/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Addresses as a test wants them.
#[derive(Default)]
pub(crate) struct Addresses(pub(crate) Mutex<Vec<SocketAddr>>);

#[async_trait]
impl Resolver for Addresses {
    async fn resolve(&self, _host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        assert_eq!(port, 8500);
        let addresses = self.0.lock().unwrap().clone();
        if addresses.is_empty() {
            return Err(std::io::Error::other("no such name"));
        }
        Ok(addresses)
    }
}

/// Settings with which everything happens soon.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::new();
    settings.token = Some(TokenSource::Text(TOKEN.to_owned()));
    settings.hello = Duration::from_millis(200);
    settings.look = Duration::from_millis(100);
    settings
}

pub(crate) fn with_list(peers: &[SocketAddr]) -> Settings {
    let mut settings = settings();
    settings.list = peers.iter().map(|address| format!("http://{address}")).collect();
    settings
}

pub(crate) fn with_token_file(path: &Path, peers: &[SocketAddr]) -> Settings {
    let mut settings = with_list(peers);
    settings.token = Some(TokenSource::File(path.to_owned()));
    settings
}

pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    pub(crate) outbox: Outbox,
    pub(crate) contacts: Contacts,
    pub(crate) arrivals: mpsc::Receiver<Arrived>,
    pub(crate) peers: Peers,
    stop: CancellationToken,
}

/// A listener, and its address.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Agent {
    /// An agent that knows nobody but may be known.
    pub(crate) async fn lonely(name: &str) -> Self {
        let (listener, _) = listen().await;
        Self::start(name, listener, settings(), Arc::default())
    }

    /// An agent that tells its changes to others.
    pub(crate) async fn telling(name: &str, settings: Settings) -> Self {
        let (listener, _) = listen().await;
        Self::start(name, listener, settings, Arc::default())
    }

    pub(crate) fn start(name: &str, listener: TcpListener, settings: Settings, dns: Arc<Addresses>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = listener.local_addr().unwrap();
        let peers = Peers::start(settings, name, ["main".to_owned()], dns).unwrap();
        let peering = peers.of_database("main").unwrap();
        let stop = CancellationToken::new();
        match peers.door() {
            Some(door) => {
                tokio::spawn(serve_privately(listener, peers.router(), door, stop.clone()));
            }
            None => {
                tokio::spawn(serve_router(listener, peers.router(), stop.clone()));
            }
        }
        Self {
            address,
            outbox: peering.outbox,
            contacts: peering.contacts,
            arrivals: peering.arrivals,
            peers,
            stop,
        }
    }

    pub(crate) fn report(&self) -> PeersReport {
        self.peers.reporter().unwrap()()
    }

    pub(crate) fn link(&self, address: SocketAddr) -> Option<PeerLink> {
        let links = self.report().links;
        let is_there = |link: &PeerLink| link.address.ends_with(&format!("://{address}"));
        links.into_iter().find(is_there)
    }

    pub(crate) fn stands(&self, address: SocketAddr, standing: &str) -> bool {
        self.link(address).is_some_and(|link| link.standing == standing)
    }

    pub(crate) async fn reaches(&self, other: &Agent) {
        until("the peer is reached", || self.stands(other.address, "reached")).await;
    }

    pub(crate) fn tell(&self, name: &str, bytes: usize) {
        assert!(self.outbox.tell(&changes(name, bytes)));
    }

    /// The name of the next changes that arrive.
    pub(crate) async fn next(&mut self) -> String {
        self.next_arrived().await.changes.name
    }

    pub(crate) async fn next_arrived(&mut self) -> Arrived {
        let next = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
        next.expect("nothing has arrived").unwrap()
    }

    pub(crate) async fn flush(&self) {
        self.peers.flush(PATIENCE).await;
    }

    /// Ends the agent, its connections too.
    pub(crate) fn end(self) {
        self.stop.cancel();
    }

    /// A request as an agent of another name would send it.
    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.post_with(TOKEN, path)
    }

    pub(crate) fn post_with(&self, token: &str, path: &str) -> reqwest::RequestBuilder {
        post_to(self.address, token, path)
    }
}

/// A request as an agent of another name would send it.
pub(crate) fn post_to(address: SocketAddr, token: &str, path: &str) -> reqwest::RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client
        .post(format!("http://{address}{path}"))
        .bearer_auth(token)
        .header("zonetide-instance", "stranger")
        .header("zonetide-boot", "1")
}

pub(crate) fn changes(name: &str, bytes: usize) -> Arc<Changes> {
    Arc::new(Changes {
        database: "main".into(),
        name: name.into(),
        object: vec![b'x'; bytes].into(),
    })
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, holds).await;
    assert!(waited.is_ok(), "it never comes to this: {what}");
}

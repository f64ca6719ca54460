//! Finds the peers: those of the list, and all addresses that the DNS has for a name.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::courier::Courier;
use super::link::Link;
use super::{Settings, lock};

/// Peers that are told anything.
const MOST: usize = 1024;
/// Whatever asks for it, the DNS is asked at most this often.
const PAUSE: Duration = Duration::from_secs(1);
/// Time from the start until the DNS is asked for the first time. Kubernetes names a new pod about a second after its agent
/// began, and who asks before that gets no address, which `CoreDNS` goes on saying for 5 s.
const FIRST: Duration = Duration::from_millis(1500);
/// Time from the start for which an agent that reaches nobody asks as often as it may: others are probably starting, too.
const YOUNG: Duration = Duration::from_secs(60);

/// Who knows the addresses of a name.
#[async_trait]
pub trait Resolver: Send + Sync {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Keeps the links as the list and the DNS have them, until `stop` is cancelled.
pub(super) async fn discover(core: Arc<Core>, resolver: Arc<dyn Resolver>, stop: CancellationToken) {
    let Some(settings) = core.settings.clone() else {
        return;
    };
    let looking = async {
        let mut search = Search {
            found: BTreeSet::new(),
            failing: false,
        };
        let start = Instant::now();
        if settings.dns.is_some() {
            connect(&core, &settings, &settings.list.iter().cloned().collect());
            // Who is greeted is known to the DNS.
            wait(&core, FIRST.min(settings.look)).await;
        }
        loop {
            let peers = search.peers(&settings, core.scheme(), resolver.as_ref()).await;
            connect(&core, &settings, &peers);
            let pause = PAUSE.min(settings.look);
            tokio::time::sleep(pause).await;
            if start.elapsed() >= YOUNG || core.reaches_somebody() {
                wait(&core, settings.look.saturating_sub(pause)).await;
            }
        }
    };
    stop.run_until_cancelled(looking).await;
    for link in lock(&core.links).values() {
        link.end();
    }
}

/// Until somebody asks for a look, but no longer than that.
async fn wait(core: &Core, longest: Duration) {
    tokio::select! {
        () = core.look.notified() => {}
        () = tokio::time::sleep(longest) => {}
    }
}

/// What the DNS said last.
struct Search {
    found: BTreeSet<String>,
    failing: bool,
}

impl Search {
    /// The addresses of all peers. While the DNS does not answer, those that it named last stay.
    async fn peers(
        &mut self,
        settings: &Settings,
        scheme: &str,
        resolver: &dyn Resolver,
    ) -> BTreeSet<String> {
        if let Some((host, port)) = &settings.dns {
            match resolver.resolve(host, *port).await {
                Ok(addresses) => {
                    self.found = addresses
                        .into_iter()
                        .map(|address| format!("{scheme}://{address}"))
                        .collect();
                    if std::mem::replace(&mut self.failing, false) {
                        tracing::info!(name = host, "the DNS knows the peers again");
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(name = host, %error, "the DNS does not know the peers: those known stay");
                    }
                }
            }
        }
        let listed = settings.list.iter().cloned();
        listed.chain(self.found.iter().cloned()).take(MOST).collect()
    }
}

/// Ends the links to those that are no peers any more, and begins those to new ones.
fn connect(core: &Arc<Core>, settings: &Settings, peers: &BTreeSet<String>) {
    let mut links = lock(&core.links);
    links.retain(|address, link| {
        let stays = peers.contains(address);
        if !stays {
            link.end();
            tracing::info!(address, "no peer any more");
        }
        stays
    });
    for address in peers {
        if links.contains_key(address) {
            continue;
        }
        let gone = CancellationToken::new();
        let bounds = (settings.queue_messages, settings.queue_bytes);
        let link = Link::new(address.clone(), gone.clone(), bounds, core.waiting.clone());
        let link = Arc::new(link);
        links.insert(address.clone(), link.clone());
        let courier = Courier::new(core.clone(), link, settings.clone());
        tokio::spawn(async move { gone.run_until_cancelled(courier.run()).await });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::peers::TokenSource;

    /// Knows nobody, and remembers when it was asked.
    struct Nobody {
        start: Instant,
        asked: Mutex<Vec<u128>>,
    }

    #[async_trait]
    impl Resolver for Nobody {
        async fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
            self.asked.lock().unwrap().push(self.start.elapsed().as_millis());
            Err(std::io::Error::other("no such name"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_agent_gives_the_dns_time_to_learn_of_it_and_asks_often_while_it_reaches_nobody() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut settings = Settings::new();
        settings.token = Some(TokenSource::Text("a-token-that-only-tests-have".to_owned()));
        settings.dns = Some(("peers.example".to_owned(), 8500));
        let (core, _arrivals) = Core::new(Some(settings), "a", ["main".to_owned()]).unwrap();
        let nobody = Arc::new(Nobody {
            start: Instant::now(),
            asked: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let looking = discover(core, nobody.clone(), stop.clone());
        let _ = tokio::time::timeout(Duration::from_secs(80), looking).await;
        let asked = nobody.asked.lock().unwrap().clone();
        let (young, old): (Vec<u128>, Vec<u128>) = asked.iter().partition(|at| **at < 60_000);
        assert_eq!(young[..3], [1500, 2500, 3500]);
        assert_eq!(young.len(), 59);
        assert_eq!(old, [64_500, 69_500, 74_500, 79_500]);
    }
}

//! What the parts of the peers share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use reqwest::Client;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::link::{Link, Standing};
use super::message::{Hello, is_object_name};
use super::server::Refusal;
use super::source::Source;
use super::token::Tokens;
use super::transport::Transport;
use super::{Arrived, Changes, Contacts, PeersError, Settings, lock};
use crate::clocks::Moment;
use crate::restoring::Restorer;
use crate::skew::Skew;
use crate::snapshot::sanitize_instance;

/// From telling to the peer's answer, seconds.
const LATENCIES: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 5.0];
/// Lines about refusals are at least so far apart.
const QUIET: Duration = Duration::from_secs(60);
/// An agent is in contact until so many of its hellos are missing.
const HELLOS: u32 = 3;

/// Questions of other servers that are answered at a time.
const QUESTIONS: usize = 4;

type Arrivals = BTreeMap<String, mpsc::Receiver<Arrived>>;

/// Requests that were refused.
#[derive(Default)]
pub(super) struct Refused {
    counts: [AtomicU64; Refusal::ALL.len()],
    last: Mutex<Option<LastRefusal>>,
    logged: Mutex<Option<Instant>>,
}

#[derive(Clone)]
pub(super) struct LastRefusal {
    pub when: Instant,
    pub from: String,
    pub refusal: Refusal,
}

impl Refused {
    pub(super) fn count(&self, refusal: Refusal, from: &str) {
        self.counts[refusal as usize].fetch_add(1, Ordering::Relaxed);
        *lock(&self.last) = Some(LastRefusal {
            when: Instant::now(),
            from: from.to_owned(),
            refusal,
        });
        let is_worrying = matches!(
            refusal,
            Refusal::Token
                | Refusal::Certificate
                | Refusal::Identity
                | Refusal::Receiver
                | Refusal::Role
                | Refusal::Namesake
        );
        if !is_worrying {
            tracing::debug!(from, reason = refusal.text(), "refused what a peer sent");
            return;
        }
        let mut logged = lock(&self.logged);
        if logged.is_none_or(|logged| logged.elapsed() >= QUIET) {
            *logged = Some(Instant::now());
            let all = self.of(refusal);
            tracing::warn!(from, all, "refused a peer: {}", refusal.text());
        }
    }

    pub(super) fn of(&self, refusal: Refusal) -> u64 {
        self.counts[refusal as usize].load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> Option<LastRefusal> {
        lock(&self.last).clone()
    }
}

pub(super) struct Core {
    /// None: there are no peers.
    pub settings: Option<Settings>,
    pub tokens: Option<Tokens>,
    pub transport: Option<Transport>,
    pub instance: String,
    /// Tells this start of the agent from every other, and so the own address from others.
    pub boot: String,
    pub contacts: Contacts,
    pub arrivals: BTreeMap<String, mpsc::Sender<Arrived>>,
    /// By database, how many have arrived.
    pub arrived: BTreeMap<String, AtomicU64>,
    /// Bytes of what has arrived and is not merged yet.
    pub room: Arc<Semaphore>,
    pub links: Mutex<BTreeMap<String, Arc<Link>>>,
    /// Messages that wait for peers, of all links.
    pub waiting: watch::Sender<usize>,
    /// Asks for a look into the DNS before its time.
    pub look: Notify,
    pub refused: Refused,
    pub latency: Histogram,
    /// Answers those who ask how this agent is, once it can.
    pub source: OnceLock<Arc<dyn Source>>,
    /// Carries out what the operator orders; none where that is not possible.
    pub restorer: OnceLock<Arc<Restorer>>,
    /// One database is handed over at a time: it costs a look at every entry, and room on the disk. Those who only receive have a turn
    /// of their own, so that they keep no server from starting.
    pub handing: Arc<Semaphore>,
    pub handing_to_receivers: Arc<Semaphore>,
    /// Questions that are answered at a time: the answer to one may cost a look at every entry.
    pub asking: Arc<Semaphore>,
    pub asking_of_receivers: Arc<Semaphore>,
    progress: Mutex<BTreeMap<String, u64>>,
}

impl Core {
    pub(super) fn new(
        settings: Option<Settings>,
        instance: &str,
        databases: impl IntoIterator<Item = String>,
    ) -> Result<(Arc<Self>, Arrivals), PeersError> {
        let (mut tokens, mut transport) = (None, None);
        if let Some(settings) = &settings {
            tokens = settings.token.clone().map(Tokens::read).transpose()?;
            transport = Some(Transport::new(settings, &sanitize_instance(instance))?);
        }
        Ok(Self::build(settings, (tokens, transport), instance, databases))
    }

    /// Without peers.
    pub(super) fn silent(databases: impl IntoIterator<Item = String>) -> (Arc<Self>, Arrivals) {
        Self::build(None, (None, None), "", databases)
    }

    fn build(
        settings: Option<Settings>,
        (tokens, transport): (Option<Tokens>, Option<Transport>),
        instance: &str,
        databases: impl IntoIterator<Item = String>,
    ) -> (Arc<Self>, Arrivals) {
        let (messages, bytes, hello) = settings.as_ref().map_or((1, 1, Duration::ZERO), |settings| {
            // Whatever is allowed at all must fit at least twice, or a large one would be in the way for ever.
            let bytes = settings.queue_bytes.max(settings.max_object * 2) + MESSAGE;
            (settings.queue_messages, bytes, settings.hello)
        });
        let (arrivals, receivers): (BTreeMap<_, _>, _) = databases
            .into_iter()
            .map(|database| {
                let (sender, receiver) = mpsc::channel(messages);
                ((database.clone(), sender), (database, receiver))
            })
            .unzip();
        let core = Self {
            settings,
            tokens,
            transport,
            instance: sanitize_instance(instance),
            boot: format!("{:032x}", rand::random::<u128>()),
            contacts: Contacts::new(hello * HELLOS),
            arrived: arrivals
                .keys()
                .map(|database| (database.clone(), AtomicU64::new(0)))
                .collect(),
            arrivals,
            room: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            links: Mutex::default(),
            waiting: watch::Sender::new(0),
            look: Notify::new(),
            refused: Refused::default(),
            latency: Histogram::new(LATENCIES),
            source: OnceLock::new(),
            restorer: OnceLock::new(),
            handing: Arc::new(Semaphore::new(1)),
            handing_to_receivers: Arc::new(Semaphore::new(1)),
            asking: Arc::new(Semaphore::new(QUESTIONS)),
            asking_of_receivers: Arc::new(Semaphore::new(1)),
            progress: Mutex::default(),
        };
        (Arc::new(core), receivers)
    }

    /// Reaches others.
    ///
    /// # Errors
    /// Why nobody can be reached now.
    pub(super) fn client(&self) -> Result<Client, String> {
        let transport = self.transport.as_ref().ok_or("there are no peers")?;
        transport.client()
    }

    /// What the addresses of peers begin with.
    pub(super) fn scheme(&self) -> &'static str {
        self.transport.as_ref().map_or("http", Transport::scheme)
    }

    /// Who comes in shows a certificate.
    pub(super) fn is_private(&self) -> bool {
        matches!(self.transport, Some(Transport::Tls(_)))
    }

    /// Reads the files again that show who is one of the own.
    fn renew(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.renew();
        }
        if let Some(transport) = &self.transport {
            transport.renew();
        }
    }

    pub(super) fn tell(&self, changes: &Arc<Changes>) -> bool {
        let Some(settings) = &self.settings else {
            return false;
        };
        if changes.object.len() > settings.max_object || !is_object_name(&changes.name) {
            return false;
        }
        let now = Instant::now();
        let mut offered = BTreeSet::new();
        for link in lock(&self.links).values() {
            // An agent with two addresses, such as one of each IP version, is told once.
            if link.reached_boot().is_none_or(|boot| offered.insert(boot)) {
                link.offer(changes, now);
            }
        }
        true
    }

    pub(super) fn set_progress(&self, database: &str, time: u64) {
        lock(&self.progress).insert(database.to_owned(), time);
    }

    /// At least one peer answers.
    pub(super) fn reaches_somebody(&self) -> bool {
        let links = lock(&self.links);
        links.values().any(|link| link.standing() == Standing::Reached)
    }

    /// How far the own clock is ahead of that of each peer that answers and tells its time.
    pub(super) fn skews(&self) -> Vec<Skew> {
        let now = Moment::now();
        let links = lock(&self.links);
        // An agent with two addresses has one clock.
        let skews = links.values().filter_map(|link| link.skew(now));
        skews.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Greets everybody who answers, before the time.
    pub(super) fn hello_now(&self) {
        for link in lock(&self.links).values() {
            link.greet_if(|state| state.standing == Standing::Reached);
        }
    }

    /// An agent was heard: if it is one that does not answer, or is not known, now is the time to try.
    pub(super) fn noticed(&self, instance: &str) {
        let links = lock(&self.links);
        let answers = |link: &Arc<Link>| {
            let state = link.state();
            state.standing == Standing::Reached && state.instance.as_deref() == Some(instance)
        };
        if links.values().any(answers) {
            return;
        }
        for link in links.values() {
            link.greet_if(|state| {
                let maybe = state.instance.as_deref().is_none_or(|known| known == instance);
                state.standing == Standing::Away && maybe
            });
        }
        self.look.notify_one();
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            instance: self.instance.clone(),
            boot: self.boot.clone(),
            progress: lock(&self.progress).clone(),
        }
    }
}

/// Reads the files again and again that show who is one of the own. However long that takes, nobody waits for it.
pub(super) async fn renewing(core: Arc<Core>) {
    let look = core
        .settings
        .as_ref()
        .map_or(Duration::MAX, |settings| settings.look);
    loop {
        tokio::time::sleep(look).await;
        let core = core.clone();
        let _ = spawn_blocking(move || core.renew()).await;
    }
}

/// What a message costs of the room besides its object.
pub(super) const MESSAGE: usize = 1 << 10;

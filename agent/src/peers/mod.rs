//! Agents that tell each other changes over HTTP, so that nobody has to wait for the next look into the store.
//!
//! The store is the truth behind it: whatever gets lost here is found there. So nothing in here blocks or waits for a
//! peer, every queue is bounded, and what does not fit is dropped and counted.

mod answers;
mod collector;
mod contacts;
mod core;
mod courier;
mod discovery;
mod identity;
mod link;
mod message;
mod orders;
mod questions;
mod report;
mod request;
mod server;
mod source;
mod token;
mod transport;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use prometheus_client::collector::Collector;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::core::Core;
pub use collector::PeersCollector;
pub use contacts::{Contact, Contacts};
pub use discovery::{Resolver, SystemResolver};
pub use message::is_object_name;
pub use questions::{NotGiven, Questions};
pub use source::{Answer, Source, Whole};
pub use token::TokenSource;
pub use transport::CertificateFiles;

use crate::report::PeersReporter;
use crate::restoring::Restorer;
use crate::serve::Tls;
use crate::skew::Skew;

/// Why peers cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    #[error("peers.token_file: cannot read {}: {error}", path.display())]
    TokenFile { path: PathBuf, error: std::io::Error },
    #[error("{origin}: {reason}")]
    Token { origin: String, reason: String },
    #[error("peers.{option}: {reason}")]
    Tls { option: &'static str, reason: String },
}

/// Changes of a database, as they are told and as they arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub database: String,
    /// The object's name, see [`is_object_name`].
    pub name: String,
    pub object: Bytes,
}

/// Changes that a peer has told.
#[derive(Debug)]
pub struct Arrived {
    /// The peer, in the form that names of objects have it.
    pub from_instance: String,
    pub changes: Changes,
    /// Its part of the memory that may wait to be merged; given back when this is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

impl Arrived {
    /// Changes that came on another way, for tests.
    pub fn new(from_instance: &str, changes: Changes) -> Self {
        Self {
            from_instance: from_instance.to_owned(),
            changes,
            _room: None,
        }
    }
}

/// Which peers there are, and how long anything may take.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What agents show each other; needed where they have no certificates.
    pub token: Option<TokenSource>,
    /// By which this agent shows who it is, and is shown who others are; none: plain HTTP.
    pub certificates: Option<CertificateFiles>,
    /// Host and port whose addresses are peers; none: only the list.
    pub dns: Option<(String, u16)>,
    /// `http://host:port` or `https://host:port`.
    pub list: Vec<String>,
    /// Certificates (PEM) that are believed instead of the system's; empty: the system's.
    pub ca: Vec<u8>,
    /// Largest object that is told or taken.
    pub max_object: usize,
    /// Between two hellos. A peer that was not heard for three of them is not in contact.
    pub hello: Duration,
    /// How often the DNS is asked and the token file is read.
    pub look: Duration,
    pub connect_timeout: Duration,
    /// For one request, and for the body of one that comes in.
    pub request_timeout: Duration,
    /// What may wait for one peer, and what may wait to be merged here.
    pub queue_messages: usize,
    pub queue_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// The times and bounds that agents have unless a test needs others. They need a token or certificates besides.
    pub fn new() -> Self {
        Self {
            token: None,
            certificates: None,
            dns: None,
            list: Vec::new(),
            ca: Vec::new(),
            max_object: 1 << 20,
            hello: Duration::from_secs(2),
            look: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(5),
            queue_messages: 256,
            queue_bytes: 4 << 20,
        }
    }
}

/// The peers of an agent. Its tasks end when it is dropped.
pub struct Peers {
    core: Arc<Core>,
    arrivals: Mutex<BTreeMap<String, mpsc::Receiver<Arrived>>>,
    _tasks: DropGuard,
}

/// What the replica of one database has of the peers. Without peers it is silent.
pub struct Peering {
    pub outbox: Outbox,
    pub contacts: Contacts,
    /// Never ends.
    pub arrivals: mpsc::Receiver<Arrived>,
}

impl Peers {
    /// Begins to look for the peers and to greet them. They can answer once [`Peers::router`] is served.
    ///
    /// # Errors
    /// A token or certificates that cannot be used.
    pub fn start(
        settings: Settings,
        instance: &str,
        databases: impl IntoIterator<Item = String>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, PeersError> {
        let (core, arrivals) = Core::new(Some(settings), instance, databases)?;
        let stop = CancellationToken::new();
        let discovering = discovery::discover(core.clone(), resolver, stop.clone());
        tokio::spawn(discovering);
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(core::renewing(core.clone())),
        );
        Ok(Self {
            core,
            arrivals: Mutex::new(arrivals),
            _tasks: stop.drop_guard(),
        })
    }

    /// No peers: nothing is told and nothing arrives.
    pub fn none(databases: impl IntoIterator<Item = String>) -> Self {
        let (core, arrivals) = Core::silent(databases);
        Self {
            core,
            arrivals: Mutex::new(arrivals),
            _tasks: CancellationToken::new().drop_guard(),
        }
    }

    /// What the replica of a database needs, once for each database.
    pub fn of_database(&self, database: &str) -> Option<Peering> {
        let arrivals = lock(&self.arrivals).remove(database)?;
        Some(Peering {
            outbox: self.outbox(),
            contacts: self.contacts(),
            arrivals,
        })
    }

    pub fn outbox(&self) -> Outbox {
        Outbox {
            core: self.core.clone(),
        }
    }

    pub fn contacts(&self) -> Contacts {
        self.core.contacts.clone()
    }

    /// Has `source` answer those who ask; before that they are told to come back.
    pub fn answer_by(&self, source: Arc<dyn Source>) {
        // There is one, so it is the same if there is one already.
        let _ = self.core.source.set(source);
    }

    /// Has `restorer` carry out the restores that the operator orders; before that nothing is restored.
    pub fn restore_by(&self, restorer: Arc<Restorer>) {
        // As above.
        let _ = self.core.restorer.set(restorer);
    }

    /// To ask the peers how they are; none without peers.
    pub fn questions(&self) -> Option<Questions> {
        self.core.settings.as_ref()?;
        Some(Questions::new(self.core.clone()))
    }

    /// By what a listener lets peers in; none where they come over plain HTTP, or there are none.
    pub fn door(&self) -> Option<Tls> {
        let config = self.core.transport.as_ref()?.server()?;
        let core = self.core.clone();
        Some(Tls {
            config,
            admit: server::admit_with,
            refused: Arc::new(move |from| {
                core.refused
                    .count(server::Refusal::Certificate, &from.ip().to_string());
            }),
        })
    }

    /// Where peers post what they tell; nothing without peers.
    pub fn router(&self) -> Router {
        if self.core.settings.is_some() {
            server::router(self.core.clone())
        } else {
            Router::new()
        }
    }

    /// Gives what is shown of the peers, each time it is called; none without peers.
    pub fn reporter(&self) -> Option<PeersReporter> {
        self.core.settings.as_ref()?;
        let core = self.core.clone();
        Some(Arc::new(move || report::report(&core)))
    }

    /// The metrics of the peers; none without peers.
    pub fn collector(&self) -> Option<Box<dyn Collector>> {
        self.core.settings.as_ref()?;
        Some(Box::new(PeersCollector::new(self.core.clone())))
    }

    /// Ends when everything told is sent or dropped, or after `limit`.
    pub async fn flush(&self, limit: Duration) {
        let mut waiting = self.core.waiting.subscribe();
        let _ = tokio::time::timeout(limit, waiting.wait_for(|waiting| *waiting == 0)).await;
    }
}

/// Tells changes to every peer. Cheap to clone; nothing in it ever blocks.
#[derive(Clone)]
pub struct Outbox {
    core: Arc<Core>,
}

impl Outbox {
    /// There are peers to tell, or there may be some day.
    pub fn is_on(&self) -> bool {
        self.core.settings.is_some()
    }

    /// Largest object that can be told.
    pub fn max_object(&self) -> usize {
        self.core
            .settings
            .as_ref()
            .map_or(0, |settings| settings.max_object)
    }

    /// Tells changes to all peers that are within reach, in the order of the calls. False: too large or of a name that is
    /// none, so that nobody is told; [`Outbox::announce`] is for those.
    pub fn tell(&self, changes: &Arc<Changes>) -> bool {
        self.core.tell(changes)
    }

    /// How many changes of a database have arrived.
    pub fn arrived(&self, database: &str) -> u64 {
        let arrived = self.core.arrived.get(database);
        arrived.map_or(0, |arrived| arrived.load(Ordering::Acquire))
    }

    /// How far the own clock is ahead of that of each peer that answers now and tells its time.
    pub fn skews(&self) -> Vec<Skew> {
        self.core.skews()
    }

    /// The time of the newest state of a database that was told, once it was told. Peers learn it with the next hello, which
    /// comes after the changes.
    pub fn set_progress(&self, database: &str, time: u64) {
        self.core.set_progress(database, time);
    }

    /// The same for a state that was not told, but stored: peers learn it at once, to look into the store.
    pub fn announce(&self, database: &str, time: u64) {
        self.core.set_progress(database, time);
        self.core.hello_now();
    }
}

/// A poisoned lock has its content as it was: nothing here is left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

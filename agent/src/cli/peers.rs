//! How the configuration's `peers` become peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Peers as Configured};
use crate::peers::{
    CertificateFiles, Changes, Contacts, Outbox, Peering, Peers, Settings, SystemResolver, TokenSource,
};
use crate::restoring::Restorer;
use crate::serve::{listen, serve_privately};
use crate::skew::Skew;
use crate::snapshot::DeltaName;
use crate::sync::peer::{self, Told};

/// The peers of the configured databases, and who carries out what the operator orders. Whoever only goes through once has none: it
/// serves no endpoints.
pub(super) fn start_peers(config: &Config, restorer: Option<Arc<Restorer>>) -> anyhow::Result<Peers> {
    let databases = config.lmdbs.keys().cloned();
    let peers = match &config.peers {
        Some(peers) if !config.only_once => {
            let settings = settings(peers)?;
            Peers::start(settings, &config.instance, databases, Arc::new(SystemResolver))?
        }
        _ => Peers::none(databases),
    };
    if let Some(restorer) = restorer {
        peers.restore_by(restorer);
    }
    Ok(peers)
}

/// Where peers come in, where they need a certificate.
pub(super) async fn door(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    match &config.peers {
        Some(peers) if peers.is_private() && !config.only_once => {
            let address = &peers.address;
            let listener = listen(address).await;
            listener
                .map(Some)
                .with_context(|| format!("peers.address: cannot listen on {address}"))
        }
        _ => Ok(None),
    }
}

/// Lets peers in who have a certificate; others come in by what is returned, beside the endpoints.
pub(super) fn let_peers_in(
    peers: &Peers,
    door: Option<TcpListener>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> Router {
    let (Some(listener), Some(tls)) = (door, peers.door()) else {
        return peers.router();
    };
    let (stop, router) = (shutdown.clone(), peers.router());
    tasks.spawn(async move {
        serve_privately(listener, router, tls, stop).await;
        Ok(())
    });
    Router::new()
}

fn settings(peers: &Configured) -> anyhow::Result<Settings> {
    let mut settings = Settings::new();
    settings.token = match (peers.token.is_empty(), peers.token_file.as_os_str().is_empty()) {
        (false, _) => Some(TokenSource::Text(peers.token.expose().to_owned())),
        (true, false) => Some(TokenSource::File(peers.token_file.clone())),
        (true, true) => None,
    };
    settings.dns = peers.dns_name();
    settings.list = peers.addresses();
    settings.max_object = peers.max_object.0;
    settings.queue_bytes = settings.queue_bytes.max(settings.max_object);
    if peers.is_private() {
        settings.certificates = Some(CertificateFiles {
            ca: peers.tls.ca_file.clone(),
            cert: peers.tls.cert_file.clone(),
            key: peers.tls.key_file.clone(),
        });
        return Ok(settings);
    }
    let file = &peers.tls.ca_file;
    settings.ca = if file.as_os_str().is_empty() {
        peers.tls.ca.clone().into_bytes()
    } else {
        std::fs::read(file).with_context(|| format!("peers.tls.ca_file: cannot read {}", file.display()))?
    };
    Ok(settings)
}

/// The peers as replication sees them.
struct Reached {
    outbox: Outbox,
    contacts: Contacts,
}

impl peer::Peers for Reached {
    fn tell(&self, database: &str, name: &DeltaName, object: Bytes) {
        let changes = Changes {
            database: database.to_owned(),
            name: name.file().to_owned(),
            object,
        };
        if self.outbox.tell(&Arc::new(changes)) {
            self.outbox.set_progress(database, name.time());
        } else {
            self.outbox.announce(database, name.time());
        }
    }

    fn announce(&self, database: &str, time: u64) {
        self.outbox.announce(database, time);
    }

    fn contacts(&self, database: &str) -> BTreeMap<String, u64> {
        let contacts = self.contacts.all().into_iter();
        contacts
            .filter(|contact| contact.in_contact)
            .map(|contact| {
                let told = contact.progress.get(database).copied().unwrap_or(0);
                (contact.instance, told)
            })
            .collect()
    }

    fn arrived(&self, database: &str) -> u64 {
        self.outbox.arrived(database)
    }

    fn skews(&self) -> Vec<Skew> {
        self.outbox.skews()
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.contacts.news()
    }
}

/// Both directions: who is told, and what they tell.
pub(super) type Line = (Arc<dyn peer::Peers>, mpsc::Receiver<Told>);

/// Connects a replica with its peers: who is told, and what they tell. Nobody without peers.
pub(super) fn connect(database: &str, peers: &Peers) -> Option<(Arc<dyn peer::Peers>, mpsc::Receiver<Told>)> {
    let Peering {
        outbox,
        contacts,
        mut arrivals,
    } = peers
        .of_database(database)
        .filter(|peering| peering.outbox.is_on())?;
    // A short queue: what waits here is counted neither there nor anywhere.
    let (sender, told) = mpsc::channel(1);
    let folder = DeltaName::folder(database);
    tokio::spawn(async move {
        while let Some(arrived) = arrivals.recv().await {
            let told = Told {
                name: format!("{folder}{}", arrived.changes.name),
                from: arrived.from_instance.clone(),
                object: arrived.changes.object.clone(),
            };
            if sender.send(told).await.is_err() {
                break;
            }
        }
    });
    Some((Arc::new(Reached { outbox, contacts }), told))
}

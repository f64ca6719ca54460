//! What there is for a `DnsRestore`, and what an agent says of it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use zonetide_crds::{DnsCluster, DnsRestore};

use super::{
    client::{Denied, Door},
    judge,
    message::{Account, Order, State, Why},
    servers::{Server, servers},
};
use crate::{
    context::Context,
    error::Error,
    names::{Names, PEERS_TOKEN, Part},
    peer_certificates::{Pair, PeerCertificates},
    reconcile::{fetch::FetchError, is_paused, ownership::claim},
    secret::SecretText,
};

/// What came of a look.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    NoCluster,
    /// It is being deleted.
    ClusterGoes,
    /// The operator has made none for the agents yet.
    NoCertificates,
    NoServer,
    /// Another `DnsRestore` of the `DnsCluster` comes first.
    Waits {
        other: String,
    },
    /// The server restores something else.
    Busy {
        server: String,
    },
    /// `ordered`: it may have heard what it was ordered.
    Away {
        server: String,
        why: String,
        ordered: bool,
    },
    /// It was begun as often as it may be, and the agent knows nothing of it any more.
    Forgotten {
        server: String,
    },
    /// Nobody has begun it, and it is too old to be begun.
    Late,
    Paused,
    /// No agent would take it.
    Unfit {
        server: String,
        why: String,
    },
    Told {
        server: String,
        account: Account,
        /// By this look, whether for the first time or again: what it was begun for before is not known any more, or was killed.
        begins: bool,
    },
}

/// What agents are shown.
struct Shown {
    believed: String,
    own: Pair,
    token: SecretText,
}

pub(super) async fn look(context: &Context, restore: &DnsRestore, now: Timestamp) -> Result<Found, Error> {
    let namespace = restore.namespace().unwrap_or_default();
    let names = Names {
        namespace: namespace.clone(),
        cluster: restore.spec.cluster.clone(),
    };
    let clusters: Api<DnsCluster> = Api::namespaced(context.client.clone(), &namespace);
    let cluster = clusters.get_opt(&names.cluster).await;
    let Some(cluster) = cluster.map_err(|source| failed("the DnsCluster", &names.cluster, source))? else {
        return Ok(Found::NoCluster);
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Found::ClusterGoes);
    }
    let is_late = judge::is_late(restore, now);
    let old = restore.status.clone().unwrap_or_default();
    if is_paused(&cluster) && old.server.is_none() {
        return Ok(if is_late { Found::Late } else { Found::Paused });
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let selector = names.selector_text(Part::Dns);
    let pods = api.list(&ListParams::default().labels(&selector)).await;
    let pods = pods
        .map_err(|source| failed("the pods", &selector, source))?
        .items;
    let status = cluster.status.clone().unwrap_or_default();
    let mut servers = servers(&pods, &status, old.server.as_deref());
    // Another one would do it once more. Its database says whether it is done, also after a restart.
    if let Some(begun) = old
        .server
        .filter(|begun| pods.iter().any(|pod| pod.name_any() == *begun))
    {
        servers.retain(|server| server.pod == begun);
        if servers.is_empty() {
            return Ok(Found::Away {
                server: begun,
                why: "its pod is not ready".to_owned(),
                ordered: true,
            });
        }
    }
    if servers.is_empty() {
        return Ok(Found::NoServer);
    }
    let Some(shown) = shown(context, &cluster, &names, now).await? else {
        return Ok(Found::NoCertificates);
    };
    let mut found = Found::NoServer;
    for server in servers {
        found = ask(context, server, &shown, (restore, is_late)).await;
        if !matches!(found, Found::Away { ordered: false, .. }) {
            break;
        }
    }
    Ok(found)
}

/// Asks a server, and orders it where that is not known or has to be done again, unless it is late for that. What failed is told all the
/// same.
async fn ask(
    context: &Context,
    server: Server,
    shown: &Shown,
    (restore, is_late): (&DnsRestore, bool),
) -> Found {
    let order = &Order::new(&restore.uid().unwrap_or_default(), &restore.spec);
    let Shown { believed, own, token } = shown;
    let Server {
        pod: server,
        address,
        instance,
    } = server;
    let door = Door::new(address, instance, believed.clone(), own.clone(), token.clone());
    let mut ordered = false;
    let told = match context.restorers.account(&door, &order.id).await {
        Ok(None) if judge::is_spent(restore) => return Found::Forgotten { server },
        Ok(None) if is_late => return Found::Late,
        Ok(None) => {
            ordered = true;
            let begun = context.restorers.order(&door, order).await;
            begun.map(|account| (account, true))
        }
        Ok(Some(account)) => {
            let failed = account.failed.as_ref().filter(|_| account.state == State::Failed);
            let mut begins = false;
            if let Some(failed) = failed.filter(|failed| !judge::is_for_good(restore, failed) && !is_late) {
                // Whether that can be done now is seen by the next look.
                let begun = context.restorers.order(&door, order).await;
                begins = begun.is_ok() && failed.reason == Why::Ended;
            }
            Ok((account, begins))
        }
        Err(denied) => Err(denied),
    };
    match told {
        Ok((account, begins)) => Found::Told {
            server,
            account,
            begins,
        },
        Err(Denied::Busy) => Found::Busy { server },
        Err(Denied::Away(why)) => Found::Away { server, why, ordered },
        Err(Denied::Unfit(why)) => Found::Unfit { server, why },
    }
}

/// None while there are no certificates. Secrets that are not the `DnsCluster`'s are not believed.
async fn shown(
    context: &Context,
    cluster: &DnsCluster,
    names: &Names,
    now: Timestamp,
) -> Result<Option<Shown>, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &names.namespace);
    let owner = cluster.controller_owner_ref(&()).unwrap_or_default();
    let own = async |name: String| -> Result<Option<Secret>, Error> {
        let secret = api.get_opt(&name).await;
        let secret = secret.map_err(|source| failed("the Secret", &name, source))?;
        Ok(secret.filter(|secret| claim(&secret.metadata, &owner).is_ok()))
    };
    let authority = own(names.peers_authority()).await?;
    let certificates = own(names.peers_certificates()).await?;
    let certificates = PeerCertificates::read(authority.as_ref(), certificates.as_ref());
    let token = own(names.peers_secret()).await?.and_then(token);
    let own = certificates.for_operator(&names.peers_authority_name(), now);
    let own = own.unwrap_or_else(|error| {
        tracing::warn!(%error, "no certificate to ask agents with, it is tried again");
        None
    });
    Ok(own.zip(token).map(|(own, token)| Shown {
        believed: certificates.believed,
        own,
        token,
    }))
}

/// The first of the lines, which agents send themselves.
fn token(secret: Secret) -> Option<SecretText> {
    let token = secret.data?.remove(PEERS_TOKEN)?;
    let text = String::from_utf8(token.0).ok()?;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(SecretText::new(first))
}

fn failed(what: &'static str, name: &str, source: kube::Error) -> Error {
    FetchError::Get {
        what,
        name: name.to_owned(),
        source,
    }
    .into()
}

//! What is shown of the peers.

use super::core::Core;
use super::link::Standing;
use super::lock;
use super::server::Refusal;
use super::transport::Transport;
use crate::report::{Ago, PeerContact, PeerLink, PeersReport, RefusedPeer};

pub(super) fn report(core: &Core) -> PeersReport {
    let links = lock(&core.links);
    let links = links.values().map(|link| {
        let state = link.state();
        PeerLink {
            address: link.address.clone(),
            instance: state.instance,
            standing: word(state.standing),
            last_contact_seconds: state.contact.map(|contact| Ago(contact.elapsed())),
            told: state.told,
            dropped: state.dropped,
            failed: state.failed,
            queued: state.queued,
            last_error: state.last_error,
        }
    });
    let contacts = core.contacts.all().into_iter().map(|contact| {
        let shown = PeerContact {
            in_contact: contact.in_contact,
            last_heard_seconds: Ago(contact.heard.elapsed()),
            received: contact.received,
            progress: contact.progress,
        };
        (contact.instance, shown)
    });
    let counts = Refusal::ALL.map(|refusal| (refusal.word(), core.refused.of(refusal)));
    PeersReport {
        certificate: core.transport.as_ref().and_then(Transport::certificate),
        links: links.collect(),
        contacts: contacts.collect(),
        refused: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
        last_refused: core.refused.last().map(|last| RefusedPeer {
            from: last.from,
            reason: last.refusal.text(),
            seconds: Ago(last.when.elapsed()),
        }),
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::New => "new",
        Standing::Reached => "reached",
        Standing::Away => "away",
        Standing::Own => "own",
    }
}

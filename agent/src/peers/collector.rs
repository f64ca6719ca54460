//! Metrics of the peers, gathered at every scrape: a peer that is gone has none.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::core::Core;
use super::link::{LinkState, Standing};
use super::lock;
use super::server::Refusal;
use super::transport::Transport;

/// Name, help and value of a metric that every address has.
type OfLink<N> = (&'static str, &'static str, fn(&LinkState) -> N);

pub struct PeersCollector(Arc<Core>);

impl PeersCollector {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

impl fmt::Debug for PeersCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeersCollector").finish_non_exhaustive()
    }
}

impl Collector for PeersCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let core = &self.0;
        let links: Vec<_> = lock(&core.links)
            .values()
            .map(|link| (link.address.clone(), link.state()))
            .filter(|(_, state)| state.standing != Standing::Own)
            .collect();
        let counters: [OfLink<u64>; 3] = [
            ("peer_told", "Changes that a peer has taken", |state| state.told),
            ("peer_dropped", "Changes that a peer was not told", |state| {
                state.dropped
            }),
            ("peer_failures", "Requests to a peer that failed", |state| {
                state.failed
            }),
        ];
        for (name, help, of) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (address, state) in &links {
                let labels = labels(address, state);
                ConstCounter::new(of(state)).encode(family.encode_family(&labels)?)?;
            }
        }
        let gauges: [OfLink<i64>; 2] = [
            ("peer_reached", "1 while a peer answers", |state| {
                (state.standing == Standing::Reached).into()
            }),
            ("peer_queued", "Changes that wait for a peer", |state| {
                i64::try_from(state.queued).unwrap_or(i64::MAX)
            }),
        ];
        for (name, help, of) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (address, state) in &links {
                let labels = labels(address, state);
                ConstGauge::new(of(state)).encode(family.encode_family(&labels)?)?;
            }
        }
        let contacts = core.contacts.all();
        let help = "1 while an instance is heard";
        let mut family = encoder.encode_descriptor("peer_in_contact", help, None, MetricType::Gauge)?;
        for contact in &contacts {
            let labels = [("peer", contact.instance.as_str())];
            let heard = i64::from(contact.in_contact);
            ConstGauge::new(heard).encode(family.encode_family(&labels)?)?;
        }
        if let Some(certificate) = core.transport.as_ref().and_then(Transport::certificate) {
            let help = "When the certificate for peers ends, seconds since the epoch";
            let metric = encoder.encode_descriptor(
                "peer_certificate_expiry_timestamp",
                help,
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?;
            ConstGauge::new(certificate.expires).encode(metric)?;
        }
        let help = "Changes that an instance has told";
        let mut family = encoder.encode_descriptor("peer_received", help, None, MetricType::Counter)?;
        for contact in &contacts {
            let labels = [("peer", contact.instance.as_str())];
            ConstCounter::new(contact.received).encode(family.encode_family(&labels)?)?;
        }
        let help = "Requests of peers that were refused";
        let mut family = encoder.encode_descriptor("peer_refused", help, None, MetricType::Counter)?;
        for refusal in Refusal::ALL
            .into_iter()
            .filter(|refusal| *refusal != Refusal::Own)
        {
            let labels = [("reason", refusal.word())];
            ConstCounter::new(core.refused.of(refusal)).encode(family.encode_family(&labels)?)?;
        }
        let help = "From a change being told until a peer has taken it";
        let metric =
            encoder.encode_descriptor("peer_tell", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        core.latency.encode(metric)
    }
}

fn labels<'l>(address: &'l str, state: &'l LinkState) -> [(&'static str, &'l str); 2] {
    [
        ("address", address),
        ("peer", state.instance.as_deref().unwrap_or_default()),
    ]
}

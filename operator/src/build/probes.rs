//! How the kubelet learns of a server's state, and how a server ends. All of it asks the supervisor in the agent's container, which
//! asks PowerDNS itself: the kernel answers a connection for a process that is stopped, and images need no program for it.

use k8s_openapi::{
    api::core::v1::{HTTPGetAction, HTTPHeader, Lifecycle, LifecycleHandler, Probe, SleepAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use sha2::{Digest, Sha256};

use crate::{hex::hex, names::PROBES_PORT, reconcile::plan::Plan, settings::Settings};

/// How long PowerDNS goes on answering when its pod is to end, seconds. Its readiness fails meanwhile, after 6 s, so that nodes forget
/// whom they sent there too: until then they go on sending what comes from the same ports.
const DRAIN: i64 = 10;
/// By this the supervisor knows who says that the pod ends.
const DRAIN_HEADER: &str = "Zonetide-Drain";

/// Until the agent may let PowerDNS start. An hour for loading a large bucket.
pub(super) fn agent_startup() -> Probe {
    Probe {
        period_seconds: Some(1),
        timeout_seconds: Some(2),
        failure_threshold: Some(3600),
        ..get("/startup")
    }
}

/// Of the supervisor, which sees to the agent.
pub(super) fn agent_liveness() -> Probe {
    Probe {
        period_seconds: Some(5),
        timeout_seconds: Some(5),
        failure_threshold: Some(3),
        // One that is stopped does not end by itself.
        termination_grace_period_seconds: Some(10),
        ..get("/livez")
    }
}

/// A PowerDNS that does not answer is out of the Service in 10 s.
pub(super) fn powerdns_readiness() -> Probe {
    Probe {
        period_seconds: Some(2),
        timeout_seconds: Some(2),
        failure_threshold: Some(3),
        ..get("/dns")
    }
}

/// Generous: a restart helps only a server that hangs for good.
pub(super) fn powerdns_liveness() -> Probe {
    Probe {
        initial_delay_seconds: Some(10),
        period_seconds: Some(10),
        timeout_seconds: Some(5),
        failure_threshold: Some(6),
        termination_grace_period_seconds: Some(10),
        ..get("/dns/livez")
    }
}

/// Keeps PowerDNS from ending before nobody asks it any more. Kubernetes sleeps by itself from 1.30 on; before, the supervisor
/// answers late.
pub(super) fn answers_until_nobody_asks(settings: &Settings) -> Lifecycle {
    let handler = if settings.kubelet_sleeps {
        LifecycleHandler {
            sleep: Some(SleepAction { seconds: DRAIN }),
            ..LifecycleHandler::default()
        }
    } else {
        LifecycleHandler {
            http_get: get(&format!("/drain?seconds={DRAIN}")).http_get,
            ..LifecycleHandler::default()
        }
    };
    Lifecycle {
        pre_stop: Some(handler),
        ..Lifecycle::default()
    }
}

/// Tells the supervisor that the pod ends, at the same time as PowerDNS' container is told.
pub(super) fn leaves_the_service(plan: &Plan) -> Lifecycle {
    let header = HTTPHeader {
        name: DRAIN_HEADER.to_owned(),
        value: drain_token(plan),
    };
    let get = get("/draining").http_get.map(|get| HTTPGetAction {
        http_headers: Some(vec![header]),
        ..get
    });
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            http_get: get,
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

/// What the kubelet shows the supervisor. Whoever may read the pod knows it, and nobody else on the network.
pub(super) fn drain_token(plan: &Plan) -> String {
    hex(&Sha256::digest(format!("drain {}", plan.owner.uid))[..16])
}

fn get(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            // Not by name: a probe of one container may not name a port of another.
            port: IntOrString::Int(PROBES_PORT),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

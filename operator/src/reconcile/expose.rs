//! What of a managed store is reached from outside: which hosts a spec asks for, which of them the operator was installed to
//! expose, and what is said of it. Pure.
//!
//! Whoever may make `DnsClusters` has Ingresses made by the operator, and may not be allowed to make any: so class, annotations
//! and domains are the installing person's, and a spec chooses nothing but hosts in those domains.

use zonetide_crds::{ConditionType, DnsClusterSpec, Engine, ExposeSpec, ExposedHost, Reason};

use super::{
    conditions::{Status, Verdict},
    plan::Plan,
    verdict::verdict,
};
use crate::{names::Names, settings::ExposeSettings};

/// A part of a store with an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// The S3 API.
    S3,
    /// MinIO's console.
    Console,
}

impl Exposed {
    /// The name of its port, and the end of its Ingress' name.
    pub fn port(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Console => "console",
        }
    }
}

/// What is exposed, and what may not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposure {
    pub hosts: Vec<(Exposed, ExposedHost)>,
    /// Hosts that are in no domain of the operator's.
    pub refused: Vec<String>,
}

impl Exposure {
    /// Of these hosts those that may be.
    pub(super) fn of(spec: &DnsClusterSpec, names: &Names, settings: &ExposeSettings) -> Self {
        let Some((engine, expose)) = wanted(spec) else {
            return Self::default();
        };
        let console = expose.console.as_ref().filter(|_| engine == Engine::MinIO);
        let parts = [(Exposed::S3, expose.s3.as_ref()), (Exposed::Console, console)];
        let mut exposure = Self::default();
        for (part, host) in parts {
            match host {
                Some(host) if settings.allows(&host.host, &names.namespace) => {
                    exposure.hosts.push((part, host.clone()));
                }
                Some(host) => exposure.refused.push(host.host.clone()),
                None => {}
            }
        }
        exposure
    }

    /// What clients are told.
    pub fn url(&self, part: Exposed) -> Option<String> {
        let (_, host) = self.hosts.iter().find(|(exposed, _)| *exposed == part)?;
        Some(host.url())
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.hosts.iter().map(|(_, host)| host.url()).collect()
    }
}

fn wanted(spec: &DnsClusterSpec) -> Option<(Engine, &ExposeSpec)> {
    let managed = spec.object_store.managed.as_ref()?;
    Some((managed.engine, managed.expose.as_ref()?))
}

/// Whether a spec asks for anything.
pub(super) fn asked_for(spec: &DnsClusterSpec) -> bool {
    wanted(spec).is_some()
}

/// None when the spec asks for nothing, and nothing is in the way of that. `failed` is what the API server refused.
pub(super) fn exposed(plan: &Plan, failed: Option<&str>) -> Option<Verdict> {
    if failed.is_none() {
        wanted(&plan.spec)?;
    }
    let (status, reason, message) = if let Some(failed) = failed {
        (
            Status::False,
            Reason::ReconcileFailed,
            format!("{failed}; it is tried again"),
        )
    } else if plan.exposure.refused.is_empty() {
        let message = format!(
            "{} by Ingress; that the name leads there and who answers is up to DNS and the ingress controller",
            made(plan)
        );
        (Status::True, Reason::IngressReady, message)
    } else {
        (Status::False, Reason::HostNotAllowed, refusal(plan))
    };
    Some(verdict(ConditionType::Exposed, status, reason, message))
}

fn made(plan: &Plan) -> String {
    let parts = plan.exposure.hosts.iter();
    let parts: Vec<String> = parts
        .map(|(part, host)| match part {
            Exposed::S3 => format!("S3 is at {}", host.url()),
            Exposed::Console => format!("the console is at {}", host.url()),
        })
        .collect();
    parts.join(", ")
}

fn refusal(plan: &Plan) -> String {
    let refused = plan.exposure.refused.join(" and ");
    let domains = plan.settings.expose.domains_of(&plan.names.namespace);
    let remedy = if domains.is_empty() {
        "the operator was installed to expose nothing: whoever installed it can set the chart's value expose.domains (the argument --expose-domains)".to_owned()
    } else {
        format!(
            "choose a host in {}, or have another domain added to the chart's value expose.domains (the argument --expose-domains)",
            domains.join(" or ")
        )
    };
    let rest = match made(plan) {
        made if made.is_empty() => String::new(),
        made => format!("; {made}"),
    };
    format!("{refused} may not be exposed: {remedy}{rest}")
}

#[cfg(test)]
#[path = "expose_tests.rs"]
mod tests;

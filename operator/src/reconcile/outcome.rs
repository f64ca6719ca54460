//! What a reconcile came to, area by area: servers, store and keys, and what is exposed. None holds up another.

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};

use super::{
    api_pod::is_ready,
    keys::Obtained,
    plan::{Plan, ValidateError},
    refusals::Refusals,
    store_nodes::StoreNodes,
};
use crate::{
    agents::{AgentReport, AgentStatus},
    objectstore::{StoreError, renewal::Held},
};

/// How a reconcile ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is as the areas say.
    Reconciled(Box<Reconciled>),
    /// It is being deleted, and this is what is under way.
    Deleting(String),
    /// It is being deleted, and this is in the way.
    DeletionBlocked(String),
}

/// What there is to say of each area.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// The annotation says to leave servers and store as they are.
    pub paused: bool,
    /// None when not even the store can be looked after.
    pub plan: Option<Box<Plan>>,
    /// What is wrong with the spec, or with a Secret that it names. The servers were left as they are.
    pub invalid: Option<ValidateError>,
    /// The bucket and its keys; None when they could not be looked at.
    pub store: Option<Result<StoreOutcome, StoreError>>,
    /// The servers' `StatefulSet`, as it was applied or found.
    pub stateful_set: Option<StatefulSet>,
    /// The servers are as the plan says, or on their way.
    pub applied: bool,
    /// A server has not said yet which PowerDNS it runs.
    pub awaits_version: bool,
    /// Why the Ingresses are not as the spec says.
    pub exposure_failed: Option<String>,
    /// The first request to the API server that failed.
    pub failed: Option<String>,
}

impl Outcome {
    pub fn reconciled(&self) -> Option<&Reconciled> {
        match self {
            Self::Reconciled(reconciled) => Some(reconciled),
            Self::Deleting(_) | Self::DeletionBlocked(_) => None,
        }
    }

    /// The plan, when there was one.
    pub fn plan(&self) -> Option<&Plan> {
        self.reconciled()?.plan.as_deref()
    }

    /// What came of the bucket and its keys, when they are ready.
    pub fn store(&self) -> Option<&StoreOutcome> {
        self.reconciled()?.store.as_ref()?.as_ref().ok()
    }
}

impl Reconciled {
    /// What became of the servers; None: they were left alone.
    pub(super) fn servers(&mut self, applied: Option<StatefulSet>) {
        if let Some(stateful_set) = applied {
            self.stateful_set = Some(stateful_set);
            self.applied = true;
        }
    }

    /// What is wrong with the bucket or its keys.
    pub fn store_error(&self) -> Option<&StoreError> {
        self.store.as_ref()?.as_ref().err()
    }
}

/// What came of the bucket, its keys and those who use them.
#[derive(Debug)]
pub struct StoreOutcome {
    /// It was made by this reconcile.
    pub bucket_created: bool,
    pub obtained: Obtained,
    /// No server uses older keys any more.
    pub settled: bool,
    /// What people should know of the bucket.
    pub warnings: Vec<String>,
    /// Of a managed store with three.
    pub nodes: StoreNodes,
}

/// What was seen of the servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed<'a> {
    pub pods: &'a [Pod],
    /// Who takes API requests.
    pub api_pod: Option<&'a str>,
    /// The pods that the Service of the API leads to; None when that is not known.
    pub api_endpoints: Option<&'a [String]>,
    /// What the pods' agents say.
    pub reports: &'a [AgentReport],
    /// What the API server says of pods that cannot be made.
    pub refusals: Option<&'a Refusals>,
    /// The keys that a source had made before.
    pub held: Option<&'a Held>,
    pub now: Timestamp,
}

impl<'a> Observed<'a> {
    pub fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| is_ready(pod)).count()
    }

    /// The agents that answered, by pod.
    pub fn reported(self) -> impl Iterator<Item = (&'a str, &'a AgentStatus)> {
        let reports = self.reports.iter();
        reports.filter_map(|report| Some((report.pod.as_str(), report.status.as_ref().ok()?)))
    }

    pub fn answers(self) -> impl Iterator<Item = &'a AgentStatus> {
        self.reported().map(|(_, status)| status)
    }
}

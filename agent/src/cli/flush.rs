//! The flush of PowerDNS' caches beside running replicas.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::lmdb::Environment;
use crate::powerdns::{Control, Flusher, watch_version};
use crate::status::{DatabaseStatus, PowerDnsStatus};
use crate::sync::{Replica, Schemas};

/// The task, if the configuration says where PowerDNS is.
pub(super) struct Flushing {
    flusher: Option<Flusher>,
    task: Option<JoinHandle<()>>,
    shutdown: CancellationToken,
}

impl Flushing {
    /// Starts the task, which reports with the main database, and another that asks PowerDNS for its version.
    pub(super) fn start(
        config: &Config,
        schemas: &BTreeMap<String, Schemas>,
        statuses: &BTreeMap<String, Arc<DatabaseStatus>>,
        powerdns: PowerDnsStatus,
        shutdown: &CancellationToken,
    ) -> Self {
        let socket = &config.powerdns.control_socket;
        let main = statuses.iter().find(|(name, _)| schemas[*name].main);
        let status = main.or_else(|| statuses.iter().next()).map(|(_, status)| status);
        let flusher = status
            .filter(|_| !socket.as_os_str().is_empty())
            .map(|status| (Flusher::default(), status));
        let task = flusher.clone().map(|(flusher, status)| {
            let control = Control::new(socket.clone());
            tokio::spawn(watch_version(control.clone(), powerdns, shutdown.clone()));
            tokio::spawn(flusher.run(control, status.clone(), shutdown.clone()))
        });
        Self {
            flusher: flusher.map(|(flusher, _)| flusher),
            task,
            shutdown: shutdown.clone(),
        }
    }

    /// What flushes for a replica.
    pub(super) fn flusher(&self) -> Option<Flusher> {
        self.flusher.clone()
    }

    /// Waits for what is left, once all replicas have ended.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        match self.task {
            Some(task) => task.await.context("the flush of caches crashed"),
            None => Ok(()),
        }
    }
}

/// Where names of zones are left for the probe of PowerDNS: beside its control socket.
pub(super) fn directory_of_samples(config: &Config) -> Option<PathBuf> {
    let directory = config.powerdns.control_socket.parent()?;
    (!directory.as_os_str().is_empty()).then(|| directory.to_owned())
}

/// Has a replica tell what is written to its database; a main database says which zone has which ID besides.
pub(super) fn flush_for(flusher: Option<Flusher>, replica: &mut Replica, main: Option<&Arc<Environment>>) {
    let Some(flusher) = flusher else { return };
    if let Some(main) = main {
        flusher.look_up_zones_in(main.clone());
    }
    let anew = flusher.clone();
    replica.set_witness(Arc::new(move |touched| flusher.add(touched)));
    anew.begin_anew();
}

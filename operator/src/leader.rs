//! Only one operator at a time reconciles: the one that holds the Lease.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use thiserror::Error;
use tokio::{sync::watch, task::JoinHandle};

use crate::names::MANAGER;

/// How long the others wait after the last sign of life. A clean end gives the Lease back at once.
const DURATION_SECONDS: u64 = 15;
/// How long before that it is renewed.
const GRACE_SECONDS: u64 = 5;

#[derive(Debug, Error)]
pub enum LeaderError {
    #[error(
        "failed to use the Lease {MANAGER} in namespace {namespace}: the operator needs to get, create and patch it"
    )]
    Lease {
        namespace: String,
        source: LeaseManagerError,
    },
    #[error("the task that renews the Lease ended")]
    Ended,
}

/// Our place in the queue for the Lease.
pub struct Leadership {
    held: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Leadership {
    pub async fn begin(client: Client, namespace: &str, identity: &str) -> Result<Self, LeaderError> {
        let manager = LeaseManagerBuilder::new(client, MANAGER)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_field_manager(MANAGER)
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .map_err(|source| LeaderError::Lease {
                namespace: namespace.to_owned(),
                source,
            })?;
        let (held, task) = manager.watch().await;
        Ok(Self { held, task })
    }

    /// Resolves when we hold the Lease.
    pub async fn gained(&mut self) -> Result<(), LeaderError> {
        self.held
            .wait_for(|held| *held)
            .await
            .map(drop)
            .map_err(|_| LeaderError::Ended)
    }

    /// Resolves when we hold it no longer. Then another may already be at work: end the process at once.
    pub async fn lost(&mut self) {
        // An error means that the renewing task is gone, which comes to the same.
        let _ = self.held.wait_for(|held| !*held).await;
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub async fn give_up(self) {
        let Self { held, task } = self;
        drop(held);
        if let Ok(Err(error)) = task.await {
            tracing::warn!(%error, "failed to give the Lease back; it ends by itself");
        }
    }
}

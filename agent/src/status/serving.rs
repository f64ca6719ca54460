//! By what an agent serves, or what it waits for. Whoever decides that reports it here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::report::{Basis, ReportServing};

/// What is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serving {
    /// `None`: it must not be asked yet.
    pub basis: Option<Basis>,
    /// When that began, ns since the epoch; 0: it has not.
    pub since: u64,
    /// When all databases were last known to be in sync, with the bucket or with peers, ns since the epoch.
    pub last_in_sync: Option<u64>,
    /// What it waits for, for people; empty once it serves.
    pub waits: String,
}

/// Where the basis is reported to.
#[derive(Default)]
pub struct ServingStatus(Mutex<Serving>);

impl ServingStatus {
    fn serving(&self) -> MutexGuard<'_, Serving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what is known.
    pub fn get(&self) -> Serving {
        self.serving().clone()
    }
}

impl ReportServing for ServingStatus {
    fn serve(&self, basis: Basis, now: u64) -> bool {
        let mut serving = self.serving();
        if serving.basis >= Some(basis) {
            return false;
        }
        serving.basis = Some(basis);
        serving.since = now;
        serving.waits.clear();
        true
    }

    fn wait(&self, why: String) -> bool {
        let mut serving = self.serving();
        let news = serving.basis.is_none() && serving.waits != why;
        if news {
            serving.waits = why;
        }
        news
    }

    fn in_sync(&self, when: Option<u64>) {
        self.serving().last_in_sync = when;
    }

    fn basis(&self) -> Option<Basis> {
        self.serving().basis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basis_gets_stronger_and_never_weaker() {
        let status = ServingStatus::default();
        assert!(status.wait("for the store".into()));
        assert!(!status.wait("for the store".into()));
        assert!(status.serve(Basis::OwnData, 1));
        assert!(!status.serve(Basis::OwnData, 2));
        assert!(status.serve(Basis::Bucket, 3));
        assert!(!status.serve(Basis::Peers, 4));
        let serving = status.get();
        assert_eq!(
            (serving.basis, serving.since, serving.waits.as_str()),
            (Some(Basis::Bucket), 3, "")
        );
    }
}

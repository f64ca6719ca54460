//! By what an agent serves, or what it waits for. Whoever decides that reports it here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::state::Now;
use crate::report::Basis;

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
#[derive(Clone, Default)]
pub struct ServingStatus(Arc<Mutex<Serving>>);

impl ServingStatus {
    fn serving(&self) -> MutexGuard<'_, Serving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what is known.
    pub fn get(&self) -> Serving {
        self.serving().clone()
    }

    /// It serves from now on. A basis is never followed by a weaker one. True if that is news.
    pub fn serve(&self, basis: Basis, now: Now) -> bool {
        let mut serving = self.serving();
        if serving.basis >= Some(basis) {
            return false;
        }
        serving.basis = Some(basis);
        serving.since = now.wall;
        serving.waits.clear();
        true
    }

    /// It does not serve yet, and why. True if that is news.
    pub fn wait(&self, why: String) -> bool {
        let mut serving = self.serving();
        let news = serving.basis.is_none() && serving.waits != why;
        if news {
            serving.waits = why;
        }
        news
    }

    pub fn in_sync(&self, when: Option<u64>) {
        self.serving().last_in_sync = when;
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
        let at = |wall| Now { wall, ..Now::read() };
        assert!(status.serve(Basis::OwnData, at(1)));
        assert!(!status.serve(Basis::OwnData, at(2)));
        assert!(status.serve(Basis::Bucket, at(3)));
        assert!(!status.serve(Basis::Peers, at(4)));
        let serving = status.get();
        assert_eq!(
            (serving.basis, serving.since, serving.waits.as_str()),
            (Some(Basis::Bucket), 3, "")
        );
    }
}

//! Peers that are to be compared with first.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Peers that asked, and whose databases differ: they have what is not here, or the other way round.
#[derive(Default)]
pub(super) struct Suspects {
    instances: Mutex<BTreeSet<String>>,
    news: Notify,
}

impl Suspects {
    pub(super) fn note(&self, instance: &str) {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        if instances.insert(instance.to_owned()) {
            self.news.notify_one();
        }
    }

    /// One of them.
    pub(super) fn next(&self) -> Option<String> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_first()
    }

    /// Until there is one more.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}

//! Zones to ask PowerDNS about, as last read. A disk that hangs holds up a thread, and no probe.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use crate::powerdns::samples;

/// The names that the agent left.
pub(super) struct Landmarks {
    directory: PathBuf,
    zones: Mutex<Vec<String>>,
    reading: AtomicBool,
}

impl Landmarks {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            zones: Mutex::default(),
            reading: AtomicBool::new(false),
        }
    }

    /// The names known now, none at first. Reads them anew for the next time.
    pub(super) fn zones(self: &Arc<Self>) -> Vec<String> {
        if !self.reading.swap(true, Ordering::Relaxed) {
            let own = self.clone();
            spawn_blocking(move || {
                let zones = samples::read(&own.directory);
                *own.zones.lock().unwrap_or_else(PoisonError::into_inner) = zones;
                own.reading.store(false, Ordering::Relaxed);
            });
        }
        self.zones.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

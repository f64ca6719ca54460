//! What is measured at one size.

use serde::Serialize;

use crate::answers::Delays;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) records: u32,
    /// The release of PowerDNS.
    pub(crate) powerdns: String,
    pub(crate) cores: usize,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
    pub(crate) cold: Cold,
    pub(crate) peers: Steady,
    pub(crate) bucket: Steady,
    pub(crate) burst: Burst,
    /// At the largest size only.
    pub(crate) hundred: Option<Hundred>,
    /// Bytes, without the mapped databases.
    pub(crate) memory_sender: u64,
    pub(crate) memory_receiver: u64,
}

/// One change a second, and a while without any before.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Steady {
    pub(crate) changes: u32,
    pub(crate) seconds: f64,
    pub(crate) delays: Delays,
    pub(crate) bytes: f64,
    pub(crate) requests: f64,
    /// Milliseconds of processor time, of which those that would have been used without changes.
    pub(crate) cpu_sender: f64,
    pub(crate) cpu_receiver: f64,
    pub(crate) idle_cpu_sender: f64,
    pub(crate) idle_cpu_receiver: f64,
    /// Requests of one database of one instance in an hour without changes.
    pub(crate) idle_requests_an_hour: f64,
    /// Milliseconds.
    pub(crate) longest_lock: f64,
    pub(crate) longest_lock_idle: f64,
}

impl Steady {
    pub(crate) fn bytes_each(&self) -> f64 {
        self.bytes / f64::from(self.changes)
    }

    pub(crate) fn sender_each(&self) -> f64 {
        (self.cpu_sender - self.idle_cpu_sender).max(0.0) / f64::from(self.changes)
    }

    pub(crate) fn receiver_each(&self) -> f64 {
        (self.cpu_receiver - self.idle_cpu_receiver).max(0.0) / f64::from(self.changes)
    }
}

/// 100 changes a second for a minute.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Hundred {
    pub(crate) changes: u32,
    pub(crate) seconds: f64,
    /// From the last commit to the right answer, milliseconds.
    pub(crate) lag: f64,
    pub(crate) bytes: f64,
    pub(crate) requests: f64,
    /// Shares of one core.
    pub(crate) cpu_sender: f64,
    pub(crate) cpu_receiver: f64,
}

/// A zone of 100,000 records is loaded.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Burst {
    pub(crate) records: usize,
    pub(crate) arrived: usize,
    /// From the end of the load to the right answer to the last name, seconds.
    pub(crate) seconds: f64,
    /// Until all of it is in the bucket.
    pub(crate) stored: f64,
    pub(crate) memory_sender: u64,
    pub(crate) memory_receiver: u64,
    pub(crate) longest_lock: f64,
}

/// An agent begins with nothing.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cold {
    /// Seconds from the start of the agent until it has merged everything.
    pub(crate) merged: f64,
    /// Until PowerDNS, started then as in a pod, answers from all of it.
    pub(crate) answered: f64,
    pub(crate) memory: u64,
    /// Not in a development build, which is too slow for it.
    pub(crate) parts: Option<Parts>,
}

/// The parts of a cold start, one after the other: seconds, and the size of the snapshots.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Parts {
    pub(crate) download: f64,
    pub(crate) decode: f64,
    pub(crate) append: f64,
    pub(crate) snapshot: u64,
}

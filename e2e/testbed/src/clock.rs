//! A clock that is wrong, for the processes of one machine of a test; libfaketime shows it to them.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::tools;

/// It goes right until it is set. Only the time of day is wrong: what processes wait for takes as long as it does.
#[derive(Clone)]
pub struct Clock {
    dir: Arc<TempDir>,
}

impl Default for Clock {
    fn default() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("zt-clock-")
            .tempdir()
            .expect("a temporary directory");
        let clock = Self { dir: Arc::new(dir) };
        clock.set(0.0);
        clock
    }
}

impl Clock {
    /// How many seconds it is ahead from now on, also for the processes that run; it is behind if that is negative.
    pub fn set(&self, ahead: f64) {
        self.write(&format!("{ahead:+}"));
    }

    /// The same, and that it goes at this rate from then on: 1.01 gains 1 %.
    pub fn set_drifting(&self, ahead: f64, rate: f64) {
        self.write(&format!("{ahead:+} x{rate}"));
    }

    /// In one step: it is read at each look at the clock.
    fn write(&self, text: &dyn Display) {
        let new = self.dir.path().join("new");
        std::fs::write(&new, format!("{text}\n")).expect("a written clock");
        std::fs::rename(new, self.file()).expect("a clock in its place");
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("time")
    }

    /// What a process must have in its environment to see it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("LD_PRELOAD", tools::faketime().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }
}

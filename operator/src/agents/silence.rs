//! Since when agents do not answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::AgentReport;

/// An agent that is started anew is back before this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Remembers it from one reconcile to the next, by namespace and cluster.
#[derive(Default)]
pub struct Silences(Mutex<BTreeMap<(String, String), BTreeMap<String, Instant>>>);

impl Silences {
    /// Takes note of who answered, and gives the pods whose agents have been silent for too long by `now`.
    pub fn note(
        &self,
        namespace: &str,
        cluster: &str,
        reports: &[AgentReport],
        now: Instant,
    ) -> BTreeSet<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry((namespace.to_owned(), cluster.to_owned())).or_default();
        let silent = |pod: &String| {
            reports
                .iter()
                .any(|report| report.pod == *pod && report.status.is_err())
        };
        known.retain(|pod, _| silent(pod));
        for report in reports.iter().filter(|report| report.status.is_err()) {
            known.entry(report.pod.clone()).or_insert(now);
        }
        let long = known
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= PATIENCE);
        long.map(|(pod, _)| pod.clone()).collect()
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, namespace: &str, cluster: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(namespace.to_owned(), cluster.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::AgentStatus;

    #[test]
    fn an_agent_is_silent_when_it_has_not_answered_for_half_a_minute_without_a_break() {
        let silences = Silences::default();
        let begin = Instant::now();
        let look = |answers: bool, second: u64| {
            let status = if answers {
                Ok(AgentStatus::default())
            } else {
                Err("refused".to_owned())
            };
            let reports = [AgentReport {
                pod: "a-0".into(),
                status,
            }];
            let now = begin + Duration::from_secs(second);
            silences.note("shore", "a", &reports, now).len()
        };
        assert_eq!(look(false, 0), 0);
        assert_eq!(look(false, 29), 0);
        assert_eq!(look(false, 30), 1);
        assert_eq!(look(true, 31), 0);
        assert_eq!(look(false, 32), 0);
        assert_eq!(look(false, 61), 0);
        assert_eq!(look(false, 62), 1);
        assert_eq!(silences.note("shore", "b", &[], begin), BTreeSet::new());
        silences.forget("shore", "a");
        assert_eq!(look(false, 63), 0);
    }
}

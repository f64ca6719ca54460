//! What the operator counts.

use std::time::Instant;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// The reason of a failed reconcile: one of a few words.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FailureLabels {
    category: &'static str,
}

/// Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Counter,
    failures: Family<FailureLabels, Counter>,
    durations: Histogram,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Counter::default(),
            failures: Family::default(),
            durations: Histogram::new(exponential_buckets(0.01, 2.0, 12)),
        };
        let registry = registry.sub_registry_with_prefix("zonetide_operator");
        registry.register(
            "reconciles",
            "Reconciles of a DnsCluster that were begun",
            metrics.reconciles.clone(),
        );
        registry.register(
            "reconcile_failures",
            "Reconciles that did not come to their end, by the step that failed",
            metrics.failures.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "Time that a reconcile took",
            metrics.durations.clone(),
        );
        metrics
    }

    /// Counts a reconcile, and its time when the guard is dropped.
    pub fn reconcile(&self) -> ReconcileTimer {
        self.reconciles.inc();
        ReconcileTimer {
            durations: self.durations.clone(),
            begun: Instant::now(),
        }
    }

    pub fn failed(&self, category: &'static str) {
        self.failures.get_or_create(&FailureLabels { category }).inc();
    }
}

/// Observes on drop, so that a cancelled or failed reconcile is counted too.
#[must_use]
pub struct ReconcileTimer {
    durations: Histogram,
    begun: Instant,
}

impl Drop for ReconcileTimer {
    fn drop(&mut self) {
        self.durations.observe(self.begun.elapsed().as_secs_f64());
    }
}

/// The text that Prometheus reads.
pub fn render(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconciles_failures_and_times_are_rendered() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        drop(metrics.reconcile());
        metrics.failed("apply");
        let text = render(&registry).unwrap();
        assert!(text.contains("zonetide_operator_reconciles_total 1"), "{text}");
        assert!(
            text.contains(r#"zonetide_operator_reconcile_failures_total{category="apply"} 1"#),
            "{text}"
        );
        assert!(
            text.contains("zonetide_operator_reconcile_duration_seconds_count 1"),
            "{text}"
        );
    }
}

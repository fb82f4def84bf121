//! Metrics of the operator. Labels are closed sets (kinds, reasons, pools), never names of objects.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// Labels of a reconcile.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// Kind of the object.
    pub kind: &'static str,
    /// `ok`, or the reason from the closed enum.
    pub result: &'static str,
}

/// Labels of something counted per kind of object.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// Kind of the object.
    pub kind: &'static str,
}

/// Labels of the number of objects.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PhaseLabels {
    /// Kind of the object.
    pub kind: &'static str,
    /// Its phase.
    pub phase: String,
}

/// Labels of a call to a backend.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabels {
    /// Kind of the backend.
    pub backend: &'static str,
    /// Pool of the platform file.
    pub pool: String,
    /// Verb of the port.
    pub verb: &'static str,
    /// `ok` or why it failed.
    pub result: &'static str,
}

/// All metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    ready_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    running: Family<KindLabels, Gauge>,
    /// Objects that wait for another try.
    pub in_backoff: Family<KindLabels, Gauge>,
    /// Objects by phase.
    pub objects: Family<PhaseLabels, Gauge>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

impl Metrics {
    /// Metrics, registered in a registry that renders them.
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds),
            ready_seconds: Family::new_with_constructor(seconds),
            running: Family::default(),
            in_backoff: Family::default(),
            objects: Family::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(seconds),
        };
        let mut registry = Registry::with_prefix("plexica");
        registry.register("reconciles", "Reconciles by result", metrics.reconciles.clone());
        registry.register_with_unit(
            "reconcile",
            "Length of reconciles",
            Unit::Seconds,
            metrics.reconcile_seconds.clone(),
        );
        registry.register_with_unit(
            "ready",
            "From creation to Ready, of objects whose first status is Ready",
            Unit::Seconds,
            metrics.ready_seconds.clone(),
        );
        registry.register("reconciles_running", "Reconciles that run now", metrics.running.clone());
        registry.register(
            "objects_in_backoff",
            "Objects that wait for another try",
            metrics.in_backoff.clone(),
        );
        registry.register("objects", "Objects by phase", metrics.objects.clone());
        registry.register("backend_calls", "Calls to backends by result", metrics.calls.clone());
        registry.register_with_unit(
            "backend_call",
            "Length of calls to backends",
            Unit::Seconds,
            metrics.call_seconds.clone(),
        );
        (metrics, registry)
    }

    /// Counts a reconcile as running for as long as the guard lives, however it ends.
    pub fn running(&self, kind: &'static str) -> Running {
        let gauge = self.running.get_or_create_owned(&KindLabels { kind });
        gauge.inc();
        Running(gauge)
    }

    /// Counts a reconcile.
    pub fn reconciled(&self, kind: &'static str, result: &'static str, length: Duration) {
        self.reconciles.get_or_create(&ReconcileLabels { kind, result }).inc();
        self.reconcile_seconds
            .get_or_create(&KindLabels { kind })
            .observe(length.as_secs_f64());
    }

    /// Counts an object that became Ready for the first time, so long after its creation.
    pub fn became_ready(&self, kind: &'static str, length: Duration) {
        self.ready_seconds
            .get_or_create(&KindLabels { kind })
            .observe(length.as_secs_f64());
    }

    /// Counts a call to a backend.
    pub fn called(&self, labels: &CallLabels, length: Duration) {
        self.calls.get_or_create(labels).inc();
        self.call_seconds.get_or_create(labels).observe(length.as_secs_f64());
    }
}

/// A reconcile that runs.
pub struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Renders a registry as `OpenMetrics` text.
pub fn render(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_render_with_closed_labels() {
        let (metrics, registry) = Metrics::new();
        metrics.reconciled("Tenant", "ok", Duration::from_millis(20));
        let text = render(&registry).unwrap();
        assert!(
            text.contains("plexica_reconciles_total{kind=\"Tenant\",result=\"ok\"} 1"),
            "{text}"
        );
    }
}

//! Numbers that grow, numbers that stand, and how numbers are spread, each with as many labels as its name has.

use prometheus::core::Collector;
use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry, Result};

use super::Described;

/// Upper bounds of what takes time, in seconds: from a question to a registry to the deadline of an attempt.
const SECONDS: [f64; 11] = [0.01, 0.05, 0.2, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1500.0, 3000.0];

/// A number that only grows.
#[derive(Debug)]
pub struct Counter<const LABELS: usize>(CounterVec);

impl<const LABELS: usize> Counter<LABELS> {
    pub(super) const KIND: &str = "counter";

    pub(super) fn new(registry: &Registry, described: &Described) -> Self {
        let counter = Self(register(registry, CounterVec::new(opts(described), described.labels)));
        if LABELS == 0 {
            // Who watches for its growth must see it before.
            counter.add(0, [""; LABELS]);
        }
        counter
    }

    /// Counts `more`.
    pub fn add(&self, more: u64, labels: [&str; LABELS]) {
        self.0.with_label_values(&labels).inc_by(more as f64);
    }

    /// Counts as much more as is missing to `total`, which somebody else counts. Not to be called twice at once.
    pub fn raise_to(&self, total: f64, labels: [&str; LABELS]) {
        let counter = self.0.with_label_values(&labels);
        counter.inc_by((total - counter.get()).max(0.0));
    }

    /// What was counted.
    pub fn get(&self, labels: [&str; LABELS]) -> f64 {
        self.0.with_label_values(&labels).get()
    }
}

/// A number that goes up and down. It is not shown before it is known.
#[derive(Debug)]
pub struct Gauge<const LABELS: usize>(GaugeVec);

impl<const LABELS: usize> Gauge<LABELS> {
    pub(super) const KIND: &str = "gauge";

    pub(super) fn new(registry: &Registry, described: &Described) -> Self {
        Self(register(registry, GaugeVec::new(opts(described), described.labels)))
    }

    /// It is this now.
    pub fn set(&self, value: f64, labels: [&str; LABELS]) {
        self.0.with_label_values(&labels).set(value);
    }

    /// It is one more until what this gives is dropped.
    pub fn hold(&self, labels: [&str; LABELS]) -> Held {
        let gauge = self.0.with_label_values(&labels);
        gauge.inc();
        Held(gauge)
    }
}

/// One of those that a gauge counts.
#[derive(Debug)]
pub struct Held(prometheus::Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How long things take.
#[derive(Debug)]
pub struct Histogram<const LABELS: usize>(HistogramVec);

impl<const LABELS: usize> Histogram<LABELS> {
    pub(super) const KIND: &str = "histogram";

    pub(super) fn new(registry: &Registry, described: &Described) -> Self {
        let opts = HistogramOpts::from(opts(described)).buckets(SECONDS.to_vec());
        Self(register(registry, HistogramVec::new(opts, described.labels)))
    }

    /// Something took so many seconds.
    pub fn observe(&self, seconds: f64, labels: [&str; LABELS]) {
        self.0.with_label_values(&labels).observe(seconds);
    }
}

fn opts(described: &Described) -> Opts {
    Opts::new(described.name, described.help)
}

#[expect(clippy::expect_used, reason = "names and labels stand in the source, and a test makes all of them")]
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: Result<C>) -> C {
    let metric = metric.expect("a valid name with valid labels");
    registry.register(Box::new(metric.clone())).expect("a name of its own");
    metric
}

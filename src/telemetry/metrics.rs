//! What is counted and measured: the metrics, and what each is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::core::{Phase, State};

/// A metric, by its stable name.
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: &'static str,
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Histogram,
    Gauge,
}

pub const CLAIMED: &str = "drover.tasks.claimed";
pub const COMPLETED: &str = "drover.tasks.completed";
pub const FAILED: &str = "drover.tasks.failed";
pub const RETRIED: &str = "drover.tasks.retried";
pub const PROMPTS: &str = "drover.agent.prompts";
pub const ERRORS: &str = "drover.agent.errors";
pub const TOKENS: &str = "drover.agent.tokens";
pub const COST: &str = "drover.agent.cost";
pub const TASK: &str = "drover.task.duration";
pub const AGENT: &str = "drover.agent.duration";
pub const CLAIM: &str = "drover.claim.latency";
pub const WORKTREE: &str = "drover.worktree.setup";
pub const GIT: &str = "drover.git.operation.duration";
const ACTIVE: &str = "drover.workers.active";
const PENDING: &str = "drover.tasks.pending";
const IN_PROGRESS: &str = "drover.tasks.in_progress";

const fn counter(name: &'static str, unit: &'static str, about: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit, about }
}
const fn histogram(name: &'static str, about: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: "s", about }
}
const fn gauge(name: &'static str, unit: &'static str, about: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, about }
}

pub const METRICS: [Metric; 16] = [
    counter(CLAIMED, "{attempt}", "Attempts that were begun"),
    counter(COMPLETED, "{task}", "Tasks that landed, or were done"),
    counter(FAILED, "{task}", "Tasks that failed for good"),
    counter(RETRIED, "{attempt}", "Attempts that failed, and are followed by another"),
    counter(PROMPTS, "{prompt}", "Prompts that agents were given, and came to an end with"),
    counter(ERRORS, "{error}", "Agents and commands that did not end well"),
    counter(TOKENS, "{token}", "Tokens that agents said they used"),
    counter(COST, "{USD}", "Dollars that agents said they cost"),
    histogram(TASK, "How long an attempt took"),
    histogram(AGENT, "How long an agent or command ran"),
    histogram(CLAIM, "From when a task could have begun to its claim"),
    histogram(WORKTREE, "From the claim to a worktree that is set up"),
    histogram(GIT, "How long a step of git took, with what waits in it"),
    gauge(ACTIVE, "{worker}", "Workers that have an attempt"),
    gauge(PENDING, "{task}", "Tasks that wait"),
    gauge(IN_PROGRESS, "{task}", "Tasks with an attempt"),
];

/// In seconds: from a swift git to an agent that works for hours.
const BOUNDS: [f64; 19] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0];

/// Something to be counted or measured.
pub struct Measure {
    pub metric: &'static str,
    pub value: f64,
    pub attributes: Vec<KeyValue>,
}

pub struct Meters {
    counters: BTreeMap<&'static str, Counter<f64>>,
    whole: BTreeMap<&'static str, Counter<u64>>,
    histograms: BTreeMap<&'static str, Histogram<f64>>,
    gauges: BTreeMap<&'static str, Arc<AtomicU64>>,
}

impl Meters {
    pub fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("drover");
        let mut all = Self { counters: BTreeMap::new(), whole: BTreeMap::new(), histograms: BTreeMap::new(), gauges: BTreeMap::new() };
        for Metric { name, kind, unit, about } in METRICS {
            match kind {
                Kind::Counter if name == COST => {
                    all.counters.insert(name, meter.f64_counter(name).with_unit(unit).with_description(about).build());
                }
                Kind::Counter => drop(all.whole.insert(name, meter.u64_counter(name).with_unit(unit).with_description(about).build())),
                Kind::Histogram => {
                    let histogram = meter.f64_histogram(name).with_unit(unit).with_description(about);
                    all.histograms.insert(name, histogram.with_boundaries(BOUNDS.to_vec()).build());
                }
                Kind::Gauge => {
                    let value = Arc::new(AtomicU64::new(0));
                    all.gauges.insert(name, value.clone());
                    let look = move |to: &dyn opentelemetry::metrics::AsyncInstrument<u64>| to.observe(value.load(Ordering::Relaxed), &[]);
                    // It is looked at for as long as the provider is there.
                    let _ = meter.u64_observable_gauge(name).with_unit(unit).with_description(about).with_callback(look).build();
                }
            }
        }
        all
    }

    pub fn add(&self, measure: &Measure) {
        let Measure { metric, value, attributes } = measure;
        if let Some(counter) = self.whole.get(metric) {
            counter.add(*value as u64, attributes);
        }
        if let Some(counter) = self.counters.get(metric) {
            counter.add(*value, attributes);
        }
        if let Some(histogram) = self.histograms.get(metric) {
            histogram.record(*value, attributes);
        }
    }

    /// How it stands just now. Goes through all tasks.
    pub fn look(&self, state: &State) {
        let set = |name: &str, value: usize| {
            if let Some(gauge) = self.gauges.get(name) {
                gauge.store(value as u64, Ordering::Relaxed);
            }
        };
        let waits = state.tasks.values().filter(|t| matches!(t.phase, Phase::Waiting { .. }) && t.spec.enabled && !t.removed);
        set(ACTIVE, state.active().count());
        set(PENDING, waits.count());
        set(IN_PROGRESS, state.active().chain(state.parked()).count());
    }
}

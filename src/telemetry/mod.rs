//! OpenTelemetry: what is committed, told as traces over OTLP.
//!
//! A reporter like any other: it hears of facts, and gives nothing back. What it tells is put into
//! bounded queues, and sent by threads of their own; a receiver that is slow, missing or gone costs
//! what it was to be told, which is counted, and never the run anything. Nothing is started where it
//! is off.
//!
//! Must not know how runs are driven. The standard `OTEL_*` variables are looked at here, or by the
//! SDK itself.

mod attempt;
mod counting;
mod export;
mod http;
mod logs;
pub mod metrics;
mod prometheus;
mod settings;
mod spans;
mod story;
mod tally;
mod tls;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::Millis;
use crate::base::trace::Sampling;
use crate::core::{Fact, State};
use crate::model::Spec;
use crate::report::Reporter;
use export::Export;
pub use logs::Logs;
use logs::Sink;
pub use settings::Settings;
use story::{Story, Told};

/// Takes the secrets out of a text that a task led to, or Drover itself.
pub type Redact = Arc<dyn Fn(Option<&Spec>, &str) -> String + Send + Sync>;

/// The gauges are set anew at most this often: all tasks are looked at for them.
const LOOK: std::time::Duration = std::time::Duration::from_millis(1000);

/// What it is all about.
pub struct Place<'a> {
    pub project: &'a str,
    /// The branch that is landed on.
    pub target: &'a str,
    /// The directory of what is kept of each run.
    pub runs: PathBuf,
    /// This process, among all that tell of the project.
    pub instance: String,
    pub clock: fn() -> Millis,
    /// Where the log comes from.
    pub logs: Logs,
}

/// What is told, and to whom.
pub struct Telemetry {
    tracing: Option<Sampling>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    story: Story,
    export: Export,
    logs: Logs,
    looked: Millis,
}

impl Telemetry {
    /// Starts what sends. `state` is as it was before anything is decided in this process.
    pub fn start(settings: &Settings, state: &State, place: Place, redact: Redact) -> Result<Self, String> {
        let export = Export::start(settings, &place)?;
        if let Some(records) = export.records() {
            let run = state.head.run.as_ref().filter(|r| !r.ended).map(|r| r.id.clone());
            place.logs.open(Sink::new(records, settings.sampling, place.clock, redact.clone(), run));
        }
        let story = Story::new(state, &place, settings, redact);
        let inner = Inner { story, export, logs: place.logs, looked: Millis(0) };
        Ok(Self { tracing: settings.tracing(), inner: Arc::new(Mutex::new(inner)) })
    }

    pub fn reporter(&self) -> Box<dyn Reporter> {
        let measures = !locked(&self.inner).export.meters.is_empty();
        Box::new(Hears { inner: self.inner.clone(), measures })
    }

    /// The traces that agents are told to be part of; nothing where there are none.
    pub fn tracing(&self) -> Option<Sampling> {
        self.tracing
    }

    /// What does not work from the start, and keeps nothing else from working.
    pub fn trouble(&self) -> Option<String> {
        locked(&self.inner).export.trouble.clone()
    }

    /// The session is over: what is left is sent, for a little while. Gives a warning for what could
    /// not be sent.
    pub fn finish(&self) -> Option<String> {
        let mut inner = locked(&self.inner);
        inner.story.finish();
        inner.tell();
        inner.logs.close();
        inner.export.finish()
    }
}

impl Inner {
    fn tell(&mut self) {
        for told in self.story.told() {
            match told {
                Told::Span(span) => self.export.span(*span),
                Told::Measure(measure) => self.export.meters.iter().for_each(|m| m.add(&measure)),
            }
        }
    }

    fn look(&mut self, state: &State, at: Millis, now: bool) {
        if !self.export.meters.is_empty() && (now || at.since(self.looked) >= LOOK) {
            self.export.meters.iter().for_each(|m| m.look(state));
            self.looked = at;
        }
    }
}

struct Hears {
    inner: Arc<Mutex<Inner>>,
    measures: bool,
}

impl Reporter for Hears {
    fn fact(&mut self, state: &State, _: u64, at: Millis, fact: &Fact) {
        let mut inner = locked(&self.inner);
        if let Fact::RunBegan { run, .. } = fact {
            inner.logs.of_run(run);
        }
        inner.story.fact(state, at, fact);
        inner.tell();
        inner.look(state, at, matches!(fact, Fact::RunBegan { .. } | Fact::RunEnded { .. }));
    }
    fn shows_time(&self) -> bool {
        self.measures
    }
    fn tick(&mut self, state: &State, at: Millis) {
        locked(&self.inner).look(state, at, false);
    }
}

/// What another thread left half done is left out; it is no reason to stop.
fn locked(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

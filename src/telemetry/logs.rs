//! The log, as records that name the trace and the span that they are about.
//!
//! A record belongs to the attempt whose effect it comes from, which the program's own `tracing` spans
//! tell, or else to the run that is under way.

use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::Key;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::trace::TraceFlags;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Redact;
use super::tally::Tally;
use crate::base::trace::{self, Sampling, SpanId, TraceId};
use crate::base::{Aid, Millis, RunId};

/// The field of the program's own spans that names an attempt.
const ATTEMPT: &str = "aid";

/// Where records go while there is anywhere to go to. Set up before it is known whether there is.
#[derive(Clone, Default)]
pub struct Logs(Arc<RwLock<Option<Sink>>>);

pub(super) struct Sink {
    logger: SdkLogger,
    tally: Arc<Tally>,
    sampling: Sampling,
    clock: fn() -> Millis,
    redact: Redact,
    run: Option<RunId>,
}

impl Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// What hears of every event: those of this program, and of these what is not for its makers.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        Bridge(self.clone()).with_filter(Targets::new().with_target("drover", Level::INFO))
    }

    pub(super) fn open(&self, sink: Sink) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }
    pub(super) fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
    /// What belongs to no attempt belongs to this.
    pub(super) fn of_run(&self, run: &RunId) {
        if let Some(sink) = &mut *self.0.write().unwrap_or_else(PoisonError::into_inner) {
            sink.run = Some(run.clone());
        }
    }
}

impl Sink {
    pub fn new(
        (provider, tally): (SdkLoggerProvider, Arc<Tally>),
        sampling: Sampling,
        clock: fn() -> Millis,
        redact: Redact,
        run: Option<RunId>,
    ) -> Self {
        Self { logger: provider.logger("drover"), tally, sampling, clock, redact, run }
    }

    fn emit(&self, event: &Event<'_>, attempt: Option<&Aid>) {
        let mut record = self.logger.create_log_record();
        let (severity, text) = severity(event.metadata().level());
        record.set_severity_number(severity);
        record.set_severity_text(text);
        record.set_target(event.metadata().target());
        record.set_timestamp(UNIX_EPOCH + Duration::from_millis((self.clock)().0));
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        for (name, text) in fields.0 {
            let text: AnyValue = (self.redact)(None, &text).into();
            match name {
                "message" => record.set_body(text),
                _ => record.add_attribute(Key::new(name), text),
            }
        }
        if let Some(of) = self.context(attempt) {
            let flags = if of.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
            let (trace, span) = (opentelemetry::TraceId::from_bytes(of.trace.0), opentelemetry::SpanId::from_bytes(of.span.0));
            record.set_trace_context(trace, span, Some(flags));
        }
        self.tally.given(1);
        self.logger.emit(record);
    }

    fn context(&self, attempt: Option<&Aid>) -> Option<trace::Context> {
        let (trace, span) = match (attempt, &self.run) {
            (Some(aid), _) => (TraceId::of_attempt(aid), SpanId::of_attempt(aid)),
            (None, Some(run)) => (TraceId::of(run), SpanId::of(run)),
            (None, None) => return None,
        };
        Some(trace::Context { trace, span, sampled: self.sampling.takes(&trace) })
    }
}

fn severity(level: &Level) -> (Severity, &'static str) {
    match *level {
        Level::ERROR => (Severity::Error, "ERROR"),
        Level::WARN => (Severity::Warn, "WARN"),
        Level::INFO => (Severity::Info, "INFO"),
        Level::DEBUG => (Severity::Debug, "DEBUG"),
        Level::TRACE => (Severity::Trace, "TRACE"),
    }
}

/// What an event or a span says, as texts.
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

struct Bridge(Logs);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bridge {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields(Vec::new());
        attributes.record(&mut fields);
        let named = fields.0.iter().find(|(name, _)| *name == ATTEMPT).and_then(|(_, text)| Aid::parse(text).ok());
        if let Some(aid) = named {
            span.extensions_mut().insert(aid);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let sink = self.0.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sink) = &*sink else { return };
        let attempt = context.event_scope(event).and_then(|mut scope| scope.find_map(|span| span.extensions().get::<Aid>().cloned()));
        sink.emit(event, attempt.as_ref());
    }
}

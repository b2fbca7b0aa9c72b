//! Spans as they are told: names, attributes, and what went wrong in words.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::base::text::one_line;
use crate::base::trace::{Context, SpanId, TraceId};
use crate::base::{Millis, RunId};
use crate::core::{Exit, Failure, FailureClass, Hold, HoldKind, Outcome, Usage};

/// The longest text that is sent, in characters.
const MAX_TEXT: usize = 1000;

pub const RUN: &str = "drover.workflow.run";
pub const TOTALS: &str = "drover.workflow.metrics";
pub const ATTEMPT: &str = "drover.task.execute";
pub const WORKTREE: &str = "drover.git.worktree.create";
pub const AGENT: &str = "drover.agent.execute";
pub const VERIFY: &str = "drover.verify";
pub const COMMIT: &str = "drover.git.commit";
pub const MERGE: &str = "drover.git.merge";

/// A span that has ended.
pub struct Span {
    pub name: &'static str,
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub start: Millis,
    pub end: Millis,
    pub attributes: Vec<KeyValue>,
    pub trouble: Option<Trouble>,
    pub events: Vec<opentelemetry::trace::Event>,
    pub links: Vec<(Context, &'static str)>,
}

impl Span {
    pub fn new(name: &'static str, trace: TraceId, id: SpanId, parent: Option<SpanId>, (start, end): (Millis, Millis)) -> Self {
        // The wall clock may have been put back meanwhile.
        let end = end.max(start);
        let (attributes, events, links) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, trace, id, parent, start, end, attributes, trouble: None, events, links }
    }

    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    pub fn with_all(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    pub fn data(self, sampled: bool) -> SpanData {
        let Self { name, trace, id, parent, start, end, mut attributes, trouble, events, links } = self;
        let status = match &trouble {
            Some(trouble) if trouble.failed => Status::error(trouble.message.clone()),
            _ => Status::Unset,
        };
        attributes.extend(trouble.into_iter().flat_map(Trouble::attributes));
        let mut with_links = SpanLinks::default();
        with_links.links = links.into_iter().map(|(to, why)| Link::new(context(&to), vec![KeyValue::new("drover.link", why)], 0)).collect();
        let mut with_events = SpanEvents::default();
        with_events.events = events;
        SpanData {
            span_context: context(&Context { trace, span: id, sampled }),
            parent_span_id: parent.map_or(opentelemetry::SpanId::INVALID, |p| opentelemetry::SpanId::from_bytes(p.0)),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            start_time: UNIX_EPOCH + Duration::from_millis(start.0),
            end_time: UNIX_EPOCH + Duration::from_millis(end.0),
            attributes,
            dropped_attributes_count: 0,
            events: with_events,
            links: with_links,
            status,
            instrumentation_scope: InstrumentationScope::builder("drover").with_version(env!("CARGO_PKG_VERSION")).build(),
        }
    }
}

fn context(of: &Context) -> SpanContext {
    let flags = if of.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, span) = (opentelemetry::TraceId::from_bytes(of.trace.0), opentelemetry::SpanId::from_bytes(of.span.0));
    SpanContext::new(trace, span, flags, false, TraceState::NONE)
}

/// The root span of a run.
pub fn root(run: &RunId, sampled: bool) -> Context {
    Context { trace: TraceId::of(run), span: SpanId::of(run), sampled }
}

/// What kept a step, an attempt or a run from ending well.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// `task.` or `infrastructure.`, and which.
    pub class: String,
    pub message: String,
    /// Otherwise it is done again, or somebody wanted it.
    pub failed: bool,
}

impl Trouble {
    /// Whatever `message` is, no secret is left in it.
    pub fn new(class: &str, message: &str, redact: impl Fn(&str) -> String) -> Self {
        Self { class: class.to_owned(), message: one_line(&redact(message), MAX_TEXT), failed: false }
    }

    pub fn failure(failure: &Failure, redact: impl Fn(&str) -> String) -> Self {
        Self { failed: true, ..Self::new(&class(failure.class), &failure.message, redact) }
    }

    pub fn hold(kind: HoldKind, message: &str, redact: impl Fn(&str) -> String) -> Self {
        Self { failed: true, ..Self::new(&held(kind), message, redact) }
    }

    /// How an agent or a command did not end well.
    pub fn exit(exit: &Exit, redact: impl Fn(&str) -> String) -> Option<Self> {
        match &exit.outcome {
            Outcome::Succeeded => None,
            Outcome::Failed(failure) => Some(Self::failure(failure, redact)),
            Outcome::Held(Hold { kind, message, .. }) => Some(Self::hold(*kind, message, redact)),
            Outcome::Interrupted => Some(Self::new("infrastructure.interrupted", "it was interrupted", redact)),
            Outcome::Blocked(reason) => Some(Self { failed: true, ..Self::new("infrastructure.external", reason, redact) }),
        }
    }

    fn attributes(self) -> [KeyValue; 2] {
        [KeyValue::new("drover.error.type", self.class), KeyValue::new("drover.error.message", self.message)]
    }
}

/// Whether a failure is the task's own, and which it is.
fn class(of: FailureClass) -> String {
    let whose = match of {
        FailureClass::External | FailureClass::Poison | FailureClass::Bug => "infrastructure",
        FailureClass::Agent
        | FailureClass::Timeout
        | FailureClass::Stall
        | FailureClass::Verify
        | FailureClass::Empty
        | FailureClass::Protected
        | FailureClass::Scope
        | FailureClass::Tampered
        | FailureClass::NestedRepository
        | FailureClass::Hook
        | FailureClass::Conflict
        | FailureClass::Setup
        | FailureClass::Prompt
        | FailureClass::ContextTooLong
        | FailureClass::TurnLimit
        | FailureClass::Rejected
        | FailureClass::CostLimit => "task",
    };
    format!("{whose}.{}", of.name())
}

fn held(kind: HoldKind) -> String {
    let which = match kind {
        HoldKind::RateLimit => "rate_limit",
        HoldKind::Overload => "overload",
        HoldKind::Network => "network",
        HoldKind::Authentication => "authentication",
        HoldKind::Billing => "billing",
        HoldKind::Model => "model",
    };
    format!("infrastructure.{which}")
}

/// What an agent said that it used, if it said anything. Input counts whole, as the conventions for generative AI have
/// it: what was read from a cache and written into one as well.
pub fn used(usage: &Usage) -> Vec<KeyValue> {
    if (Usage { millis: 0, ..*usage }).is_zero() {
        return Vec::new();
    }
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let input = usage.input_tokens.saturating_add(usage.cache_read_tokens).saturating_add(usage.cache_write_tokens);
    let mut all = vec![
        KeyValue::new("gen_ai.usage.input_tokens", number(input)),
        KeyValue::new("gen_ai.usage.output_tokens", number(usage.output_tokens)),
    ];
    if usage.cache_read_tokens > 0 || usage.cache_write_tokens > 0 {
        all.push(KeyValue::new("gen_ai.usage.cache_read.input_tokens", number(usage.cache_read_tokens)));
        all.push(KeyValue::new("gen_ai.usage.cache_creation.input_tokens", number(usage.cache_write_tokens)));
    }
    all.push(KeyValue::new("drover.cost.usd", usage.cost_microusd as f64 / 1e6));
    all
}

/// A text from files, bounded.
pub fn text(of: &str) -> String {
    one_line(of, MAX_TEXT)
}

/// Something that happened while a span lasted.
pub fn event(name: &'static str, at: Millis, attributes: Vec<KeyValue>) -> opentelemetry::trace::Event {
    opentelemetry::trace::Event::new(name, UNIX_EPOCH + Duration::from_millis(at.0), attributes, 0)
}

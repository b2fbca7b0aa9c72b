//! What an agent's output tells, whatever form it has: bounded memory, no panic, no trust.
//!
//! Each form (`forms`) says what a single line tells; what is no JSON, not known or too long is
//! passed over.

use std::collections::VecDeque;
use std::io::BufRead;

use super::builtin;
use super::forms::{Form, form};
use super::lines::Lines;
use super::usage::Used;
use crate::base::Millis;
use crate::base::text::one_line;
use crate::model::AgentKind;

/// How much of one activity is shown, in characters.
const MAX_ACTIVITY: usize = 200;
/// The longest id of a conversation.
const MAX_ID: usize = 128;

/// What a line of the output tells.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// What the agent calls its conversation.
    Conversation(String),
    /// It begins to work, or goes on: what it reported before was not the last word.
    Begins,
    /// What the agent says or does, in one line that is safe to show.
    Activity(String),
    /// Its words to people. Neither bounded nor safe to show.
    Words(String),
    Used(Used),
    /// When a limit that was hit will be lifted.
    Resets(Millis),
    /// Something went wrong; it may still try again.
    Trouble(Report),
    /// How it went. Several can come; the last one counts.
    Result(Report),
}

/// The agent's own account of how it went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub succeeded: bool,
    /// Why it stopped, in the program's own terms: `success`, `error_max_turns`, `api_error`, …
    pub reason: String,
    /// Its words to people. Neither bounded nor safe to show.
    pub text: String,
    /// The names of the tools that it was denied, each once.
    pub denied: Vec<String>,
    /// Of the last answer of the service, where that was an error.
    pub status: Option<u16>,
    /// All that names the kind of an error.
    pub words: Vec<String>,
}

impl Report {
    pub(super) fn success(reason: &str, text: String) -> Self {
        Self { succeeded: true, reason: reason.into(), text, ..Self::default() }
    }
    pub(super) fn failure(reason: impl Into<String>, text: impl Into<String>) -> Self {
        Self { reason: reason.into(), text: text.into(), ..Self::default() }
    }
    /// One that is there and makes no sense: the last word, and not a good one.
    pub(super) fn unreadable() -> Self {
        Self::failure("unreadable", "its last result could not be read")
    }
}

/// The events in the output of an agent of this kind; none where its output is text for people.
pub struct Reader<R> {
    lines: Lines<R>,
    form: Option<Box<dyn Form>>,
    found: VecDeque<AgentEvent>,
}

impl<R: BufRead> Reader<R> {
    pub fn new(kind: AgentKind, from: R) -> Self {
        Self { lines: Lines::new(from), form: form(builtin::of(kind).output), found: VecDeque::new() }
    }

    /// Lines that were too long to be looked at, so far.
    pub fn skipped(&self) -> u64 {
        self.lines.skipped
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = AgentEvent;

    fn next(&mut self) -> Option<AgentEvent> {
        let form = self.form.as_mut()?;
        while self.found.is_empty() {
            self.found.extend(self.lines.next(|line| form.events(line))?);
        }
        self.found.pop_front()
    }
}

/// In one line; nothing where there is nothing to show.
pub(super) fn activity(what: &str) -> Option<AgentEvent> {
    Some(one_line(what, MAX_ACTIVITY)).filter(|w| !w.is_empty()).map(AgentEvent::Activity)
}

/// An id that can be given back to the program: it is an argument then, and must not be taken for
/// anything else.
pub(super) fn conversation(id: String) -> Option<AgentEvent> {
    let plain = id.len() <= MAX_ID && !id.starts_with('-') && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    (plain && !id.is_empty()).then_some(AgentEvent::Conversation(id))
}

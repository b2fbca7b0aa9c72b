//! The whole of an agent's output, put together: what it reports, said, did and used.

use std::io::BufRead;

use super::lines::tail;
use super::stream::{AgentEvent, Reader, Report};
use super::usage::Meter;
use crate::base::Millis;
use crate::base::text::block;
use crate::core::Usage;
use crate::model::AgentKind;

use super::builtin::{self, Output};

/// The most of an agent's words that is kept, in bytes.
const MAX_SUMMARY: usize = 4096;

/// What the output says.
#[derive(Default)]
pub(super) struct Said {
    /// False where the exit code is all there is.
    pub structured: bool,
    pub report: Option<Report>,
    /// It said that it succeeded, and has done nothing since.
    pub finished: bool,
    /// What went wrong last, where nothing was done since.
    pub trouble: Option<Report>,
    /// What the agent said last, bounded and safe to show.
    pub words: String,
    /// What it did last, for an agent that ended without a word on how it went.
    pub doing: String,
    pub skipped: u64,
    pub usage: Usage,
    /// When a limit that it hit will be lifted.
    pub resets: Option<Millis>,
    /// What the agent calls its conversation.
    pub conversation: Option<String>,
    /// What the conversation used in all, where that is what the agent says.
    pub total: Usage,
}

/// What is known of an agent while it works.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// What it does, in one line that is safe to show.
    pub doing: String,
    pub usage: Usage,
    /// It has said that it succeeded, and nothing since.
    pub has_finished: bool,
}

/// Tells of an agent's work as its output comes in, after each thing that it says.
pub fn listen(kind: AgentKind, stdout: impl BufRead, mut hear: impl FnMut(Heard)) {
    let (mut said, mut meter) = (Said::default(), Meter::default());
    for event in Reader::new(kind, stdout) {
        said.hear(event, &mut meter);
        hear(Heard { doing: said.doing.clone(), usage: meter.clone().total(), has_finished: said.finished });
    }
}

impl Said {
    pub fn read(kind: AgentKind, stdout: impl BufRead) -> Self {
        if builtin::of(kind).output == Output::Plain {
            return Said { words: clean(&tail(stdout, MAX_SUMMARY)), ..Said::default() };
        }
        let (mut said, mut meter) = (Said { structured: true, ..Said::default() }, Meter::default());
        let mut events = Reader::new(kind, stdout);
        for event in &mut events {
            said.hear(event, &mut meter);
        }
        said.skipped = events.skipped();
        said.total = meter.conversation().unwrap_or_default();
        said.usage = meter.total();
        if let Some(report) = said.report.as_ref().filter(|r| !r.text.trim().is_empty()) {
            said.words = clean(&start_of(&report.text, MAX_SUMMARY));
        }
        said
    }

    fn hear(&mut self, event: AgentEvent, meter: &mut Meter) {
        match &event {
            AgentEvent::Result(report) => self.finished = report.succeeded,
            AgentEvent::Begins | AgentEvent::Activity(_) | AgentEvent::Trouble(_) => self.finished = false,
            AgentEvent::Conversation(_) | AgentEvent::Words(_) | AgentEvent::Used(_) | AgentEvent::Resets(_) => {}
        }
        match event {
            AgentEvent::Conversation(id) => self.conversation = Some(id),
            AgentEvent::Begins => (self.report, self.trouble) = (None, None),
            AgentEvent::Activity(what) => (self.doing, self.trouble) = (what, None),
            AgentEvent::Words(words) => self.words = clean(&start_of(&words, MAX_SUMMARY)),
            AgentEvent::Used(used) => meter.add(used),
            AgentEvent::Resets(at) => self.resets = Some(at),
            AgentEvent::Trouble(report) => self.trouble = Some(report),
            AgentEvent::Result(report) => {
                meter.settle();
                self.report = Some(self.explained(report));
            }
        }
    }

    /// A failure that does not say why is due to the trouble right before it.
    fn explained(&mut self, report: Report) -> Report {
        match self.trouble.take() {
            Some(trouble) if !report.succeeded && report.text.is_empty() => trouble,
            _ => report,
        }
    }
}

/// Safe to show, and of a line drawn over again only what was left standing.
pub(super) fn clean(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(|l| l.rsplit('\r').find(|p| !p.is_empty()).unwrap_or_default()).collect();
    block(&lines.join("\n")).trim().to_owned()
}

/// At most the first `max` bytes, marked where it was cut.
fn start_of(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let room = max - '…'.len_utf8();
    let to = (0..=room).rev().find(|n| text.is_char_boundary(*n)).unwrap_or_default();
    format!("{}…", &text[..to])
}

//! A live account of a run: a line a transition.
//!
//! Plain lines, fit for a terminal, a pipe and a CI log alike. A writer that fails is not
//! written to any more; the run goes on.

mod entry;

use std::io::Write;

use super::Reporter;
use super::style::Paint;
use crate::base::{Aid, Millis, TaskId, format_duration};
use crate::core::{Fact, State};
use entry::{Entry, Teller};

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What went wrong, and the summary.
    Quiet,
    #[default]
    Normal,
    /// Every transition, and the output of attempts that are tried again.
    Verbose,
}

/// Where the output of an attempt is kept.
pub type LogOf = Box<dyn Fn(&TaskId, &Aid) -> Option<String> + Send>;

pub struct Options {
    pub level: Level,
    pub color: bool,
    pub log: LogOf,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: Level::Normal, color: false, log: Box::new(|_, _| None) }
    }
}

/// Writes the account to any writer; standard error is the usual one.
pub struct Terminal {
    out: Option<Box<dyn Write + Send>>,
    options: Options,
    teller: Teller,
    began: Option<Millis>,
    warning: Option<String>,
    /// Of the longest id so far.
    width: usize,
}

/// Ids are not padded further than this.
const WIDEST: usize = 28;

impl Terminal {
    pub fn new(out: Box<dyn Write + Send>, options: Options) -> Self {
        Self { out: Some(out), options, teller: Teller::default(), began: None, warning: None, width: 0 }
    }

    fn write(&mut self, text: &str) {
        let Some(out) = &mut self.out else { return };
        if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            self.out = None;
            self.warning = Some(format!("progress is not shown any more: {e}"));
            tracing::warn!("progress is not shown any more: {e}");
        }
    }

    fn show(&mut self, at: Millis, entry: &Entry) {
        if entry.level > self.options.level {
            return;
        }
        let elapsed = format_duration(at.since(self.began.unwrap_or(at)));
        let sign = Paint { on: self.options.color }.sign(entry.hue, entry.sign);
        let who = entry.task.as_ref().map(|t| format!("{t:<width$}  ", width = self.width)).unwrap_or_default();
        let mut text = format!("{elapsed:>7} {sign} {who}{}\n", entry.text);
        for line in &entry.more {
            text.push_str(&format!("          {line}\n"));
        }
        self.write(&text);
    }

    fn measure(&mut self, state: &State) {
        let longest = state.tasks.keys().map(|id| id.as_str().len()).max().unwrap_or(0);
        self.width = self.width.max(longest.min(WIDEST));
    }
}

impl Reporter for Terminal {
    fn fact(&mut self, state: &State, _: u64, at: Millis, fact: &Fact) {
        if self.began.is_none() || matches!(fact, Fact::RunBegan { .. }) {
            self.began = state.head.run.as_ref().map(|run| run.began);
        }
        if self.width == 0 || matches!(fact, Fact::RunBegan { .. } | Fact::Defined { .. } | Fact::Recalled(_)) {
            self.measure(state);
        }
        if let Some(entry) = self.teller.tell(state, at, fact, &self.options) {
            self.show(at, &entry);
        }
    }

    fn warning(&self) -> Option<String> {
        self.warning.clone()
    }
}

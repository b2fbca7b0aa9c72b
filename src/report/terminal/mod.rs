//! A live account of a run: a line a transition.
//!
//! Plain lines, fit for a terminal, a pipe and a CI log alike; on a terminal there is a block below
//! them of what is under way. A writer that fails is not
//! written to any more; the run goes on.

mod entry;
pub mod frame;
mod live;

use std::io::{self, Write};
use std::time::Duration;

use super::style::Paint;
use super::{Activity, Reporter};
use crate::base::{Aid, Millis, TaskId, format_duration};
use crate::core::{Fact, State};
use entry::{Entry, Teller};
use live::Live;

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
    /// How wide the terminal is, in columns, where what is under way is shown.
    pub live: Option<Columns>,
    /// What writes the end of a log, under a title, where it can be folded away.
    pub fold: Option<Fold>,
}

/// Writes lines under a title.
pub type Fold = Box<dyn Fn(&str, &str) -> io::Result<()> + Send>;

/// Asked each time: terminals change their size.
pub type Columns = Box<dyn Fn() -> usize + Send>;

impl Default for Options {
    fn default() -> Self {
        Self { level: Level::Normal, color: false, log: Box::new(|_, _| None), live: None, fold: None }
    }
}

/// What there is to say of one fact by itself, in a line; the task it is about is not named.
pub fn sentence(at: Millis, fact: &Fact) -> Option<String> {
    let options = Options { level: Level::Verbose, ..Options::default() };
    Teller::default().tell(&State::default(), at, fact, &options).map(|entry| entry.text)
}

/// Writes the account to any writer; standard error is the usual one.
pub struct Terminal {
    out: Option<Box<dyn Write + Send>>,
    options: Options,
    teller: Teller,
    began: Option<Millis>,
    warning: Option<String>,
    live: Live,
    /// Whether the block stands below where the cursor is.
    drawn: bool,
    /// When something was last said.
    spoke: Option<Millis>,
    /// Of the longest id so far.
    width: usize,
}

/// Ids are not padded further than this.
const WIDEST: usize = 28;
/// After as much silence it is said that work goes on, where nothing shows it.
const HEARTBEAT: Duration = Duration::from_secs(60);

impl Terminal {
    pub fn new(out: Box<dyn Write + Send>, options: Options) -> Self {
        Self {
            out: Some(out),
            options,
            teller: Teller::default(),
            began: None,
            warning: None,
            live: Live::default(),
            drawn: false,
            spoke: None,
            width: 0,
        }
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
        self.spoke = Some(at);
        let elapsed = format_duration(at.since(self.began.unwrap_or(at)));
        let sign = Paint { on: self.options.color }.sign(entry.hue, entry.sign);
        let who = entry.task.as_ref().map(|t| format!("{t:<width$}  ", width = self.width)).unwrap_or_default();
        let mut text = format!("{elapsed:>7} {sign} {who}{}\n", entry.text);
        let indented = |lines: &[String]| lines.iter().map(|line| format!("          {line}\n")).collect::<String>();
        text.push_str(&indented(&entry.more));
        let tail = indented(&entry.tail);
        if self.options.fold.is_none() {
            text.push_str(&tail);
        }
        let clear = if std::mem::take(&mut self.drawn) { live::CLEAR } else { "" };
        self.write(&format!("{clear}{text}"));
        if let Some(fold) = self.options.fold.as_ref().filter(|_| !tail.is_empty()) {
            let of = entry.task.as_ref().map(|task| format!(" of {task}")).unwrap_or_default();
            if let Err(e) = fold(&format!("The end of the output{of}"), &tail) {
                self.warning = Some(format!("progress is not shown any more: {e}"));
            }
        }
    }

    /// The block of what is under way, below everything; the cursor stays where it begins, so that
    /// what others write takes its place.
    fn draw(&mut self, state: &State, at: Millis) {
        let Some(columns) = self.options.live.as_ref().map(|columns| columns()) else { return };
        let block = self.live.block(state, at, self.began.unwrap_or(at), columns);
        if self.drawn || !block.is_empty() {
            self.write(&format!("{}{}", live::CLEAR, live::parked(&block)));
            self.drawn = !block.is_empty();
        }
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
        if let Fact::RunEnded { .. } = fact {
            self.live = Live::default();
        }
        self.draw(state, at);
    }

    fn activity(&mut self, state: &State, at: Millis, activity: &Activity) {
        self.live.hear(activity);
        self.draw(state, at);
    }

    fn shows_time(&self) -> bool {
        true
    }

    fn tick(&mut self, state: &State, at: Millis) {
        if self.options.live.is_some() {
            return self.draw(state, at);
        }
        let silent = self.spoke.map(|spoke| at.since(spoke));
        if self.options.level > Level::Quiet && silent.is_some_and(|silent| silent >= HEARTBEAT) {
            self.spoke = Some(at);
            let block = self.live.block(state, at, self.began.unwrap_or(at), usize::MAX);
            self.write(&block.iter().map(|line| format!("        {line}\n")).collect::<String>());
        }
    }

    fn warning(&self) -> Option<String> {
        self.warning.clone()
    }
}

//! `drover status`: where everything stands, also while another process applies; and on as that
//! changes. Reads one short transaction at a time, so that no writer waits for it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Duration;

use super::amiss;
use super::args::{Global, StatusArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::base::Millis;
use crate::base::text::block;
use crate::core::State;
use crate::engine::driver::now;
use crate::git::Repo;
use crate::process::Changes;
use crate::report;
use crate::report::terminal::frame;
use crate::report::text::StatusOptions;
use crate::store::{lock, redb};

/// The record is read again after this long, should a change have gone unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Drawn anew after this long, for the times that are shown; elsewhere it is only looked whether a
/// Drover is still at work.
const TICK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The files and git are looked at no more often than this.
const FILES_AGAIN: Duration = Duration::from_secs(2);
/// Nothing is read more often than that, however fast facts come.
const PAUSE: Duration = Duration::from_millis(100);

pub fn run(global: &Global, terminal: &Terminal, args: &StatusArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let reader = Reader { global, repo, target, terminal, args, amiss: RefCell::default() };
    if args.watch {
        return reader.follow();
    }
    let Some(state) = reader.state()? else {
        return Err(Failure::unfit(format!("{}\n  Run `drover apply`.", reader.nothing())));
    };
    match terminal.json {
        true => terminal.json(&report::json::status(&state, now(), &reader.amiss(&state))),
        false => terminal.out(&reader.text(&state, reader.is_deserted())),
    }
    Ok(Exit::Done)
}

struct Reader<'a> {
    global: &'a Global,
    repo: Repo,
    target: String,
    terminal: &'a Terminal,
    args: &'a StatusArgs,
    /// What was found last beside the record, and when.
    amiss: RefCell<(Millis, Vec<String>)>,
}

impl Reader<'_> {
    fn state(&self) -> Result<Option<State>, Failure> {
        Ok(redb::snapshot(&self.repo.state_dir(), &self.target)?)
    }

    fn nothing(&self) -> String {
        format!("nothing is recorded for `{}` yet", self.target)
    }

    fn is_deserted(&self) -> bool {
        !lock::is_held(&self.repo.state_dir())
    }

    fn text(&self, state: &State, deserted: bool) -> String {
        let options = StatusOptions {
            tree: self.args.tree,
            oneline: self.args.oneline,
            color: self.terminal.color_out,
            ascii: self.terminal.ascii,
            deserted,
        };
        let shown = report::text::status(state, now(), options);
        // A line is for those who want no more than a line.
        if self.args.oneline { shown } else { self.amiss(state).iter().fold(shown, |shown, line| format!("{shown}{}\n", block(line))) }
    }

    /// What there is to be said beside the record.
    fn amiss(&self, state: &State) -> Vec<String> {
        let mut amiss = self.amiss.borrow_mut();
        if now().since(amiss.0) >= FILES_AGAIN {
            *amiss = (now(), amiss::found(self.global, &self.repo, &self.target, state, !self.is_deserted()));
        }
        amiss.1.clone()
    }

    /// Shows it again and again, until nobody looks any more.
    fn follow(&self) -> CliResult {
        let draws = self.terminal.live_out && !self.terminal.json;
        let tick = if draws { TICK.0 } else { TICK.1 };
        let mut shown = Shown { draws, ..Shown::default() };
        let mut changes = Changes::default();
        loop {
            // Before the look: what is written from here on ends the wait.
            let dir = self.repo.state_dir();
            changes.add(if dir.is_dir() { &dir } else { self.repo.common_dir() });
            let state = self.state()?;
            let looked = now();
            loop {
                // Nobody looks any more.
                if !self.show(state.as_ref(), &mut shown) {
                    return Ok(Exit::Done);
                }
                if changes.wait(tick) || now().since(looked) >= LOOK_AGAIN {
                    break;
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// False where nobody looks.
    fn show(&self, state: Option<&State>, shown: &mut Shown) -> bool {
        let deserted = self.is_deserted();
        let text = match state {
            None if shown.draws => format!("{}.\n", self.nothing()),
            None => return true,
            Some(state) if shown.draws => self.text(state, deserted),
            Some(state) => match shown.news(state, deserted, self.args.oneline || self.terminal.json) {
                None => return true,
                Some(_) if self.terminal.json => format!("{}\n", report::json::status(state, now(), &self.amiss(state))),
                Some(gap) => format!("{gap}{}", self.text(state, deserted)),
            },
        };
        let text = if shown.draws { shown.drawn(&text, self.args.oneline) } else { text };
        text.is_empty() || self.terminal.answer(|out| out.write_all(text.as_bytes()))
    }
}

/// What is shown already.
#[derive(Default)]
struct Shown {
    /// In place of what was shown before.
    draws: bool,
    /// On a terminal: what stands there, and how large that is.
    text: String,
    size: (usize, usize),
    /// Elsewhere: of which fact, and whether a Drover was at work.
    last: Option<(u64, bool)>,
}

impl Shown {
    /// What to write so that this stands on the terminal; nothing where it does already.
    fn drawn(&mut self, text: &str, oneline: bool) -> String {
        let size = size();
        if self.text == text && self.size == size {
            return String::new();
        }
        let (rows, columns) = size;
        let room = if self.text.is_empty() && !oneline { frame::make_room(rows) } else { String::new() };
        (self.text, self.size) = (text.to_owned(), size);
        format!("{room}{}", if oneline { frame::line(text, columns) } else { frame::frame(text, rows, columns) })
    }

    /// What stands before this one, if it is another than the last.
    fn news(&mut self, state: &State, deserted: bool, lines: bool) -> Option<&'static str> {
        let news = Some((state.head.seq, deserted));
        let first = self.last.is_none();
        (std::mem::replace(&mut self.last, news) != news).then_some(if first || lines { "" } else { "\n" })
    }
}

/// Rows and columns of the terminal now.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let size = size.map(|size| (usize::from(size.ws_row), usize::from(size.ws_col)));
    size.filter(|(rows, columns)| *rows > 0 && *columns > 0).unwrap_or((24, 80))
}

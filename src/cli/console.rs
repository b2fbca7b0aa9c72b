//! Standard error. The runner of GitHub Actions reads commands from it, anywhere between other lines:
//! so all that is not meant as one stands between `stop-commands` with a token that nobody can
//! guess, and that token.
//!
//! Standard output is another pipe, which the runner reads at its own pace: nothing said here holds for
//! what is written there. See `Terminal::out`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::engine::driver::now;
use crate::report::ci::{self, Ci};

#[derive(Clone, Debug)]
pub struct Console {
    pub ci: Option<Ci>,
    line: Arc<Mutex<Line>>,
}

#[derive(Debug, Default)]
struct Line {
    /// What ends the stop that holds, if one does.
    token: Option<String>,
    /// What was written last was no whole line.
    open: bool,
    sections: usize,
}

impl Console {
    pub fn new(ci: Option<Ci>) -> Self {
        Self { ci, line: Arc::default() }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whatever it says, nobody acts on it.
    pub fn text(&self, text: &[u8]) -> io::Result<()> {
        let mut line = self.line();
        let stop = if self.ci == Some(Ci::Github) && line.token.is_none() { line.stop() } else { String::new() };
        line.open = text.last().is_some_and(|last| *last != b'\n');
        io::stderr().lock().write_all(&[stop.as_bytes(), text].concat())
    }

    /// For the runner to act on.
    pub fn commands(&self, commands: &str) {
        let mut line = self.line();
        let resumed = line.resume();
        // A runner that does not read on has nobody who could act on anything.
        let _ = io::stderr().lock().write_all(format!("{resumed}{commands}").as_bytes());
    }

    /// Lines that are folded away where that can be.
    pub fn fold(&self, title: &str, lines: &str) -> io::Result<()> {
        match self.ci {
            None => self.text(lines.as_bytes()),
            Some(Ci::Github) => {
                let (begin, end) = ci::group(title);
                self.commands(&begin);
                let written = self.text(lines.as_bytes());
                self.commands(end);
                written
            }
            Some(Ci::Gitlab) => {
                let nth = {
                    let mut line = self.line();
                    line.sections += 1;
                    line.sections
                };
                let (begin, end) = ci::section(title, nth, now());
                self.text(format!("{begin}{lines}{end}").as_bytes())
            }
        }
    }

    /// The process is about to end: what comes after it in its step may have commands of its own.
    pub fn end(&self) {
        self.commands("");
    }
}

impl Line {
    fn stop(&mut self) -> String {
        let token = token();
        let stop = format!("::stop-commands::{token}\n");
        self.token = Some(token);
        stop
    }

    fn resume(&mut self) -> String {
        let gap = if std::mem::take(&mut self.open) { "\n" } else { "" };
        self.token.take().map(|token| format!("{gap}::{token}::\n")).unwrap_or_default()
    }
}

/// What nobody can guess.
pub fn token() -> String {
    format!("drover-{}", uuid::Uuid::now_v7().simple())
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text(bytes).map(|()| bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

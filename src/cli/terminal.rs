//! Where words go and whether they are coloured: decided once, here.

use std::io::{self, ErrorKind, IsTerminal, StdoutLock, Write};
use std::sync::{Arc, OnceLock};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::args::{Format, Global, When};
use super::ci;
use super::console::{self, Console};
use crate::report::ci::Ci;
use crate::telemetry::Logs;

#[derive(Clone, Debug)]
pub struct Terminal {
    /// For standard output.
    pub color_out: bool,
    /// For standard error.
    pub color_err: bool,
    pub json: bool,
    pub quiet: bool,
    pub verbose: u8,
    pub width: usize,
    /// Standard error is a terminal that can draw over what stands there.
    pub live: bool,
    /// The same of standard output.
    pub live_out: bool,
    /// Only plain letters can be drawn with.
    pub ascii: bool,
    /// Why an answer did not get out; known to all clones.
    lost: Arc<OnceLock<String>>,
    /// Standard output is for events alone: what would be said there goes to standard error.
    aside: bool,
    /// What else hears of the log.
    pub logs: Logs,
    /// Standard error.
    pub console: Console,
}

impl Terminal {
    pub fn new(global: &Global) -> Self {
        Self {
            color_out: color(global.color, std::io::stdout().is_terminal()),
            color_err: color(global.color, std::io::stderr().is_terminal()),
            json: global.format == Format::Json,
            quiet: global.quiet,
            verbose: global.verbose,
            width: 100,
            live: std::io::stderr().is_terminal() && can_draw(),
            live_out: std::io::stdout().is_terminal() && can_draw(),
            ascii: is_plain(),
            lost: Arc::default(),
            aside: false,
            logs: Logs::default(),
            console: Console::new(ci::of(global)),
        }
    }

    /// The same, saying less.
    pub fn hushed(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    /// Diagnostics of the program itself; `DROVER_LOG` filters them.
    pub fn start_log(&self) {
        let level = ["warn", "info", "debug", "trace"][usize::from(self.verbose.min(3))];
        let filter = EnvFilter::try_from_env("DROVER_LOG").unwrap_or_else(|_| EnvFilter::new(format!("drover={level}")));
        let console = self.console.clone();
        let shown = fmt::layer().with_writer(move || console.clone()).with_ansi(self.color_err).with_target(false).without_time();
        let log = tracing_subscriber::registry().with(shown.with_filter(filter)).with(self.logs.layer());
        // A second start in one process (a test) keeps the first.
        let _ = log.try_init();
    }

    /// The same, with standard output left to somebody else.
    pub fn aside(&self) -> Self {
        Self { aside: true, color_out: self.color_err, ..self.clone() }
    }

    /// The answer.
    pub fn out(&self, text: &str) {
        let text = text.trim_end_matches('\n');
        if self.aside {
            self.say(text);
        } else if self.is_obeyed() {
            self.answer(|out| writeln!(out, "{}", powerless(text)));
        } else {
            self.answer(|out| writeln!(out, "{text}"));
        }
    }

    pub fn json(&self, value: &serde_json::Value) {
        let mut text = format!("{value:#}");
        if self.is_github() {
            // The same to whoever reads it, and nothing to the runner: only strings can hold it.
            text = text.replace("##[", "#\\u0023[");
        }
        self.answer(|out| writeln!(out, "{text}"));
    }

    /// An answer that is given as it is, and on which nobody acts: see `console`. It is the only one to
    /// say so while it lasts.
    pub fn quoted<T>(&self, show: impl FnOnce(&Self) -> T) -> T {
        if self.json || !self.is_obeyed() {
            return show(self);
        }
        let token = console::token();
        self.answer(|out| writeln!(out, "::stop-commands::{token}"));
        let shown = show(&Self { console: Console::new(None), ..self.clone() });
        self.answer(|out| writeln!(out, "\n::{token}::"));
        shown
    }

    pub fn is_github(&self) -> bool {
        self.console.ci == Some(Ci::Github)
    }

    /// Whether a runner acts on what is written to standard output. A file is read by nobody of that kind.
    fn is_obeyed(&self) -> bool {
        let is_file = std::fs::metadata("/proc/self/fd/1").is_ok_and(|m| m.is_file());
        self.is_github() && !is_file
    }

    /// What the runner is to act on.
    pub fn commands(&self, commands: &str) {
        if !commands.is_empty() {
            self.console.commands(commands);
        }
    }

    /// Nothing more is said.
    pub fn end(&self) {
        self.console.end();
    }

    fn say(&self, text: &str) {
        // Where nobody listens nothing is lost.
        let _ = self.console.text(format!("{}\n", text.trim_end_matches('\n')).as_bytes());
    }

    /// Writes a part of the answer; false where nobody reads on, or nothing can be written.
    pub fn answer(&self, write: impl FnOnce(&mut StdoutLock<'static>) -> io::Result<()>) -> bool {
        let mut out = io::stdout().lock();
        let written = write(&mut out).and_then(|()| out.flush());
        // A reader that has gone away is no error.
        if let Err(error) = written.as_ref()
            && error.kind() != ErrorKind::BrokenPipe
        {
            self.lost.get_or_init(|| error.to_string());
        }
        written.is_ok()
    }

    /// Why a part of the answer is lost, if one is.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Progress and notes.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// What is wrong with the files, drawn already.
    pub fn diagnostics(&self, text: &str) {
        self.say(text);
    }

    pub fn warn(&self, text: &str) {
        self.marked("33", "warning", text);
    }

    pub fn error(&self, text: &str) {
        self.marked("31", "error", text);
    }

    fn marked(&self, code: &str, word: &str, text: &str) {
        let word = if self.color_err { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word.to_owned() };
        self.say(&format!("{word}: {text}"));
    }
}

/// Without what the runner of GitHub Actions would act on: a space without width stands in it.
fn powerless(text: &str) -> String {
    let lines = text.split('\n').map(|line| match line.trim_start().strip_prefix("::") {
        Some(rest) => format!("{}:\u{200b}:{rest}", &line[..line.len() - line.trim_start().len()]),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n").replace("##[", "##\u{200b}[")
}

#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn can_draw() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// A terminal without a notion of more, or a locale of another encoding. Of the three variables the
/// first that says anything counts.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn is_plain() -> bool {
    let said = |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().to_lowercase()).filter(|v| !v.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(said).unwrap_or_default();
    said("TERM").is_some_and(|term| term == "dumb") || !(locale.contains("utf-8") || locale.contains("utf8"))
}

#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn color(when: When, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR") => false,
        When::Auto if set("CLICOLOR_FORCE") || set("FORCE_COLOR") => true,
        When::Auto => terminal && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
    }
}

//! Where words go and whether they are coloured: decided once, here.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use super::args::{Format, Global, When};

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
        }
    }

    /// Diagnostics of the program itself; `DROVER_LOG` filters them.
    pub fn start_log(&self) {
        let level = ["warn", "info", "debug", "trace"][usize::from(self.verbose.min(3))];
        let filter = EnvFilter::try_from_env("DROVER_LOG").unwrap_or_else(|_| EnvFilter::new(format!("drover={level}")));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(self.color_err)
            .with_target(false)
            .without_time();
        // A second start in one process (a test) keeps the first.
        let _ = log.try_init();
    }

    /// The answer. A reader that has gone away is no error.
    pub fn out(&self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end_matches('\n'));
    }

    pub fn json(&self, value: &serde_json::Value) {
        let _ = writeln!(std::io::stdout().lock(), "{value:#}");
    }

    /// Progress and notes.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end_matches('\n'));
        }
    }

    /// What is wrong with the files, drawn already.
    pub fn diagnostics(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end_matches('\n'));
    }

    pub fn warn(&self, text: &str) {
        self.marked("33", "warning", text);
    }

    pub fn error(&self, text: &str) {
        self.marked("31", "error", text);
    }

    fn marked(&self, code: &str, word: &str, text: &str) {
        let word = if self.color_err { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word.to_owned() };
        let _ = writeln!(std::io::stderr().lock(), "{word}: {}", text.trim_end_matches('\n'));
    }
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

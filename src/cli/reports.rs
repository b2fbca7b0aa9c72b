//! What is written of a run for others than the person who started it.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::{Conduct, Global};
use super::ci;
use super::context;
use super::exit::Failure;
use super::site::absolute;
use super::terminal::Terminal;
use crate::base::Millis;
use crate::base::text::one_line;
use crate::core::view::Verdict;
use crate::core::{Fact, State};
use crate::engine::driver::now;
use crate::notice::Herald;
use crate::report::{self, Account, Reporter, ci::Ci};

pub struct Reports {
    junit: Vec<PathBuf>,
    account: Account,
    /// What could not be written, and why.
    warning: Option<String>,
}

impl Reports {
    pub fn new(global: &Global, conduct: &Conduct) -> Result<Self, Failure> {
        let dir = context::directory(global)?;
        let junit = conduct.junit.iter().map(|file| absolute(&dir, file)).collect();
        Ok(Self { junit, account: Account::default(), warning: None })
    }

    /// The session is over.
    pub fn close(&mut self, terminal: &Terminal, root: &Path, state: &State) {
        let now = now();
        self.write(state, now);
        match terminal.console.ci {
            Some(Ci::Github) => self.tell_github(terminal, root, state, now),
            Some(Ci::Gitlab) if self.junit.is_empty() && state.verdict() == Verdict::Failed => {
                terminal.note(
                    "note: with `--report junit=FILE`, and FILE under `artifacts: reports: junit`, a merge request shows what failed",
                );
            }
            _ => {}
        }
        if let Some(warning) = self.warning.take() {
            terminal.warn(&warning);
        }
    }

    fn tell_github(&mut self, terminal: &Terminal, root: &Path, state: &State, now: Millis) {
        let found = report::ci::of_run(state, &ci::prefix(root));
        terminal.commands(&report::ci::annotations(&found, "The summary of the job has all of them."));
        let summary = ci::append("GITHUB_STEP_SUMMARY", |most| report::ci::summary(state, now, most));
        let outputs = ci::append("GITHUB_OUTPUT", |_| report::ci::outputs(state, &self.account));
        if let Err(why) = summary.and(outputs) {
            self.warning = Some(format!("the runner is not told how it went: {why}"));
        }
    }

    fn write(&mut self, state: &State, now: Millis) {
        if self.junit.is_empty() {
            return;
        }
        let document = report::junit(state, &self.account, now);
        for file in &self.junit {
            let written = document.clone().and_then(|text| put(file, &text).map_err(|e| e.to_string()));
            if let Err(why) = written {
                self.warning = Some(format!("the report {} is not written: {why}", one_line(&file.display().to_string(), 300)));
            }
        }
    }
}

fn put(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(file, text)
}

impl Reporter for Reports {
    fn fact(&mut self, state: &State, _: u64, at: Millis, fact: &Fact) {
        self.account.hear(state, at, fact);
        // A watch goes on after it.
        if matches!(fact, Fact::RunEnded { .. }) {
            self.write(state, at);
        }
    }
}

/// Those who look on while the run lasts, the reports, and who tells others. At the end they come in this
/// order: what is reported must be there before anybody outside is waited for.
pub struct Beside<'a> {
    pub terminal: &'a Terminal,
    pub root: &'a Path,
    pub others: &'a mut report::Reporters,
    pub reports: &'a mut Reports,
    pub herald: &'a mut Herald,
}

impl Reporter for Beside<'_> {
    fn fact(&mut self, state: &State, seq: u64, at: Millis, fact: &Fact) {
        self.others.fact(state, seq, at, fact);
        self.reports.fact(state, seq, at, fact);
        self.herald.fact(state, seq, at, fact);
    }
    fn activity(&mut self, state: &State, at: Millis, activity: &report::Activity) {
        self.others.activity(state, at, activity);
    }
    fn shows_time(&self) -> bool {
        self.others.shows_time()
    }
    fn tick(&mut self, state: &State, at: Millis) {
        self.others.tick(state, at);
    }
    fn end(&mut self, state: Option<&State>) {
        self.others.end(state);
        if let Some(state) = state {
            self.reports.close(self.terminal, self.root, state);
        }
        self.herald.end(state);
    }
}

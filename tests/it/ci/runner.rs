//! A runner of GitHub Actions as far as it acts on what a step prints: the rules are those of its
//! sources, `##[command]` anywhere in a line, and `::command::` at the start of one.

use std::fs;
use std::path::PathBuf;

use crate::fixture::{Fixture, Ran};

/// What it came to act on, and what a person sees.
#[derive(Debug, Default)]
pub struct Acted {
    /// Name and the rest, in their order.
    pub commands: Vec<(String, String)>,
    pub log: Vec<String>,
    /// The token of a stop that still holds.
    pub stopped: Option<String>,
}

impl Acted {
    /// As the runner reads one stream of a step.
    pub fn on(stream: &str) -> Self {
        let mut it = Self::default();
        stream.lines().for_each(|line| it.line(line));
        it
    }

    fn line(&mut self, line: &str) {
        match (command(line), self.stopped.clone()) {
            (Some((name, _)), Some(token)) if name == token => self.stopped = None,
            (Some((name, rest)), None) if name == "stop-commands" => {
                assert!(rest.len() > 20, "a token that can be guessed: {rest}");
                self.stopped = Some(rest);
            }
            (Some(found), None) => self.commands.push(found),
            _ => self.log.push(line.to_owned()),
        }
    }

    pub fn named(&self, name: &str) -> Vec<&str> {
        self.commands.iter().filter(|(n, _)| n.split(' ').next() == Some(name)).map(|(_, rest)| rest.as_str()).collect()
    }
}

/// Name and value of a command with its properties still in the name: `error file=a,line=1`.
fn command(line: &str) -> Option<(String, String)> {
    if let Some(rest) = line.trim_start().strip_prefix("::") {
        let (name, value) = rest.split_once("::")?;
        return Some((name.to_owned(), value.to_owned()));
    }
    let (name, value) = line.split_once("##[")?.1.split_once(']')?;
    Some((name.to_owned(), value.to_owned()))
}

/// A repository on a runner: its environment, and the files that it reads afterwards.
pub fn on_github(it: Fixture) -> Fixture {
    let (summary, output) = (it.outside("summary").display().to_string(), it.outside("output").display().to_string());
    let workspace = it.root().display().to_string();
    it.env("GITHUB_ACTIONS", "true")
        .env("GITHUB_EVENT_NAME", "push")
        .env("GITHUB_WORKSPACE", &workspace)
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_OUTPUT", &output)
}

pub fn written(it: &Fixture, name: &str) -> String {
    let path: PathBuf = it.outside(name);
    fs::read_to_string(path).unwrap_or_default()
}

/// What it acted on of standard error; that it acts on nothing of standard output is asserted.
#[track_caller]
pub fn acted(ran: &Ran) -> Acted {
    let out = Acted::on(&ran.out);
    assert!(out.commands.is_empty() && out.stopped.is_none(), "{out:?}");
    let err = Acted::on(&ran.err);
    assert!(err.stopped.is_none(), "later commands of the step would not count: {}", ran.err);
    err
}

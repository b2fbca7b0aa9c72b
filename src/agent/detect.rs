//! Which agents are installed.

#![expect(clippy::disallowed_methods, reason = "asks installed programs for their version")]

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::builtin;
use crate::base::text::one_line;
use crate::model::{AgentSpec, CommandLine};

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);

/// An agent that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As `kind` is written in `drover.toml`.
    pub kind: &'static str,
    pub path: PathBuf,
    /// What it answers to `--version`, one line; None when it does not answer in time.
    pub version: Option<String>,
}

/// The known agents in `path_var`, a value of `PATH`, ordered by kind. Asks each for its version.
pub fn detect(path_var: Option<&OsStr>) -> Vec<Found> {
    let found = builtin::all().filter_map(|(kind, known)| {
        // No program is taken from a directory relative to wherever this is.
        let path = look_up(known.program.as_deref()?, path_var, Path::new("/"))?;
        Some(Found { kind, version: version(&path), path })
    });
    found.collect()
}

/// What to tell the user when the agent's program is not there. `path_var` is the `PATH` that the
/// agent will have. A program given by a path inside the project is not looked for: a task may make it.
pub fn missing(agent: &AgentSpec, path_var: Option<&OsStr>, cwd: &Path) -> Option<String> {
    let known = builtin::of(agent.kind);
    let program = match (&known.program, &agent.command) {
        (Some(program), _) => program,
        (None, Some(CommandLine::Argv(argv))) => argv.first()?,
        (None, _) => return None,
    };
    let inside = program.contains('/') && !program.starts_with('/');
    if inside || program.contains("${{") || look_up(program, path_var, cwd).is_some() {
        return None;
    }
    let name = &agent.name;
    let place = if program.starts_with('/') { "" } else { " in PATH" };
    let fix = match &known.install {
        Some(line) => format!("install it with `{line}`"),
        None => format!("install it, or correct `command` of [agents.{name}] in drover.toml"),
    };
    Some(format!("agent `{name}` ({}) needs the program `{program}`, which was not found{place}; {fix}", agent.kind.name()))
}

fn look_up(program: &str, path_var: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
    which::which_in(program, path_var, cwd).ok()
}

fn version(program: &Path) -> Option<String> {
    let mut child =
        Command::new(program).arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let out = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    // A reader of its own, so that a program that says nothing cannot hold the caller.
    thread::spawn(move || {
        let mut said = Vec::new();
        let read = out.take(4096).read_to_end(&mut said);
        send.send(read.ok().map(|_| said)).ok()
    });
    let said = receive.recv_timeout(PATIENCE).ok().flatten();
    child.kill().ok();
    child.wait().ok();
    let said = String::from_utf8_lossy(&said?).into_owned();
    Some(one_line(said.lines().next().unwrap_or_default(), 60)).filter(|v| !v.is_empty())
}

//! Which agents are installed.

#![expect(clippy::disallowed_methods, reason = "asks installed programs for their version")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::builtin;
use crate::base::text::one_line;
use crate::fault;
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
        Some((kind, look_up(known.program.as_deref()?, path_var, Path::new("/"))?))
    });
    let found: Vec<(&str, PathBuf)> = found.collect();
    // Some take seconds to say it.
    thread::scope(|scope| {
        let asked: Vec<_> = found.iter().map(|(_, path)| scope.spawn(|| version(path))).collect();
        let versions = asked.into_iter().map(|asked| asked.join().ok().flatten());
        found.iter().zip(versions).map(|((kind, path), version)| Found { kind, path: path.clone(), version }).collect()
    })
}

/// What to tell the user when the agent's program is not there. `path_var` is the `PATH` that the
/// agent will have. A program given by a path inside the project is not looked for: a task may make it.
pub fn missing(agent: &AgentSpec, path_var: Option<&OsStr>, cwd: &Path) -> Option<String> {
    let known = builtin::of(agent.kind);
    let program = named(agent).filter(|program| look_up(program, path_var, cwd).is_none())?;
    let name = &agent.name;
    let place = if program.starts_with('/') { "" } else { " in PATH" };
    let fix = match &known.install {
        Some(line) => format!("install it with `{line}`"),
        None => format!("install it, or correct `command` of [agents.{name}] in drover.toml"),
    };
    Some(format!("agent `{name}` ({}) needs the program `{program}`, which was not found{place}; {fix}", agent.kind.name()))
}

/// Where the agent's program is, if it is one that is looked for.
pub fn program(agent: &AgentSpec, path_var: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
    look_up(named(agent)?, path_var, cwd)
}

fn named(agent: &AgentSpec) -> Option<&str> {
    let program = match (&builtin::of(agent.kind).program, &agent.command) {
        (Some(program), _) => program,
        (None, Some(CommandLine::Argv(argv))) => argv.first()?,
        (None, _) => return None,
    };
    let inside = program.contains('/') && !program.starts_with('/');
    (!inside && !program.contains("${{")).then_some(program)
}

fn look_up(program: &str, path_var: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
    which::which_in(program, path_var, cwd).ok()
}

/// What the program answers to `--version`, one line; None when it does not in time.
pub fn version(program: &Path) -> Option<String> {
    let mut child = ask(program, ["--version"]).stdout(Stdio::piped()).spawn().ok()?;
    let out = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    // A reader of its own, so that a program that says nothing cannot hold the caller.
    thread::spawn(move || {
        let mut said = Vec::new();
        let read = out.take(4096).read_to_end(&mut said);
        send.send(read.ok().map(|_| said)).ok()
    });
    let said = receive.recv_timeout(fault::patience(PATIENCE)).ok().flatten();
    child.kill().ok();
    child.wait().ok();
    let said = String::from_utf8_lossy(&said?).into_owned();
    Some(one_line(said.lines().next().unwrap_or_default(), 60)).filter(|v| !v.is_empty())
}

/// Whether the program ends well in time with these arguments, in this environment.
pub(super) fn answers(program: &Path, args: &[String], env: &BTreeMap<String, String>) -> bool {
    let Ok(mut child) = ask(program, args).stdout(Stdio::null()).env_clear().envs(env).spawn() else { return false };
    let started = Instant::now();
    let mut ended = None;
    while ended.is_none() && started.elapsed() < fault::patience(PATIENCE) {
        thread::sleep(Duration::from_millis(10));
        ended = child.try_wait().ok().flatten();
    }
    child.kill().ok();
    child.wait().ok();
    ended.is_some_and(|status| status.success())
}

fn ask<S: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

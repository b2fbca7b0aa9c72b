//! What a step came to: how the process ended, what the agent said, and only both together.

use std::io::BufRead;

use super::builtin::{self, Output};
use super::stream::{AgentEvent, Reader, Report, end_of, tail};
use crate::base::format_duration;
use crate::base::text::{block, count, one_line};
use crate::core::{Exit, Failure, FailureClass, Outcome};
use crate::model::{Action, AgentKind, StepSpec};
use crate::process::Ended;

/// The most of an agent's words that is kept, in bytes.
const MAX_SUMMARY: usize = 4096;
/// The most of the output that goes into a failure, in bytes.
const MAX_TAIL: usize = 4096;
/// The most of an agent's words in a message, in characters.
const MAX_WORDS: usize = 300;

/// What the output says.
struct Said {
    /// None where the exit code is all there is.
    structured: bool,
    report: Option<Report>,
    /// What the agent said last, bounded and safe to show.
    words: String,
    /// What it did last, for an agent that ended without a word on how it went.
    doing: String,
    skipped: u64,
}

/// The verdict on a step. Its exit code alone is never trusted: an agent that reports how it went
/// must report success *and* exit with 0. Whether anything was made is for the diff to say.
///
/// Any bytes may come on `stdout`; `stderr_tail` is the end of standard error.
pub fn verdict(step: &StepSpec, end: &Ended, stdout: impl BufRead, stderr_tail: &str) -> Exit {
    let kind = match &step.action {
        Action::Prompt { agent, .. } => agent.kind,
        Action::Shell(_) => AgentKind::Command,
    };
    let said = read(builtin::of(kind).output, stdout);
    let outcome = match problem(step, end, &said) {
        _ if *end == Ended::Interrupted => Outcome::Interrupted,
        Some((class, message)) => Outcome::Failed(failure(kind, class, message, &said, stderr_tail)),
        None => Outcome::Succeeded,
    };
    Exit { outcome, summary: summary(step, &said) }
}

fn read(output: Output, stdout: impl BufRead) -> Said {
    let mut said = Said { structured: output != Output::Plain, report: None, words: String::new(), doing: String::new(), skipped: 0 };
    match output {
        Output::Plain => said.words = clean(&tail(stdout, MAX_SUMMARY)),
        Output::ClaudeStreamJson => {
            let mut events = Reader::new(stdout);
            for event in &mut events {
                match event {
                    AgentEvent::Activity(what) => said.doing = what,
                    AgentEvent::Result(report) => said.report = Some(report),
                }
            }
            said.skipped = events.skipped;
            said.words = said.report.as_ref().map(|r| clean(&start_of(&r.text, MAX_SUMMARY))).unwrap_or_default();
        }
    }
    said
}

/// Why the step did not succeed, if it did not.
fn problem(step: &StepSpec, end: &Ended, said: &Said) -> Option<(FailureClass, String)> {
    let who = who(step);
    let agent = |message: String| Some((FailureClass::Agent, message));
    match end {
        Ended::NotStarted { why } => agent(format!("{who} could not be started: {}", one_line(why, MAX_WORDS))),
        Ended::TimedOut => {
            let limit = format_duration(step.timeout);
            Some((FailureClass::Timeout, format!("{who} was still at work after {limit}, its `timeout`, and was ended")))
        }
        Ended::Stalled => {
            let limit = format_duration(step.stall_timeout);
            Some((FailureClass::Stall, format!("{who} printed nothing for {limit}, its `stall_timeout`, and was ended")))
        }
        Ended::Signaled { signal } => agent(format!("{who} was ended by {}", signal_name(*signal))),
        Ended::Interrupted => None,
        Ended::Exited { code } if said.structured => match &said.report {
            None => agent(format!("{who} ended with exit code {code} and never said how it went{}", missing_words(said))),
            Some(r) if !r.succeeded => agent(format!("{who} failed (`{}`): {}", one_line(&r.reason, 60), one_line(&r.text, MAX_WORDS))),
            Some(_) if *code != 0 => agent(format!("{who} reported success, but ended with exit code {code}")),
            Some(_) => None,
        },
        Ended::Exited { code: 0 } => None,
        Ended::Exited { code } => agent(format!("{who} ended with exit code {code}")),
    }
}

fn who(step: &StepSpec) -> String {
    match &step.action {
        Action::Prompt { agent, .. } => format!("agent `{}`", agent.name),
        Action::Shell(_) => "the command".into(),
    }
}

fn missing_words(said: &Said) -> String {
    let mut out = String::new();
    if !said.doing.is_empty() {
        out += &format!("; the last it did: {}", said.doing);
    }
    if said.skipped > 0 {
        out += &format!("; {} of its output too long to be read", count(said.skipped as usize, "line"));
    }
    out
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        6 => "SIGABRT, its own doing",
        9 => "SIGKILL: when nobody sent it, the machine ran out of memory",
        11 => "SIGSEGV, a crash of its own",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

fn failure(kind: AgentKind, class: FailureClass, mut message: String, said: &Said, stderr_tail: &str) -> Failure {
    let errors = clean(end_of(stderr_tail, MAX_TAIL));
    let parts: Vec<&str> = [said.words.as_str(), errors.as_str()].into_iter().filter(|p| !p.is_empty()).collect();
    let tail = parts.join("\n");
    if let Some(hint) = builtin::of(kind).hint(&format!("{message}\n{tail}")) {
        message += "\n";
        message += hint;
    }
    Failure { class, message, tail }
}

/// The agent's words. A shell line has none: what it prints is for the log.
fn summary(step: &StepSpec, said: &Said) -> String {
    let Action::Prompt { .. } = step.action else { return String::new() };
    let denied = said.report.as_ref().map(|r| r.denied.as_slice()).unwrap_or_default();
    if denied.is_empty() {
        return said.words.clone();
    }
    let note = format!("{}\n\n(The agent was denied: {})", said.words, one_line(&denied.join(", "), MAX_WORDS));
    note.trim().to_owned()
}

/// Safe to show, and of a line drawn over again only what was left standing.
fn clean(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(|l| l.rsplit('\r').find(|p| !p.is_empty()).unwrap_or_default()).collect();
    block(&lines.join("\n")).trim().to_owned()
}

/// At most the first `max` bytes, marked where it was cut.
fn start_of(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let room = max - '…'.len_utf8();
    let to = (0..=room).rev().find(|n| text.is_char_boundary(*n)).unwrap_or_default();
    format!("{}…", &text[..to])
}

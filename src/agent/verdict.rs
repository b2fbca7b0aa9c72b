//! What a step came to: how the process ended, what the agent said, and only both together.

use std::io::BufRead;

use super::builtin::{self, Builtin};
use super::classify::{Trouble, sign, trouble};
use super::lines::end_of;
use super::said::{Said, clean};
use super::stream::Report;
use crate::base::format_duration;
use crate::base::text::{count, one_line};
use crate::core::{Exit, Failure, FailureClass, Hold, HoldKind, Outcome, Thread};
use crate::model::{Action, AgentKind, StepSpec};
use crate::process::Ended;

/// The most of the output that goes into a failure, in bytes.
const MAX_TAIL: usize = 4096;
/// The most of an agent's words in a message, in characters.
const MAX_WORDS: usize = 300;

/// The verdict on a step. Its exit code alone is never trusted: an agent that reports how it went
/// must report success *and* exit with 0. Whether anything was made is for the diff to say.
///
/// Any bytes may come on `stdout`; `stderr_tail` is the end of standard error.
pub fn verdict(step: &StepSpec, end: &Ended, stdout: impl BufRead, stderr_tail: &str) -> Exit {
    let kind = match &step.action {
        Action::Prompt { agent, .. } => agent.kind,
        Action::Shell(_) => AgentKind::Command,
    };
    let known = builtin::of(kind);
    let said = Said::read(kind, stdout);
    let end = &as_it_said(end, &said);
    let outcome = match (held(known, end, &said, stderr_tail), problem(known, step, end, &said)) {
        _ if *end == Ended::Interrupted => Outcome::Interrupted,
        (Some(kind), _) => Outcome::Held(hold(known, kind, &said, stderr_tail)),
        (None, Some((class, message))) => Outcome::Failed(failure(known, class, message, &said, stderr_tail)),
        (None, None) => Outcome::Succeeded,
    };
    let thread = said.conversation.clone().filter(|_| !known.names_conversations()).map(|id| Box::new(Thread { id, used: said.total }));
    Exit { outcome, summary: summary(step, &said), follow_up: Box::default(), usage: said.usage, thread }
}

/// An agent that had said that it succeeded, and did not exit, was ended for that: its word counts.
fn as_it_said(end: &Ended, said: &Said) -> Ended {
    let was_ended = matches!(end, Ended::Interrupted | Ended::TimedOut | Ended::Stalled);
    if was_ended && said.finished { Ended::Exited { code: 0 } } else { end.clone() }
}

/// Whether an agent that was to go on with a conversation says that there is none.
pub fn knows_no_conversation(step: &StepSpec, exit: &Exit) -> bool {
    let Action::Prompt { agent, .. } = &step.action else { return false };
    let Outcome::Failed(failure) = &exit.outcome else { return false };
    let says = builtin::of(agent.kind).no_conversation.as_ref();
    says.is_some_and(|says| failure.message.contains(says) || failure.tail.contains(says))
}

/// The trouble that is not the task's, if the agent ended by itself and tells of one, or went
/// silent over one.
fn held(known: &Builtin, end: &Ended, said: &Said, stderr_tail: &str) -> Option<HoldKind> {
    let silent = || said.trouble.as_ref().and_then(|t| trouble(known, t)).or_else(|| sign(known, stderr_tail));
    let found = match (end, &said.report) {
        (Ended::Exited { .. }, Some(report)) => trouble(known, report),
        (Ended::Exited { code: 1.. } | Ended::Stalled, None) if said.structured => silent(),
        _ => None,
    };
    match found? {
        Trouble::Hold(kind) => Some(kind),
        Trouble::Fails(_) => None,
    }
}

fn hold(known: &Builtin, kind: HoldKind, said: &Said, stderr_tail: &str) -> Hold {
    let report = said.report.as_ref().or(said.trouble.as_ref());
    let telling = || stderr_tail.lines().rfind(|line| sign(known, line).is_some()).unwrap_or_default();
    let mut message = one_line(report.map_or_else(telling, |r| r.text.as_str()), MAX_WORDS);
    if let Some(hint) = known.hint(&message) {
        message += &format!("; {hint}");
    }
    Hold { kind, until: said.resets.filter(|_| kind == HoldKind::RateLimit), message }
}

/// Why the step did not succeed, if it did not.
fn problem(known: &Builtin, step: &StepSpec, end: &Ended, said: &Said) -> Option<(FailureClass, String)> {
    let who = who(step);
    let agent = |message: String| Some((FailureClass::Agent, message));
    let failed = |report: &Report, message: String| match trouble(known, report) {
        Some(Trouble::Fails(class)) => Some((class, message)),
        _ => agent(message),
    };
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
            Some(r) if !r.succeeded => failed(r, format!("{who} failed (`{}`): {}", one_line(&r.reason, 60), one_line(&r.text, MAX_WORDS))),
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

fn failure(known: &Builtin, class: FailureClass, mut message: String, said: &Said, stderr_tail: &str) -> Failure {
    let errors = clean(end_of(stderr_tail, MAX_TAIL));
    let parts: Vec<&str> = [said.words.as_str(), errors.as_str()].into_iter().filter(|p| !p.is_empty()).collect();
    let tail = parts.join("\n");
    if let Some(hint) = known.hint(&format!("{message}\n{tail}")) {
        message += "\n";
        message += hint;
    }
    Failure { tail, ..Failure::new(class, message) }
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

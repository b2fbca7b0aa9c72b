//! The words for what the core calls by names: the same in every text.

use std::collections::BTreeMap;

use super::style::Hue;
use crate::base::text::one_line;
use crate::base::{Millis, TaskId, format_duration};
use crate::core::view::{Reason, Status, TaskView};
use crate::core::{FailureClass, Publish, State};

/// So many ids or paths are spelt out.
const NAMED: usize = 4;
/// The most of a message that stands on a line, in characters.
pub const MESSAGE: usize = 160;

pub fn status(view: &TaskView) -> String {
    match (view.status, view.phase) {
        (Status::InProgress, Some(phase)) => format!("in progress: {phase}"),
        (other, _) => other.name().replace('_', " "),
    }
}

pub fn sign(status: Status) -> (Hue, char) {
    match status {
        Status::Completed => (Hue::Good, '='),
        Status::InProgress | Status::Claimed => (Hue::Busy, '*'),
        Status::Ready => (Hue::Plain, '+'),
        Status::Blocked => (Hue::Changed, '.'),
        Status::Failed => (Hue::Bad, '!'),
        Status::Cancelled => (Hue::Changed, 'x'),
    }
}

pub fn reason(reason: &Reason, now: Millis) -> String {
    match reason {
        Reason::DependencyPending { tasks } => format!("waits for {}", some(tasks.iter().map(TaskId::as_str))),
        Reason::DependencyFailed { task } => format!("waits for {task}, which failed"),
        Reason::Conflict { paths } => format!("conflict in {}", some(paths.iter().map(String::as_str))),
        Reason::NotBefore { at } if *at > now => format!("again in {}", format_duration(at.since(now))),
        Reason::NotBefore { .. } => "again now".into(),
        Reason::Held { why } => one_line(why, MESSAGE),
        Reason::NoWorker => "waits for a worker".into(),
        Reason::NotSelected => "not selected".into(),
        Reason::Draining => "not started: the run is ending".into(),
        Reason::Removed => "removed from the files: finishes, then leaves".into(),
    }
}

/// The first few of a list, and how many more there are.
pub fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut shown: Vec<String> = names.take(NAMED).map(|n| one_line(n, 80)).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// `3 of 14 completed, 1 in progress, 2 ready`.
pub fn count_up(views: &[TaskView]) -> String {
    let tally = tally(views);
    let all = views.len();
    if all == 0 {
        return "no tasks".into();
    }
    let done = tally.get(&Status::Completed).copied().unwrap_or(0);
    let rest = Status::ALL.iter().filter(|s| **s != Status::Completed);
    let rest = rest.filter_map(|s| tally.get(s).map(|n| format!(", {n} {}", s.name().replace('_', " "))));
    format!("{done} of {all} completed{}", rest.collect::<String>())
}

/// How many tasks are in each status.
pub fn tally(views: &[TaskView]) -> BTreeMap<Status, usize> {
    let mut tally = BTreeMap::new();
    views.iter().for_each(|v| *tally.entry(v.status).or_default() += 1);
    tally
}

/// What is to be said about what landed and is not published, if anything is.
pub fn publish(state: &State) -> Option<String> {
    match &state.head.line.publish {
        Publish::Held(why) => Some(format!("Landed, but not yet published: {}", one_line(why, MESSAGE))),
        Publish::Done | Publish::Owed => None,
    }
}

pub fn failure(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Agent => "failed",
        FailureClass::Timeout => "timed out",
        FailureClass::Stall => "stalled",
        FailureClass::Verify => "verify failed",
        FailureClass::Empty => "changed nothing",
        FailureClass::Protected => "touched protected files",
        FailureClass::Tampered => "tampered with",
        FailureClass::NestedRepository => "left a nested repository",
        FailureClass::Conflict => "conflict",
        FailureClass::Setup => "setup failed",
        FailureClass::Poison => "gave up",
        FailureClass::Bug => "a bug of Drover's own",
    }
}

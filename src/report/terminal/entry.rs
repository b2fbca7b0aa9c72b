//! From a fact to what is said about it.

use std::collections::BTreeMap;

use super::{Level, Options};
use crate::base::text::one_line;
use crate::base::{Aid, Millis, TaskId, format_duration};
use crate::core::{Due, Exit, Fact, Failure, Outcome, State};
use crate::model::{Action, Spec, StepSpec};
use crate::report::style::Hue;
use crate::report::text::last_lines;
use crate::report::words::{self, MESSAGE, some};

/// The most lines of output shown of one failure.
const TAIL: usize = 40;
/// The most lines of a failure's message.
const LINES: usize = 20;

/// One line, and those that are indented below it.
pub(super) struct Entry {
    pub level: Level,
    pub hue: Hue,
    pub sign: char,
    pub task: Option<TaskId>,
    pub text: String,
    pub more: Vec<String>,
}

impl Entry {
    fn new(level: Level, hue: Hue, sign: char, text: impl Into<String>) -> Self {
        Self { level, hue, sign, task: None, text: text.into(), more: Vec::new() }
    }
    /// A step on the way.
    fn step(level: Level, text: impl Into<String>) -> Self {
        Self::new(level, Hue::Plain, '.', text)
    }
}

/// An attempt as it was when it was claimed.
#[derive(Clone)]
pub(super) struct Attempt {
    pub nth: u32,
    pub of: u32,
    pub started: Millis,
}

#[derive(Default)]
pub(super) struct Teller {
    /// Those under way, remembered here because the state may have moved on.
    attempts: BTreeMap<TaskId, Attempt>,
    /// Something landed, or may have before a crash: that it reached the target is news.
    landed: bool,
}

impl Teller {
    /// What there is to say, if anything.
    pub fn tell(&mut self, state: &State, at: Millis, fact: &Fact, options: &Options) -> Option<Entry> {
        let entry = match fact.task() {
            None => self.run(fact),
            Some(task) => {
                self.remember(state, at, fact, task);
                let spec = state.tasks.get(task).map(|t| t.spec.as_ref());
                self.task(state, at, fact, task, spec, options).map(|entry| Entry { task: Some(task.clone()), ..entry })
            }
        };
        if ends_attempt(fact) {
            fact.task().and_then(|task| self.attempts.remove(task));
        }
        entry
    }

    fn remember(&mut self, state: &State, at: Millis, fact: &Fact, task: &TaskId) {
        match fact {
            Fact::Claimed { .. } => {
                let known = state.tasks.get(task);
                let of = known.map_or(1, |t| t.spec.retry.max_attempts);
                let nth = known.map_or(1, |t| t.failures.saturating_add(1));
                self.attempts.insert(task.clone(), Attempt { nth, of, started: at });
            }
            Fact::Landed { .. } => self.landed = true,
            _ => {}
        }
    }

    fn task(&self, state: &State, at: Millis, fact: &Fact, task: &TaskId, spec: Option<&Spec>, options: &Options) -> Option<Entry> {
        use Level::{Normal, Quiet, Verbose};
        Some(match fact {
            Fact::Claimed { aid, .. } => self.claimed(state, task, aid, spec),
            Fact::Prepared { .. } => Entry::step(Verbose, "worktree ready"),
            Fact::AgentEnded { n, exit, .. } => agent_ended(spec, *n, exit),
            Fact::Snapshotted { snap, .. } if snap.unchanged => Entry::step(Verbose, "changed nothing"),
            Fact::Snapshotted { .. } => Entry::step(Verbose, "files kept"),
            Fact::CheckPassed { check, .. } => Entry::step(Verbose, format!("check passed: {}", check_label(state, spec, check))),
            Fact::Verified { n, .. } => {
                let checks = spec.map_or(0, |s| s.checks_after(*n).len());
                let level = if checks > 0 { Normal } else { Verbose };
                Entry::step(level, format!("{}verify passed", step_of(spec, *n)))
            }
            Fact::Committed { commit, .. } => Entry::step(Verbose, format!("committed {}", commit.short())),
            Fact::LaneTaken { .. } => Entry::step(Verbose, "landing"),
            Fact::LandIntent { new, .. } => Entry::step(Verbose, format!("merged as {}", new.short())),
            Fact::LaneLost { .. } => Entry::step(Verbose, "the branch moved meanwhile; merging again"),
            Fact::Landed { commit, .. } => Entry::new(Normal, Hue::Good, '=', format!("landed {}{}", commit.short(), self.took(task, at))),
            Fact::Done { .. } => Entry::new(Normal, Hue::Good, '=', format!("done{}", self.took(task, at))),
            Fact::Delayed { due, why, .. } => {
                Entry::new(Normal, Hue::Changed, '^', format!("trouble, again in {}: {}", wait(due), one_line(why, MESSAGE)))
            }
            Fact::Due { .. } => Entry::step(Verbose, "the wait is over"),
            Fact::Interrupted { .. } => Entry::new(Normal, Hue::Changed, '*', "interrupted; its work is kept"),
            Fact::AttemptFailed { failure, retry, aid, .. } => self.attempt_failed(task, aid, failure, retry.as_ref(), options),
            Fact::Superseded { .. } => Entry::new(Normal, Hue::Changed, '~', "its definition changed: does not land, runs again"),
            Fact::Blocked { paths, .. } => {
                let paths = some(paths.iter().map(String::as_str));
                Entry::new(Quiet, Hue::Bad, '!', format!("blocked: conflict with what landed, in {paths}"))
            }
            Fact::Defined { rerun: true, .. } => Entry::step(Verbose, "defined; starts anew"),
            Fact::Defined { .. } => Entry::step(Verbose, "defined"),
            Fact::Recalled(r) => Entry::new(Normal, Hue::Good, '=', format!("found in history: landed as {}", r.commit.short())),
            Fact::Removed { .. } => Entry::new(Verbose, Hue::Changed, '-', "left the files"),
            _ => return None,
        })
    }

    fn claimed(&self, state: &State, task: &TaskId, aid: &Aid, spec: Option<&Spec>) -> Entry {
        let nth = self.attempts.get(task).map(|a| format!(", attempt {} of {}", a.nth, a.of)).unwrap_or_default();
        let attempt = state.tasks.get(task).and_then(|t| t.attempt()).filter(|a| a.aid == *aid);
        let resumed = if attempt.is_some_and(|a| a.restore.is_some()) { ", goes on from the interrupted one" } else { "" };
        let mut agents: Vec<&str> = spec.map(|s| s.agents().map(|a| a.name.as_str()).collect()).unwrap_or_default();
        agents.dedup();
        let agents = if agents.is_empty() { String::new() } else { format!(" ({})", one_line(&agents.join(","), 40)) };
        let title = spec.map(|s| format!(": {}", one_line(&s.title, 60))).unwrap_or_default();
        Entry::new(Level::Normal, Hue::Busy, '+', format!("claimed{nth}{resumed}{agents}{title}"))
    }

    fn took(&self, task: &TaskId, at: Millis) -> String {
        self.attempts.get(task).map(|a| format!(" after {}", format_duration(at.since(a.started)))).unwrap_or_default()
    }

    fn attempt_failed(&self, task: &TaskId, aid: &Aid, failure: &Failure, retry: Option<&Due>, options: &Options) -> Entry {
        let nth = self.attempts.get(task).map(|a| format!(" (attempt {} of {})", a.nth, a.of)).unwrap_or_default();
        let word = words::failure(failure.class);
        let mut message = last_lines(&failure.message, LINES).into_iter();
        let first = one_line(&message.next().unwrap_or_default(), MESSAGE);
        let mut entry = match retry {
            Some(due) => Entry::new(Level::Normal, Hue::Changed, '^', format!("{word}{nth}, retry in {}: {first}", wait(due))),
            None => Entry::new(Level::Quiet, Hue::Bad, '!', format!("failed for good{nth}, {word}: {first}")),
        };
        entry.more.extend(message);
        // One that is tried again says why; its output is for the verbose.
        if retry.is_none() || options.level == Level::Verbose {
            entry.more.extend(last_lines(&failure.tail, TAIL).into_iter().map(|line| format!("| {line}")));
            let log = (options.log)(task, aid);
            entry.more.extend(log.map(|path| format!("log: {}", one_line(&path, 1000))));
        }
        entry
    }

    fn run(&mut self, fact: &Fact) -> Option<Entry> {
        use Level::{Normal, Verbose};
        self.landed |= matches!(fact, Fact::RunBegan { continues: Some(_), .. });
        Some(match fact {
            Fact::RunBegan { run, continues: None, .. } => Entry::new(Verbose, Hue::Busy, '*', format!("run {run} begins")),
            Fact::RunBegan { continues: Some(before), .. } => {
                Entry::new(Normal, Hue::Busy, '*', format!("goes on where run {before} was cut short"))
            }
            Fact::TimeUp => Entry::new(Normal, Hue::Changed, '!', "max_time is over: nothing more is started"),
            Fact::PolicySet { .. } => Entry::step(Verbose, "project settings taken over"),
            Fact::LineSynced { tip } => Entry::step(Verbose, format!("starts from {}", tip.short())),
            Fact::Published { tip } => {
                Entry::new(if self.landed { Normal } else { Verbose }, Hue::Good, '=', format!("published {}", tip.short()))
            }
            Fact::PublishHeld { why } => {
                Entry::new(Normal, Hue::Changed, '!', format!("landed, but waiting for your checkout: {}", one_line(why, MESSAGE)))
            }
            _ => return None,
        })
    }
}

fn ends_attempt(fact: &Fact) -> bool {
    use Fact::*;
    matches!(fact, Landed { .. } | Done { .. } | Interrupted { .. } | AttemptFailed { .. } | Superseded { .. } | Blocked { .. })
}

fn agent_ended(spec: Option<&Spec>, n: usize, exit: &Exit) -> Entry {
    let step: Option<&StepSpec> = spec.and_then(|s| s.steps.get(n));
    let who = if step.is_some_and(|s| matches!(s.action, Action::Shell(_))) { "command" } else { "agent" };
    let how = match &exit.outcome {
        Outcome::Succeeded => "ended",
        Outcome::Failed(_) => "ended and failed",
        Outcome::Interrupted => "was interrupted",
    };
    Entry::step(Level::Normal, format!("{}{who} {how}", step_of(spec, n)))
}

/// Which step, where there are several.
fn step_of(spec: Option<&Spec>, n: usize) -> String {
    match spec.filter(|s| s.steps.len() > 1).and_then(|s| s.steps.get(n).map(|step| (s, step))) {
        Some((s, step)) if step.id == s.id => format!("step {} of {}: ", n + 1, s.steps.len()),
        Some((s, step)) => format!("step {} of {} ({}): ", n + 1, s.steps.len(), step.id),
        None => String::new(),
    }
}

fn check_label(state: &State, spec: Option<&Spec>, key: &str) -> String {
    let steps = spec.into_iter().flat_map(|s| s.steps.iter().flat_map(|step| &step.verify));
    let all = steps.chain(spec.into_iter().flat_map(|s| &s.verify)).chain(&state.policy.merge.verify);
    let found = all.into_iter().find(|c| c.key() == key);
    one_line(found.map_or(key, |c| c.label()), 80)
}

fn wait(due: &Due) -> String {
    format_duration(std::time::Duration::from_millis(due.length))
}

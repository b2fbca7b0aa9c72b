//! From a fact to what is said about it.

use std::collections::BTreeMap;

use super::{Level, Options};
use crate::base::text::{count, one_line};
use crate::base::{Aid, Millis, TaskId, format_duration};
use crate::core::{Due, Exit, Fact, Failure, Hinted, Limits, Outcome, Pause, Stage, State, Task};
use crate::model::{Action, AgentSpec, Spec, StepSpec};
use crate::report::account::ends_attempt;
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
    /// Below them, the end of some output.
    pub tail: Vec<String>,
}

impl Entry {
    fn new(level: Level, hue: Hue, sign: char, text: impl Into<String>) -> Self {
        Self { level, hue, sign, task: None, text: text.into(), more: Vec::new(), tail: Vec::new() }
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
    /// What was said last of what is in the way of publishing and pushing: said once.
    held: [Option<String>; 2],
}

impl Teller {
    /// What there is to say, if anything.
    pub fn tell(&mut self, state: &State, at: Millis, fact: &Fact, options: &Options) -> Option<Entry> {
        let entry = match fact.task() {
            None => self.run(state, fact),
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
            Fact::CheckPassed { .. } | Fact::CheckFailed { .. } | Fact::Compared { .. } | Fact::CheckExcused { .. } => {
                checked(state, spec, fact)?
            }
            Fact::Verified { n, .. } => {
                let checks = spec.map_or(0, |s| s.checks_after(*n).len());
                let level = if checks > 0 { Normal } else { Verbose };
                Entry::step(level, format!("{}verify passed", step_of(spec, *n)))
            }
            Fact::Committed { commit, .. } => Entry::step(Verbose, format!("committed {}", commit.short())),
            Fact::ApprovalAsked { .. } => Entry::new(
                Quiet,
                Hue::Changed,
                '?',
                format!("waits for approval: drover diff {task}, then drover approve {task} or reject"),
            ),
            Fact::Approved { .. } => Entry::new(Normal, Hue::Busy, '+', "approved"),
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
            Fact::OverBudget { why, .. } => {
                Entry::new(Level::Quiet, Hue::Bad, '!', format!("stopped, its work is kept: {}", one_line(why, MESSAGE)))
            }
            Fact::Held { agent, pause, .. } => held(agent, pause),
            Fact::AttemptFailed { failure, retry, aid, .. } => self.attempt_failed(task, aid, failure, retry.as_ref(), options),
            Fact::Superseded { .. } if state.tasks.get(task).is_some_and(Task::is_completed) => {
                Entry::new(Normal, Hue::Changed, '~', "does not land: another clone has landed it first")
            }
            Fact::Superseded { .. } => {
                Entry::new(Normal, Hue::Changed, '~', "its definition or its base changed: does not land, runs again")
            }
            Fact::Elsewhere { found, .. } => {
                Entry::new(Normal, Hue::Changed, '~', format!("landed in another clone as {}: this attempt does not", found.commit.short()))
            }
            Fact::BlockedExternally { reason, .. } => {
                Entry::new(Normal, Hue::Changed, '!', format!("blocked by something outside: {}", one_line(reason, MESSAGE)))
            }
            Fact::Blocked { paths, .. } => {
                let paths = some(paths.iter().map(String::as_str));
                Entry::new(Quiet, Hue::Bad, '!', format!("blocked: conflict with what landed, in {paths}"))
            }
            Fact::Defined { inputs, rerun, .. } => defined(inputs, *rerun),
            Fact::Recalled(r) => Entry::new(Normal, Hue::Good, '=', format!("found in history: landed as {}", r.commit.short())),
            Fact::Hinted(hinted) => said(hinted),
            Fact::Moved { from, .. } => Entry::new(Normal, Hue::Changed, '>', format!("was `{from}` before")),
            Fact::Reverted { let_go: true, .. } => Entry::new(Normal, Hue::Changed, '!', "let go by a person: not done again unasked"),
            Fact::Reverted { commit, .. } => {
                Entry::new(Normal, Hue::Changed, '!', format!("reverted in {}: not done again unasked", commit.short()))
            }
            Fact::Restored { .. } => Entry::new(Normal, Hue::Good, '=', "whole again: its revert was reverted"),
            Fact::Removed { .. } => Entry::new(Verbose, Hue::Changed, '-', "left the files"),
            _ => return asked(fact),
        })
    }

    fn claimed(&self, state: &State, task: &TaskId, aid: &Aid, spec: Option<&Spec>) -> Entry {
        let nth = self.attempts.get(task).map(|a| format!(", attempt {} of {}", a.nth, a.of)).unwrap_or_default();
        let attempt = state.tasks.get(task).and_then(|t| t.attempt()).filter(|a| a.aid == *aid);
        let resumed = if attempt.is_some_and(|a| a.restore.is_some()) { ", goes on from the interrupted one" } else { "" };
        let who = |a: &AgentSpec| match attempt.map_or(a, |attempt| attempt.agent(a)) {
            other if other.name != a.name => format!("{} for {}, which is stopped", other.name, a.name),
            _ => a.name.clone(),
        };
        let mut agents: Vec<String> = spec.map(|s| s.agents().map(who).collect()).unwrap_or_default();
        agents.dedup();
        let agents = if agents.is_empty() { String::new() } else { format!(" ({})", one_line(&agents.join(","), 80)) };
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
            entry.tail.extend(last_lines(&failure.tail, TAIL).into_iter().map(|line| format!("| {line}")));
            let log = (options.log)(task, aid);
            entry.tail.extend(log.map(|path| format!("log: {}", one_line(&path, 1000))));
        }
        entry
    }

    fn run(&mut self, state: &State, fact: &Fact) -> Option<Entry> {
        use Level::{Normal, Verbose};
        self.landed |= matches!(fact, Fact::RunBegan { continues: Some(_), .. });
        Some(match fact {
            Fact::RunBegan { run, continues: None, .. } => Entry::new(Verbose, Hue::Busy, '*', format!("run {run} begins")),
            Fact::RunBegan { continues: Some(before), .. } => {
                Entry::new(Normal, Hue::Busy, '*', format!("goes on where run {before} was cut short"))
            }
            Fact::PauseMoved { agent, stage: Stage::Trying(_) } => {
                Entry::new(Normal, Hue::Busy, '*', format!("agent `{}` is tried again, with one task first", one_line(agent, 40)))
            }
            Fact::AllSuspended { on: true } => {
                Entry::new(Normal, Hue::Changed, 'x', "everything is suspended by a person: nothing more is begun")
            }
            Fact::AllSuspended { .. } => Entry::new(Normal, Hue::Busy, '+', "nothing is suspended any more"),
            Fact::Limited(Limits { workers: Some(n), .. }) => Entry::step(Verbose, format!("{} at a time", count(*n as usize, "attempt"))),
            Fact::TimeUp => Entry::new(Normal, Hue::Changed, '!', "max_time is over: nothing more is started"),
            Fact::PolicySet { .. } => Entry::step(Verbose, "project settings taken over"),
            Fact::LineSynced { tip } => Entry::step(Verbose, format!("starts from {}", tip.short())),
            Fact::Published { tip } => {
                self.held[0] = None;
                let level = if self.landed { Normal } else { Verbose };
                // What lands after this is on its way, and is news.
                self.landed &= state.head.line.tip.as_ref() != Some(tip);
                Entry::new(level, Hue::Good, '=', format!("published {}", tip.short()))
            }
            Fact::PublishAsked { restore: true } => {
                Entry::new(Normal, Hue::Busy, '*', "what the target lost is to come back: a person asked for it")
            }
            Fact::PublishAsked { restore: false } => Entry::step(Verbose, "a person asked to publish"),
            Fact::PublishHeld { why, .. } => {
                if self.held[0].replace(why.clone()).as_ref() == Some(why) {
                    return None;
                }
                // What is in the way of a merge says that it waits itself.
                let says = if why.contains("waiting") { "" } else { "landed, but waiting for your checkout: " };
                Entry::new(Normal, Hue::Changed, '!', format!("{says}{}", one_line(why, MESSAGE)))
            }
            Fact::GitChanged { found, .. } if found.is_empty() => {
                Entry::new(Normal, Hue::Good, '=', "what git was given to run is gone again")
            }
            Fact::GitChanged { found, during } => {
                let during = some(during.iter().map(TaskId::as_str).collect::<Vec<_>>().into_iter());
                let text = format!("git was given commands to run: nothing more lands. Under way: {during}");
                let mut entry = Entry::new(Level::Quiet, Hue::Bad, '!', text);
                entry.more.extend(found.iter().take(LINES).map(|change| one_line(change, 2 * MESSAGE)));
                entry
            }
            Fact::Pushed { tip } => {
                self.held[1] = None;
                Entry::new(if self.landed { Normal } else { Verbose }, Hue::Good, '=', format!("pushed {}", tip.short()))
            }
            Fact::PushHeld { why, .. } => {
                if self.held[1].replace(why.clone()).as_ref() == Some(why) {
                    return None;
                }
                Entry::new(Normal, Hue::Changed, '!', format!("landed, but not pushed: {}", one_line(why, MESSAGE)))
            }
            _ => return None,
        })
    }
}

/// What a person wants of a task.
fn asked(fact: &Fact) -> Option<Entry> {
    use Level::Normal;
    Some(match fact {
        Fact::Retried { .. } => Entry::new(Normal, Hue::Busy, '^', "has all its attempts again: a person says so"),
        Fact::Suspended { on: true, .. } => Entry::new(Normal, Hue::Changed, 'x', "suspended by a person"),
        Fact::Suspended { .. } => Entry::new(Normal, Hue::Busy, '+', "suspended no more"),
        Fact::Marked { mark, .. } => {
            let text = format!("marked {} by a person: {}", mark.word(), one_line(&mark.reason, MESSAGE));
            Entry::new(Normal, Hue::Changed, '~', text)
        }
        Fact::Cancelled { .. } => Entry::new(Normal, Hue::Changed, 'x', "cancelled by a person"),
        Fact::EndAsked { .. } => Entry::new(Normal, Hue::Changed, 'x', "is ended: a person does not want it to go on"),
        Fact::Withdrawn { .. } => Entry::new(Normal, Hue::Changed, 'x', "ended by a person; its work is kept"),
        Fact::Reset { .. } => Entry::new(Normal, Hue::Busy, '~', "reset by a person: as if nothing had been done of it"),
        _ => return None,
    })
}

fn defined(inputs: &[String], rerun: bool) -> Entry {
    match (inputs, rerun) {
        ([], true) => Entry::step(Level::Verbose, "defined; starts anew"),
        ([], false) => Entry::step(Level::Verbose, "defined"),
        _ => {
            let inputs = some(inputs.iter().map(String::as_str));
            Entry::new(Level::Normal, Hue::Changed, '~', format!("runs again: {inputs} changed"))
        }
    }
}

/// An agent that pauses, for everybody.
fn held(agent: &str, pause: &Pause) -> Entry {
    let agent = one_line(agent, 40);
    let (level, hue, fate) = match &pause.stage {
        Stage::Waiting(due) => (Level::Normal, Hue::Changed, format!("tried again in {}", wait(due))),
        _ => (Level::Quiet, Hue::Bad, "not started any more in this run".into()),
    };
    let text = format!("no attempt used: agent `{agent}` is {}, {fate}: {}", pause.kind.words(), one_line(&pause.message, 2 * MESSAGE));
    Entry::new(level, hue, '^', text)
}

/// What a person has to say to the next attempt.
fn said(hinted: &Hinted) -> Entry {
    let told = hinted.text.as_ref().map_or("hints taken back".to_owned(), |text| format!("hint: {}", one_line(text, MESSAGE)));
    Entry::new(Level::Normal, Hue::Plain, '>', told)
}

fn agent_ended(spec: Option<&Spec>, n: usize, exit: &Exit) -> Entry {
    let step: Option<&StepSpec> = spec.and_then(|s| s.steps.get(n));
    let who = if step.is_some_and(|s| matches!(s.action, Action::Shell(_))) { "command" } else { "agent" };
    let how = match &exit.outcome {
        Outcome::Blocked(_) => "says that something outside blocks it",
        Outcome::Succeeded => "ended",
        Outcome::Failed(_) => "ended and failed",
        Outcome::Interrupted => "was interrupted",
        Outcome::Held(_) => "could not work",
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

fn checked(state: &State, spec: Option<&Spec>, fact: &Fact) -> Option<Entry> {
    use Level::{Normal, Verbose};
    let named = |check: &str| check_label(state, spec, check);
    Some(match fact {
        Fact::CheckPassed { check, again: true, .. } => {
            Entry::new(Normal, Hue::Changed, '?', format!("flaky: `{}` failed, and passed when it was run again", named(check)))
        }
        Fact::CheckPassed { check, .. } => Entry::step(Verbose, format!("check passed: {}", named(check))),
        Fact::CheckFailed { label, times: 1, .. } => Entry::step(Verbose, format!("`{}` failed, and is run again", one_line(label, 80))),
        Fact::CheckFailed { label, .. } => Entry::step(Verbose, format!("`{}` failed again", one_line(label, 80))),
        Fact::Compared { commit, check, green, .. } => {
            let comes = if *green { "passes" } else { "fails" };
            Entry::step(Verbose, format!("`{}` {comes} on {}", named(check), commit.short()))
        }
        Fact::CheckExcused { check, baseline, .. } => {
            let text = format!("passed over: `{}` fails on {} too, without this work", named(check), baseline.short());
            Entry::new(Normal, Hue::Changed, '?', text)
        }
        _ => return None,
    })
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

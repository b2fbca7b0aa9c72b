//! The words for what the core calls by names: the same in every text.

use std::collections::BTreeMap;

use super::style::Hue;
use crate::base::text::{count, one_line};
use crate::base::{Millis, Oid, TaskId, format_duration};
use crate::core::view::{Reason, Status, TaskView, Verdict};
use crate::core::{FailureClass, FollowUp, Publish, Push, State, Usage};
use crate::git::Repo;
use crate::model::Strategy;

/// So many ids or paths are spelt out.
const NAMED: usize = 4;
/// So many changes of git's configuration are listed.
const LISTED: usize = 20;
/// The most of a message that stands on a line, in characters.
pub const MESSAGE: usize = 160;

pub fn status(view: &TaskView) -> String {
    match (view.status, view.phase) {
        (Status::Completed, _) if view.reason == Some(Reason::LetGo) => "let go".into(),
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

/// As [`sign`], but for what is completed and was taken back.
pub fn mark(view: &TaskView) -> (Hue, char) {
    match view.reason {
        Some(Reason::Reverted { .. } | Reason::LetGo) => (Hue::Changed, '!'),
        _ => sign(view.status),
    }
}

pub fn reason(reason: &Reason, now: Millis) -> String {
    match reason {
        Reason::DependencyPending { tasks } => format!("waits for {}", some(tasks.iter().map(TaskId::as_str))),
        Reason::DependencyFailed { task } => format!("waits for {task}, which failed"),
        Reason::DependencyReverted { task } => format!("needs {task}, whose work was taken back"),
        Reason::Reverted { commit } => format!("reverted in {}", commit.get(..7).unwrap_or(commit)),
        Reason::LetGo => "what it had landed is not on the target any more".into(),
        Reason::DependencyDisabled { task } => format!("waits for {task}, which is disabled"),
        Reason::DependencyCancelled { task } => format!("waits for {task}, which was cancelled"),
        Reason::Disabled => "disabled".into(),
        Reason::Suspended => "suspended until `drover unsuspend`".into(),
        Reason::Cancelled => "not started until `drover retry`".into(),
        Reason::Conflict { paths, attempt } => {
            let how = attempt.as_ref().map(|aid| {
                let work = Repo::attempt_ref(aid.as_str());
                format!("; `git merge {work}` and resolve it, or have it done again by `drover retry`")
            });
            format!("conflict in {}{}", some(paths.iter().map(String::as_str)), how.unwrap_or_default())
        }
        Reason::External { why } => format!("{}; `drover retry` when that is mended", one_line(why, MESSAGE)),
        Reason::ApprovalRequired => "waits for `drover approve` or `reject`; `drover diff` shows it".into(),
        Reason::NotBefore { at } if *at > now => format!("again in {}", format_duration(at.since(now))),
        Reason::NotBefore { .. } => "again now".into(),
        Reason::Held { why } => one_line(why, MESSAGE),
        Reason::PathsBusy { task } => format!("its `paths` overlap with those of {task}, which is at work"),
        Reason::BudgetExceeded { what } => one_line(what, MESSAGE),
        Reason::Paused { agent, why, until: Some(at) } if *at > now => {
            format!("agent `{}` is {} for another {}", one_line(agent, 40), why.words(), format_duration(at.since(now)))
        }
        Reason::Paused { agent, why, until: Some(_) } => format!("agent `{}` was {}", one_line(agent, 40), why.words()),
        Reason::Paused { agent, why, until: None } => format!("agent `{}` is {}", one_line(agent, 40), why.words()),
        Reason::NoWorker => "waits for a worker".into(),
        Reason::NotSelected => "not selected".into(),
        Reason::Draining => "not started: the run is ending".into(),
        Reason::Removed => "removed from the files: finishes, then leaves".into(),
    }
}

/// Further work that a task's agents named, if they did: a line for each.
pub fn follow_up(id: &TaskId, found: &[FollowUp]) -> Option<String> {
    let line = |f: &FollowUp| match f.description.as_str() {
        "" => format!("    {}\n", one_line(&f.title, MESSAGE)),
        more => format!("    {}: {}\n", one_line(&f.title, MESSAGE), one_line(more, MESSAGE)),
    };
    (!found.is_empty()).then(|| format!("Further work that {id} names:\n{}", found.iter().map(line).collect::<String>()))
}

/// That a person says where it is, and why.
pub fn marked(view: &TaskView) -> Option<String> {
    let mark = view.marked.as_ref()?;
    Some(format!("marked {} by a person: {}", mark.word(), one_line(&mark.reason, MESSAGE)))
}

/// What was passed over of the checks, in words; nothing where all is well.
pub fn blemishes(view: &TaskView) -> Option<String> {
    let of = |names: &[String], word: &str| (!names.is_empty()).then(|| format!("{word}: {}", some(names.iter().map(String::as_str))));
    let told = [of(&view.blemishes.excused, "fails without it too"), of(&view.blemishes.flaky, "flaky")];
    let told: Vec<String> = told.into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join("; "))
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
    let let_go = views.iter().filter(|view| view.reason == Some(Reason::LetGo)).count();
    let done = tally.get(&Status::Completed).copied().unwrap_or(0) - let_go;
    let rest = Status::ALL.iter().filter(|s| **s != Status::Completed);
    let rest = rest.filter_map(|s| tally.get(s).map(|n| format!(", {n} {}", s.name().replace('_', " "))));
    let gone = if let_go > 0 { format!(", {let_go} let go") } else { String::new() };
    format!("{done} of {all} completed{gone}{}", rest.collect::<String>())
}

/// How many tasks are in each status.
pub fn tally(views: &[TaskView]) -> BTreeMap<Status, usize> {
    let mut tally = BTreeMap::new();
    views.iter().for_each(|v| *tally.entry(v.status).or_default() += 1);
    tally
}

/// `$1.25, 40 turns, 12.3k tokens`; nothing where nothing is known of it.
pub fn usage(usage: &Usage) -> Option<String> {
    let cost = if usage.cost_microusd > 0 { format!("{}, ", money(usage.cost_microusd)) } else { String::new() };
    let tokens = tokens(usage);
    // That something ran for a while is known of every command, and is no use of anything.
    let known = tokens.is_some() || usage.turns > 0 || usage.cost_microusd > 0;
    known.then(|| format!("{cost}{}, {} tokens", count(usage.turns as usize, "turn"), tokens.unwrap_or_else(|| "0".into())))
}

/// `12.3k`: all of them. Nothing where there are none.
pub fn tokens(usage: &Usage) -> Option<String> {
    let all = usage.tokens().saturating_add(usage.cache_read_tokens);
    match all {
        0 => None,
        1..1000 => Some(all.to_string()),
        1000..1_000_000 => Some(format!("{:.1}k", all as f64 / 1e3)),
        _ => Some(format!("{:.1}M", all as f64 / 1e6)),
    }
}

/// Cents, and less where that is all there is.
pub fn money(microusd: u64) -> String {
    let usd = microusd as f64 / 1e6;
    if microusd > 0 && microusd < 10_000 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

/// What is to be said about what landed and is not published, if anything is.
pub fn publish(state: &State) -> Option<String> {
    match &state.head.line.publish {
        Publish::Held(why) => {
            let hint = "\n  Commit or stash what is in the way, then run `drover publish`.";
            let hint = if state.head.line.again.paths.is_empty() { "" } else { hint };
            Some(format!("Landed, but not yet published: {}{hint}", one_line(why, MESSAGE)))
        }
        Publish::Done | Publish::Owed => None,
    }
}

/// How it ended, where the files may say more than was taken over.
pub fn verdict(state: &State, unmet: Option<&str>) -> Verdict {
    match (state.verdict(), unmet) {
        (Verdict::Done, Some(why)) => Verdict::Stopped(format!("the files say more than was taken over: {why}")),
        (verdict, _) => verdict,
    }
}

/// What is to be said about work that was taken back, if any was.
pub fn reverted(state: &State) -> Option<String> {
    let (reverted, let_go): (Vec<_>, Vec<_>) = state.reverted().partition(|(_, by)| by.is_some());
    let (first, _) = reverted.first().or(let_go.first())?;
    let named = |(id, by): &(&TaskId, Option<&Oid>)| by.map_or(id.to_string(), |by| format!("{id} (in {})", by.short()));
    let told = |how: &str, all: &[(&TaskId, Option<&Oid>)]| {
        let all: Vec<String> = all.iter().map(named).collect();
        (!all.is_empty()).then(|| format!("{how}, and not done again unasked: {}", some(all.iter().map(String::as_str))))
    };
    let told: Vec<String> = [told("reverted", &reverted), told("let go", &let_go)].into_iter().flatten().collect();
    Some(format!("{}\n  To have it done again: drover apply --rerun {first}", told.join("\n")))
}

/// That nothing lands, why, and what to do, if that is so: a line each.
pub fn stopped(state: &State) -> Vec<String> {
    if !state.is_landing_stopped() {
        return Vec::new();
    }
    let mut lines = vec!["Landing is stopped: while attempts ran, what git obeys was changed, or the target was moved.".to_owned()];
    lines.extend(state.head.unaccepted.iter().take(LISTED).map(|found| format!("  {}", one_line(found, 2 * MESSAGE))));
    let more = state.head.unaccepted.len().saturating_sub(LISTED);
    lines.extend((more > 0).then(|| format!("  and {more} more")));
    lines.push("  Take it back (`git config --unset KEY`, delete the hook) and run `drover apply`; or, if it is meant,".to_owned());
    lines.push("  as when `npm install` sets up husky, say `drover apply --accept-git-config`.".to_owned());
    lines
}

/// The same of what landed and is not on the remote.
pub fn push(state: &State) -> Option<String> {
    match &state.head.line.remote.push {
        Push::Held(why) if state.pushes() => Some(format!("Landed, but not yet pushed: {}", one_line(why, MESSAGE))),
        _ => None,
    }
}

pub fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Merge => "merge",
        Strategy::Squash => "squash",
        Strategy::Rebase => "rebase",
        Strategy::Branch => "branch",
    }
}

/// In UTC, to the second.
pub fn time(at: Millis) -> String {
    let stamp = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

pub fn failure(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Agent => "failed",
        FailureClass::Timeout => "timed out",
        FailureClass::Stall => "stalled",
        FailureClass::Verify => "verify failed",
        FailureClass::Empty => "changed nothing",
        FailureClass::Protected => "touched protected files",
        FailureClass::Scope => "went beyond its paths",
        FailureClass::Tampered => "tampered with",
        FailureClass::NestedRepository => "left a nested repository",
        FailureClass::Hook => "refused by a hook",
        FailureClass::Conflict => "conflict",
        FailureClass::Setup => "setup failed",
        FailureClass::Prompt => "no prompt",
        FailureClass::ContextTooLong => "context too long",
        FailureClass::CostLimit => "cost limit",
        FailureClass::TurnLimit => "turn limit",
        FailureClass::External => "blocked from outside",
        FailureClass::Rejected => "rejected",
        FailureClass::Poison => "gave up",
        FailureClass::Bug => "a bug of Drover's own",
    }
}

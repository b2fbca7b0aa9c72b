//! Changes so large that they are more likely a mistake, and renames told from the definitions.
//!
//! A guard costs a person a second command, so it must stay silent where little is at stake:
//! - Dropping tasks that never ran loses nothing that the history of the files does not hold.
//!   It is asked about only from [`MANY_REMOVALS`] tasks on, and if that is more than half of
//!   the unfinished ones: the picture of a branch switched or a pattern mistyped. What looks
//!   like a rename is no removal. A task with an attempt under way is asked about always.
//! - A re-run costs money and lands again. It is asked about from [`MANY_RERUNS`] tasks on, if
//!   that is more than half of the completed ones. Tasks named by `--rerun` were asked for and
//!   do not count, nor does changing the one task a project has.

use std::collections::BTreeMap;

use super::diff::{Cause, Draft};
use super::{Guard, Guarded};
use crate::base::{Digest, TaskId, text::count};
use crate::core::{Act, Mark, Order, State};

/// Fewer dropped tasks than this are never asked about.
pub const MANY_REMOVALS: usize = 3;
/// Fewer re-runs than this are never asked about.
pub const MANY_RERUNS: usize = 2;

/// So many ids are spelt out in a message.
const NAMED: usize = 5;

pub(super) fn guards(draft: &Draft, renames: &[Rename]) -> Vec<Guard> {
    [running_removed(draft), many_dropped(draft, renames), many_rerun(draft)].into_iter().flatten().collect()
}

fn running_removed(draft: &Draft) -> Option<Guard> {
    let runs = |id: &&TaskId| draft.req.recorded.tasks.get(*id).is_some_and(|t| t.attempt().is_some());
    let tasks: Vec<TaskId> = draft.leaving.iter().filter(runs).cloned().collect();
    let message = format!("{} in progress left the files: {}", count(tasks.len(), "task"), named(&tasks));
    (!tasks.is_empty()).then_some(Guard { what: Guarded::Running, flag: "--allow-removals", message, tasks })
}

fn many_dropped(draft: &Draft, renames: &[Rename]) -> Option<Guard> {
    let recorded = &draft.req.recorded.tasks;
    let unfinished = |id: &TaskId| recorded.get(id).is_some_and(|t| !t.removed && !t.is_completed());
    let all = recorded.keys().filter(|id| unfinished(id)).count();
    let renamed = |id: &TaskId| renames.iter().any(|r| r.from == *id);
    let tasks: Vec<TaskId> = draft.leaving.iter().filter(|id| unfinished(id) && !renamed(id)).cloned().collect();
    let message = format!("{} of {} left the files: {}", tasks.len(), count(all, "unfinished task"), named(&tasks));
    (tasks.len() >= MANY_REMOVALS && tasks.len() * 2 > all).then_some(Guard {
        what: Guarded::Removals,
        flag: "--allow-removals",
        message,
        tasks,
    })
}

fn many_rerun(draft: &Draft) -> Option<Guard> {
    let recorded = &draft.req.recorded.tasks;
    let done = |id: &TaskId| recorded.get(id).is_some_and(|t| !t.removed && t.is_completed());
    let all = recorded.keys().filter(|id| done(id)).count();
    let unasked = draft.causes.iter().filter(|(id, cause)| **cause != Cause::Asked && done(id));
    let tasks: Vec<TaskId> = unasked.map(|(id, _)| id.clone()).collect();
    let message = format!("{} of {} would run again: {}", tasks.len(), count(all, "completed task"), named(&tasks));
    (tasks.len() >= MANY_RERUNS && tasks.len() * 2 > all).then_some(Guard { what: Guarded::Reruns, flag: "--allow-reruns", message, tasks })
}

/// The same of tasks that are reset: a pattern names more than a person thinks of.
pub fn many_reset(state: &State, orders: &[Order]) -> Option<Guard> {
    let done = |id: &TaskId| state.tasks.get(id).is_some_and(|t| !t.removed && t.is_completed());
    let all = state.tasks.keys().filter(|id| done(id)).count();
    let resets =
        |order: &&Order| matches!(order.act, Act::Reset { failed: false } | Act::Mark(Mark { completed: false, .. })) && done(&order.task);
    let tasks: Vec<TaskId> = orders.iter().filter(resets).map(|o| o.task.clone()).collect();
    let message = format!("{} of {} would be done again: {}", tasks.len(), count(all, "completed task"), named(&tasks));
    (tasks.len() >= MANY_RERUNS && tasks.len() * 2 > all).then_some(Guard { what: Guarded::Reruns, flag: "--allow-reruns", message, tasks })
}

fn named(tasks: &[TaskId]) -> String {
    let mut names: Vec<String> = tasks.iter().take(NAMED).map(|t| t.to_string()).collect();
    if tasks.len() > NAMED {
        names.push(format!("and {} more", tasks.len() - NAMED));
    }
    names.join(", ")
}

/// A task that left the files and a new one that says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rename {
    pub from: TaskId,
    pub to: TaskId,
    done: bool,
}

impl Rename {
    pub fn note(&self) -> String {
        let Self { from, to, .. } = self;
        let cost = if self.done { "its work is done again" } else { "it starts anew" };
        format!(
            "`{from}` left the files and `{to}` says the same. As it is, {cost}; if it was renamed, say so in a task file:\n[[moved]]\nfrom = \"{from}\"\nto = \"{to}\""
        )
    }
}

pub(super) fn renames(draft: &Draft) -> Vec<Rename> {
    let recorded = &draft.req.recorded.tasks;
    let mut gone: BTreeMap<Digest, Vec<&TaskId>> = BTreeMap::new();
    for task in draft.leaving.iter().rev().filter_map(|id| recorded.get(id)) {
        gone.entry(task.spec.digest.clone()).or_default().push(&task.spec.id);
    }
    let mut found = Vec::new();
    if gone.is_empty() {
        return found;
    }
    for (to, spec) in draft.req.graph.tasks().iter().filter(|(id, _)| !recorded.contains_key(*id)) {
        if let Some(from) = gone.get_mut(&spec.digest).and_then(Vec::pop) {
            let done = recorded.get(from).is_some_and(|t| t.is_completed());
            found.push(Rename { from: from.clone(), to: to.clone(), done });
        }
    }
    found
}

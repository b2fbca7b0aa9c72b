//! Hints: what a person has to say to the next attempt at a task.
//!
//! They hold until the task is done or they are taken back, over retries and changed definitions.
//! An attempt has those that there were when it was claimed, so that its steps are told the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::control::Heed;
use super::state::{State, Task};
use crate::base::text::count;
use crate::base::{Millis, TaskId};

/// So many hints of a task are kept, and of each so much, in characters.
const HINTS: usize = 20;
const MAX_HINT: usize = 2000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    pub at: Millis,
    pub text: String,
}

/// The fact that something is to be said, or nothing of all that was any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hinted {
    pub task: TaskId,
    pub text: Option<String>,
}

impl State {
    pub(super) fn hintable(&self, task: &Task, text: &str) -> Heed {
        if task.removed {
            return Heed::Refused("has left the files".into());
        }
        if text.trim().is_empty() || text.chars().count() > MAX_HINT {
            return Heed::Refused(format!("takes a hint of 1 to {MAX_HINT} characters"));
        }
        if task.hints.iter().any(|h| h.text == text) {
            return Heed::Unchanged("has this hint already".into());
        }
        if task.hints.len() >= HINTS {
            return Heed::Refused(format!("has {HINTS} hints: take them back with `drover hint {} --clear`", task.spec.id));
        }
        Heed::Done(match task.attempt() {
            Some(attempt) => format!("noted for the attempt after this one: attempt {} is under way, and is not told", attempt.no),
            None if task.is_completed() => "noted for when it runs again: it is completed".into(),
            None => "noted for the next attempt".into(),
        })
    }

    pub(super) fn unhintable(&self, task: &Task) -> Heed {
        match task.hints.len() {
            0 => Heed::Unchanged("has no hints".into()),
            n => Heed::Done(format!("{} taken back", count(n, "hint"))),
        }
    }

    pub(super) fn apply_hint(&mut self, at: Millis, hinted: &Hinted) -> Result<(), &'static str> {
        let hints = &mut self.tasks.get_mut(&hinted.task).ok_or("no such task")?.hints;
        match &hinted.text {
            Some(text) => hints.push(Hint { at, text: text.clone() }),
            None => hints.clear(),
        }
        Ok(())
    }
}

//! A person's word for how it stands with a task: done by hand, or not done after all.
//!
//! It is on record with the reason, and nowhere else: no commit says so. It holds for the definition
//! that it was given for, as a landing does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::control::Heed;
use super::state::{Phase, State, Task};
use crate::base::{Aid, Millis, TaskId};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    pub completed: bool,
    pub reason: String,
}

impl Mark {
    pub fn word(&self) -> &'static str {
        if self.completed { "completed" } else { "pending" }
    }
}

impl State {
    pub(super) fn markable(&self, task: &Task, mark: &Mark) -> Heed {
        let word = mark.word();
        match (&task.phase, mark.completed) {
            _ if task.removed => Heed::Refused("has left the files".into()),
            (Phase::Active(_), _) if !task.is_idle() => Heed::Refused("is in progress: `drover cancel` ends it".into()),
            _ if task.marked.as_ref() == Some(mark) => Heed::Unchanged(format!("is marked {word} with these words already")),
            (Phase::Completed, true) if task.stands() => Heed::Unchanged("is completed already".into()),
            (Phase::Waiting { .. }, false) if !task.has_traces() => Heed::Unchanged("is to be done already".into()),
            (_, true) => Heed::Done(format!("marked completed: what needs it goes on, and nothing lands for it; {}", task.past())),
            (_, false) => Heed::Done(format!("marked pending: it is to be done; {}{}", task.past(), self.but(task))),
        }
    }

    pub(super) fn apply_marked(&mut self, seq: u64, at: Millis, id: &TaskId, mark: &Mark) -> Result<(), &'static str> {
        self.end_idle(id)?;
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        task.restart(seq, at);
        if mark.completed {
            self.head.landings += 1;
            // What history holds of it is known: see `Task::may_be_recalled`.
            let known = task.completion.as_ref().map(|c| c.aid.clone());
            let aid = known.or_else(|| Aid::parse(&format!("mark-{seq}")).ok()).ok_or("no id can be made")?;
            task.complete(at, &aid, None, self.head.landings);
        }
        task.marked = Some(mark.clone());
        Ok(())
    }
}

//! Work that landed and that a person took back: what becomes of it, and of what needs it.
//!
//! A reverted task stays completed and is not run again unasked: somebody wanted it away. But
//! what it brought is not there any more, so whatever needs it must not begin without it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::{State, Task};
use crate::base::{Aid, Digest, Millis, Oid, TaskId};
use crate::model::Spec;

/// A task that the history of the target says has landed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recalled {
    /// As the files define it today.
    pub spec: Arc<Spec>,
    /// Of the definition that landed.
    pub digest: Digest,
    pub aid: Aid,
    pub commit: Oid,
}

impl Task {
    /// Done, and what it brought is there.
    pub fn stands(&self) -> bool {
        self.is_completed() && self.reverted.is_none()
    }

    /// Whether history may say that this attempt completed it: nothing is under way, and it is
    /// not what the record says already.
    pub fn may_be_recalled(&self, aid: &Aid) -> bool {
        self.attempt().is_none() && self.completion.as_ref().is_none_or(|c| c.aid != *aid)
    }
}

impl State {
    /// History says that the task has landed.
    pub(super) fn recall(&mut self, seq: u64, at: Millis, recalled: &Recalled) -> Result<(), &'static str> {
        self.index.spoil();
        self.head.landings += 1;
        let Recalled { spec, digest, aid, commit } = recalled;
        let task = self.tasks.entry(spec.id.clone()).or_insert_with(|| Task::new(seq, at, spec.clone()));
        if task.attempt().is_some() {
            return Err("a task with an attempt under way is not recalled");
        }
        task.spec = spec.clone();
        task.spec_seq = seq;
        task.removed = false;
        task.complete(at, aid, Some(commit.clone()), self.head.landings);
        if let Some(completion) = &mut task.completion {
            completion.digest = digest.clone();
        }
        Ok(())
    }

    pub(super) fn revert(&mut self, id: &TaskId, by: Option<&Oid>, let_go: bool) -> Result<(), &'static str> {
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        if !task.is_completed() {
            return Err("only what is completed is reverted");
        }
        (task.reverted, task.let_go) = (by.cloned(), let_go);
        Ok(())
    }

    /// What a task needs and a person took back.
    pub(super) fn reverted_need(&self, task: &Task) -> Option<TaskId> {
        let gone = |d: &&TaskId| self.tasks.get(*d).is_some_and(|d| d.is_completed() && !d.stands());
        task.spec.depends_on.iter().find(gone).cloned()
    }

    /// The tasks of the run whose work was taken back, each with the commit that did it; none for what was let go.
    pub fn reverted(&self) -> impl Iterator<Item = (&TaskId, Option<&Oid>)> {
        let all = self.tasks.iter().filter(|(id, t)| !t.removed && t.is_completed() && self.selection.holds(id));
        all.filter_map(|(id, t)| t.reverted.as_ref().map(|by| (id, Some(by).filter(|_| !t.let_go))))
    }
}

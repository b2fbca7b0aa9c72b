//! Work that landed and that a person took back: what becomes of it, and of what needs it.
//!
//! A reverted task stays completed and is not run again unasked: somebody wanted it away. But
//! what it brought is not there any more, so whatever needs it must not begin without it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::Decider;
use super::fact::Fact;
use super::push::Elsewhere;
use super::state::{State, Task};
use super::withdraw::Ending;
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

    /// Whether history may say that this attempt completed it: it is not what the record says
    /// already, nor what is in the lane, which is looked for there.
    pub fn may_be_recalled(&self, aid: &Aid) -> bool {
        let lands = self.attempt().is_some_and(|a| a.in_lane() && a.aid == *aid);
        !lands && self.completion.as_ref().is_none_or(|c| c.aid != *aid)
    }
}

impl Decider<'_> {
    /// History says that the task has landed: by the attempt that is under way here, as far as the
    /// record knows, which may be an older copy; or by another.
    pub(super) fn recall(&mut self, recalled: &Recalled) {
        let Recalled { spec, digest, aid, commit } = recalled;
        let task = self.state.tasks.get(&spec.id);
        if task.is_some_and(|t| !t.may_be_recalled(aid)) {
            return;
        }
        if task.and_then(|t| t.attempt()).is_none_or(|a| a.aid == *aid) {
            return self.emit(Fact::Recalled(recalled.clone()));
        }
        let found = Elsewhere { task: spec.id.clone(), digest: digest.clone(), aid: aid.clone(), commit: commit.clone() };
        if task.is_some_and(|t| t.elsewhere.as_ref() != Some(&found)) {
            self.emit(Fact::Elsewhere { task: spec.id.clone(), found });
        }
    }

    /// It has landed, and somebody does not want it.
    pub(super) fn taken_back(&mut self, task: TaskId, aid: Aid, commit: &Oid, tip: &Oid, by: &Oid) {
        self.emit(Fact::Landed { task: task.clone(), aid, commit: commit.clone(), tip: tip.clone() });
        self.reverts(&[(task, Some(by.clone()))]);
    }

    /// What is said of landings counts where it is by them that a task is done.
    pub(super) fn landings_reverted(&mut self, found: &[(Aid, TaskId, Option<Oid>)]) {
        let by_it = |id: &TaskId, aid: &Aid| self.state.tasks.get(id).is_some_and(|t| t.completion.as_ref().is_some_and(|c| c.aid == *aid));
        let found: Vec<_> = found.iter().filter(|(aid, id, _)| by_it(id, aid)).map(|(_, id, by)| (id.clone(), by.clone())).collect();
        self.reverts(&found);
    }

    pub(super) fn reverts(&mut self, found: &[(TaskId, Option<Oid>)]) {
        for (id, by) in found {
            let Some(task) = self.state.tasks.get(id).filter(|t| t.is_completed() && t.reverted != *by) else { continue };
            let task = task.spec.id.clone();
            self.emit(match by {
                Some(commit) => Fact::Reverted { task, commit: commit.clone(), let_go: false },
                None => Fact::Restored { task },
            });
        }
    }
}

impl State {
    /// History says that the task has landed.
    pub(super) fn recall(&mut self, seq: u64, at: Millis, recalled: &Recalled) -> Result<(), &'static str> {
        self.index.spoil();
        self.head.landings += 1;
        let Recalled { spec, digest, aid, commit } = recalled;
        let task = self.tasks.entry(spec.id.clone()).or_insert_with(|| Task::new(seq, at, spec.clone()));
        if task.attempt().is_some_and(|a| a.aid != *aid || a.in_lane()) {
            return Err("a task with another attempt under way is not recalled");
        }
        let ending = task.attempt().and_then(|a| a.ending);
        self.head.garbage.extend(task.attempt().map(|a| a.aid.clone()));
        task.spec = spec.clone();
        task.spec_seq = seq;
        task.removed = false;
        task.complete(at, aid, Some(commit.clone()), self.head.landings);
        if let Some(completion) = &mut task.completion {
            completion.digest = digest.clone();
        }
        if ending == Some(Ending::Reset) {
            task.restart(seq, at);
        }
        self.take_over(seq, at, &spec.id);
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

//! Work that a person wants to be tried again (`retry`), or to be done as if nothing had been done
//! of it (`reset`). What earlier attempts made stays in git either way.
//!
//! A completion is not taken off the record by either: it says which commit is known already, so
//! that what history holds of it does not count as news.

use super::control::Heed;
use super::state::{Block, Phase, State, Step, Task};
use crate::base::text::count;
use crate::base::{Millis, TaskId};
use crate::core::Fact;

impl Task {
    /// All its attempts again, and its budget. The next one is still told what went wrong.
    fn retry(&mut self, seq: u64, at: Millis) {
        let (carry, failure) = (self.carry.take(), self.last_failure.take());
        let (left, conflict) = (self.left.take(), self.conflict.take());
        self.restart(seq, at);
        (self.carry, self.last_failure, self.left, self.conflict) = (carry, failure, left, conflict);
    }

    /// An attempt of which nothing is under way: it waits for a person, for a worker or for the lane.
    pub(super) fn is_idle(&self) -> bool {
        self.attempt().is_some_and(|a| a.is_parked() || matches!(a.step, Step::Queued { .. }))
    }

    /// Whether it would be another task without what was tried at it.
    pub(super) fn has_traces(&self) -> bool {
        let fresh = self.phase == Phase::Waiting { not_before: None } && self.failures == 0;
        !fresh || self.marked.is_some() || self.carry.is_some() || self.last_failure.is_some() || !self.usage.is_zero()
    }

    /// How it stands with it, as far as nothing is under way.
    pub(super) fn past(&self) -> String {
        let failed = || format!("it had failed {}", count(self.failures as usize, "time"));
        match &self.phase {
            Phase::Completed => match self.completion.as_ref().and_then(|c| c.commit.as_ref()) {
                Some(commit) => format!("it was done in {}", commit.short()),
                None if self.marked.is_some() => "it was marked completed".into(),
                None => "it was done".into(),
            },
            Phase::Blocked(Block::Conflict { .. }) => "it was blocked by a conflict".into(),
            Phase::Blocked(Block::External { .. }) => "it was blocked by something outside".into(),
            Phase::Cancelled => "it was cancelled".into(),
            Phase::Active(attempt) => format!("attempt {} does not land", attempt.no),
            _ if self.failures > 0 => failed(),
            _ => "nothing of it was done".into(),
        }
    }
}

impl State {
    pub(super) fn retriable(&self, task: &Task) -> Heed {
        let all = || count(task.spec.retry.max_attempts as usize, "attempt");
        match &task.phase {
            Phase::Completed => Heed::Unchanged("is completed; `drover reset` has it done again".into()),
            Phase::Active(_) if task.awaits_approval() => Heed::Unchanged("waits for approval".into()),
            Phase::Active(a) if a.is_ending() => Heed::Refused("is being ended: say it again when that is done".into()),
            Phase::Active(attempt) => Heed::Unchanged(format!("is in progress, attempt {}", attempt.no)),
            Phase::Waiting { not_before: None } if task.failures == 0 && self.task_spent(task).is_none() => {
                Heed::Unchanged(format!("has all its attempts{}", self.but(task)))
            }
            _ => Heed::Done(format!("tried again with {}: {}{}", all(), task.past(), self.but(task))),
        }
    }

    pub(super) fn resettable(&self, task: &Task, failed: bool) -> Heed {
        match &task.phase {
            _ if task.removed => Heed::Refused("has left the files".into()),
            Phase::Failed | Phase::Blocked(_) => Heed::Done(format!("reset: {}{}", task.past(), self.but(task))),
            _ if failed => Heed::Unchanged("has not failed".into()),
            Phase::Active(attempt) if !task.is_idle() => self.resettable_while(attempt),
            _ if !task.has_traces() => Heed::Unchanged("is as if nothing had been done of it".into()),
            _ => Heed::Done(format!("reset: {}{}", task.past(), self.but(task))),
        }
    }

    /// What keeps the task from being begun all the same, in words.
    pub(super) fn but(&self, task: &Task) -> &'static str {
        match () {
            () if !task.spec.enabled => "; but it is disabled",
            () if self.is_suspended(task) => "; but it is suspended",
            () => self.but_selected(task),
        }
    }

    /// The same, as far as it is because of what this Drover was started for.
    pub(super) fn but_selected(&self, task: &Task) -> &'static str {
        let left_out = self.begun && !self.selection.holds(&task.spec.id);
        if left_out { "; but the Drover at work has not selected it" } else { "" }
    }

    /// What a person wants of tasks of which nothing is under way, and of the whole.
    pub(super) fn apply_again(&mut self, seq: u64, at: Millis, fact: &Fact) -> Result<(), &'static str> {
        match fact {
            Fact::Retried { task } => {
                let task = self.tasks.get_mut(task).ok_or("no such task")?;
                if task.attempt().is_some() || task.is_completed() {
                    return Err("only what is not under way and not done is tried again");
                }
                task.retry(seq, at);
            }
            Fact::Reset { task } => {
                self.end_idle(task)?;
                self.tasks.get_mut(task).ok_or("no such task")?.restart(seq, at);
            }
            Fact::Cancelled { task } => self.apply_cancelled(at, task)?,
            Fact::Marked { task, mark } => self.apply_marked(seq, at, task, mark)?,
            _ => self.apply_suspended(fact)?,
        }
        Ok(())
    }

    /// The attempt of a task ends of which nothing is under way, if there is one; a definition that
    /// was to follow it takes over. What it made stays in git.
    pub(super) fn end_idle(&mut self, id: &TaskId) -> Result<(), &'static str> {
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        let Some(attempt) = task.attempt() else { return Ok(()) };
        if !task.is_idle() {
            return Err("an attempt is under way");
        }
        self.head.garbage.insert(attempt.aid.clone());
        if let Some(next) = task.next.take() {
            task.spec = next;
            task.spec_seq = std::mem::take(&mut task.next_seq);
            self.index.spoil();
        }
        Ok(())
    }

    /// What left the files while something of it was under way goes when that has ended.
    pub(super) fn drop_removed(&mut self, id: &TaskId) {
        if self.tasks.get(id).is_some_and(|task| task.removed && !task.is_completed()) {
            self.index.spoil();
            self.tasks.remove(id);
        }
    }
}

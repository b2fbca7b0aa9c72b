//! Attempts that a person ends before they come to an end by themselves: by `cancel`, or by `reset`.
//!
//! That it is to end is on record at once. From then on the attempt owes only its end: an agent is
//! interrupted, and what it left is kept as that of any step; all else is given up. What is in the
//! lane may have moved the line already, so it is looked whether it has: then it has landed, whole,
//! and else it never does. Only after that does the attempt let go of its worker and of the lane.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::control::Heed;
use super::decide::Decider;
use super::fact::Fact;
use super::outstanding::Command;
use super::state::{Attempt, Phase, State, Step, Task};
use crate::base::{Aid, Millis, TaskId};

/// What becomes of a task when the attempt has ended that a person does not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Cancelled,
    Reset,
}

impl Attempt {
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// What it still owes when it is to end.
    pub(super) fn owes_end(&self, task: &TaskId) -> Command {
        let (task, aid) = (task.clone(), self.aid.clone());
        match &self.step {
            Step::Agent { n } => Command::Agent { task, aid, n: *n },
            Step::Snapshot { n, .. } => Command::Snapshot { task, aid, n: *n },
            _ => Command::Withdraw { task, aid },
        }
    }

    /// What is done about an attempt that is to end, in words.
    fn ends(&self) -> String {
        let landed = if self.in_lane() { "; if it has landed by now, that stays" } else { "" };
        format!("attempt {} is ended, and what it made is kept{landed}", self.no)
    }
}

impl State {
    pub(super) fn cancellable(&self, task: &Task) -> Heed {
        match &task.phase {
            Phase::Completed => Heed::Refused("is completed already; `drover reset` has it done again".into()),
            Phase::Failed => Heed::Unchanged("has failed, and is not tried again unasked".into()),
            Phase::Cancelled => Heed::Unchanged("is cancelled already".into()),
            Phase::Active(attempt) if attempt.ending == Some(Ending::Cancelled) => Heed::Unchanged("is being cancelled already".into()),
            Phase::Active(attempt) if !task.is_idle() => Heed::Done(format!("cancelled: {}", attempt.ends())),
            Phase::Active(attempt) => Heed::Done(format!("cancelled: attempt {} does not land, and is kept", attempt.no)),
            Phase::Waiting { .. } | Phase::Blocked(_) => Heed::Done("cancelled: not started until `drover retry`".into()),
        }
    }

    /// Of a task with an attempt under way.
    pub(super) fn resettable_while(&self, attempt: &Attempt) -> Heed {
        match attempt.ending {
            Some(Ending::Reset) => Heed::Unchanged("is being reset already".into()),
            _ => Heed::Done(format!("reset: {}", attempt.ends())),
        }
    }

    /// A task of which nothing is under way is not started any more.
    pub(super) fn apply_cancelled(&mut self, at: Millis, id: &TaskId) -> Result<(), &'static str> {
        self.end_idle(id)?;
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        if task.is_completed() {
            return Err("what is completed is not cancelled");
        }
        task.cancel(at);
        self.drop_removed(id);
        Ok(())
    }
}

impl Task {
    /// The next attempt, if a person wants one, begins anew.
    pub(super) fn cancel(&mut self, at: Millis) {
        self.phase = Phase::Cancelled;
        self.changed = at;
        self.carry = None;
    }

    /// Its attempt ended because a person wanted that.
    pub(super) fn withdrawn(&mut self, seq: u64, at: Millis, then: Option<Ending>) {
        match then {
            Some(Ending::Reset) => self.restart(seq, at),
            Some(Ending::Cancelled) | None => self.cancel(at),
        }
    }
}

impl Decider<'_> {
    pub(super) fn cancel(&mut self, id: TaskId) {
        self.end_or(&id, Ending::Cancelled, Fact::Cancelled { task: id.clone() });
    }

    pub(super) fn reset(&mut self, id: TaskId) {
        self.end_or(&id, Ending::Reset, Fact::Reset { task: id.clone() });
    }

    /// What is under way is to end first; what is not is done with at once.
    fn end_or(&mut self, id: &TaskId, then: Ending, at_once: Fact) {
        let task = &self.state.tasks[id];
        match task.attempt().filter(|_| !task.is_idle()).map(|a| a.aid.clone()) {
            Some(aid) => self.emit(Fact::EndAsked { task: id.clone(), aid, then }),
            None => self.emit(at_once),
        }
    }

    /// An answer to an attempt that is to end: everything counts that says how it ended, and nothing
    /// that would lead it on.
    pub(super) fn answer_ending(&mut self, task: &TaskId, aid: &Aid, step: &Step, answer: &Answer) {
        let (id, aid) = (task.clone(), aid.clone());
        match (answer, step) {
            (Answer::AgentEnded { n, exit }, Step::Agent { n: at }) if n == at => {
                self.emit(Fact::AgentEnded { task: id, aid, n: *n, exit: exit.clone() });
            }
            (Answer::Snapshotted { n, snap }, Step::Snapshot { n: at, .. }) if n == at => {
                self.emit(Fact::Snapshotted { task: id.clone(), aid: aid.clone(), n: *n, snap: snap.clone() });
                self.emit(Fact::Withdrawn { task: id, aid });
            }
            (Answer::Landed { commit, tip }, Step::Merge { .. } | Step::Land { .. }) => {
                self.done(task, Fact::Landed { task: id, aid, commit: commit.clone(), tip: tip.clone() });
            }
            (Answer::TakenBack { commit, tip, by }, Step::Merge { .. } | Step::Land { .. }) => self.taken_back(id, aid, commit, tip, by),
            // Its files are kept when its worktree is taken away, as far as they can be.
            (Answer::Broken { .. }, Step::Agent { .. } | Step::Snapshot { .. }) => self.emit(Fact::Withdrawn { task: id, aid }),
            (Answer::Withdrawn, step) if !matches!(step, Step::Agent { .. } | Step::Snapshot { .. }) => {
                self.emit(Fact::Withdrawn { task: id, aid });
            }
            (Answer::Trouble { why }, _) => self.delay(&id, &aid, why),
            // Whether it has landed must be known all the same, and not be asked without a pause.
            (Answer::Broken { failure }, _) => self.delay(&id, &aid, &failure.message),
            _ => {}
        }
    }
}

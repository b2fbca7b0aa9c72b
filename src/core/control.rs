//! What a person may ask for one task, beside a run or without one, and what that comes to.
//!
//! [`State::consider`] answers in words and changes nothing; `decide` emits the facts of an order
//! only where `consider` says that it does something. So whoever asks is told by the very rules
//! that decide.

use serde::{Deserialize, Serialize};

use super::decide::Decider;
use super::fact::Fact;
use super::hint::Hinted;
use super::mark::Mark;
use super::outcome::FailureClass;
use super::state::{Attempt, Phase, State, Step, Task};
use crate::base::{Aid, TaskId};
use crate::model::Approval;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub task: TaskId,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Lets the work land. With the number of an attempt: that one and no other.
    Approve {
        attempt: Option<u32>,
    },
    /// Fails the attempt that waits; the reason goes to the next one.
    Reject {
        attempt: Option<u32>,
        reason: String,
    },
    /// Has something said to the next attempt.
    Hint {
        text: String,
    },
    /// Takes back what was to be said.
    Unhint,
    /// Gives what failed, or is blocked, all its attempts again.
    Retry,
    /// Forgets what was done, so that it is done again; `failed`: only of what has failed.
    Reset {
        failed: bool,
    },
    /// Ends what is under way, and has nothing more started.
    Cancel,
    /// Has nothing begun of it, and what is under way go on; and lifts that, or a `Cancel`.
    Suspend,
    Unsuspend,
    /// Says where it is.
    Mark(Mark),
}

/// What an order comes to, in words that go on from the task's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "came_to", content = "said", rename_all = "snake_case")]
pub enum Heed {
    Done(String),
    /// It is so already; nothing changes.
    Unchanged(String),
    Refused(String),
}

impl State {
    /// What an order would come to.
    pub fn consider(&self, order: &Order) -> Heed {
        let Some(task) = self.tasks.get(&order.task) else { return Heed::Refused("is not on record".into()) };
        match &order.act {
            Act::Approve { attempt } => self.approvable(task, *attempt, "approved"),
            Act::Reject { attempt, reason } => match &task.last_failure {
                Some(failure) if !task.awaits_approval() && failure.class == FailureClass::Rejected && failure.message == *reason => {
                    Heed::Unchanged("was rejected with these words already".into())
                }
                _ => self.approvable(task, *attempt, "rejected"),
            },
            Act::Hint { text } => self.hintable(task, text),
            Act::Unhint => self.unhintable(task),
            Act::Retry => self.retriable(task),
            Act::Reset { failed } => self.resettable(task, *failed),
            Act::Cancel => self.cancellable(task),
            Act::Suspend => self.suspendable(task),
            Act::Unsuspend => self.unsuspendable(task),
            Act::Mark(mark) => self.markable(task, mark),
        }
    }

    fn approvable(&self, task: &Task, asked: Option<u32>, word: &str) -> Heed {
        let approves = word == "approved";
        let Some(attempt) = task.attempt() else { return not_waiting(self, task, approves) };
        let other = asked.filter(|no| *no != attempt.no);
        match (&attempt.step, other) {
            (Step::Approval { .. }, Some(no)) => {
                Heed::Refused(format!("attempt {no} is not the one that waits: attempt {} is; look at it with `drover diff`", attempt.no))
            }
            (Step::Approval { .. }, None) if approves && task.definition_moved() => {
                Heed::Refused("its definition changed while it waited: it does not land, and runs again".into())
            }
            (Step::Approval { commit }, None) => Heed::Done(format!("{word} attempt {}, {}", attempt.no, commit.short())),
            (_, None) if approves && was_approved(task, attempt) => Heed::Unchanged(format!("attempt {} is approved already", attempt.no)),
            _ => not_waiting(self, task, approves),
        }
    }
}

fn was_approved(task: &Task, attempt: &Attempt) -> bool {
    let past = matches!(attempt.step, Step::Approved { .. } | Step::Merge { .. } | Step::Land { .. });
    past && task.spec.approval == Approval::Required
}

fn not_waiting(state: &State, task: &Task, approves: bool) -> Heed {
    if task.phase == Phase::Completed {
        let landed = "has landed already".to_owned();
        return if approves { Heed::Unchanged(landed) } else { Heed::Refused(landed) };
    }
    let status = state.view(&task.spec.id).map(|v| v.status.name().replace('_', " ")).unwrap_or_default();
    Heed::Refused(format!("does not wait for approval: it is {status}"))
}

impl Decider<'_> {
    pub(super) fn order(&mut self, order: &Order) {
        if !matches!(self.state.consider(order), Heed::Done(_)) {
            return;
        }
        let id = order.task.clone();
        let aid: Option<Aid> = self.state.tasks[&id].attempt().map(|a| a.aid.clone());
        match (&order.act, aid) {
            (Act::Approve { .. }, Some(aid)) => self.emit(Fact::Approved { task: id, aid }),
            (Act::Reject { reason, .. }, Some(aid)) => self.reject(&id, &aid, reason),
            (Act::Approve { .. } | Act::Reject { .. }, None) => {}
            (Act::Hint { text }, _) => self.emit(Fact::Hinted(Hinted { task: id, text: Some(text.clone()) })),
            (Act::Unhint, _) => self.emit(Fact::Hinted(Hinted { task: id, text: None })),
            (Act::Retry, _) => self.emit(Fact::Retried { task: id }),
            (Act::Reset { .. }, _) => self.reset(id),
            (Act::Cancel, _) => self.cancel(id),
            (Act::Suspend, _) => self.emit(Fact::Suspended { task: id, on: true }),
            (Act::Unsuspend, _) => self.unsuspend(id),
            (Act::Mark(mark), _) => self.emit(Fact::Marked { task: id, mark: mark.clone() }),
        }
    }
}

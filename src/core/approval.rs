//! Work that waits for a person: it holds no worker, owes nothing, and keeps no run from its end.
//!
//! What a person lets through is the commit of one attempt. It may land merged with whatever
//! landed meanwhile; anything else is a new attempt, and asks again.

use super::decide::Decider;
use super::fact::Fact;
use super::outcome::{Failure, FailureClass};
use super::state::{Attempt, State, Step, Task};
use crate::base::{Aid, Oid, TaskId};
use crate::model::{Approval, OnChange};

impl Attempt {
    /// A person has not yet looked at it.
    pub fn awaits_approval(&self) -> bool {
        matches!(self.step, Step::Approval { .. })
    }
    /// Between the commit and the lane, for as long as a person takes: it counts for no limit.
    pub fn is_parked(&self) -> bool {
        matches!(self.step, Step::Approval { .. } | Step::Approved { .. })
    }
}

impl Task {
    pub fn awaits_approval(&self) -> bool {
        self.attempt().is_some_and(|a| a.awaits_approval())
    }
    /// What was made under the definition in force is no longer what the files ask for.
    pub fn definition_moved(&self) -> bool {
        self.next.as_ref().is_some_and(|n| n.digest != self.spec.digest && n.on_change != OnChange::Keep)
    }
}

impl State {
    /// Tasks whose attempt waits for a person, or was let through and waits for a worker.
    pub fn parked(&self) -> impl Iterator<Item = (&Task, &Attempt)> {
        self.index.parked().filter_map(|id| self.tasks.get(id)).filter_map(|t| t.attempt().map(|a| (t, a)))
    }

    /// What was let through and may land now: its checks want a worker, and room in its groups,
    /// like those of any other attempt, and nobody may be at work on the same paths. Its agent is not needed any more.
    pub(super) fn admissible(&self) -> impl Iterator<Item = (&Task, &Attempt)> {
        let room = self.index.active().count() < self.workers();
        let approved = self.parked().filter(move |(_, a)| room && !a.awaits_approval());
        approved.filter(|(t, _)| self.full_group(t).is_none() && self.paths_busy(&t.spec.id).is_none())
    }
}

impl Decider<'_> {
    pub(super) fn committed(&mut self, task: TaskId, aid: Aid, commit: Oid) {
        let ask = self.state.tasks[&task].spec.approval == Approval::Required;
        self.emit(Fact::Committed { task: task.clone(), aid: aid.clone(), commit });
        if ask {
            self.emit(Fact::ApprovalAsked { task, aid });
        }
    }

    pub(super) fn reject(&mut self, id: &TaskId, aid: &Aid, reason: &str) {
        let message = if reason.is_empty() { "a person rejected it, and gave no reason" } else { reason };
        self.fail(id, aid, Failure::new(FailureClass::Rejected, message));
    }
}

//! What a person wants left alone for a while: one task, or everything. What is under way goes on to
//! its end. A suspended task waits for no time either, so that it keeps no run from its end.

use super::control::Heed;
use super::decide::Decider;
use super::fact::Fact;
use super::state::{Phase, State, Task};
use crate::base::TaskId;

impl State {
    /// Whether a person wants that nothing is begun of it.
    pub fn is_suspended(&self, task: &Task) -> bool {
        task.suspended || self.head.suspended
    }

    pub(super) fn suspendable(&self, task: &Task) -> Heed {
        match &task.phase {
            _ if task.suspended => Heed::Unchanged("is suspended already".into()),
            Phase::Completed => Heed::Unchanged("is completed: there is nothing to suspend".into()),
            Phase::Active(a) => Heed::Done(format!("suspended: attempt {} goes on, and no other is begun", a.no)),
            _ => Heed::Done("suspended: not begun until `drover unsuspend`".into()),
        }
    }

    pub(super) fn unsuspendable(&self, task: &Task) -> Heed {
        let all = "; but everything is suspended: `drover unsuspend --all`";
        let but = if self.head.suspended { all } else { self.but_selected(task) };
        match &task.phase {
            Phase::Cancelled => Heed::Done(format!("cancelled no more{but}")),
            _ if task.suspended => Heed::Done(format!("suspended no more{but}")),
            _ => Heed::Unchanged(format!("is not suspended{but}")),
        }
    }

    pub(super) fn apply_suspended(&mut self, fact: &Fact) -> Result<(), &'static str> {
        match fact {
            Fact::Suspended { task, on } => self.tasks.get_mut(task).map(|t| t.suspended = *on).ok_or("no such task"),
            Fact::AllSuspended { on } => {
                self.head.suspended = *on;
                Ok(())
            }
            _ => unreachable!("only what is about suspending comes here"),
        }
    }
}

impl Decider<'_> {
    pub(super) fn unsuspend(&mut self, task: TaskId) {
        if self.state.tasks[&task].suspended {
            self.emit(Fact::Suspended { task: task.clone(), on: false });
        }
        if self.state.tasks[&task].phase == Phase::Cancelled {
            self.emit(Fact::Retried { task });
        }
    }

    pub(super) fn suspend_all(&mut self, on: bool) {
        let each = self.state.tasks.iter().filter(|(_, t)| t.suspended && !on).map(|(id, _)| id.clone());
        let each: Vec<TaskId> = each.collect();
        each.into_iter().for_each(|task| self.emit(Fact::Suspended { task, on }));
        if self.state.head.suspended != on {
            self.emit(Fact::AllSuspended { on });
        }
    }
}

//! What goes with what it needs: `on_dependency = "rerun"`.
//!
//! A plan has such a task done again together with its dependency, where it is the files that have that
//! done again. Whatever else has it done again, and whatever is at work on the old state meanwhile, is
//! settled here, when the dependency lands anew: so that it is never left behind. What was at work on the old
//! state does not land while the dependency is still to be done again, which may fail.

use super::decide::Decider;
use super::fact::Fact;
use super::state::{Attempt, Phase, State, Task};
use crate::base::TaskId;
use crate::model::OnDependency;

impl State {
    /// Whether what the attempt goes on from has landed anew since it began, or is to be done again.
    pub(super) fn is_left_behind(&self, task: &Task, attempt: &Attempt) -> bool {
        let landing = |t: &Task| t.completion.as_ref().map_or(0, |c| c.landing);
        let newer = |id: &TaskId| self.tasks.get(id).is_some_and(|t| !t.is_completed() || landing(t) > attempt.landings);
        task.spec.on_dependency == OnDependency::Rerun && task.spec.depends_on.iter().any(newer)
    }
}

impl Decider<'_> {
    /// A task is done; and what goes with it is done again, if it had been done before.
    pub(super) fn done(&mut self, id: &TaskId, fact: Fact) {
        let again = self.state.tasks.get(id).is_some_and(|t| t.completion.is_some());
        self.emit(fact);
        if !again {
            return;
        }
        self.state.settle_index();
        let follows = |t: &&Task| {
            let over = matches!(t.phase, Phase::Completed | Phase::Failed);
            // A person's word holds until the definition moves.
            over && !t.removed && t.marked.is_none() && t.reverted.is_none() && t.spec.on_dependency == OnDependency::Rerun
        };
        let dependents = self.state.index.dependents(id).iter().filter_map(|id| self.state.tasks.get(id));
        let again: Vec<_> = dependents.filter(follows).map(|t| t.spec.clone()).collect();
        again.into_iter().for_each(|spec| self.emit(Fact::Defined { spec, rerun: true, inputs: Vec::new() }));
    }
}

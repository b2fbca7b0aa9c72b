//! The attempt that a task would be given next, for those who only ask.

use super::fact::Fact;
use super::selection::Selection;
use super::state::{Attempt, Phase, State};
use crate::base::{Aid, Millis, Oid, RunId, TaskId};

impl State {
    /// The attempt that would be made if it began now, on that tip, whatever the task waits for. By the
    /// rules of a claim, on a copy.
    pub fn next_attempt(&self, id: &TaskId, tip: &Oid, at: Millis) -> Option<Attempt> {
        let mut state = self.clone();
        if state.head.run.is_none() {
            let run = RunId::parse("next").expect("a plain id");
            state.apply(at, &Fact::RunBegan { run, selection: Selection::All, continues: None, after: None }).ok()?;
        }
        let aid = Aid::new(&state.head.run.as_ref()?.id, state.head.claims + 1);
        let base = self.usable_carry(id).map_or(tip, |c| &c.base).clone();
        state.tasks.get_mut(id)?.phase = Phase::Waiting { not_before: None };
        state.apply(at, &Fact::Claimed { task: id.clone(), aid, base }).ok()?;
        state.tasks.get(id)?.attempt().cloned()
    }
}

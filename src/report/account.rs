//! What the attempts of a run came to, as far as the record does not keep it: for the reports that
//! are made at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Millis, TaskId};
use crate::core::{Fact, Failure, State};

/// Of the run that began last.
#[derive(Default)]
pub struct Account {
    /// When the attempts under way began.
    began: BTreeMap<TaskId, Millis>,
    courses: BTreeMap<TaskId, Course>,
}

/// How a task went.
#[derive(Default)]
pub struct Course {
    /// That its attempts took together.
    pub took: Duration,
    /// In their order.
    pub failed: Vec<Failed>,
    /// It landed, or was done in the checkout.
    pub done: bool,
}

/// An attempt that failed.
pub struct Failed {
    pub failure: Failure,
    pub took: Duration,
}

impl Account {
    pub fn hear(&mut self, state: &State, at: Millis, fact: &Fact) {
        if let Fact::RunBegan { .. } = fact {
            self.courses.clear();
            // What an earlier Drover left under way.
            self.began = state.active().map(|(task, attempt)| (task.spec.id.clone(), attempt.started)).collect();
        }
        let Some(task) = fact.task() else { return };
        if let Fact::Claimed { .. } = fact {
            self.began.insert(task.clone(), at);
        }
        if !ends_attempt(fact) {
            return;
        }
        let took = self.began.remove(task).map(|began| at.since(began)).unwrap_or_default();
        let course = self.courses.entry(task.clone()).or_default();
        course.took += took;
        match fact {
            Fact::AttemptFailed { failure, .. } => course.failed.push(Failed { failure: failure.clone(), took }),
            Fact::Landed { .. } | Fact::Done { .. } => course.done = true,
            _ => {}
        }
    }

    /// Nothing where no attempt at it came to an end.
    pub fn of(&self, task: &TaskId) -> Option<&Course> {
        self.courses.get(task)
    }

    /// How many tasks were done.
    pub fn done(&self) -> usize {
        self.courses.values().filter(|course| course.done).count()
    }
}

/// Whether no attempt is under way after it.
pub(super) fn ends_attempt(fact: &Fact) -> bool {
    use Fact::*;
    matches!(
        fact,
        Landed { .. }
            | Done { .. }
            | Interrupted { .. }
            | Held { .. }
            | OverBudget { .. }
            | AttemptFailed { .. }
            | Superseded { .. }
            | Withdrawn { .. }
            | Blocked { .. }
            | BlockedExternally { .. }
    )
}

//! What the files bring to the core.

use std::sync::Arc;

use super::fact::Fact;
use crate::base::TaskId;
use crate::model::Spec;

/// One line of a plan, as the core takes it.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new task or a new definition. `rerun` makes a completed one run again.
    Define { spec: Arc<Spec>, rerun: bool },
    /// A completed task runs again because these of its `inputs` have changed.
    Renew { spec: Arc<Spec>, inputs: Vec<String> },
    /// The task is called otherwise now: `spec` is the recorded definition under its new id.
    Move { from: TaskId, spec: Arc<Spec> },
    /// No longer in the files.
    Remove { task: TaskId },
}

impl Change {
    /// What it comes to for a task that it defines.
    pub fn defined(&self) -> Option<Fact> {
        match self {
            Change::Define { spec, rerun } => Some(Fact::Defined { spec: spec.clone(), rerun: *rerun, inputs: Vec::new() }),
            Change::Renew { spec, inputs } => Some(Fact::Defined { spec: spec.clone(), rerun: true, inputs: inputs.clone() }),
            Change::Move { .. } | Change::Remove { .. } => None,
        }
    }
}

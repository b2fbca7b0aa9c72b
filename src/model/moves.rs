//! Tasks that were given another id: `[[moved]]`.

use crate::base::TaskId;

use super::spec::{Source, Spec};

/// What was recorded under one id belongs to another now.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    pub from: TaskId,
    /// The id of today, at the end of a chain.
    pub to: TaskId,
    /// How many blocks lead there: 1 if this one does.
    pub hops: usize,
    pub source: Source,
}

impl Spec {
    /// The same task under another id. Its digest stays: the id is not in it.
    pub fn renamed(&self, to: &TaskId) -> Spec {
        let own = self.id.as_str();
        let mut spec = Spec { id: to.clone(), ..self.clone() };
        for step in &mut spec.steps {
            let part = step.id.as_str().strip_prefix(own).map(|rest| rest.trim_start_matches('.'));
            step.id = match part {
                Some("") => to.clone(),
                // An id with too many parts: no file has it, and what runs under the old one goes on.
                Some(part) => to.child(part).unwrap_or_else(|_| step.id.clone()),
                None => step.id.clone(),
            };
        }
        spec
    }
}

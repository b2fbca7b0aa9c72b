//! The critical path: had one of its tasks been quicker, the run could have ended sooner.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::Attempt;
use crate::base::{Millis, TaskId};
use crate::core::State;

/// Back from the task that ended last, each time to the one of those it needs that ended last in
/// this run. In the order in which they ended.
pub fn critical(attempts: &[Attempt], state: &State) -> Vec<TaskId> {
    let mut ended: BTreeMap<&TaskId, Millis> = BTreeMap::new();
    for attempt in attempts {
        let known = ended.entry(&attempt.task).or_insert(attempt.ended);
        *known = (*known).max(attempt.ended);
    }
    let mut path = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = ended.iter().max_by_key(|(_, at)| **at).map(|(id, _)| *id);
    while let Some(id) = next.filter(|id| seen.insert(*id)) {
        path.push(id.clone());
        let needs = state.tasks.get(id).map(|t| t.spec.depends_on.as_slice()).unwrap_or_default();
        next = needs.iter().filter_map(|need| ended.get_key_value(need)).max_by_key(|(_, at)| **at).map(|(id, _)| *id);
    }
    path.reverse();
    path
}

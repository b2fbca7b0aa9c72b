//! The tasks that a selector can mean, with what can be asked of them.

use std::collections::BTreeMap;

use crate::base::TaskId;
use crate::core::{State, view::Status};
use crate::model::{Graph, Spec};

pub struct Universe<'a> {
    pub(super) tasks: BTreeMap<&'a TaskId, &'a Spec>,
    recorded: &'a State,
    dependents: BTreeMap<&'a TaskId, Vec<&'a TaskId>>,
}

impl<'a> Universe<'a> {
    /// The tasks in the files: for verbs that reconcile. The status is the recorded one; a
    /// task not yet recorded is ready, or blocked by what it depends on.
    pub fn of_files(graph: &'a Graph, recorded: &'a State) -> Self {
        Self::new(graph.tasks().values().map(|spec| spec.as_ref()), recorded)
    }

    /// The tasks in the store: for verbs that act on them or show them.
    pub fn of_record(recorded: &'a State) -> Self {
        let shown = recorded.tasks.values().filter(|t| !t.removed || t.attempt().is_some());
        Self::new(shown.map(|t| t.spec.as_ref()), recorded)
    }

    fn new(specs: impl Iterator<Item = &'a Spec>, recorded: &'a State) -> Self {
        let tasks: BTreeMap<&TaskId, &Spec> = specs.map(|spec| (&spec.id, spec)).collect();
        let mut dependents: BTreeMap<&TaskId, Vec<&TaskId>> = BTreeMap::new();
        for spec in tasks.values() {
            for dependency in &spec.depends_on {
                dependents.entry(dependency).or_default().push(&spec.id);
            }
        }
        Self { tasks, recorded, dependents }
    }

    /// Worked out only when a selector asks for it.
    pub(super) fn status(&self, spec: &Spec) -> Status {
        let done = |id: &TaskId| self.recorded.tasks.get(id).is_some_and(|t| t.is_completed() && !t.removed);
        match self.recorded.view(&spec.id) {
            Some(view) => view.status,
            None if spec.depends_on.iter().all(done) => Status::Ready,
            None => Status::Blocked,
        }
    }

    /// The tasks next to `id`: what it needs, or what needs it.
    pub(super) fn next(&self, id: &TaskId, up: bool) -> Vec<&'a TaskId> {
        if !up {
            return self.dependents.get(id).cloned().unwrap_or_default();
        }
        let needs: Vec<&'a TaskId> = self.tasks.get(id).map(|spec| spec.depends_on.iter().collect()).unwrap_or_default();
        needs.into_iter().filter(|d| self.tasks.contains_key(d)).collect()
    }
}

/// What a task answers to `epic: label: agent: group: path:`.
pub(super) fn values<'a>(spec: &'a Spec, method: &str) -> Vec<&'a str> {
    match method {
        "epic" => spec.epic.iter().map(|e| e.as_str()).collect(),
        "label" => spec.labels.iter().map(String::as_str).collect(),
        "group" => spec.groups.iter().map(String::as_str).collect(),
        "agent" => spec.agents().map(|a| a.name.as_str()).collect(),
        "path" => vec![spec.source.file.as_str()],
        _ => Vec::new(),
    }
}

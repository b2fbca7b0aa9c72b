//! The tasks that a selector can mean, with what can be asked of them.

use std::collections::BTreeMap;

use crate::base::TaskId;
use crate::core::{State, view::Status};
use crate::model::{Graph, Spec};

pub struct Universe<'a> {
    pub(super) tasks: BTreeMap<&'a TaskId, Entry<'a>>,
    dependents: BTreeMap<&'a TaskId, Vec<&'a TaskId>>,
}

pub(super) struct Entry<'a> {
    pub spec: &'a Spec,
    pub status: Status,
}

impl<'a> Universe<'a> {
    /// The tasks in the files: for verbs that reconcile. The status is the recorded one; a
    /// task not yet recorded is ready, or blocked by what it depends on.
    pub fn of_files(graph: &'a Graph, recorded: &State) -> Self {
        let done = |id: &TaskId| recorded.tasks.get(id).is_some_and(|t| t.is_completed() && !t.removed);
        let status = |spec: &Spec| match recorded.view(&spec.id) {
            Some(view) => view.status,
            None if spec.depends_on.iter().all(done) => Status::Ready,
            None => Status::Blocked,
        };
        Self::new(graph.tasks().values().map(|spec| Entry { spec, status: status(spec) }))
    }

    /// The tasks in the store: for verbs that act on them or show them.
    pub fn of_record(recorded: &'a State) -> Self {
        let shown = recorded.tasks.values().filter(|t| !t.removed || t.attempt().is_some());
        Self::new(shown.filter_map(|t| Some(Entry { spec: &t.spec, status: recorded.view(&t.spec.id)?.status })))
    }

    fn new(entries: impl Iterator<Item = Entry<'a>>) -> Self {
        let tasks: BTreeMap<&TaskId, Entry> = entries.map(|e| (&e.spec.id, e)).collect();
        let mut dependents: BTreeMap<&TaskId, Vec<&TaskId>> = BTreeMap::new();
        for entry in tasks.values() {
            for dependency in &entry.spec.depends_on {
                dependents.entry(dependency).or_default().push(&entry.spec.id);
            }
        }
        Self { tasks, dependents }
    }

    /// The tasks next to `id`: what it needs, or what needs it.
    pub(super) fn next(&self, id: &TaskId, up: bool) -> Vec<&'a TaskId> {
        if !up {
            return self.dependents.get(id).cloned().unwrap_or_default();
        }
        let needs: Vec<&'a TaskId> = self.tasks.get(id).map(|e| e.spec.depends_on.iter().collect()).unwrap_or_default();
        needs.into_iter().filter(|d| self.tasks.contains_key(d)).collect()
    }
}

impl<'a> Entry<'a> {
    /// What a task answers to `epic: label: agent: group: path:`.
    pub fn values(&self, method: &str) -> Vec<&'a str> {
        let spec = self.spec;
        match method {
            "epic" => spec.epic.iter().map(|e| e.as_str()).collect(),
            "label" => spec.labels.iter().map(String::as_str).collect(),
            "group" => spec.groups.iter().map(String::as_str).collect(),
            "agent" => spec.agents().map(|a| a.name.as_str()).collect(),
            "path" => vec![spec.source.file.as_str()],
            _ => Vec::new(),
        }
    }
}

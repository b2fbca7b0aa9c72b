//! The tasks of a project, proved to hang together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::graph::DiGraph;

use super::moves::Move;
use super::spec::Spec;
use crate::base::{EpicId, TaskId};

#[derive(Clone, Debug, PartialEq)]
pub struct Epic {
    pub id: EpicId,
    pub title: String,
    pub description: String,
}

/// Unique ids, no unknown dependency, no cycle, nothing that waits for its own ancestor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    tasks: BTreeMap<TaskId, Arc<Spec>>,
    epics: BTreeMap<EpicId, Epic>,
    moves: BTreeMap<TaskId, Move>,
}

/// What keeps a set of tasks from being a graph. Indices are positions in `build`'s input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphError {
    DuplicateId {
        id: TaskId,
        first: usize,
        again: usize,
    },
    UnknownDependency {
        task: usize,
        dependency: TaskId,
    },
    /// A task that waits for a task above or below it.
    Kin {
        task: usize,
        dependency: TaskId,
    },
    /// The edges of one strongly connected component, each from the task that waits.
    Cycle {
        edges: Vec<(usize, TaskId)>,
    },
}

impl Graph {
    /// The one constructor; finds all errors at once. `known` names tasks that exist but
    /// could not be read: a dependency on one is not called unknown.
    pub fn build(tasks: Vec<Spec>, epics: Vec<Epic>, known: &BTreeSet<TaskId>) -> Result<Graph, Vec<GraphError>> {
        let mut errors = Vec::new();
        let mut by_id: BTreeMap<&TaskId, usize> = BTreeMap::new();
        for (again, task) in tasks.iter().enumerate() {
            // Sub-task ids count too: `a.b` as a task and as a sub-task of `a` are one id twice.
            for id in std::iter::once(&task.id).chain(task.steps.iter().map(|s| &s.id).filter(|id| **id != task.id)) {
                match by_id.get(id) {
                    Some(first) => errors.push(GraphError::DuplicateId { id: id.clone(), first: *first, again }),
                    None => {
                        by_id.insert(id, again);
                    }
                }
            }
        }
        for (at, task) in tasks.iter().enumerate() {
            for dependency in &task.depends_on {
                if dependency == &task.id || dependency.is_ancestor_of(&task.id) || task.id.is_ancestor_of(dependency) {
                    errors.push(GraphError::Kin { task: at, dependency: dependency.clone() });
                } else if by_id.get(dependency).is_none_or(|i| tasks[*i].id != *dependency) && !known.contains(dependency) {
                    errors.push(GraphError::UnknownDependency { task: at, dependency: dependency.clone() });
                }
            }
        }
        errors.extend(cycles(&tasks, &by_id));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Graph {
            tasks: tasks.into_iter().map(|t| (t.id.clone(), Arc::new(t))).collect(),
            epics: epics.into_iter().map(|e| (e.id.clone(), e)).collect(),
            moves: BTreeMap::new(),
        })
    }

    /// The same tasks, some of which had another id before. Each move leads to one of them.
    pub fn with_moves(self, moves: Vec<Move>) -> Graph {
        Graph { moves: moves.into_iter().map(|m| (m.from.clone(), m)).collect(), ..self }
    }

    /// By the ids of before.
    pub fn moves(&self) -> &BTreeMap<TaskId, Move> {
        &self.moves
    }
    /// The id of today.
    pub fn now_called(&self, id: &TaskId) -> TaskId {
        self.moves.get(id).map_or(id, |m| &m.to).clone()
    }
    pub fn tasks(&self) -> &BTreeMap<TaskId, Arc<Spec>> {
        &self.tasks
    }
    pub fn epics(&self) -> &BTreeMap<EpicId, Epic> {
        &self.epics
    }
}

/// One error a strongly connected component, holding every edge inside it.
fn cycles(tasks: &[Spec], by_id: &BTreeMap<&TaskId, usize>) -> Vec<GraphError> {
    let mut graph = DiGraph::<usize, ()>::with_capacity(tasks.len(), tasks.len());
    let nodes: Vec<_> = (0..tasks.len()).map(|i| graph.add_node(i)).collect();
    for (i, task) in tasks.iter().enumerate() {
        for target in task.depends_on.iter().filter_map(|d| by_id.get(d)) {
            graph.add_edge(nodes[i], nodes[*target], ());
        }
    }
    let mut found = Vec::new();
    // Not Tarjan's: it recurses, and a long chain of tasks would overflow the stack.
    for component in petgraph::algo::kosaraju_scc(&graph) {
        if component.len() < 2 {
            continue; // a task that waits for itself is Kin
        }
        let members: BTreeSet<usize> = component.iter().map(|n| graph[*n]).collect();
        let edges = members
            .iter()
            .flat_map(|i| tasks[*i].depends_on.iter().map(move |d| (*i, d)))
            .filter(|(_, d)| by_id.get(d).is_some_and(|t| members.contains(t)))
            .map(|(i, d)| (i, d.clone()))
            .collect();
        found.push(GraphError::Cycle { edges });
    }
    found
}

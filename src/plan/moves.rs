//! Tasks that `[[moved]]` gives another id: what the record has yet to follow.

use std::sync::Arc;

use crate::base::TaskId;
use crate::core::{Change, State};
use crate::model::{Graph, Source, Spec};

/// The moves that the record has yet to follow.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// For `core::Input::Reconcile`, before anything is looked for under the new ids.
    pub changes: Vec<Change>,
    pub moved: Vec<Moved>,
    pub notes: Vec<String>,
}

/// A line of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    pub from: TaskId,
    pub to: TaskId,
    /// Of the block that says so.
    pub source: Source,
}

pub fn moves(graph: &Graph, recorded: &State) -> Moves {
    let mut all: Vec<_> = graph.moves().values().collect();
    // Of a chain of which several links are on record, the last is the one that counts.
    all.sort_by_key(|m| m.hops);
    let mut out = Moves::default();
    for m in all {
        let Some(task) = recorded.tasks.get(&m.from) else { continue };
        let free = recorded.tasks.get(&m.to).is_none_or(|t| t.is_untouched()) && out.moved.iter().all(|other| other.to != m.to);
        if free {
            out.changes.push(Change::Move { from: m.from.clone(), spec: Arc::new(task.spec.renamed(&m.to)) });
            out.moved.push(Moved { from: m.from.clone(), to: m.to.clone(), source: m.source.clone() });
        } else if !task.removed {
            out.notes
                .push(format!("`{}` is moved to `{}`, which has a record of its own: that of `{0}` is not carried over", m.from, m.to));
        }
    }
    out
}

/// Whether a definition differs only in where it stands, and in dependencies that were moved.
pub(super) fn is_cosmetic(graph: &Graph, old: &Spec, new: &Spec) -> bool {
    let depends_on = old.depends_on.iter().map(|d| graph.now_called(d)).collect();
    Spec { depends_on, source: new.source.clone(), ..old.clone() } == *new
}

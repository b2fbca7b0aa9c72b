//! What is recorded, brought up to what history says, before a plan is made from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::exit::Failure;
use super::terminal::Terminal;
use crate::base::TaskId;
use crate::core::{Input, State, decide};
use crate::engine::driver::now;
use crate::engine::{inputs, recall};
use crate::git::{Past, Repo};
use crate::model::{Graph, Spec};
use crate::plan::{self, Moved};

pub struct Opening {
    /// What the record has yet to learn, in this order.
    pub inputs: Vec<Input>,
    /// The record as if it had.
    pub state: State,
    /// Tasks that are called otherwise now.
    pub moved: Vec<Moved>,
    /// Completed tasks whose inputs have changed, and which.
    pub inputs_changed: BTreeMap<TaskId, Vec<String>>,
    notes: Vec<String>,
    asides: Vec<String>,
    past: Past,
}

/// For the tasks of the files.
pub fn of_files(repo: &Repo, target: &str, graph: &Graph, recorded: &State) -> Result<Opening, Failure> {
    let moves = plan::moves(graph, recorded);
    let mut state = recorded.clone();
    // Whatever is looked for, it is under the ids of today.
    let first = (!moves.changes.is_empty()).then_some(Input::Reconcile { policy: None, changes: moves.changes });
    first.iter().for_each(|input| drop(decide(&mut state, now(), input)));
    let mut opening = open(repo, target, graph.tasks().values(), &|id| graph.now_called(id), &state)?;
    opening.inputs.splice(0..0, first);
    opening.notes.extend(moves.notes);
    let inputs_changed = inputs::changed(repo, target, graph, &opening.state);
    let inputs_changed = inputs_changed.map_err(|e| Failure::unfit(format!("the inputs of tasks cannot be compared: {e}")))?;
    Ok(Opening { moved: moves.moved, inputs_changed, ..opening })
}

/// For the tasks of the record, where the files are not read.
pub fn of_record(repo: &Repo, target: &str, recorded: &State) -> Result<Opening, Failure> {
    let specs = recorded.tasks.values().filter(|t| !t.removed).map(|t| &t.spec);
    open(repo, target, specs, &TaskId::clone, recorded)
}

fn open<'a>(
    repo: &Repo,
    target: &str,
    specs: impl Iterator<Item = &'a Arc<Spec>>,
    now_called: &dyn Fn(&TaskId) -> TaskId,
    recorded: &State,
) -> Result<Opening, Failure> {
    let past = recall::read(repo, target, &[]);
    let past = past.map_err(|e| Failure::unfit(format!("the history of `{target}` cannot be read: {e}")))?;
    let found = recall::judge(&past, specs, now_called, recorded);
    let mut state = recorded.clone();
    found.inputs.iter().for_each(|input| drop(decide(&mut state, now(), input)));
    Ok(Opening {
        inputs: found.inputs,
        state,
        moved: Vec::new(),
        inputs_changed: BTreeMap::new(),
        notes: found.notes,
        asides: found.asides,
        past,
    })
}

impl Opening {
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.notes.iter().map(|note| format!("note: {note}"))
    }

    /// Says what a person should know.
    pub fn tell(&self, terminal: &Terminal) {
        let asides = self.asides.iter().filter(|_| terminal.verbose > 0);
        self.notes.iter().chain(asides).for_each(|note| terminal.note(&format!("note: {note}")));
    }

    /// Keeps what was read of history for the next time. Without it the next start takes longer.
    pub fn keep(&self, repo: &Repo, target: &str) {
        if let Err(error) = repo.keep_past(target, &self.past) {
            tracing::info!("what history says is not kept for the next time: {error}");
        }
    }
}

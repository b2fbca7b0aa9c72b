//! Desired state against recorded state: what would change, and why; and selectors.
//!
//! Pure. Stands above `core`, whose `State` it reads; never changes one. What a change would
//! come to is not worked out a second time here: it is applied to a copy of the state, by the
//! core's own rules, and the copy is looked at.
//!
//! Knows nothing of files, git, terminals or encodings: `report` renders a [`Plan`].

mod diff;
mod fate;
mod guard;
mod moves;
mod reason;
pub mod select;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Digest, Millis, TaskId};
use crate::core::{Change, Selection, State};
use crate::model::{Graph, Policy, Source};

pub use diff::diff;
pub use guard::{MANY_REMOVALS, MANY_RERUNS, many_reset};
pub use moves::{Moved, Moves, moves};

/// What a plan is made from.
pub struct Request<'a> {
    /// What the files say.
    pub graph: &'a Graph,
    pub policy: &'a Policy,
    /// What the store says.
    pub recorded: &'a State,
    /// What was moved in it to begin with: see [`moves`].
    pub moved: &'a [Moved],
    /// Tasks to run again whatever they came to.
    pub rerun: &'a BTreeSet<TaskId>,
    /// Completed tasks of whose `inputs` these are not as they landed on them.
    pub inputs: &'a BTreeMap<TaskId, Vec<String>>,
    /// What may run; it does not limit what is reconciled.
    pub selection: &'a Selection,
    pub now: Millis,
}

/// What a reconcile would do, and what would run after it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One a task, also of what stays as it is; in the order in which a person reads them.
    pub lines: Vec<Line>,
    /// For `core::Input::Reconcile`: removals, then definitions in the order of the files,
    /// because among equals the task that was defined first runs first.
    pub changes: Vec<Change>,
    /// Tasks that are called otherwise now.
    pub moved: Vec<Moved>,
    /// Those of which the changes only say where they stand now, or what those they need are called.
    pub cosmetic: BTreeSet<TaskId>,
    pub policy_changed: bool,
    /// Nothing was ever reconciled before: that the policy is new goes without saying.
    pub first: bool,
    pub summary: Summary,
    /// Each wants its flag before anything is changed.
    pub guards: Vec<Guard>,
    /// Changes that the files forbid (`on_change = "error"`), and what cannot be asked for.
    pub errors: Vec<String>,
    /// What a person may want to know and nothing waits for.
    pub notes: Vec<String>,
    pub bounds: Bounds,
}

impl Plan {
    /// Whether a task is to be another one than it was, not only to stand or be called elsewhere.
    pub fn says_more(&self) -> bool {
        self.changes.len() > self.cosmetic.len()
    }

    /// Whether an apply would run anything, or record more than other names and places.
    pub fn is_pending(&self) -> bool {
        self.says_more() || self.policy_changed || self.bounds.to_run > 0
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub id: TaskId,
    pub title: String,
    pub action: Action,
    /// What it is about, in a few words: the title of a new task, what changed in an old one.
    pub detail: String,
    /// Why it is in the plan, or what it waits for.
    pub reason: String,
    /// The agents it uses, joined by commas; none for shell lines.
    pub agent: Option<String>,
    /// The attempt to come or under way, counted under this definition, and how many it has.
    pub attempt: u32,
    pub max_attempts: u32,
    pub digest: Digest,
    /// Direct dependencies that are not done.
    pub waits_for: Vec<TaskId>,
    pub source: Source,
    /// Whether this run may claim it.
    pub selected: bool,
    /// Shown only to those who ask for everything.
    pub quiet: bool,
}

/// What becomes of a task. The order is that of the lines in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// An attempt is under way, or was interrupted and its work is taken up.
    Resume,
    /// New in the files.
    Create,
    /// Known, unfinished, never failed.
    Waiting,
    /// An attempt failed and another follows, or what failed was changed and starts anew.
    Retry,
    /// Done before, and done again.
    Rerun,
    /// Done, its definition moved, and it is left alone.
    Keep,
    /// Unfinished and no longer in the files.
    Drop,
    /// No longer in the files; a running task finishes first, a finished one stays on record.
    Leave,
    /// Done, and taken back by a person: not done again unasked.
    Reverted,
    /// Out of attempts.
    Failed,
    /// Cannot run until something else happens.
    Blocked,
    UpToDate,
}

impl Action {
    pub fn sign(self) -> char {
        match self {
            Action::Resume => '*',
            Action::Create | Action::Waiting => '+',
            Action::Retry => '^',
            Action::Rerun => '~',
            Action::Keep | Action::UpToDate => '=',
            Action::Drop | Action::Leave => '-',
            Action::Reverted | Action::Failed | Action::Blocked => '!',
        }
    }
}

/// How many lines of each kind. What is not selected counts as that, unless it is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub resume: usize,
    /// New and waiting ones.
    pub run: usize,
    pub retry: usize,
    pub rerun: usize,
    pub moved: usize,
    pub keep: usize,
    pub drop: usize,
    /// Running tasks that finish first.
    pub leave: usize,
    /// Finished tasks that leave the files and stay on record.
    pub history: usize,
    pub reverted: usize,
    pub failed: usize,
    pub blocked: usize,
    pub up_to_date: usize,
    pub not_selected: usize,
}

/// What a guard is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// Tasks with an attempt under way that left the files.
    Running,
    Removals,
    Reruns,
}

/// A change so large that it is more likely a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    pub what: Guarded,
    /// What allows it, as on the command line.
    pub flag: &'static str,
    pub message: String,
    pub tasks: Vec<TaskId>,
}

/// What the run cannot exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Tasks that will run if nothing fails.
    pub to_run: usize,
    pub workers: u32,
    /// The longest chain of tasks to run, each waiting for the one before.
    pub critical_path: usize,
    /// Millionths of a dollar that agents may come to cost by the budgets; none where one has none.
    pub cost_microusd: Option<u64>,
}

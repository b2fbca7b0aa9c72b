//! The vocabulary: what can happen (inputs, answers) and what was decided (facts).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::{Due, Limits, Selection};
use crate::base::{Aid, Digest, Oid, RunId, TaskId};
use crate::model::{Policy, Spec};

/// Everything that can reach the core comes through here.
#[derive(Clone, Debug)]
pub enum Input {
    /// A process took up the work.
    RunBegan { run: RunId, selection: Selection },
    /// What was landed is written in the commits of the target; the record does not know of it.
    Recall { found: Vec<Recalled> },
    /// The desired state moved.
    Reconcile { policy: Option<Arc<Policy>>, changes: Vec<Change> },
    /// The run that began does something otherwise than the policy says.
    Limit(Limits),
    /// Nothing is left to do in this run.
    RunEnds,
    /// A timer fired; the time is what counts.
    Tick,
    /// Claim nothing more; let what runs finish.
    Drain,
    /// What runs is being ended; start nothing more.
    Interrupt,
    /// Where the line stands, or was brought to. `was` is what was known of it when the look
    /// began: it does not count if something has landed since.
    LineSynced { was: Option<Oid>, tip: Oid },
    /// The line reached the target.
    Published { tip: Oid },
    /// It did not, and why, in words; nothing is lost.
    PublishHeld { why: String },
    /// A worktree of an ended attempt is gone.
    Cleaned { aid: Aid },
    /// What an attempt's step came to. Ignored unless it is the step the attempt is in.
    Answer { task: TaskId, aid: Aid, answer: Answer },
}

/// A task that the history of the target says has landed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recalled {
    /// As the files define it today.
    pub spec: Arc<Spec>,
    /// Of the definition that landed.
    pub digest: Digest,
    pub aid: Aid,
    pub commit: Oid,
}

/// One line of a plan, as the core takes it.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new task or a new definition. `rerun` makes a completed one run again.
    Define { spec: Arc<Spec>, rerun: bool },
    /// No longer in the files.
    Remove { task: TaskId },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Prepared,
    AgentEnded {
        n: usize,
        exit: Exit,
    },
    Snapshotted {
        n: usize,
        snap: Snap,
    },
    CheckPassed {
        tree: Oid,
        check: String,
    },
    CheckFailed {
        tree: Oid,
        failure: Failure,
    },
    Committed {
        commit: Oid,
    },
    Merged {
        old: Oid,
        new: Oid,
        tree: Oid,
    },
    Conflict {
        paths: Vec<String>,
    },
    /// `commit` carries the attempt's trailers; `tip` is the line's tip that contains it.
    Landed {
        commit: Oid,
        tip: Oid,
    },
    /// The line moved between the intent and the swap.
    LostRace,
    /// The step cannot succeed, whatever is tried.
    Broken {
        failure: Failure,
    },
    /// Not the task's fault (disk full, a lock, a network): wait, then do the step again.
    Trouble {
        why: String,
    },
    /// The step was cut short by an interrupt; do it again at the next start.
    CutShort,
}

/// How a step's process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    pub outcome: Outcome,
    /// The agent's own words, bounded; goes into the commit's body.
    pub summary: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed(Failure),
    /// Killed, rebooted, drained: uses no attempt.
    Interrupted,
}

/// The files a step left, kept in git.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snap {
    pub tree: Oid,
    /// A commit of that tree, anchored by a ref of the attempt.
    pub commit: Oid,
    /// The tree is the one the attempt started from.
    pub unchanged: bool,
    /// What makes the tree unfit to land (a protected path, a tampered link).
    pub problem: Option<Failure>,
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub class: FailureClass,
    /// One or more lines: what happened, and where to look.
    pub message: String,
    /// The end of the output that shows it, for people and for the next attempt.
    #[serde(default)]
    pub tail: String,
}

impl Failure {
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), tail: String::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The agent or command said so, by exit code or result.
    Agent,
    Timeout,
    Stall,
    Verify,
    /// Nothing was changed where a change was expected.
    Empty,
    Protected,
    Tampered,
    NestedRepository,
    Conflict,
    Setup,
    /// Interrupted or in trouble too often without progress.
    Poison,
    /// A bug of Drover's own.
    Bug,
}

/// What was decided. Committed before anything follows from it; never changed afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    RunBegan {
        run: RunId,
        selection: Selection,
        continues: Option<RunId>,
    },
    Limited(Limits),
    RunEnded {
        run: RunId,
    },
    /// The run's `max_time` is over.
    TimeUp,
    PolicySet {
        policy: Arc<Policy>,
    },
    Defined {
        spec: Arc<Spec>,
        rerun: bool,
    },
    Recalled(Recalled),
    Removed {
        task: TaskId,
    },
    LineSynced {
        tip: Oid,
    },
    Published {
        tip: Oid,
    },
    PublishHeld {
        why: String,
    },
    Cleaned {
        aid: Aid,
    },
    Claimed {
        task: TaskId,
        aid: Aid,
        base: Oid,
    },
    Prepared {
        task: TaskId,
        aid: Aid,
    },
    AgentEnded {
        task: TaskId,
        aid: Aid,
        n: usize,
        exit: Exit,
    },
    Snapshotted {
        task: TaskId,
        aid: Aid,
        n: usize,
        snap: Snap,
    },
    CheckPassed {
        task: TaskId,
        aid: Aid,
        tree: Oid,
        check: String,
    },
    /// All checks of step `n` passed.
    Verified {
        task: TaskId,
        aid: Aid,
        n: usize,
    },
    Committed {
        task: TaskId,
        aid: Aid,
        commit: Oid,
    },
    /// The attempt may merge; one at a time.
    LaneTaken {
        task: TaskId,
        aid: Aid,
    },
    LandIntent {
        task: TaskId,
        aid: Aid,
        old: Oid,
        new: Oid,
        tree: Oid,
    },
    LaneLost {
        task: TaskId,
        aid: Aid,
    },
    Landed {
        task: TaskId,
        aid: Aid,
        commit: Oid,
        tip: Oid,
    },
    /// Done without a commit: a task that works in the checkout.
    Done {
        task: TaskId,
        aid: Aid,
    },
    /// Trouble that is not the task's; the step is done again when due.
    Delayed {
        task: TaskId,
        aid: Aid,
        due: Due,
        why: String,
    },
    /// A timer of a task fired.
    Due {
        task: TaskId,
    },
    Interrupted {
        task: TaskId,
        aid: Aid,
    },
    AttemptFailed {
        task: TaskId,
        aid: Aid,
        failure: Failure,
        retry: Option<Due>,
    },
    /// The definition moved under the attempt: it does not land.
    Superseded {
        task: TaskId,
        aid: Aid,
    },
    /// Stopped for a person.
    Blocked {
        task: TaskId,
        aid: Aid,
        paths: Vec<String>,
    },
}

impl Fact {
    /// The task it is about, if it is about one.
    pub fn task(&self) -> Option<&TaskId> {
        use Fact::*;
        match self {
            Defined { spec, .. } | Self::Recalled(self::Recalled { spec, .. }) => Some(&spec.id),
            Removed { task } | Due { task } => Some(task),
            Claimed { task, .. }
            | Prepared { task, .. }
            | AgentEnded { task, .. }
            | Snapshotted { task, .. }
            | CheckPassed { task, .. }
            | Verified { task, .. }
            | Committed { task, .. }
            | LaneTaken { task, .. }
            | LandIntent { task, .. }
            | LaneLost { task, .. }
            | Landed { task, .. }
            | Done { task, .. }
            | Delayed { task, .. }
            | Interrupted { task, .. }
            | AttemptFailed { task, .. }
            | Superseded { task, .. }
            | Blocked { task, .. } => Some(task),
            RunBegan { .. }
            | Limited(_)
            | RunEnded { .. }
            | TimeUp
            | PolicySet { .. }
            | LineSynced { .. }
            | Published { .. }
            | PublishHeld { .. }
            | Cleaned { .. } => None,
        }
    }

    /// The tasks that a batch of facts touched.
    pub fn touched<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> BTreeSet<TaskId> {
        facts.into_iter().filter_map(|f| f.task().cloned()).collect()
    }
}

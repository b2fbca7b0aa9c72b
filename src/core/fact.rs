//! The vocabulary: what can happen (inputs, answers) and what was decided (facts).

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
pub use super::desired::Change;
use super::mark::Mark;
use super::outcome::{Exit, Failure, Snap};
use super::pause::{Pause, Stage};
use super::push::Elsewhere;
pub use super::reverts::Recalled;
use super::state::{Due, Limits, Selection};
use super::withdraw::Ending;
use crate::base::{Aid, Oid, RunId, TaskId};
use crate::model::{Policy, Spec};

/// Everything that can reach the core comes through here.
#[derive(Clone, Debug)]
pub enum Input {
    /// A process took up the work.
    RunBegan { run: RunId, selection: Selection },
    /// The same process takes it up once more, after its last run came to an end.
    Again { run: RunId },
    /// From now on nothing more is claimed, and why; `None`: claims go on. What runs may finish.
    StandBy { why: Option<String> },
    /// What was landed is written in the commits of the target; the record does not know of it. An
    /// attempt that is under way has landed if it is its own; by another it does not land any more.
    Recall { found: Vec<Recalled> },
    /// The target was reset to this commit, and a person let go of what these tasks had landed after it.
    LetGo { tasks: Vec<TaskId>, tip: Oid },
    /// Whether the landed work of these tasks was reverted, and by which commit; `None` for work
    /// that was, and is whole again.
    Reverts { found: Vec<(TaskId, Option<Oid>)> },
    /// From now on the run is to do these.
    Select { selection: Selection },
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
    /// The same, with what its new commits say: what landed, and of which landings it is known by
    /// now whether, and by which commit, they were reverted.
    LineBrings { was: Option<Oid>, tip: Oid, found: Vec<Elsewhere>, reverts: Vec<(Aid, TaskId, Option<Oid>)> },
    /// The line reached the target.
    Published { tip: Oid },
    /// It did not, and why, in words; nothing is lost.
    PublishHeld { why: String },
    /// The same because of these files in a checkout.
    PublishWaits { why: String, paths: Vec<String> },
    /// A person wants it tried now; with `restore` also what the target lost is to come back.
    PublishAsked { restore: bool },
    /// What git would run or obey that nobody accepted, in words; empty if there is nothing.
    GitChanges { found: Vec<String> },
    /// The same for a reason that soon passes by itself.
    PublishBusy { why: String },
    /// The remote has the line's commit `tip`.
    Pushed { tip: Oid },
    /// It has not got it, and why; `lasting` if somebody has to do something.
    PushHeld { why: String, lasting: bool },
    /// The line contains `tip` of the remote, with these records of tasks that landed in other clones.
    Found { tip: Oid, found: Vec<Elsewhere> },
    /// A worktree of an ended attempt is gone.
    Cleaned { aid: Aid },
    /// A person wants something of these tasks, all at once: nothing is begun between two of them.
    /// Whether that changes anything is asked before, see `State::consider`.
    Orders(Vec<super::control::Order>),
    /// A person wants something of the whole project: see `State::consider_wish`.
    Wish(super::wish::Wish),
    /// What an attempt's step came to. Ignored unless it is the step the attempt is in.
    Answer { task: TaskId, aid: Aid, answer: Box<Answer> },
}

/// What was decided. Committed before anything follows from it; never changed afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    RunBegan {
        run: RunId,
        selection: Selection,
        continues: Option<RunId>,
        /// The run before it of the same watch: what that one used counts here too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<RunId>,
    },
    Limited(Limits),
    /// What a run is to do was worked out anew, when the files said something else.
    Selected {
        selection: Selection,
    },
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
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inputs: Vec<String>,
    },
    /// What was recorded under `from` is of `spec.id` now.
    Moved {
        from: TaskId,
        spec: Arc<Spec>,
    },
    Recalled(Recalled),
    /// A person took back with this commit what the task had landed; or, with `let_go`, reset the target to it and let
    /// go of the rest.
    Reverted {
        task: TaskId,
        commit: Oid,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        let_go: bool,
    },
    /// That was reverted itself: the task's work is whole again.
    Restored {
        task: TaskId,
    },
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
        #[serde(default)]
        again: Option<Due>,
        #[serde(default)]
        passing: bool,
        #[serde(default)]
        paths: Vec<String>,
    },
    /// Publishing is tried again.
    PublishDue,
    /// A person asked for it, and for what the target lost if `restore`.
    PublishAsked {
        restore: bool,
    },
    Pushed {
        tip: Oid,
    },
    PushHeld {
        why: String,
        again: Option<Due>,
    },
    /// Pushing is tried again.
    PushDue,
    /// The records of others are read up to this commit of the remote.
    RemoteSeen {
        tip: Oid,
    },
    /// The task landed in another clone while an attempt is under way here.
    Elsewhere {
        task: TaskId,
        found: Elsewhere,
    },
    /// Commands for git appeared while attempts ran (those of `during`), or are gone again:
    /// nothing lands while there are any.
    GitChanged {
        found: Vec<String>,
        during: BTreeSet<TaskId>,
    },
    Cleaned {
        aid: Aid,
    },
    /// A person has something to say to the next attempt, or nothing any more.
    Hinted(super::hint::Hinted),
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
        /// It had failed on that tree before: it is flaky.
        #[serde(default)]
        again: bool,
    },
    /// It failed, which is not yet the end of the attempt.
    CheckFailed {
        task: TaskId,
        aid: Aid,
        tree: Oid,
        check: String,
        label: String,
        times: u32,
        failure: Failure,
    },
    /// It was run on the commit that the attempt's work is compared with.
    Compared {
        task: TaskId,
        aid: Aid,
        commit: Oid,
        check: String,
        green: bool,
    },
    /// It fails on the commit `baseline` as well, and counts as proved.
    CheckExcused {
        task: TaskId,
        aid: Aid,
        tree: Oid,
        check: String,
        baseline: Oid,
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
    /// What was committed waits for a person.
    ApprovalAsked {
        task: TaskId,
        aid: Aid,
    },
    /// A person let it through.
    Approved {
        task: TaskId,
        aid: Aid,
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
    /// The attempt ends without counting, and its agent pauses for everybody.
    Held {
        task: TaskId,
        aid: Aid,
        agent: String,
        pause: Pause,
    },
    /// The attempt ends without counting: a budget is used up. `finished`: after a whole step.
    OverBudget {
        task: TaskId,
        aid: Aid,
        why: String,
        finished: bool,
    },
    /// A pause is over, or a trial.
    PauseMoved {
        agent: String,
        stage: Stage,
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
    /// A person gives it all its attempts again.
    Retried {
        task: TaskId,
    },
    /// A person wants it done as if nothing had been done of it.
    Reset {
        task: TaskId,
    },
    /// A person wants that nothing is begun of it, or that no more.
    Suspended {
        task: TaskId,
        on: bool,
    },
    /// The same of everything.
    AllSuspended {
        on: bool,
    },
    /// A person says where it is.
    Marked {
        task: TaskId,
        mark: Mark,
    },
    /// A person does not want it started.
    Cancelled {
        task: TaskId,
    },
    /// A person does not want this attempt to go on: from here it only comes to its end.
    EndAsked {
        task: TaskId,
        aid: Aid,
        then: Ending,
    },
    /// It has ended because of that, and has not landed.
    Withdrawn {
        task: TaskId,
        aid: Aid,
    },
    /// Stopped for a person.
    Blocked {
        task: TaskId,
        aid: Aid,
        paths: Vec<String>,
    },
    /// The same, because its agent says that something outside keeps it from the task.
    BlockedExternally {
        task: TaskId,
        aid: Aid,
        reason: String,
    },
}

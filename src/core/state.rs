//! What is recorded. Data-carrying enums: what cannot be, cannot be written.
//!
//! A `State` is of one target branch. Its durable part is [`Header`] and each [`Task`]; specs
//! and policy stand in the journal once and are pointed at by their sequence numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::due::Due;
use super::gate::{Baseline, Blemishes, Excuse, Red};
use super::hint::Hint;
use super::index::Index;
use super::mark::Mark;
use super::outcome::{Conflicted, Exit, Failure, FollowUp, Left, Snap};
use super::pause::Pause;
use super::push::{Elsewhere, Line};
pub use super::selection::Selection;
use super::task::Conversation;
use super::usage::Usage;
use super::withdraw::Ending;
use crate::base::{Aid, Digest, Millis, Oid, RunId, TaskId};
use crate::model::{Check, Policy, Spec, Workspace};

#[derive(Clone, Debug, Default)]
pub struct State {
    pub head: Header,
    pub policy: Arc<Policy>,
    pub selection: Selection,
    pub tasks: BTreeMap<TaskId, Task>,
    /// Of this process alone: a restart starts anew.
    pub flow: Flow,
    /// Why nothing more is claimed for the time being. Of this process alone, too.
    pub stands_by: Option<String>,
    /// A run has begun in this process, or it was told what to do in one: what is selected is its own.
    pub(super) begun: bool,
    pub(super) index: Index,
}

/// The durable part of a state that belongs to no task. Small: it is written with every commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The number of the last fact applied; the first is 1.
    pub seq: u64,
    /// The fact that holds the policy in force; 0 for none.
    pub policy_seq: u64,
    /// The fact that holds what the run is to do; 0 for none.
    pub run_seq: u64,
    pub run: Option<Run>,
    pub line: Line,
    /// Ended attempts whose worktrees may still stand.
    pub garbage: BTreeSet<Aid>,
    /// Claims ever made; names attempts.
    pub claims: u64,
    /// Landings ever made; orders them.
    pub landings: u64,
    /// What git would run or obey that nobody accepted, in words: while there is any of it,
    /// nothing lands, is published or begun.
    #[serde(default)]
    pub unaccepted: Vec<String>,
    /// Agents that could not work, by their names.
    #[serde(default)]
    pub pauses: BTreeMap<String, Pause>,
    /// What all attempts ever used.
    #[serde(default)]
    pub usage: Usage,
    /// What checks come to without the work of any attempt, the newest last.
    #[serde(default)]
    pub baselines: Vec<Baseline>,
    /// A person wants that nothing is begun at all.
    #[serde(default)]
    pub suspended: bool,
}

/// One start of Drover that carries out work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub began: Millis,
    /// The run that was cut short before this one.
    pub continues: Option<RunId>,
    pub ended: bool,
    pub time_up: bool,
    pub limits: Limits,
    /// What its attempts used, with those of the runs that it continues.
    #[serde(default)]
    pub usage: Usage,
}

/// What a run does otherwise than the project's policy says; gone with the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    pub workers: Option<u32>,
    pub fail_fast: Option<bool>,
}

/// Flags of a process, not of the durable state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Running,
    Draining,
    Interrupting,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    #[serde(skip, default = "super::task::unloaded")]
    pub spec: Arc<Spec>,
    pub spec_seq: u64,
    /// The definition that takes over when the running attempt ends.
    #[serde(skip)]
    pub next: Option<Arc<Spec>>,
    pub next_seq: u64,
    pub phase: Phase,
    /// When `phase` last changed.
    pub changed: Millis,
    /// The task's own failures under this definition.
    pub failures: u32,
    /// Interruptions and troubles in a row.
    pub interruptions: u32,
    /// Attempts ever made.
    pub attempts: u32,
    /// What an interrupted attempt had made.
    pub carry: Option<Carry>,
    pub last_failure: Option<Failure>,
    /// What the last attempt had made, where it failed.
    #[serde(default)]
    pub left: Option<Left>,
    /// What the last attempt had made, where it failed because it conflicts with what landed.
    #[serde(default)]
    pub conflict: Option<Conflicted>,
    /// Landed in another clone while an attempt was under way here: that one does not land.
    #[serde(default)]
    pub elsewhere: Option<Elsewhere>,
    /// The newest attempt, also once it has ended.
    pub last_aid: Option<Aid>,
    /// The newest completion, also while the task runs again.
    pub completion: Option<Completion>,
    /// The commit that took back what it had landed. Counts while it is completed.
    #[serde(default)]
    pub reverted: Option<Oid>,
    /// Not by a revert: the target was reset to that commit, and a person let go of the rest.
    #[serde(default)]
    pub let_go: bool,
    /// The files whose change has it run again, until it is done.
    #[serde(default)]
    pub renewed: Vec<String>,
    /// No longer in the files: shown no more, or dropped once it has ended.
    pub removed: bool,
    /// What a person has to say to the next attempt.
    #[serde(default)]
    pub hints: Vec<Hint>,
    /// Further work that the agents of its last attempt named.
    #[serde(default)]
    pub follow_up: Vec<FollowUp>,
    /// The fact that put it into the queue: the older goes first.
    pub queued: u64,
    /// What its attempts under this definition used.
    #[serde(default)]
    pub usage: Usage,
    /// A person wants that nothing is begun of it.
    #[serde(default)]
    pub suspended: bool,
    /// A person's word for where it is.
    #[serde(default)]
    pub marked: Option<Mark>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Until its dependencies have landed and a worker is free; not before the time, if there is one.
    Waiting {
        not_before: Option<Due>,
    },
    Active(Box<Attempt>),
    Completed,
    Failed,
    Blocked(Block),
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    Conflict {
        paths: Vec<String>,
    },
    /// By something outside, as its agent said.
    External {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub aid: Aid,
    /// Counts from 1 over all attempts at the task.
    pub no: u32,
    pub run: RunId,
    /// The commit its worktree starts from; holds every dependency's landed work.
    pub base: Oid,
    /// A tree laid over the base: what an interrupted attempt had made.
    pub restore: Option<Oid>,
    pub started: Millis,
    pub step: Step,
    /// One for each step that ended, in order.
    pub snaps: Vec<Snap>,
    /// The agents' own words so far.
    pub summary: String,
    /// (tree, command) pairs that passed.
    pub proofs: BTreeSet<(Oid, String)>,
    /// Checks that failed and may count as passed all the same.
    #[serde(default)]
    pub reds: Vec<Red>,
    #[serde(default)]
    pub excused: Vec<Excuse>,
    #[serde(default)]
    pub blemishes: Blemishes,
    /// The step is not to be done before this.
    pub delay: Option<Due>,
    /// `Header::landings` when it was claimed.
    pub landings: u64,
    /// What a person has to say to it.
    #[serde(default)]
    pub hints: Vec<String>,
    /// What its first step goes on with.
    #[serde(default)]
    pub conversation: Option<Conversation>,
    /// What it used so far.
    #[serde(default)]
    pub usage: Usage,
    /// A person wants it to end: what becomes of the task then.
    #[serde(default)]
    pub ending: Option<Ending>,
    /// By the name of each agent that was stopped when it was claimed, who does its work.
    #[serde(default)]
    pub stand_ins: BTreeMap<String, String>,
}

/// Where an attempt is. Each stands for one effect that the world owes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Prepare,
    Agent {
        n: usize,
    },
    Snapshot {
        n: usize,
        exit: Exit,
    },
    Verify {
        n: usize,
    },
    Commit,
    /// Waits for a person to look at it.
    Approval {
        commit: Oid,
    },
    /// A person let it through: waits for a worker and the lane.
    Approved {
        commit: Oid,
    },
    /// Waits for the lane.
    Queued {
        commit: Oid,
    },
    Merge {
        commit: Oid,
    },
    Land {
        commit: Oid,
        old: Oid,
        new: Oid,
        tree: Oid,
    },
}

/// What an interrupted attempt leaves to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carry {
    pub aid: Aid,
    pub base: Oid,
    /// Of the steps that were finished.
    pub snaps: Vec<Snap>,
    pub summary: String,
    /// The files as the interrupted step left them.
    pub tree: Option<Oid>,
    pub landings: u64,
    #[serde(default)]
    pub conversation: Option<Conversation>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub aid: Aid,
    pub digest: Digest,
    /// Absent for a task that works in the checkout.
    pub commit: Option<Oid>,
    pub at: Millis,
    pub landing: u64,
    /// Where the line stood before it, as far as that is known.
    #[serde(default)]
    pub onto: Option<Oid>,
    /// What its attempt began at, as far as that is known.
    #[serde(default)]
    pub base: Option<Oid>,
    #[serde(default)]
    pub blemishes: Blemishes,
}

impl Task {
    pub fn attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            Phase::Active(attempt) => Some(attempt),
            _ => None,
        }
    }
    pub fn is_completed(&self) -> bool {
        self.phase == Phase::Completed
    }
    /// Never tried, and not known to be done.
    pub fn is_untouched(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. }) && self.attempts == 0 && self.completion.is_none()
    }
    pub fn in_checkout(&self) -> bool {
        self.spec.workspace == Workspace::Checkout
    }
}

impl Attempt {
    /// Whether it may still touch the line: one attempt at a time is in the lane.
    pub fn in_lane(&self) -> bool {
        matches!(self.step, Step::Merge { .. } | Step::Land { .. })
    }
}

impl State {
    /// What must have passed on the tree that lands.
    pub fn landing_checks<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = &'a Check> {
        spec.verify.iter().chain(&self.policy.merge.verify)
    }

    /// Attempts at a time.
    pub fn workers(&self) -> usize {
        let limit = self.head.run.as_ref().filter(|r| !r.ended).and_then(|r| r.limits.workers);
        limit.unwrap_or(self.policy.workers) as usize
    }

    pub(super) fn fails_fast(&self) -> bool {
        let limit = self.head.run.as_ref().and_then(|r| r.limits.fail_fast);
        limit.unwrap_or(self.policy.fail_fast)
    }

    /// Tasks with an attempt under way. One that waits for a person is not: see `parked`.
    pub fn active(&self) -> impl Iterator<Item = (&Task, &Attempt)> {
        self.index.active().filter_map(|id| self.tasks.get(id)).filter_map(|t| t.attempt().map(|a| (t, a)))
    }

    /// The attempts whose worktrees may stand.
    pub fn standing(&self) -> BTreeSet<Aid> {
        self.active().chain(self.parked()).map(|(_, a)| a.aid.clone()).chain(self.head.garbage.iter().cloned()).collect()
    }

    /// The newest attempt at a task.
    pub fn last_aid(&self, id: &TaskId) -> Option<&Aid> {
        self.tasks.get(id)?.last_aid.as_ref()
    }

    /// The commit that landed last: the line contains it, and all that landed before it.
    pub fn last_landed(&self) -> Option<&Oid> {
        let completions = self.tasks.values().filter_map(|t| t.completion.as_ref());
        completions.filter_map(|c| Some((c.landing, c.commit.as_ref()?))).max_by_key(|(landing, _)| *landing).map(|(_, commit)| commit)
    }

    /// What an interrupted attempt left, if its base still holds all that the task needs.
    pub(super) fn usable_carry(&self, id: &TaskId) -> Option<&Carry> {
        let task = self.tasks.get(id)?;
        let carry = task.carry.as_ref()?;
        let landing = |d: &TaskId| self.tasks.get(d).and_then(|t| t.completion.as_ref()).map_or(u64::MAX, |c| c.landing);
        task.spec.depends_on.iter().all(|d| landing(d) <= carry.landings).then_some(carry)
    }

    /// A state as loaded: the parts that are derived are made anew.
    pub fn assemble(head: Header, policy: Arc<Policy>, selection: Selection, tasks: BTreeMap<TaskId, Task>) -> Self {
        let mut state =
            Self { head, policy, selection, tasks, flow: Flow::Running, stands_by: None, begun: false, index: Index::default() };
        state.reindex();
        state
    }

    /// Whether two states are the same in everything that is durable.
    pub fn same_record(&self, other: &State) -> bool {
        self.head == other.head && self.policy == other.policy && self.selection == other.selection && self.tasks == other.tasks
    }
}

//! What is recorded. Data-carrying enums: what cannot be, cannot be written.
//!
//! A `State` is of one target branch. Its durable part is [`Header`] and each [`Task`]; specs
//! and policy stand in the journal once and are pointed at by their sequence numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fact::{Exit, Failure, Snap};
use super::index::Index;
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
    /// A run has begun in this process.
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
    /// The fact that holds the run's selection; 0 for none.
    pub run_seq: u64,
    pub run: Option<Run>,
    pub line: Line,
    /// Ended attempts whose worktrees may still stand.
    pub garbage: BTreeSet<Aid>,
    /// Claims ever made; names attempts.
    pub claims: u64,
    /// Landings ever made; orders them.
    pub landings: u64,
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
}

/// What a run does otherwise than the project's policy says; gone with the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub workers: Option<u32>,
    pub fail_fast: Option<bool>,
}

/// The integration line and what reached the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Unknown until this run has looked.
    pub tip: Option<Oid>,
    pub publish: Publish,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// Nothing known to be left.
    #[default]
    Done,
    Owed,
    /// Not now, and why; tried again after the next landing and at the next start.
    Held(String),
}

/// Which tasks a run may claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    #[default]
    All,
    Only(BTreeSet<TaskId>),
}

impl Selection {
    pub fn holds(&self, task: &TaskId) -> bool {
        match self {
            Selection::All => true,
            Selection::Only(set) => set.contains(task),
        }
    }
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
    #[serde(skip, default = "unloaded")]
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
    /// The newest attempt, also once it has ended.
    pub last_aid: Option<Aid>,
    /// The newest completion, also while the task runs again.
    pub completion: Option<Completion>,
    /// No longer in the files: shown no more, or dropped once it has ended.
    pub removed: bool,
    /// The fact that put it into the queue: the older goes first.
    pub queued: u64,
}

/// Stands in for a spec until the store has put the real one in its place.
fn unloaded() -> Arc<Spec> {
    use crate::model::{OnChange, OnDependency, Retry, Source};
    Arc::new(Spec {
        id: TaskId::parse("unloaded").expect("a plain id"),
        title: String::new(),
        epic: None,
        digest: Digest::v1(b""),
        depends_on: Vec::new(),
        priority: 0,
        labels: Vec::new(),
        groups: Vec::new(),
        steps: Vec::new(),
        verify: Vec::new(),
        retry: Retry::default(),
        on_change: OnChange::Rerun,
        on_dependency: OnDependency::Keep,
        allow_empty: false,
        protect: Vec::new(),
        workspace: Workspace::Worktree,
        env: BTreeMap::new(),
        env_pass: Vec::new(),
        source: Source::default(),
    })
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
    Conflict { paths: Vec<String> },
}

/// A time by the wall clock, and how far off it was when it was set: should the clock jump,
/// the wait is never longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub at: Millis,
    /// Milliseconds.
    pub length: u64,
}

impl Due {
    pub fn after(now: Millis, wait: Duration) -> Self {
        Self { at: now.after(wait), length: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
    }
    pub fn is_over(&self, now: Millis) -> bool {
        now >= self.at || self.at.0.saturating_sub(now.0) > self.length
    }
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
    /// The step is not to be done before this.
    pub delay: Option<Due>,
    /// `Header::landings` when it was claimed.
    pub landings: u64,
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub aid: Aid,
    pub digest: Digest,
    /// Absent for a task that works in the checkout.
    pub commit: Option<Oid>,
    pub at: Millis,
    pub landing: u64,
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
    /// The first of `checks` not yet proved on `tree`.
    pub fn unproved<'a>(&self, tree: &Oid, checks: impl IntoIterator<Item = &'a Check>) -> Option<&'a Check> {
        checks.into_iter().find(|c| !self.proofs.contains(&(tree.clone(), c.key())))
    }
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

    /// Tasks with an attempt under way.
    pub fn active(&self) -> impl Iterator<Item = (&Task, &Attempt)> {
        self.index.active().filter_map(|id| self.tasks.get(id)).filter_map(|t| t.attempt().map(|a| (t, a)))
    }

    /// The attempts whose worktrees may stand.
    pub fn standing(&self) -> BTreeSet<Aid> {
        self.active().map(|(_, a)| a.aid.clone()).chain(self.head.garbage.iter().cloned()).collect()
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
        let mut state = Self { head, policy, selection, tasks, flow: Flow::Running, begun: false, index: Index::default() };
        state.reindex();
        state
    }

    /// Whether two states are the same in everything that is durable.
    pub fn same_record(&self, other: &State) -> bool {
        self.head == other.head && self.policy == other.policy && self.selection == other.selection && self.tasks == other.tasks
    }
}

//! What follows from the tasks and is kept up to date for speed: who waits for whom, who may
//! be claimed and in which order. Never stored.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::push::Publish;
use super::state::{Phase, State};
use crate::base::TaskId;

/// Priority, then the longest remaining chain, then age, then id.
type Rank = (Reverse<i64>, Reverse<u32>, u64, TaskId);

#[derive(Clone, Debug, Default)]
pub struct Index {
    stale: bool,
    dependents: BTreeMap<TaskId, Vec<TaskId>>,
    /// Tasks on the longest chain of dependents, this one included.
    chain: BTreeMap<TaskId, u32>,
    queue: BTreeSet<Rank>,
    queued: BTreeMap<TaskId, Rank>,
    active: BTreeSet<TaskId>,
    parked: BTreeSet<TaskId>,
    timed: BTreeSet<TaskId>,
}

impl Index {
    pub fn active(&self) -> impl Iterator<Item = &TaskId> {
        self.active.iter()
    }
    /// Tasks with an attempt that takes no worker: it waits for a person, or was let through.
    pub fn parked(&self) -> impl Iterator<Item = &TaskId> {
        self.parked.iter()
    }
    /// Tasks that may be claimed as far as their own state goes, the first to be claimed first.
    pub fn queue(&self) -> impl Iterator<Item = &TaskId> {
        self.queue.iter().map(|(_, _, _, id)| id)
    }
    /// Tasks that wait for a time.
    pub fn timed(&self) -> impl Iterator<Item = &TaskId> {
        self.timed.iter()
    }
    pub fn dependents(&self, id: &TaskId) -> &[TaskId] {
        self.dependents.get(id).map(Vec::as_slice).unwrap_or_default()
    }
    pub fn chain(&self, id: &TaskId) -> u32 {
        self.chain.get(id).copied().unwrap_or(1)
    }
    /// The edges moved: everything must be made anew before it is used.
    pub fn spoil(&mut self) {
        self.stale = true;
    }
}

impl State {
    /// Makes the index anew if it must be.
    pub(super) fn settle_index(&mut self) {
        if self.index.stale {
            self.reindex();
        }
    }

    pub(super) fn reindex(&mut self) {
        let mut index = Index::default();
        for (id, task) in &self.tasks {
            for dependency in &task.spec.depends_on {
                index.dependents.entry(dependency.clone()).or_default().push(id.clone());
            }
        }
        index.chain = chains(self, &index.dependents);
        self.index = index;
        let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
        ids.iter().for_each(|id| self.refresh(id));
    }

    /// Brings the index up to date with one task and those that wait for it.
    pub(super) fn refresh_around(&mut self, id: &TaskId) {
        if self.index.stale {
            return;
        }
        self.refresh(id);
        for dependent in self.index.dependents(id).to_vec() {
            self.refresh(&dependent);
        }
    }

    fn refresh(&mut self, id: &TaskId) {
        if let Some(rank) = self.index.queued.remove(id) {
            self.index.queue.remove(&rank);
        }
        self.index.active.remove(id);
        self.index.parked.remove(id);
        self.index.timed.remove(id);
        let Some(task) = self.tasks.get(id) else { return };
        match &task.phase {
            Phase::Active(attempt) if attempt.is_parked() => {
                self.index.parked.insert(id.clone());
            }
            Phase::Active(attempt) => {
                self.index.active.insert(id.clone());
                if attempt.delay.is_some() {
                    self.index.timed.insert(id.clone());
                }
            }
            Phase::Waiting { not_before: Some(_) } if !task.suspended => {
                self.index.timed.insert(id.clone());
            }
            Phase::Waiting { not_before: None } if self.is_claimable(id) => {
                let rank = (Reverse(task.spec.priority), Reverse(self.index.chain(id)), task.queued, id.clone());
                self.index.queue.insert(rank.clone());
                self.index.queued.insert(id.clone(), rank);
            }
            _ => {}
        }
    }

    /// Selected, in the files, and everything it needs has landed.
    fn is_claimable(&self, id: &TaskId) -> bool {
        let Some(task) = self.tasks.get(id) else { return false };
        !task.removed
            && !task.suspended
            && task.spec.enabled
            && self.selection.holds(id)
            && task.spec.depends_on.iter().all(|d| self.tasks.get(d).is_some_and(|d| d.stands()))
    }

    /// Whether a task that works in the checkout would find there what it depends on.
    pub(super) fn checkout_is_current(&self) -> bool {
        self.head.line.publish == Publish::Done
    }
}

/// The longest chain of dependents from each task, by an explicit stack: a chain may be long.
/// An attempt that runs under an old definition can close a cycle with a new one for a while;
/// an edge back to a task that is being measured counts as nothing.
fn chains(state: &State, dependents: &BTreeMap<TaskId, Vec<TaskId>>) -> BTreeMap<TaskId, u32> {
    let mut chain: BTreeMap<TaskId, u32> = BTreeMap::new();
    let mut entered: BTreeSet<&TaskId> = BTreeSet::new();
    let empty = Vec::new();
    for start in state.tasks.keys() {
        let mut stack = vec![(start, false)];
        while let Some((id, ready)) = stack.pop() {
            let next = dependents.get(id).unwrap_or(&empty);
            if ready {
                let longest = next.iter().filter_map(|d| chain.get(d)).max().copied().unwrap_or(0);
                chain.insert(id.clone(), longest + 1);
            } else if entered.insert(id) {
                stack.push((id, true));
                stack.extend(next.iter().map(|d| (d, false)));
            }
        }
    }
    chain
}

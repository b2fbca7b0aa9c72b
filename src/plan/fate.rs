//! What would become of each task if nothing failed: done, run, or held up and by what.

use std::collections::BTreeMap;

use super::Bounds;
use super::diff::{Draft, by_need};
use crate::base::TaskId;
use crate::core::Phase;
use crate::model::Spec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Runs,
    /// Could run, but is not to.
    Unselected,
    /// Came to an end that is no completion, and which, in words.
    Ended(&'static str),
    /// Waits for this task, which will not be done, and why not.
    Behind {
        root: TaskId,
        why: &'static str,
    },
}

#[derive(Default)]
pub(super) struct Fates<'a> {
    fates: BTreeMap<&'a TaskId, Fate>,
    /// Unfinished tasks on the longest chain that ends with this one.
    depth: BTreeMap<&'a TaskId, usize>,
}

impl<'a> Fates<'a> {
    pub fn of(draft: &Draft<'a>) -> Self {
        let mut all = Self::default();
        for spec in by_need(draft.req) {
            let fate = all.fate(draft, spec);
            let depth = match fate {
                Fate::Done => 0,
                _ if draft.after.tasks.get(&spec.id).is_some_and(|t| t.attempt().is_some()) => 1,
                _ => 1 + spec.depends_on.iter().map(|d| all.depth(d)).max().unwrap_or(0),
            };
            all.fates.insert(&spec.id, fate);
            all.depth.insert(&spec.id, depth);
        }
        all
    }

    fn fate(&self, draft: &Draft, spec: &Spec) -> Fate {
        let Some(task) = draft.after.tasks.get(&spec.id) else { return Fate::Ended("is not recorded") };
        match &task.phase {
            Phase::Completed if !task.stands() => Fate::Ended(if task.let_go { "was let go" } else { "was reverted" }),
            Phase::Completed => Fate::Done,
            Phase::Active(_) if task.awaits_approval() && !task.definition_moved() => Fate::Ended("waits for approval"),
            Phase::Active(_) => Fate::Runs,
            Phase::Failed => Fate::Ended("failed"),
            Phase::Blocked(_) => Fate::Ended("is blocked"),
            Phase::Cancelled => Fate::Ended("was cancelled"),
            Phase::Waiting { .. } if task.is_disabled() => Fate::Ended("is disabled"),
            Phase::Waiting { .. } if draft.after.is_suspended(task) => Fate::Ended("is suspended"),
            Phase::Waiting { .. } if !draft.req.selection.holds(&spec.id) => Fate::Unselected,
            Phase::Waiting { .. } => spec.depends_on.iter().find_map(|d| self.obstacle(d)).unwrap_or(Fate::Runs),
        }
    }

    /// What a dependency means for the task that has it, if it will not be done.
    fn obstacle(&self, dependency: &TaskId) -> Option<Fate> {
        let why = match self.fates.get(dependency) {
            Some(Fate::Done | Fate::Runs) => return None,
            Some(Fate::Ended(why)) => why,
            Some(Fate::Unselected) => "is not selected",
            Some(behind @ Fate::Behind { .. }) => return Some(behind.clone()),
            None => "is not in the files",
        };
        Some(Fate::Behind { root: dependency.clone(), why })
    }

    pub fn get(&self, id: &TaskId) -> Option<&Fate> {
        self.fates.get(id)
    }
    /// What the run that follows cannot exceed.
    pub fn bounds(&self, draft: &Draft) -> Bounds {
        let running = self.fates.iter().filter(|(_, fate)| matches!(fate, Fate::Runs));
        let running = running.filter_map(|(id, _)| draft.after.tasks.get(*id));
        let to_run = self.running();
        let cost_microusd = draft.after.cost_bound(draft.req.policy, running);
        Bounds { to_run, workers: draft.req.policy.workers, critical_path: self.critical_path(), cost_microusd }
    }

    pub fn depth(&self, id: &TaskId) -> usize {
        self.depth.get(id).copied().unwrap_or(0)
    }
    pub fn is_done(&self, id: &TaskId) -> bool {
        self.get(id) == Some(&Fate::Done)
    }
    fn running(&self) -> usize {
        self.fates.values().filter(|f| **f == Fate::Runs).count()
    }
    /// In tasks, over those that will run.
    fn critical_path(&self) -> usize {
        let runs = self.fates.iter().filter(|(_, f)| **f == Fate::Runs);
        runs.map(|(id, _)| self.depth(id)).max().unwrap_or(0)
    }
}

//! Checks that fail, where only what an attempt broke is to count (`[merge] baseline`).
//!
//! A check that fails is run once more; if it passes then, it is flaky, and proved. If it fails
//! again, it is run on the commit that the work is compared with: what the attempt began from, or
//! at landing the tip that it lands on. Fails it there too, it is excused for just that tree and
//! that commit; passes it there, the attempt fails. Everything on the way is a fact, so that a
//! start after a crash goes on from there, and nothing is run that is known.

use serde::{Deserialize, Serialize};

use super::decide::Decider;
use super::fact::Fact;
use super::outcome::Failure;
use super::state::{Attempt, Header, State, Step, Task};
use crate::base::{Aid, Oid, TaskId};
use crate::model::Check;

/// So many results on commits are remembered; one that is forgotten is found out again.
const BASELINES: usize = 64;

/// A check that failed on a tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Red {
    pub tree: Oid,
    /// The check's key, and what it is called.
    pub check: String,
    pub label: String,
    /// How often it was run, and failed each time.
    pub times: u32,
    /// Of the last time.
    pub failure: Failure,
    /// The policy that it was run under, by the number of its fact. Under another nothing is concluded
    /// from it: the attempt may have landed meanwhile, which the effects look at first.
    pub policy: u64,
}

/// A check that fails on a tree, and on the commit that the tree is compared with as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excuse {
    pub tree: Oid,
    pub check: String,
    pub commit: Oid,
    pub policy: u64,
}

/// What a check comes to on a commit that is not an attempt's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub commit: Oid,
    pub check: String,
    pub green: bool,
}

/// The checks that passed only when run again, and those that fail without the work too, by what
/// they are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blemishes {
    #[serde(default)]
    pub flaky: Vec<String>,
    #[serde(default)]
    pub excused: Vec<String>,
}

impl Blemishes {
    pub fn is_empty(&self) -> bool {
        self.flaky.is_empty() && self.excused.is_empty()
    }
}

fn note(names: &mut Vec<String>, name: String) {
    if !names.contains(&name) {
        names.push(name);
    }
}

impl Task {
    pub(super) fn blemishes(&self) -> Option<&Blemishes> {
        let done = || self.completion.as_ref().filter(|_| self.is_completed()).map(|c| &c.blemishes);
        self.attempt().map(|a| &a.blemishes).or_else(done)
    }
}

impl Attempt {
    /// The tree that is being proved, and the commit that it is compared with.
    fn under_proof(&self) -> Option<(&Oid, &Oid)> {
        match &self.step {
            Step::Verify { n } => Some((&self.snaps.get(*n)?.tree, &self.base)),
            Step::Land { tree, old, .. } => Some((tree, old)),
            _ => None,
        }
    }

    /// How the check failed on that tree under a policy, if it did and did not pass since.
    fn red(&self, tree: &Oid, check: &str, policy: u64) -> Option<&Red> {
        self.reds.iter().find(|r| r.tree == *tree && r.check == check && r.policy == policy)
    }

    fn is_excused(&self, tree: &Oid, against: &Oid, check: &str, policy: u64) -> bool {
        self.excused.iter().any(|e| e.tree == *tree && e.check == check && e.commit == *against && e.policy == policy)
    }

    /// The facts of this file. False: it is none.
    pub(super) fn fold_gate(&mut self, fact: &Fact, policy: u64) -> bool {
        match fact {
            Fact::CheckPassed { tree, check, again, .. } => {
                self.proofs.insert((tree.clone(), check.clone()));
                if let Some(label) = self.red(tree, check, policy).filter(|_| *again).map(|r| r.label.clone()) {
                    note(&mut self.blemishes.flaky, label);
                }
                self.reds.retain(|r| r.tree != *tree || r.check != *check);
            }
            Fact::CheckFailed { tree, check, label, times, failure, .. } => {
                self.reds.retain(|r| r.tree != *tree || r.check != *check);
                let (tree, check, label) = (tree.clone(), check.clone(), label.clone());
                self.reds.push(Red { tree, check, label, times: *times, failure: failure.clone(), policy });
            }
            Fact::CheckExcused { tree, check, baseline, .. } => {
                self.excused.push(Excuse { tree: tree.clone(), check: check.clone(), commit: baseline.clone(), policy });
                if let Some(label) = self.red(tree, check, policy).map(|r| r.label.clone()) {
                    note(&mut self.blemishes.excused, label);
                }
            }
            _ => return false,
        }
        true
    }
}

impl Header {
    pub(super) fn note_baseline(&mut self, baseline: Baseline) {
        self.baselines.retain(|b| b.commit != baseline.commit || b.check != baseline.check);
        self.baselines.push(baseline);
        let more = self.baselines.len().saturating_sub(BASELINES);
        self.baselines.drain(..more);
    }

    /// What was excused in what lands now fails on the line, and need not be run there.
    pub(super) fn note_excused(&mut self, attempt: &Attempt, commit: &Oid) {
        let Step::Land { new, tree, .. } = &attempt.step else { return };
        for excuse in attempt.excused.iter().filter(|e| e.tree == *tree && new == commit) {
            self.note_baseline(Baseline { commit: commit.clone(), check: excuse.check.clone(), green: false });
        }
    }
}

/// What an attempt's next check comes down to.
pub(super) enum Gate<'a> {
    /// The check is to be run on that tree, and how often it was before.
    Run(&'a Oid, &'a Check, u32),
    /// It failed: it is to be run on that commit.
    Compare(&'a Oid, &'a Check),
    /// It failed, and so it does there.
    Excuse(&'a Red, &'a Oid),
    /// It failed, and does not there: the end of the attempt.
    Fail(&'a Red, &'a Oid),
}

impl State {
    /// The checks that the step of an attempt is about, in order.
    fn checks_of<'a>(&'a self, task: &'a Task, attempt: &Attempt) -> Vec<&'a Check> {
        match &attempt.step {
            Step::Verify { n } => task.spec.checks_after(*n),
            Step::Land { .. } => self.landing_checks(&task.spec).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether what failed before the work does not count. Not in the checkout: what is there cannot
    /// be taken away for a while.
    fn is_lenient(&self, task: &Task) -> bool {
        self.policy.merge.baseline && !task.in_checkout()
    }

    /// The first check that is not proved, and what is to become of it.
    pub(super) fn gate<'a>(&'a self, task: &'a Task, attempt: &'a Attempt) -> Option<Gate<'a>> {
        let (tree, against) = attempt.under_proof()?;
        let checks = self.checks_of(task, attempt);
        let (lenient, policy) = (self.is_lenient(task), self.head.policy_seq);
        let proved = |key: String| attempt.is_excused(tree, against, &key, policy) || attempt.proofs.contains(&(tree.clone(), key));
        let check = checks.into_iter().find(|c| !proved(c.key()))?;
        let key = check.key();
        let Some(red) = attempt.red(tree, &key, policy).filter(|_| lenient) else { return Some(Gate::Run(tree, check, 0)) };
        if red.times < 2 {
            return Some(Gate::Run(tree, check, red.times));
        }
        Some(match self.head.baselines.iter().find(|b| b.commit == *against && b.check == key) {
            None => Gate::Compare(against, check),
            Some(known) if known.green => Gate::Fail(red, against),
            Some(_) => Gate::Excuse(red, against),
        })
    }

    /// Whether another attempt is to find out the same, and is ahead.
    pub(super) fn is_compared_elsewhere(&self, task: &Task, commit: &Oid, check: &str) -> bool {
        let asks = |(t, a): &(&Task, &Attempt)| {
            a.delay.is_none() && !a.is_ending() && matches!(self.gate(t, a), Some(Gate::Compare(c, k)) if c == commit && k.key() == check)
        };
        self.active().filter(asks).any(|(t, _)| (t.changed, &t.spec.id) < (task.changed, &task.spec.id))
    }
}

impl Decider<'_> {
    /// Whether an answer is of the check that the attempt is at, and of the run of it that is owed.
    fn is_of(&self, id: &TaskId, tree: &Oid, check: &str, nth: u32) -> bool {
        let task = &self.state.tasks[id];
        let Some(attempt) = task.attempt() else { return false };
        matches!(self.state.gate(task, attempt), Some(Gate::Run(t, c, n)) if t == tree && c.key() == check && n == nth)
    }

    pub(super) fn check_passed(&mut self, id: &TaskId, aid: &Aid, tree: &Oid, check: &str, nth: u32) {
        if !self.is_of(id, tree, check, nth) {
            return;
        }
        let (task, aid, tree) = (id.clone(), aid.clone(), tree.clone());
        self.emit(Fact::CheckPassed { task, aid: aid.clone(), tree, check: check.to_owned(), again: nth > 0 });
        self.go_on(id, &aid);
    }

    pub(super) fn check_failed(&mut self, id: &TaskId, aid: &Aid, tree: &Oid, check: &str, nth: u32, failure: &Failure) {
        if !self.is_of(id, tree, check, nth) {
            return;
        }
        let task = &self.state.tasks[id];
        if !self.state.is_lenient(task) {
            return self.fail(id, aid, failure.clone());
        }
        let checks = task.attempt().map(|a| self.state.checks_of(task, a)).unwrap_or_default();
        let label = checks.iter().find(|c| c.key() == check).map_or(check, |c| c.label()).to_owned();
        let (task, aid, tree, check) = (id.clone(), aid.clone(), tree.clone(), check.to_owned());
        self.emit(Fact::CheckFailed { task, aid, tree, check, label, times: nth + 1, failure: failure.clone() });
    }

    /// What an attempt found out about a commit holds for all.
    pub(super) fn compared(&mut self, id: &TaskId, aid: &Aid, commit: &Oid, check: &str, green: bool) {
        let known = self.state.head.baselines.iter().any(|b| b.commit == *commit && b.check == check);
        if !known {
            let (task, aid, commit) = (id.clone(), aid.clone(), commit.clone());
            self.emit(Fact::Compared { task, aid, commit, check: check.to_owned(), green });
        }
    }

    /// Draws the conclusions for checks that failed.
    pub(super) fn settle_gates(&mut self) {
        let open: Vec<TaskId> =
            self.state.active().filter(|(_, a)| !a.reds.is_empty() && !a.is_ending()).map(|(t, _)| t.spec.id.clone()).collect();
        for id in open {
            while self.settle_gate(&id) {}
        }
    }

    fn settle_gate(&mut self, id: &TaskId) -> bool {
        let task = &self.state.tasks[id];
        let Some(attempt) = task.attempt() else { return false };
        let aid = attempt.aid.clone();
        match self.state.gate(task, attempt) {
            Some(Gate::Excuse(red, against)) => {
                let (tree, check, baseline) = (red.tree.clone(), red.check.clone(), against.clone());
                self.emit(Fact::CheckExcused { task: id.clone(), aid: aid.clone(), tree, check, baseline });
                self.go_on(id, &aid);
                true
            }
            Some(Gate::Fail(red, against)) => {
                let mut failure = red.failure.clone();
                failure.message += &format!(", twice; without this work, on {}, it passes", against.short());
                self.fail(id, &aid, failure);
                false
            }
            Some(Gate::Run(..) | Gate::Compare(..)) | None => false,
        }
    }

    /// A step of the attempt's own is over with its last check; at landing the next effect follows.
    fn go_on(&mut self, id: &TaskId, aid: &Aid) {
        if let Some(Step::Verify { n }) = self.state.tasks[id].attempt().map(|a| a.step.clone()) {
            self.verified(id, aid, n);
        }
    }
}

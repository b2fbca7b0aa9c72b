//! Folding facts into a state: the one place that changes it, and that refuses what cannot be.

use std::sync::Arc;

use super::fact::{Exit, Fact, Recalled, Snap};
use super::state::{Attempt, Block, Line, Phase, Publish, Run, State, Step, Task};
use crate::base::{Aid, Millis, Oid, TaskId};
use crate::model::Spec;

/// A fact that does not follow from the state: a bug, or a store that was tampered with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("fact {seq} cannot follow from the recorded state: {why}: {fact}")]
pub struct Illegal {
    pub seq: u64,
    pub why: String,
    pub fact: String,
}

type Applied = Result<(), &'static str>;

impl State {
    /// Folds one fact, decided at `at`, into the state. On an error nothing was changed that
    /// matters: the caller stops.
    pub fn apply(&mut self, at: Millis, fact: &Fact) -> Result<(), Illegal> {
        let seq = self.head.seq + 1;
        self.head.seq = seq;
        let done = match fact {
            Fact::RunBegan { .. } | Fact::Limited(_) | Fact::RunEnded { .. } | Fact::TimeUp => self.apply_run(seq, at, fact),
            Fact::PolicySet { policy } => {
                self.policy = policy.clone();
                self.head.policy_seq = seq;
                Ok(())
            }
            Fact::LineSynced { .. } | Fact::Published { .. } | Fact::PublishHeld { .. } => self.apply_line(fact),
            Fact::Cleaned { aid } => {
                self.head.garbage.remove(aid);
                Ok(())
            }
            Fact::Defined { spec, rerun } => self.define(seq, at, spec, *rerun),
            Fact::Recalled(recalled) => self.recall(seq, at, recalled),
            Fact::Removed { task } => self.remove(task),
            Fact::Claimed { task, aid, base } => self.claim(at, task, aid, base),
            Fact::Due { task } => self.due(task),
            _ => self.apply_attempt(seq, at, fact),
        };
        if let Some(task) = fact.task() {
            self.refresh_around(task);
        }
        done.map_err(|why| Illegal { seq, why: why.into(), fact: format!("{fact:?}") })
    }

    fn apply_run(&mut self, seq: u64, at: Millis, fact: &Fact) -> Applied {
        match fact {
            Fact::RunBegan { run, selection, continues } => {
                self.head.run = Some(Run {
                    id: run.clone(),
                    began: at,
                    continues: continues.clone(),
                    ended: false,
                    time_up: false,
                    limits: Default::default(),
                });
                self.head.run_seq = seq;
                self.begun = true;
                self.selection = selection.clone();
                // The world may have moved while nobody looked.
                self.head.line = Line { tip: None, publish: Publish::Owed };
                self.index.spoil();
            }
            Fact::Limited(limits) => self.head.run.as_mut().ok_or("no run is under way")?.limits = *limits,
            Fact::RunEnded { run } => {
                let current = self.head.run.as_mut().filter(|r| r.id == *run).ok_or("no such run is under way")?;
                current.ended = true;
            }
            _ => self.head.run.as_mut().ok_or("no run is under way")?.time_up = true,
        }
        Ok(())
    }

    fn apply_line(&mut self, fact: &Fact) -> Applied {
        match fact {
            Fact::LineSynced { tip } => self.head.line.tip = Some(tip.clone()),
            // Something may have landed while it was being published.
            Fact::Published { tip } if self.head.line.tip.as_ref() == Some(tip) => self.head.line.publish = Publish::Done,
            Fact::Published { .. } => {}
            Fact::PublishHeld { why } => self.head.line.publish = Publish::Held(why.clone()),
            _ => unreachable!("only the line's facts come here"),
        }
        Ok(())
    }

    fn define(&mut self, seq: u64, at: Millis, spec: &Arc<Spec>, rerun: bool) -> Applied {
        self.index.spoil();
        let Some(task) = self.tasks.get_mut(&spec.id) else {
            self.tasks.insert(spec.id.clone(), Task::new(seq, at, spec.clone()));
            return Ok(());
        };
        task.removed = false;
        if task.attempt().is_some() {
            task.next = Some(spec.clone());
            task.next_seq = seq;
            return Ok(());
        }
        let restart = match &task.phase {
            Phase::Completed => rerun,
            _ => rerun || task.spec.work() != spec.work(),
        };
        task.spec = spec.clone();
        task.spec_seq = seq;
        if restart {
            task.restart(seq, at);
        }
        Ok(())
    }

    fn recall(&mut self, seq: u64, at: Millis, recalled: &Recalled) -> Applied {
        self.index.spoil();
        self.head.landings += 1;
        let Recalled { spec, digest, aid, commit } = recalled;
        let task = self.tasks.entry(spec.id.clone()).or_insert_with(|| Task::new(seq, at, spec.clone()));
        if !task.is_untouched() {
            return Err("only a task that was never tried is recalled");
        }
        task.spec = spec.clone();
        task.spec_seq = seq;
        task.removed = false;
        task.complete(at, aid, Some(commit.clone()), self.head.landings);
        if let Some(completion) = &mut task.completion {
            completion.digest = digest.clone();
        }
        Ok(())
    }

    fn remove(&mut self, id: &TaskId) -> Applied {
        self.index.spoil();
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        task.removed = true;
        // What is under way ends by itself; what is done stays on record.
        if task.attempt().is_none() && !task.is_completed() {
            self.tasks.remove(id);
        }
        Ok(())
    }

    fn claim(&mut self, at: Millis, id: &TaskId, aid: &Aid, base: &Oid) -> Applied {
        let run = self.head.run.as_ref().ok_or("no run is under way")?.id.clone();
        let landings = self.head.landings;
        let carry = self.usable_carry(id).cloned().filter(|c| c.base == *base);
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        if !matches!(task.phase, Phase::Waiting { not_before: None }) {
            return Err("only a task that waits is claimed");
        }
        self.head.claims += 1;
        task.attempts += 1;
        task.last_aid = Some(aid.clone());
        task.carry = None;
        let (snaps, summary, restore, landings) = match carry {
            Some(c) => (c.snaps, c.summary, c.tree, c.landings),
            None => (Vec::new(), String::new(), None, landings),
        };
        let restore = restore.or_else(|| snaps.last().map(|s| s.tree.clone()));
        task.phase = Phase::Active(Box::new(Attempt {
            aid: aid.clone(),
            no: task.attempts,
            run,
            base: base.clone(),
            restore,
            started: at,
            step: Step::Prepare,
            snaps,
            summary,
            proofs: Default::default(),
            delay: None,
            landings,
        }));
        task.changed = at;
        Ok(())
    }

    fn due(&mut self, id: &TaskId) -> Applied {
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        match &mut task.phase {
            Phase::Waiting { not_before } => *not_before = None,
            Phase::Active(attempt) => attempt.delay = None,
            _ => return Err("the task waits for nothing"),
        }
        Ok(())
    }

    /// Facts about the attempt that is under way. All of them are fenced by its id.
    fn apply_attempt(&mut self, seq: u64, at: Millis, fact: &Fact) -> Applied {
        let (id, aid) = attempt_of(fact).ok_or("the fact names no attempt")?;
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        let Phase::Active(attempt) = &mut task.phase else { return Err("the task has no attempt under way") };
        if attempt.aid != *aid {
            return Err("another attempt is under way");
        }
        task.changed = at;
        if attempt.advance(fact)? {
            return Ok(());
        }
        match fact {
            Fact::Verified { n, .. } => {
                let last = *n + 1 >= task.spec.steps.len();
                attempt.step = if last { Step::Commit } else { Step::Agent { n: n + 1 } };
                task.interruptions = 0;
                Ok(())
            }
            Fact::Prepared { .. } => {
                attempt.step = Step::Agent { n: attempt.snaps.len() };
                Ok(())
            }
            Fact::Delayed { due, .. } => {
                attempt.delay = Some(*due);
                task.interruptions += 1;
                Ok(())
            }
            _ => self.end_attempt(seq, at, fact, id, aid),
        }
    }

    /// Facts that end the attempt.
    fn end_attempt(&mut self, seq: u64, at: Millis, fact: &Fact, id: &TaskId, aid: &Aid) -> Applied {
        self.head.garbage.insert(aid.clone());
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        match fact {
            Fact::Landed { commit, tip, .. } => {
                self.head.landings += 1;
                self.head.line.tip = Some(tip.clone());
                self.head.line.publish = Publish::Owed;
                task.complete(at, aid, Some(commit.clone()), self.head.landings);
            }
            Fact::Done { .. } => task.complete(at, aid, None, self.head.landings),
            Fact::Interrupted { .. } => task.interrupt(),
            Fact::AttemptFailed { failure, retry, .. } => {
                task.failures += 1;
                task.last_failure = Some(failure.clone());
                task.phase = match retry {
                    Some(due) => Phase::Waiting { not_before: Some(*due) },
                    None => Phase::Failed,
                };
            }
            Fact::Superseded { .. } => task.phase = Phase::Waiting { not_before: None },
            Fact::Blocked { paths, .. } => task.phase = Phase::Blocked(Block::Conflict { paths: paths.clone() }),
            _ => return Err("the fact is not about an attempt"),
        }
        task.queued = seq;
        self.take_over(seq, at, id);
        Ok(())
    }

    /// After an attempt: the definition that came meanwhile takes over, and a task that left
    /// the files is dropped unless it is done.
    fn take_over(&mut self, seq: u64, at: Millis, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if let Some(next) = task.next.take() {
            self.index.spoil();
            let stale = task.completion.as_ref().is_none_or(|c| c.digest != next.digest);
            let restart = if task.is_completed() {
                stale && next.on_change == crate::model::OnChange::Rerun
            } else {
                task.spec.work() != next.work()
            };
            task.spec = next;
            task.spec_seq = std::mem::take(&mut task.next_seq);
            if restart {
                task.restart(seq, at);
            }
        }
        if task.removed && !task.is_completed() {
            self.index.spoil();
            self.tasks.remove(id);
        }
    }
}

fn attempt_of(fact: &Fact) -> Option<(&TaskId, &Aid)> {
    use Fact::*;
    match fact {
        Prepared { task, aid }
        | AgentEnded { task, aid, .. }
        | Snapshotted { task, aid, .. }
        | CheckPassed { task, aid, .. }
        | Verified { task, aid, .. }
        | Committed { task, aid, .. }
        | LaneTaken { task, aid }
        | LandIntent { task, aid, .. }
        | LaneLost { task, aid }
        | Landed { task, aid, .. }
        | Done { task, aid }
        | Delayed { task, aid, .. }
        | Interrupted { task, aid }
        | AttemptFailed { task, aid, .. }
        | Superseded { task, aid }
        | Blocked { task, aid, .. } => Some((task, aid)),
        _ => None,
    }
}

impl Attempt {
    /// Facts that only move the attempt on. False: it is not one of those.
    fn advance(&mut self, fact: &Fact) -> Result<bool, &'static str> {
        let next = match (fact, &self.step) {
            (Fact::AgentEnded { n, exit, .. }, Step::Agent { n: at }) if n == at => Step::Snapshot { n: *n, exit: exit.clone() },
            (Fact::Snapshotted { n, snap, .. }, Step::Snapshot { n: at, exit }) if n == at => {
                let exit = exit.clone();
                self.keep(snap, &exit);
                Step::Verify { n: *n }
            }
            (Fact::CheckPassed { tree, check, .. }, Step::Verify { .. } | Step::Land { .. }) => {
                self.proofs.insert((tree.clone(), check.clone()));
                return Ok(true);
            }
            (Fact::Committed { commit, .. }, Step::Commit) => Step::Queued { commit: commit.clone() },
            (Fact::LaneTaken { .. }, Step::Queued { commit }) => Step::Merge { commit: commit.clone() },
            (Fact::LandIntent { old, new, tree, .. }, Step::Merge { commit }) => {
                Step::Land { commit: commit.clone(), old: old.clone(), new: new.clone(), tree: tree.clone() }
            }
            (Fact::LaneLost { .. }, Step::Land { commit, .. }) => Step::Merge { commit: commit.clone() },
            (Fact::Prepared { .. }, Step::Prepare) | (Fact::Verified { .. }, Step::Verify { .. }) => return Ok(false),
            (Fact::Landed { .. }, Step::Merge { .. } | Step::Land { .. }) => return Ok(false),
            (Fact::Done { .. } | Fact::Interrupted { .. }, Step::Verify { .. }) => return Ok(false),
            (Fact::Superseded { .. }, Step::Queued { .. } | Step::Merge { .. } | Step::Land { .. }) => return Ok(false),
            (Fact::Blocked { .. }, Step::Merge { .. }) => return Ok(false),
            (Fact::AttemptFailed { .. } | Fact::Delayed { .. }, _) => return Ok(false),
            _ => return Err("the attempt is at another step"),
        };
        self.step = next;
        Ok(true)
    }

    fn keep(&mut self, snap: &Snap, exit: &Exit) {
        self.snaps.push(snap.clone());
        if !exit.summary.is_empty() {
            self.summary = exit.summary.clone();
        }
    }
}

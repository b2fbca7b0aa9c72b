//! Folding facts into a state: the one place that changes it, and that refuses what cannot be.

use std::sync::Arc;

use super::fact::Fact;
use super::gate::Baseline;
use super::outcome::{Exit, Failure, FailureClass, Outcome};
use super::pause::Stage;
use super::push::{Again, Line, Publish};
use super::state::{Attempt, Block, Phase, Run, State, Step, Task};
use super::withdraw::Ending;
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
            Fact::RunBegan { .. } | Fact::Limited(_) | Fact::Selected { .. } | Fact::RunEnded { .. } | Fact::TimeUp => {
                self.apply_run(seq, at, fact)
            }
            Fact::PolicySet { policy } => {
                self.policy = policy.clone();
                self.head.policy_seq = seq;
                Ok(())
            }
            Fact::LineSynced { .. } | Fact::Published { .. } | Fact::PublishHeld { .. } => self.apply_line(fact),
            Fact::GitChanged { found, .. } => {
                self.head.unaccepted = found.clone();
                Ok(())
            }
            Fact::PauseMoved { agent, stage } => {
                self.head.pauses.get_mut(agent).map(|pause| pause.stage = *stage).ok_or("no such agent is paused")
            }
            Fact::Pushed { .. }
            | Fact::PushHeld { .. }
            | Fact::PushDue
            | Fact::RemoteSeen { .. }
            | Fact::PublishDue
            | Fact::PublishAsked { .. } => {
                self.apply_push(fact);
                Ok(())
            }
            Fact::Elsewhere { task, found } => self.tasks.get_mut(task).ok_or("no such task").map(|t| t.elsewhere = Some(found.clone())),
            Fact::Compared { commit, check, green, .. } => {
                self.head.note_baseline(Baseline { commit: commit.clone(), check: check.clone(), green: *green });
                Ok(())
            }
            Fact::Cleaned { aid } => {
                self.head.garbage.remove(aid);
                Ok(())
            }
            Fact::Defined { spec, rerun, inputs } => {
                let defined = self.define(seq, at, spec, *rerun);
                self.tasks
                    .get_mut(&spec.id)
                    .filter(|t| *rerun && t.attempt().is_none())
                    .into_iter()
                    .for_each(|t| t.renewed.clone_from(inputs));
                defined
            }
            Fact::Moved { from, spec } => self.rename(seq, from, spec),
            Fact::Recalled(recalled) => self.recall(seq, at, recalled),
            Fact::Reverted { task, commit, let_go } => self.revert(task, Some(commit), *let_go),
            Fact::Restored { task } => self.revert(task, None, false),
            Fact::Hinted(hinted) => self.apply_hint(at, hinted),
            Fact::Removed { task } => self.remove(task),
            Fact::Claimed { task, aid, base } => self.claim(at, task, aid, base),
            Fact::Due { task } => self.due(task),
            Fact::Retried { .. } | Fact::Reset { .. } | Fact::Cancelled { .. } => self.apply_again(seq, at, fact),
            Fact::Suspended { .. } | Fact::AllSuspended { .. } | Fact::Marked { .. } => self.apply_again(seq, at, fact),
            _ => self.apply_attempt(seq, at, fact),
        };
        if let Some(task) = fact.task() {
            self.refresh_around(task);
        }
        done.map_err(|why| Illegal { seq, why: why.into(), fact: format!("{fact:?}") })
    }

    fn apply_run(&mut self, seq: u64, at: Millis, fact: &Fact) -> Applied {
        match fact {
            Fact::RunBegan { run, selection, continues, after } => {
                let goes_on = |r: &&Run| !r.ended || after.as_ref() == Some(&r.id);
                let usage = self.head.run.as_ref().filter(goes_on).map(|r| r.usage).unwrap_or_default();
                self.head.run = Some(Run {
                    id: run.clone(),
                    began: at,
                    continues: continues.clone(),
                    ended: false,
                    time_up: false,
                    limits: Default::default(),
                    usage,
                });
                self.renew_pauses(at);
                self.head.run_seq = seq;
                self.begun = true;
                // Looked at before a run is begun.
                self.head.unaccepted.clear();
                self.selection = selection.clone();
                // What a person asked of a Drover that rests is begun with this.
                let asked = if after.is_some() { self.head.line.asked.clone() } else { Default::default() };
                self.head.line = Line { asked, ..Line::unknown(&self.head.line.remote) };
                self.index.spoil();
            }
            Fact::Limited(limits) => self.head.run.as_mut().ok_or("no run is under way")?.limits = *limits,
            Fact::Selected { selection } => {
                self.head.run_seq = seq;
                self.selection = selection.clone();
                self.index.spoil();
            }
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
            Fact::LineSynced { tip } => self.head.line.moved(tip),
            // Something may have landed while it was being published.
            Fact::Published { tip } if self.head.line.tip.as_ref() == Some(tip) => self.head.line.published(),
            Fact::Published { .. } => {}
            Fact::PublishHeld { why, again, passing, paths } => {
                let line = &mut self.head.line;
                let tries = line.again.tries + 1;
                line.again = Again { tries, due: *again, passing: *passing, paths: paths.clone() };
                line.held(why);
            }
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
        if rerun && task.awaits_approval() {
            // Nobody wants it any more. It stays in git, as every attempt.
            self.head.garbage.extend(task.last_aid.clone());
            (task.next, task.next_seq) = (None, 0);
        } else if task.attempt().is_some() {
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

    fn rename(&mut self, seq: u64, from: &TaskId, spec: &Arc<Spec>) -> Applied {
        self.index.spoil();
        if self.tasks.get(&spec.id).is_some_and(|t| !t.is_untouched()) {
            return Err("the new id has a record of its own");
        }
        let mut task = self.tasks.remove(from).ok_or("no such task")?;
        task.spec = spec.clone();
        task.spec_seq = seq;
        // A definition that was to take over stands under the old id; the files bring it anew.
        task.next = None;
        task.next_seq = 0;
        self.tasks.insert(spec.id.clone(), task);
        Ok(())
    }

    fn remove(&mut self, id: &TaskId) -> Applied {
        self.index.spoil();
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        task.removed = true;
        let waits = task.attempt().filter(|a| a.awaits_approval()).map(|a| a.aid.clone());
        // What is under way ends by itself, but for what waits for a person; what is done stays
        // on record.
        if (task.attempt().is_none() || waits.is_some()) && !task.is_completed() {
            self.head.garbage.extend(waits);
            self.tasks.remove(id);
        }
        Ok(())
    }

    fn claim(&mut self, at: Millis, id: &TaskId, aid: &Aid, base: &Oid) -> Applied {
        let run = self.head.run.as_ref().ok_or("no run is under way")?.id.clone();
        let landings = self.head.landings;
        let carry = self.usable_carry(id).cloned().filter(|c| c.base == *base);
        let stand_ins = self.tasks.get(id).map(|t| self.stand_ins(&t.spec)).unwrap_or_default();
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        if !matches!(task.phase, Phase::Waiting { not_before: None }) {
            return Err("only a task that waits is claimed");
        }
        self.head.claims += 1;
        task.attempts += 1;
        task.last_aid = Some(aid.clone());
        task.carry = None;
        task.follow_up.clear();
        let conversation = carry.as_ref().and_then(|c| c.conversation.clone());
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
            reds: Vec::new(),
            excused: Vec::new(),
            blemishes: Default::default(),
            delay: None,
            landings,
            conversation,
            hints: task.hints.iter().map(|h| h.text.clone()).collect(),
            usage: Default::default(),
            ending: None,
            stand_ins,
        }));
        task.forget_talk_of_others();
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
        let (id, aid) = fact.attempt().ok_or("the fact names no attempt")?;
        let policy = self.head.policy_seq;
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        let Phase::Active(attempt) = &mut task.phase else { return Err("the task has no attempt under way") };
        if attempt.aid != *aid {
            return Err("another attempt is under way");
        }
        task.changed = at;
        if attempt.advance(fact, policy)? {
            if let Fact::AgentEnded { n, exit, .. } = fact {
                self.heard(id, *n, exit);
            }
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
            Fact::EndAsked { then, .. } => {
                (attempt.ending, attempt.delay) = (Some(*then), None);
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

    /// What a step used is summed, and an agent that worked is paused no longer.
    fn heard(&mut self, id: &TaskId, n: usize, exit: &Exit) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.usage += exit.usage;
        task.hear_of(&exit.follow_up);
        self.head.usage += exit.usage;
        self.head.run.iter_mut().for_each(|run| run.usage += exit.usage);
        if let Phase::Active(attempt) = &mut task.phase {
            attempt.usage += exit.usage;
            exit.thread.iter().for_each(|thread| attempt.named(n, thread));
        }
        if matches!(exit.outcome, Outcome::Succeeded | Outcome::Failed(_))
            && let Some(agent) = task.agent_at(n)
            && self.head.pauses.get(agent).is_some_and(|p| matches!(p.stage, Stage::Trying(_) | Stage::Open))
        {
            self.head.pauses.remove(agent);
        }
    }

    /// Facts that end the attempt.
    fn end_attempt(&mut self, seq: u64, at: Millis, fact: &Fact, id: &TaskId, aid: &Aid) -> Applied {
        self.head.garbage.insert(aid.clone());
        let task = self.tasks.get_mut(id).ok_or("no such task")?;
        let ending = task.attempt().and_then(|a| a.ending);
        match fact {
            Fact::Landed { commit, tip, .. } => {
                task.attempt().into_iter().for_each(|a| self.head.note_excused(a, commit));
                self.head.landings += 1;
                self.head.line.moved(tip);
                self.head.line.publish = Publish::Owed;
                task.complete(at, aid, Some(commit.clone()), self.head.landings);
                if ending == Some(Ending::Reset) {
                    task.restart(seq, at);
                }
            }
            Fact::Withdrawn { .. } => task.withdrawn(seq, at, ending),
            Fact::Done { .. } => task.complete(at, aid, None, self.head.landings),
            Fact::Interrupted { .. } => task.interrupt(),
            Fact::OverBudget { finished, .. } => task.set_aside(*finished),
            Fact::Held { agent, pause, .. } => {
                self.head.pauses.insert(agent.clone(), pause.clone());
                task.set_aside(false);
            }
            Fact::AttemptFailed { failure, retry, .. } => {
                task.failures += 1;
                task.last_failure = Some(failure.clone());
                task.left = task.leaves();
                task.conflict = task.conflicted(failure);
                task.phase = match retry {
                    Some(due) => Phase::Waiting { not_before: Some(*due) },
                    None => Phase::Failed,
                };
            }
            Fact::Superseded { .. } => task.phase = Phase::Waiting { not_before: None },
            Fact::Blocked { paths, .. } => {
                task.conflict = task.conflicted(&Failure { paths: paths.clone(), ..Failure::new(FailureClass::Conflict, "") });
                task.phase = Phase::Blocked(Block::Conflict { paths: paths.clone() });
            }
            Fact::BlockedExternally { reason, .. } => task.block(reason),
            _ => return Err("the fact is not about an attempt"),
        }
        task.queued = seq;
        self.take_over(seq, at, id);
        Ok(())
    }

    /// After an attempt: the definition that came meanwhile takes over, and a task that left
    /// the files is dropped unless it is done.
    pub(super) fn take_over(&mut self, seq: u64, at: Millis, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if let Some(next) = task.next.take() {
            self.index.spoil();
            let stale = task.completion.as_ref().is_none_or(|c| c.digest != next.digest);
            // Not to be started means the newest definition.
            let restart = if task.phase == Phase::Cancelled {
                false
            } else if task.is_completed() {
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
        self.drop_removed(id);
    }
}

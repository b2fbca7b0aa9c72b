//! From one input to the facts that follow, everything that has become due included.

use std::sync::Arc;
use std::time::Duration;

use super::fact::{Answer, Change, Exit, Fact, Failure, FailureClass, Input, Outcome, Recalled, Snap};
use super::state::{Attempt, Due, Flow, Phase, Selection, State, Step};
use crate::base::{Aid, Millis, Oid, RunId, TaskId, sha256_hex};
use crate::model::{Backoff, OnChange, OnConflict, Policy, Retry};

/// So many interruptions or troubles in a row without progress fail the task.
pub const POISON: u32 = 10;

/// The facts that follow from an input, already applied to the state, in order.
///
/// # Panics
/// If it decides on a fact that the state refuses: a bug, which stops the driver before
/// anything is committed.
pub fn decide(state: &mut State, now: Millis, input: &Input) -> Vec<Fact> {
    let mut decider = Decider { state, now, facts: Vec::new() };
    decider.take(input);
    decider.settle();
    decider.facts
}

struct Decider<'a> {
    state: &'a mut State,
    now: Millis,
    facts: Vec<Fact>,
}

impl Decider<'_> {
    fn emit(&mut self, fact: Fact) {
        self.state.apply(self.now, &fact).expect("the core decides only on what the state allows");
        self.facts.push(fact);
    }

    fn take(&mut self, input: &Input) {
        match input {
            Input::RunBegan { run, selection } => self.begin(run, selection),
            Input::Recall { found } => {
                let unknown = |r: &&Recalled| self.state.tasks.get(&r.spec.id).is_none_or(|t| t.is_untouched());
                let news: Vec<Recalled> = found.iter().filter(unknown).cloned().collect();
                news.into_iter().for_each(|recalled| self.emit(Fact::Recalled(recalled)));
            }
            Input::Reconcile { policy, changes } => self.reconcile(policy.as_ref(), changes),
            Input::Limit(limits) => self.emit(Fact::Limited(*limits)),
            Input::RunEnds => {
                if let Some(run) = self.state.head.run.as_ref().filter(|r| !r.ended).map(|r| r.id.clone()) {
                    self.emit(Fact::RunEnded { run });
                }
            }
            Input::Tick => {}
            Input::Drain if self.state.flow == Flow::Running => self.state.flow = Flow::Draining,
            Input::Drain => {}
            Input::Interrupt => self.state.flow = Flow::Interrupting,
            Input::LineSynced { was, tip } => {
                let known = &self.state.head.line.tip;
                if known == was && known.as_ref() != Some(tip) {
                    self.emit(Fact::LineSynced { tip: tip.clone() });
                }
            }
            Input::Published { tip } => self.emit(Fact::Published { tip: tip.clone() }),
            Input::PublishHeld { why } => self.emit(Fact::PublishHeld { why: why.clone() }),
            Input::Cleaned { aid } => {
                if self.state.head.garbage.contains(aid) {
                    self.emit(Fact::Cleaned { aid: aid.clone() });
                }
            }
            Input::Answer { task, aid, answer } => self.answer(task, aid, answer),
        }
    }

    fn begin(&mut self, run: &RunId, selection: &Selection) {
        let continues = self.state.head.run.as_ref().filter(|r| !r.ended).map(|r| r.id.clone());
        self.emit(Fact::RunBegan { run: run.clone(), selection: selection.clone(), continues });
    }

    fn reconcile(&mut self, policy: Option<&Arc<Policy>>, changes: &[Change]) {
        if let Some(policy) = policy {
            self.emit(Fact::PolicySet { policy: policy.clone() });
        }
        for change in changes {
            match change {
                Change::Define { spec, rerun } => self.emit(Fact::Defined { spec: spec.clone(), rerun: *rerun }),
                Change::Remove { task } if self.state.tasks.contains_key(task) => self.emit(Fact::Removed { task: task.clone() }),
                Change::Remove { .. } => {}
            }
        }
    }

    /// Fencing: an answer counts only for the step that its attempt is in.
    fn answer(&mut self, task: &TaskId, aid: &Aid, answer: &Answer) {
        let Some(attempt) = self.state.tasks.get(task).and_then(|t| t.attempt()).filter(|a| a.aid == *aid) else { return };
        let (id, aid) = (task.clone(), aid.clone());
        match (answer, attempt.step.clone()) {
            (Answer::Prepared, Step::Prepare) => self.emit(Fact::Prepared { task: id, aid }),
            (Answer::AgentEnded { n, exit }, Step::Agent { n: at }) if *n == at => {
                self.emit(Fact::AgentEnded { task: id, aid, n: at, exit: exit.clone() });
            }
            (Answer::Snapshotted { n, snap }, Step::Snapshot { n: at, exit }) if *n == at => {
                self.emit(Fact::Snapshotted { task: id.clone(), aid: aid.clone(), n: at, snap: snap.clone() });
                self.judge(&id, &aid, at, &exit, snap);
            }
            (Answer::CheckPassed { tree, check }, Step::Verify { n }) if self.snap_tree(&id, n).as_ref() == Some(tree) => {
                self.emit(Fact::CheckPassed { task: id.clone(), aid: aid.clone(), tree: tree.clone(), check: check.clone() });
                self.verified(&id, &aid, n);
            }
            (Answer::CheckPassed { tree, check }, Step::Land { tree: at, .. }) if *tree == at => {
                self.emit(Fact::CheckPassed { task: id, aid, tree: at, check: check.clone() });
            }
            (Answer::CheckFailed { tree, failure }, Step::Verify { n }) if self.snap_tree(&id, n).as_ref() == Some(tree) => {
                self.fail(&id, &aid, failure.clone());
            }
            (Answer::CheckFailed { tree, failure }, Step::Land { tree: at, .. }) if *tree == at => self.fail(&id, &aid, failure.clone()),
            (Answer::Committed { commit }, Step::Commit) => self.emit(Fact::Committed { task: id, aid, commit: commit.clone() }),
            (Answer::Merged { old, new, tree }, Step::Merge { .. }) => {
                self.emit(Fact::LandIntent { task: id, aid, old: old.clone(), new: new.clone(), tree: tree.clone() });
            }
            (Answer::Conflict { paths }, Step::Merge { .. }) => self.conflict(&id, &aid, paths),
            (Answer::Landed { commit, tip }, Step::Merge { .. } | Step::Land { .. }) => {
                self.emit(Fact::Landed { task: id, aid, commit: commit.clone(), tip: tip.clone() });
            }
            (Answer::LostRace, Step::Land { .. }) => self.emit(Fact::LaneLost { task: id, aid }),
            (Answer::Broken { failure }, _) => self.fail(&id, &aid, failure.clone()),
            (Answer::Trouble { why }, _) => self.delay(&id, &aid, why),
            _ => {}
        }
    }

    /// What a step came to, once its files are safe.
    fn judge(&mut self, id: &TaskId, aid: &Aid, n: usize, exit: &Exit, snap: &Snap) {
        let spec = self.state.tasks[id].spec.clone();
        let last = n + 1 == spec.steps.len();
        match &exit.outcome {
            Outcome::Interrupted if self.state.tasks[id].interruptions + 1 >= POISON => {
                let message = format!("interrupted {POISON} times in a row without getting further");
                self.fail(id, aid, Failure::new(FailureClass::Poison, message));
            }
            Outcome::Interrupted => self.emit(Fact::Interrupted { task: id.clone(), aid: aid.clone() }),
            Outcome::Failed(failure) => self.fail(id, aid, failure.clone()),
            Outcome::Succeeded => match &snap.problem {
                Some(problem) => self.fail(id, aid, problem.clone()),
                None if last && snap.unchanged && !spec.allow_empty => {
                    let message = "it ended well but changed nothing; say `allow_empty = true` if that can be right";
                    // Its words often tell why: what it was denied, what was done already.
                    self.fail(id, aid, Failure { class: FailureClass::Empty, message: message.into(), tail: exit.summary.clone() });
                }
                None => self.verified(id, aid, n),
            },
        }
    }

    fn snap_tree(&self, id: &TaskId, n: usize) -> Option<Oid> {
        self.state.tasks.get(id)?.attempt()?.snaps.get(n).map(|s| s.tree.clone())
    }

    /// Goes on once every check of step `n` is proved.
    fn verified(&mut self, id: &TaskId, aid: &Aid, n: usize) {
        let task = &self.state.tasks[id];
        let Some(attempt) = task.attempt() else { return };
        let Some(snap) = attempt.snaps.get(n) else { return };
        if attempt.unproved(&snap.tree, task.spec.checks_after(n)).is_some() {
            return;
        }
        let (task, aid) = (id.clone(), aid.clone());
        if self.state.tasks[id].in_checkout() && n + 1 == self.state.tasks[id].spec.steps.len() {
            self.emit(Fact::Done { task, aid });
        } else {
            self.emit(Fact::Verified { task, aid, n });
        }
    }

    fn conflict(&mut self, id: &TaskId, aid: &Aid, paths: &[String]) {
        match self.state.policy.merge.on_conflict {
            OnConflict::Block => self.emit(Fact::Blocked { task: id.clone(), aid: aid.clone(), paths: paths.to_vec() }),
            OnConflict::Retry => {
                let message = format!("its work conflicts with what landed meanwhile, in {}", paths.join(", "));
                self.fail(id, aid, Failure::new(FailureClass::Conflict, message));
            }
        }
    }

    fn fail(&mut self, id: &TaskId, aid: &Aid, failure: Failure) {
        let task = &self.state.tasks[id];
        let nth = task.failures + 1;
        let retry = (nth < task.spec.retry.max_attempts && failure.class != FailureClass::Poison)
            .then(|| Due::after(self.now, backoff(&task.spec.retry, nth, aid)));
        self.emit(Fact::AttemptFailed { task: id.clone(), aid: aid.clone(), failure, retry });
    }

    fn delay(&mut self, id: &TaskId, aid: &Aid, why: &str) {
        let task = &self.state.tasks[id];
        if task.interruptions + 1 >= POISON {
            let message = format!("in trouble {POISON} times in a row; the last: {why}");
            return self.fail(id, aid, Failure::new(FailureClass::Poison, message));
        }
        let wait = Duration::from_secs(1 << task.interruptions.min(6));
        let due = Due::after(self.now, wait);
        self.emit(Fact::Delayed { task: id.clone(), aid: aid.clone(), due, why: why.to_owned() });
    }

    /// Everything that has become due or possible. Timers fire here and only here: nothing in
    /// `outstanding` looks at a clock.
    fn settle(&mut self) {
        self.state.settle_index();
        // The record may be of a run that was cut short. What that one had selected, and where
        // the line was then, is nothing to begin work on.
        if !self.state.begun || self.state.flow == Flow::Interrupting || self.state.head.run.as_ref().is_none_or(|r| r.ended) {
            return;
        }
        self.fire_timers();
        self.supersede();
        self.state.settle_index();
        self.grant_lane();
        self.claim();
    }

    fn fire_timers(&mut self) {
        let state = &self.state;
        let over = |id: &&TaskId| {
            state.tasks.get(*id).is_some_and(|t| match &t.phase {
                Phase::Waiting { not_before } => not_before.is_some_and(|d| d.is_over(self.now)),
                Phase::Active(a) => a.delay.is_some_and(|d| d.is_over(self.now)),
                _ => false,
            })
        };
        let due: Vec<TaskId> = state.index.timed().filter(over).cloned().collect();
        due.into_iter().for_each(|task| self.emit(Fact::Due { task }));
        let time_up = self.state.run_deadline().is_some_and(|d| d.is_over(self.now));
        if time_up {
            self.emit(Fact::TimeUp);
        }
    }

    /// An attempt whose definition moved does not land, unless it is to be kept.
    fn supersede(&mut self) {
        let moved = |a: &Attempt| matches!(a.step, Step::Queued { .. });
        let stale: Vec<(TaskId, Aid)> = self
            .state
            .active()
            .filter(|(t, a)| moved(a) && t.next.as_ref().is_some_and(|n| n.digest != t.spec.digest && n.on_change != OnChange::Keep))
            .map(|(t, a)| (t.spec.id.clone(), a.aid.clone()))
            .collect();
        stale.into_iter().for_each(|(task, aid)| self.emit(Fact::Superseded { task, aid }));
    }

    /// Landing is serial: one attempt at a time merges, is verified as merged, and lands.
    fn grant_lane(&mut self) {
        if self.state.active().any(|(_, a)| a.in_lane()) {
            return;
        }
        let first = self
            .state
            .active()
            .filter(|(_, a)| matches!(a.step, Step::Queued { .. }))
            .min_by_key(|(t, a)| (std::cmp::Reverse(t.spec.priority), t.changed, a.aid.clone()))
            .map(|(t, a)| (t.spec.id.clone(), a.aid.clone()));
        if let Some((task, aid)) = first {
            self.emit(Fact::LaneTaken { task, aid });
        }
    }

    fn claim(&mut self) {
        while let Some(id) = self.state.next_claim() {
            let Some(tip) = self.state.head.line.tip.clone() else { return };
            let Some(run) = self.state.head.run.as_ref() else { return };
            let aid = Aid::new(&run.id, self.state.head.claims + 1);
            // What an interrupted attempt had made goes on from where it started, unless a
            // dependency has landed anew since: then its base lacks what the task needs.
            let carried = self.state.usable_carry(&id).map(|c| c.base.clone());
            self.emit(Fact::Claimed { task: id, aid, base: carried.unwrap_or(tip) });
        }
    }
}

/// The wait before the attempt after the `nth` failure. The jitter comes from the attempt's
/// id, so that the same history gives the same schedule.
fn backoff(retry: &Retry, nth: u32, aid: &Aid) -> Duration {
    let factor = match retry.backoff {
        Backoff::Fixed => 1,
        Backoff::Exponential => 1u32 << (nth - 1).min(20),
    };
    let wait = retry.delay.saturating_mul(factor).min(retry.max_delay);
    if !retry.jitter {
        return wait;
    }
    let noise = u32::from_str_radix(&sha256_hex(aid.as_str().as_bytes())[..4], 16).unwrap_or(0);
    // Between three quarters and the whole of it.
    wait.mul_f64(0.75 + 0.25 * f64::from(noise) / 65_535.0)
}

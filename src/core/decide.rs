//! From one input to the facts that follow, everything that has become due included.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::fact::{Change, Fact, Input};
use super::outcome::{Exit, Failure, FailureClass, Outcome, Snap};
use super::state::{Attempt, Due, Flow, Phase, Selection, State, Step, Task};
use crate::base::text::some_of;
use crate::base::{Aid, Millis, RunId, TaskId, sha256_hex};
use crate::model::{Backoff, OnConflict, Policy, Retry};

/// So many interruptions or troubles in a row without progress fail the task.
pub const POISON: u32 = 10;

/// So many paths are recorded with a failure.
const FAILURE_PATHS: usize = 1000;

/// The facts that follow from an input, already applied to the state, in order.
///
/// # Panics
/// If it decides on a fact that the state refuses: a bug, which stops the driver before
/// anything is committed.
pub fn decide(state: &mut State, now: Millis, input: &Input) -> Vec<Fact> {
    decide_all(state, now, std::slice::from_ref(input))
}

/// The same of inputs that belong together, such as a selection and the definitions that it was made
/// from: nothing becomes due between two of them.
pub fn decide_all(state: &mut State, now: Millis, inputs: &[Input]) -> Vec<Fact> {
    if inputs.is_empty() {
        return Vec::new();
    }
    let mut decider = Decider { state, now, facts: Vec::new() };
    inputs.iter().for_each(|input| decider.take(input));
    decider.settle();
    decider.facts
}

pub(super) struct Decider<'a> {
    pub(super) state: &'a mut State,
    pub(super) now: Millis,
    facts: Vec<Fact>,
}

impl Decider<'_> {
    pub(super) fn emit(&mut self, fact: Fact) {
        self.state.apply(self.now, &fact).expect("the core decides only on what the state allows");
        self.facts.push(fact);
    }

    fn take(&mut self, input: &Input) {
        match input {
            Input::RunBegan { run, selection } => self.begin(run, selection),
            Input::Again { run } => self.begin_again(run),
            Input::StandBy { why } => self.state.stands_by.clone_from(why),
            Input::Recall { found } => found.iter().for_each(|recalled| self.recall(recalled)),
            Input::Reverts { found } => self.reverts(found),
            Input::LetGo { tasks, tip } => {
                let done = |id: &&TaskId| self.state.tasks.get(*id).is_some_and(|t| t.is_completed());
                let tasks: Vec<TaskId> = tasks.iter().filter(done).cloned().collect();
                tasks.into_iter().for_each(|task| self.emit(Fact::Reverted { task, commit: tip.clone(), let_go: true }));
            }
            Input::Reconcile { policy, changes } => self.reconcile(policy.as_ref(), changes),
            Input::Select { selection } => {
                self.state.begun = true;
                if *selection != self.state.selection {
                    self.emit(Fact::Selected { selection: selection.clone() });
                }
            }
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
            Input::LineSynced { was, tip } => self.line_seen(was.as_ref(), tip),
            Input::LineBrings { was, tip, found, reverts } => {
                self.line_seen(was.as_ref(), tip);
                found.iter().for_each(|found| self.landed_elsewhere(found));
                self.landings_reverted(reverts);
            }
            Input::Published { tip } => self.emit(Fact::Published { tip: tip.clone() }),
            Input::GitChanges { found } if *found != self.state.head.unaccepted => {
                // Who had begun by then; one whose worktree is being built runs `setup`.
                let during = self.state.active().map(|(task, _)| task.spec.id.clone()).collect();
                self.emit(Fact::GitChanged { found: found.clone(), during });
            }
            Input::GitChanges { .. } => {}
            Input::PublishHeld { why } => self.publish_held(why, &[], false),
            Input::PublishWaits { why, paths } => self.publish_held(why, paths, false),
            Input::PublishBusy { why } => self.publish_held(why, &[], true),
            Input::PublishAsked { restore } => self.emit(Fact::PublishAsked { restore: *restore }),
            Input::Pushed { tip } => self.emit(Fact::Pushed { tip: tip.clone() }),
            Input::PushHeld { why, lasting } => self.push_held(why, *lasting),
            Input::Found { tip, found } => self.found(tip, found),
            Input::Cleaned { aid } => {
                if self.state.head.garbage.contains(aid) {
                    self.emit(Fact::Cleaned { aid: aid.clone() });
                }
            }
            Input::Wish(wish) => self.wish(wish),
            Input::Orders(orders) => orders.iter().for_each(|order| self.order(order)),
            Input::Answer { task, aid, answer } => {
                self.answer(task, aid, answer);
                self.take_up_elsewhere(task);
            }
        }
    }

    fn begin(&mut self, run: &RunId, selection: &Selection) {
        let continues = self.state.head.run.as_ref().filter(|r| !r.ended).map(|r| r.id.clone());
        self.emit(Fact::RunBegan { run: run.clone(), selection: selection.clone(), continues, after: None });
    }

    fn begin_again(&mut self, run: &RunId) {
        let after = self.state.head.run.as_ref().filter(|r| r.ended).map(|r| r.id.clone());
        self.emit(Fact::RunBegan { run: run.clone(), selection: self.state.selection.clone(), continues: None, after });
    }

    fn reconcile(&mut self, policy: Option<&Arc<Policy>>, changes: &[Change]) {
        if let Some(policy) = policy {
            self.emit(Fact::PolicySet { policy: policy.clone() });
        }
        for change in changes {
            match change {
                Change::Define { .. } | Change::Renew { .. } => change.defined().into_iter().for_each(|fact| self.emit(fact)),
                Change::Move { from, spec } if self.state.tasks.contains_key(from) => {
                    self.emit(Fact::Moved { from: from.clone(), spec: spec.clone() });
                }
                Change::Move { .. } => {}
                Change::Remove { task } if self.state.tasks.contains_key(task) => self.emit(Fact::Removed { task: task.clone() }),
                Change::Remove { .. } => {}
            }
        }
    }

    /// Fencing: an answer counts only for the step that its attempt is in.
    fn answer(&mut self, task: &TaskId, aid: &Aid, answer: &Answer) {
        let Some(attempt) = self.state.tasks.get(task).and_then(|t| t.attempt()).filter(|a| a.aid == *aid && !a.is_parked()) else {
            return;
        };
        if attempt.is_ending() {
            return self.answer_ending(task, aid, &attempt.step.clone(), answer);
        }
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
            (Answer::CheckPassed { tree, check, nth }, _) => self.check_passed(&id, &aid, tree, check, *nth),
            (Answer::CheckFailed { tree, check, nth, failure }, _) => self.check_failed(&id, &aid, tree, check, *nth, failure),
            (Answer::Compared { commit, check, green }, _) => self.compared(&id, &aid, commit, check, *green),
            (Answer::Committed { commit }, Step::Commit) => self.committed(id, aid, commit.clone()),
            (Answer::Merged { old, new, tree }, Step::Merge { .. }) => {
                self.emit(Fact::LandIntent { task: id, aid, old: old.clone(), new: new.clone(), tree: tree.clone() });
            }
            (Answer::Conflict { paths }, Step::Merge { .. }) => self.conflict(&id, &aid, paths),
            (Answer::Landed { commit, tip }, Step::Merge { .. } | Step::Land { .. }) => {
                self.done(task, Fact::Landed { task: id, aid, commit: commit.clone(), tip: tip.clone() });
            }
            (Answer::TakenBack { commit, tip, by }, Step::Merge { .. } | Step::Land { .. }) => self.taken_back(id, aid, commit, tip, by),
            (Answer::LostRace, Step::Land { .. }) => self.emit(Fact::LaneLost { task: id, aid }),
            (Answer::Outdated, Step::Prepare) => self.emit(Fact::Superseded { task: id, aid }),
            (Answer::Elsewhere(found), Step::Merge { .. }) => {
                self.emit(Fact::Superseded { task: id, aid });
                self.landed_elsewhere(found);
            }
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
            Outcome::Held(hold) => {
                let agent = self.state.tasks[id].agent_at(n).unwrap_or_default().to_owned();
                let pause = self.state.pause_after(self.now, &agent, hold);
                self.emit(Fact::Held { task: id.clone(), aid: aid.clone(), agent, pause });
            }
            Outcome::Blocked(reason) => {
                self.emit(Fact::BlockedExternally { task: id.clone(), aid: aid.clone(), reason: reason.clone() });
            }
            Outcome::Failed(failure) => match self.state.ended_by_budget(&self.state.tasks[id], failure) {
                Some(why) => self.emit(Fact::OverBudget { task: id.clone(), aid: aid.clone(), why, finished: false }),
                None => self.fail(id, aid, failure.clone()),
            },
            Outcome::Succeeded => match &snap.problem {
                Some(problem) => self.fail(id, aid, problem.clone()),
                None if last && snap.unchanged && !spec.allow_empty => {
                    let message = "it ended well but changed nothing; say `allow_empty = true` if that can be right";
                    // Its words often tell why: what it was denied, what was done already.
                    self.fail(id, aid, Failure { tail: exit.summary.clone(), ..Failure::new(FailureClass::Empty, message) });
                }
                None => self.verified(id, aid, n),
            },
        }
    }

    /// Goes on once every check of step `n` is proved.
    pub(super) fn verified(&mut self, id: &TaskId, aid: &Aid, n: usize) {
        let task = &self.state.tasks[id];
        let Some(attempt) = task.attempt() else { return };
        if attempt.snaps.get(n).is_none() || self.state.gate(task, attempt).is_some() {
            return;
        }
        let (task, aid) = (id.clone(), aid.clone());
        let whole = n + 1 == self.state.tasks[id].spec.steps.len();
        if let Some(why) = self.state.spent(&self.state.tasks[id]).filter(|_| !whole) {
            return self.emit(Fact::OverBudget { task, aid, why, finished: true });
        }
        if let Some(why) = self.state.attempt_spent(&self.state.tasks[id]).filter(|_| !whole) {
            return self.fail(id, &aid, Failure::new(FailureClass::CostLimit, why));
        }
        if self.state.tasks[id].in_checkout() && n + 1 == self.state.tasks[id].spec.steps.len() {
            self.done(id, Fact::Done { task, aid });
        } else {
            self.emit(Fact::Verified { task, aid, n });
        }
    }

    fn conflict(&mut self, id: &TaskId, aid: &Aid, paths: &[String]) {
        match self.state.policy.merge.on_conflict {
            OnConflict::Block => self.emit(Fact::Blocked { task: id.clone(), aid: aid.clone(), paths: paths.to_vec() }),
            OnConflict::Retry => {
                let message = format!("its work conflicts with what landed meanwhile, in {}", some_of(paths));
                let paths = paths.iter().take(FAILURE_PATHS).cloned().collect();
                self.fail(id, aid, Failure { paths, ..Failure::new(FailureClass::Conflict, message) });
            }
        }
    }

    pub(super) fn fail(&mut self, id: &TaskId, aid: &Aid, failure: Failure) {
        let task = &self.state.tasks[id];
        if task.attempt().is_some_and(|a| a.is_ending()) {
            return self.emit(Fact::Withdrawn { task: id.clone(), aid: aid.clone() });
        }
        let nth = task.failures + 1;
        // There is nothing to wait out where a person has spoken.
        let wait = if failure.class == FailureClass::Rejected { Duration::ZERO } else { backoff(&task.spec.retry, nth, aid) };
        let is_final = matches!(failure.class, FailureClass::Poison | FailureClass::Prompt);
        let retry = (nth < task.spec.retry.max_attempts && !is_final).then(|| Due::after(self.now, wait));
        self.emit(Fact::AttemptFailed { task: id.clone(), aid: aid.clone(), failure, retry });
    }

    pub(super) fn delay(&mut self, id: &TaskId, aid: &Aid, why: &str) {
        let task = &self.state.tasks[id];
        // Whether it has landed must be known, however long that takes.
        let must = task.attempt().is_some_and(|a| a.is_ending() && a.in_lane());
        if task.interruptions + 1 >= POISON && !must {
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
        self.settle_gates();
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
        self.state.pauses_over(self.now).into_iter().for_each(|fact| self.emit(fact));
        self.fire_line_timers();
        let time_up = self.state.run_deadline().is_some_and(|d| d.is_over(self.now));
        if time_up {
            self.emit(Fact::TimeUp);
        }
    }

    /// An attempt whose definition moved does not land, unless it is to be kept; nor does one at
    /// a task that landed in another clone, or that goes with what has landed anew since it began.
    fn supersede(&mut self) {
        let waits = |a: &Attempt| a.is_parked() || matches!(a.step, Step::Queued { .. });
        let elsewhere = |t: &Task| t.elsewhere.as_ref().is_some_and(|e| t.is_met_by(e));
        let stale: Vec<(TaskId, Aid)> = self
            .state
            .active()
            .chain(self.state.parked())
            .filter(|(t, a)| waits(a) && (t.definition_moved() || elsewhere(t) || self.state.is_left_behind(t, a)))
            .map(|(t, a)| (t.spec.id.clone(), a.aid.clone()))
            .collect();
        for (task, aid) in stale {
            self.emit(Fact::Superseded { task: task.clone(), aid });
            self.take_up_elsewhere(&task);
        }
    }

    /// Landing is serial: one attempt at a time merges, is verified as merged, and lands.
    fn grant_lane(&mut self) {
        if self.state.is_landing_stopped() || self.state.active().any(|(_, a)| a.in_lane()) {
            return;
        }
        let first = self
            .state
            .active()
            .filter(|(_, a)| matches!(a.step, Step::Queued { .. }))
            .chain(self.state.admissible())
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

//! What the world owes: derived from the state, without a clock.

use std::collections::BTreeSet;

use super::state::{Attempt, Due, Flow, Phase, Publish, State, Step, Task};
use crate::base::{Aid, Millis, Oid, TaskId};

/// One effect to be carried out. Each is idempotent or probes the world first, so that it may
/// be started again after a crash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Bring the line to where the target is, or say where it stands.
    SyncLine,
    /// Bring the target to where the line is.
    Publish,
    /// Take away the worktree of an ended attempt.
    Clean {
        aid: Aid,
    },
    Prepare {
        task: TaskId,
        aid: Aid,
    },
    Agent {
        task: TaskId,
        aid: Aid,
        n: usize,
    },
    Snapshot {
        task: TaskId,
        aid: Aid,
        n: usize,
    },
    /// Run the check with this key on that tree.
    Check {
        task: TaskId,
        aid: Aid,
        tree: Oid,
        check: String,
    },
    Commit {
        task: TaskId,
        aid: Aid,
    },
    Merge {
        task: TaskId,
        aid: Aid,
    },
    Land {
        task: TaskId,
        aid: Aid,
        new: Oid,
    },
    /// Send a tick when that time has come, or when so many milliseconds went by.
    WakeAt {
        at: Millis,
        length: u64,
    },
}

impl Command {
    /// The attempt it is a step of.
    pub fn attempt(&self) -> Option<(&TaskId, &Aid)> {
        match self {
            Command::Prepare { task, aid }
            | Command::Agent { task, aid, .. }
            | Command::Snapshot { task, aid, .. }
            | Command::Check { task, aid, .. }
            | Command::Commit { task, aid }
            | Command::Merge { task, aid }
            | Command::Land { task, aid, .. } => Some((task, aid)),
            _ => None,
        }
    }
}

impl State {
    /// Every effect the world owes an answer to. The same on start-up and after each commit.
    pub fn outstanding(&self) -> BTreeSet<Command> {
        let mut out = BTreeSet::new();
        if self.head.run.as_ref().is_none_or(|r| r.ended) || self.flow == Flow::Interrupting {
            return out;
        }
        let owed = self.head.line.publish == Publish::Owed;
        if self.head.line.tip.is_none() {
            // Nothing is built, landed or published on a line that nobody has looked at, and
            // one that could not be looked at ends the run.
            out.extend(owed.then_some(Command::SyncLine));
        } else {
            out.extend(owed.then_some(Command::Publish));
            out.extend(self.active().filter(|(_, a)| a.delay.is_none()).filter_map(|(t, a)| self.owed(t, a)));
        }
        out.extend(self.head.garbage.iter().map(|aid| Command::Clean { aid: aid.clone() }));
        if let Some(due) = self.next_timer() {
            out.insert(Command::WakeAt { at: due.at, length: due.length });
        }
        out
    }

    fn owed(&self, task: &Task, attempt: &Attempt) -> Option<Command> {
        let (id, aid) = (task.spec.id.clone(), attempt.aid.clone());
        Some(match &attempt.step {
            Step::Prepare => Command::Prepare { task: id, aid },
            Step::Agent { n } => Command::Agent { task: id, aid, n: *n },
            Step::Snapshot { n, .. } => Command::Snapshot { task: id, aid, n: *n },
            Step::Verify { n } => {
                let tree = &attempt.snaps.get(*n)?.tree;
                let check = attempt.unproved(tree, task.spec.checks_after(*n))?;
                Command::Check { task: id, aid, tree: tree.clone(), check: check.key() }
            }
            Step::Commit => Command::Commit { task: id, aid },
            Step::Queued { .. } => return None,
            Step::Merge { .. } => Command::Merge { task: id, aid },
            Step::Land { new, tree, .. } => match attempt.unproved(tree, self.landing_checks(&task.spec)) {
                Some(check) => Command::Check { task: id, aid, tree: tree.clone(), check: check.key() },
                None => Command::Land { task: id, aid, new: new.clone() },
            },
        })
    }

    /// The earliest time that something waits for.
    fn next_timer(&self) -> Option<Due> {
        let of_task = |id: &TaskId| match &self.tasks.get(id)?.phase {
            Phase::Waiting { not_before } => not_before.filter(|_| self.claims_go_on() && self.selection.holds(id)),
            Phase::Active(attempt) => attempt.delay,
            _ => None,
        };
        let timers = self.index.timed().filter_map(of_task);
        // The end of the run's time matters only while something could still be claimed later.
        let deadline = self.run_deadline().filter(|_| self.claims_go_on() && self.is_moving());
        timers.chain(deadline).min_by_key(|d| d.at)
    }

    /// When the run's `max_time` is over, while it is not.
    pub(super) fn run_deadline(&self) -> Option<Due> {
        let run = self.head.run.as_ref().filter(|r| !r.time_up && !r.ended)?;
        let length = self.policy.max_time?;
        Some(Due { at: Millis(run.began.0.saturating_add(length)), length })
    }

    /// Something is under way, or waits for a time.
    fn is_moving(&self) -> bool {
        self.index.active().next().is_some() || self.index.timed().next().is_some()
    }

    /// Whether anything may be claimed at all.
    pub fn claims_go_on(&self) -> bool {
        let run = self.head.run.as_ref().is_some_and(|r| !r.ended && !r.time_up);
        run && self.flow == Flow::Running && !self.has_failed_fast()
    }

    fn has_failed_fast(&self) -> bool {
        self.fails_fast() && self.tasks.iter().any(|(id, t)| t.phase == Phase::Failed && self.selection.holds(id))
    }

    /// The next task to claim, if one may be claimed now.
    pub(super) fn next_claim(&self) -> Option<TaskId> {
        // Nothing is begun on a line that nobody has looked at.
        if self.head.line.tip.is_none() || !self.claims_go_on() || self.index.active().count() >= self.workers() {
            return None;
        }
        self.index.queue().find(|id| self.held_by(id).is_none()).cloned()
    }

    /// What keeps a task that is ready from being claimed: a full group or agent, or a
    /// checkout that does not yet hold what the task needs.
    pub fn held_by(&self, id: &TaskId) -> Option<String> {
        let task = self.tasks.get(id)?;
        let uses = |of: &dyn Fn(&Task) -> bool| self.active().filter(|(t, _)| of(t)).count();
        for group in &task.spec.groups {
            let limit = self.policy.groups.get(group).copied().unwrap_or(u32::MAX) as usize;
            if uses(&|t| t.spec.groups.contains(group)) >= limit {
                return Some(format!("group `{group}` is full"));
            }
        }
        for agent in task.spec.agents() {
            let limit = self.policy.agents.get(&agent.name).copied().unwrap_or(u32::MAX) as usize;
            if uses(&|t| t.spec.agents().any(|a| a.name == agent.name)) >= limit {
                return Some(format!("agent `{}` is at its limit", agent.name));
            }
        }
        if task.in_checkout() && !task.spec.depends_on.is_empty() && !self.checkout_is_current() {
            return Some("what it depends on has not reached the checkout".into());
        }
        None
    }

    /// Nothing is owed and nothing more will be claimed: the run is over.
    pub fn is_finished(&self) -> bool {
        self.outstanding().is_empty() && self.next_claim().is_none()
    }
}

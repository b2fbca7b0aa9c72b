//! What the world owes: derived from the state, without a clock.

use std::collections::BTreeSet;

use super::gate::Gate;
use super::push::Publish;
use super::state::{Attempt, Due, Flow, Phase, State, Step, Task};
use crate::base::{Aid, Millis, Oid, TaskId};
use crate::model::scope;

/// One effect to be carried out. Each is idempotent or probes the world first, so that it may
/// be started again after a crash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Bring the line to where the target is, or say where it stands.
    SyncLine,
    /// Bring the target to where the line is.
    Publish,
    /// Bring the remote to where the line is, and what others pushed into the line.
    Push,
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
        /// How often it was run on that tree before, and failed.
        nth: u32,
    },
    /// Run it on the commit that the attempt's work is compared with.
    Compare {
        task: TaskId,
        aid: Aid,
        commit: Oid,
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
    /// See an attempt that is to end to its end, and whether it has landed.
    Withdraw {
        task: TaskId,
        aid: Aid,
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
            | Command::Compare { task, aid, .. }
            | Command::Commit { task, aid }
            | Command::Merge { task, aid }
            | Command::Withdraw { task, aid }
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
            out.extend((owed && !self.is_landing_stopped()).then_some(Command::Publish));
            out.extend(self.owes_push().then_some(Command::Push));
            out.extend(self.active().filter(|(_, a)| a.delay.is_none()).filter_map(|(t, a)| self.owed(t, a)));
        }
        out.extend(self.head.garbage.iter().map(|aid| Command::Clean { aid: aid.clone() }));
        if let Some(due) = self.next_timer() {
            out.insert(Command::WakeAt { at: due.at, length: due.length });
        }
        out
    }

    /// Whether something that git would run appeared while attempts ran, and nobody accepted it.
    pub fn is_landing_stopped(&self) -> bool {
        !self.head.unaccepted.is_empty()
    }

    fn owed(&self, task: &Task, attempt: &Attempt) -> Option<Command> {
        if attempt.is_ending() {
            return Some(attempt.owes_end(&task.spec.id));
        }
        if self.is_landing_stopped() && attempt.in_lane() {
            return None;
        }
        let (id, aid) = (task.spec.id.clone(), attempt.aid.clone());
        Some(match &attempt.step {
            Step::Prepare => Command::Prepare { task: id, aid },
            Step::Agent { n } => Command::Agent { task: id, aid, n: *n },
            Step::Snapshot { n, .. } => Command::Snapshot { task: id, aid, n: *n },
            Step::Verify { .. } => self.owed_check(task, attempt)??,
            Step::Commit => Command::Commit { task: id, aid },
            Step::Approval { .. } | Step::Approved { .. } | Step::Queued { .. } => return None,
            Step::Merge { .. } => Command::Merge { task: id, aid },
            Step::Land { new, .. } => match self.owed_check(task, attempt) {
                Some(check) => check?,
                None => Command::Land { task: id, aid, new: new.clone() },
            },
        })
    }

    /// Nothing where everything is proved; inside it nothing where others find out, or only a
    /// conclusion is missing.
    fn owed_check(&self, task: &Task, attempt: &Attempt) -> Option<Option<Command>> {
        let (id, aid) = (task.spec.id.clone(), attempt.aid.clone());
        Some(match self.gate(task, attempt)? {
            Gate::Run(tree, check, nth) => Some(Command::Check { task: id, aid, tree: tree.clone(), check: check.key(), nth }),
            Gate::Compare(commit, check) => {
                let command = Command::Compare { task: id, aid, commit: commit.clone(), check: check.key() };
                (!self.is_compared_elsewhere(task, commit, &check.key())).then_some(command)
            }
            Gate::Excuse(..) | Gate::Fail(..) => None,
        })
    }

    /// The earliest time that something waits for.
    fn next_timer(&self) -> Option<Due> {
        let of_task = |id: &TaskId| match &self.tasks.get(id)?.phase {
            Phase::Waiting { not_before } => not_before.filter(|_| self.claims_go_on() && self.selection.holds(id)),
            Phase::Active(attempt) => attempt.delay,
            _ => None,
        };
        let timers = self.index.timed().filter_map(of_task).chain(self.pause_timer());
        // The end of the run's time matters only while something could still be claimed later.
        let deadline = self.run_deadline().filter(|_| self.claims_go_on() && self.is_moving());
        timers.chain(self.line_timers()).chain(deadline).min_by_key(|d| d.at)
    }

    /// When the run's `max_time` is over, while it is not.
    pub(super) fn run_deadline(&self) -> Option<Due> {
        let run = self.head.run.as_ref().filter(|r| !r.time_up && !r.ended)?;
        let length = self.policy.max_time?;
        Some(Due { at: Millis(run.began.0.saturating_add(length)), length })
    }

    /// Something is under way, or waits for a time.
    pub(super) fn is_moving(&self) -> bool {
        self.index.active().next().is_some() || self.index.timed().next().is_some() || self.pause_timer().is_some()
    }

    /// Whether anything may be claimed at all.
    pub fn claims_go_on(&self) -> bool {
        let run = self.head.run.as_ref().is_some_and(|r| !r.ended && !r.time_up) && self.stands_by.is_none() && !self.head.suspended;
        run && self.flow == Flow::Running && !self.is_landing_stopped() && !self.has_failed_fast() && self.run_spent().is_none()
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
        if let Some(why) = self.task_spent(task) {
            return Some(why);
        }
        if let Some((agent, pause)) = self.paused_for(task) {
            return Some(format!("agent `{agent}` is {}", pause.kind.words()));
        }
        if let Some(group) = self.full_group(task) {
            return Some(format!("group `{group}` is full"));
        }
        let uses = |of: &dyn Fn(&Task) -> bool| self.active().filter(|(t, _)| of(t)).count();
        for agent in self.agents_of(task) {
            let limit = self.policy.agents.get(&agent.name).copied().unwrap_or(u32::MAX) as usize;
            if uses(&|t| self.agents_of(t).any(|a| a.name == agent.name)) >= limit {
                return Some(format!("agent `{}` is at its limit", agent.name));
            }
        }
        if let Some(other) = self.paths_busy(id) {
            return Some(format!("its `paths` overlap with those of {other}, which is at work"));
        }
        if task.in_checkout() && !task.spec.depends_on.is_empty() && !self.checkout_is_current() {
            return Some("what it depends on has not reached the checkout".into());
        }
        None
    }

    /// A group of the task's that has no room for one more.
    pub(super) fn full_group<'a>(&self, task: &'a Task) -> Option<&'a String> {
        let limit = |group: &String| self.policy.groups.get(group).copied().unwrap_or(u32::MAX) as usize;
        let uses = |group: &String| self.active().filter(|(t, _)| t.spec.groups.contains(group)).count();
        task.spec.groups.iter().find(|group| uses(group) >= limit(group))
    }

    /// The task at work that may touch what this one may: the two do not run together.
    pub(super) fn paths_busy(&self, id: &TaskId) -> Option<&TaskId> {
        let paths = &self.tasks.get(id)?.spec.paths;
        let mut others = self.active().map(|(t, _)| &t.spec).filter(|other| other.id != *id);
        others.find(|other| scope::overlap(paths, &other.paths)).map(|other| &other.id)
    }

    /// Nothing is owed and nothing more will be claimed: the run is over.
    pub fn is_finished(&self) -> bool {
        self.outstanding().is_empty() && self.next_claim().is_none()
    }

    /// The same of a run that was told to leave off, if that kept it from nothing.
    pub fn is_through(&self) -> bool {
        let unhindered = || Self { flow: Flow::Running, ..self.clone() }.is_finished();
        self.flow == Flow::Running || unhindered()
    }
}

//! The driver without its threads: inputs to a batch of facts, and after the batch is durable
//! what must be started. Synchronous and without I/O, so that the simulator drives the very
//! same code as the program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Millis, Oid, TaskId};
use crate::core::{Attempt, Command, Fact, Input, State, decide};
use crate::model::{Policy, Spec};

/// One effect to start, with everything it may know: it reads no state.
#[derive(Clone, Debug)]
pub struct Job {
    pub command: Command,
    pub policy: Arc<Policy>,
    /// The line's tip as it was known when the job was started.
    pub line: Option<Oid>,
    pub work: Option<Work>,
}

/// The attempt that a job is a step of, as it stood when the job was started.
#[derive(Clone, Debug)]
pub struct Work {
    pub spec: Arc<Spec>,
    pub attempt: Attempt,
    /// What its dependencies had landed when it was claimed.
    pub landed: BTreeMap<TaskId, Landed>,
    /// Why the attempt before this one failed.
    pub previous: Option<crate::core::Failure>,
}

#[derive(Clone, Debug)]
pub struct Landed {
    pub title: String,
    /// Absent for a task that works in the checkout.
    pub commit: Option<Oid>,
}

/// What an effect sends when it is through.
#[derive(Clone, Debug)]
pub struct Done {
    pub command: Command,
    pub inputs: Vec<Input>,
}

#[derive(Debug)]
pub struct Machine {
    pub state: State,
    /// Started, and not known to be through; or through, but what it led to is not durable yet.
    started: BTreeSet<Command>,
    through: Vec<Command>,
}

impl Machine {
    pub fn new(state: State) -> Self {
        Self { state, started: BTreeSet::new(), through: Vec::new() }
    }

    /// Decides on an input. The facts must be committed before `due` is asked.
    pub fn input(&mut self, now: Millis, input: &Input) -> Vec<Fact> {
        decide(&mut self.state, now, input)
    }

    /// Decides on what an effect brought.
    pub fn done(&mut self, now: Millis, done: Done) -> Vec<Fact> {
        self.through.push(done.command);
        done.inputs.iter().flat_map(|input| decide(&mut self.state, now, input)).collect()
    }

    /// Everything decided so far is durable: what is to be started now. A command whose effect
    /// is through but that the state still owes is started again.
    pub fn due(&mut self) -> Vec<Job> {
        for command in self.through.drain(..) {
            self.started.remove(&command);
        }
        let owed = self.state.outstanding();
        let new: Vec<Command> = owed.into_iter().filter(|c| !self.started.contains(c)).collect();
        self.started.extend(new.iter().cloned());
        new.into_iter().map(|c| self.job(c)).collect()
    }

    /// Effects under way, timers apart.
    pub fn busy(&self) -> impl Iterator<Item = &Command> {
        self.started.iter().filter(|c| !matches!(c, Command::WakeAt { .. }) && !self.through.contains(c))
    }

    fn job(&self, command: Command) -> Job {
        let task = command.attempt().and_then(|(task, _)| self.state.tasks.get(task));
        let work = task.and_then(|t| {
            let attempt = t.attempt()?;
            let landed = |id: &TaskId| {
                let dependency = self.state.tasks.get(id)?;
                let completion = dependency.completion.as_ref().filter(|c| c.landing <= attempt.landings)?;
                Some((id.clone(), Landed { title: dependency.spec.title.clone(), commit: completion.commit.clone() }))
            };
            Some(Work {
                spec: t.spec.clone(),
                attempt: attempt.clone(),
                landed: t.spec.depends_on.iter().filter_map(landed).collect(),
                previous: t.last_failure.clone(),
            })
        });
        Job { command, policy: self.state.policy.clone(), line: self.state.head.line.tip.clone(), work }
    }
}

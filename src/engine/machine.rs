//! The driver without its threads: inputs to a batch of facts, and after the batch is durable
//! what must be started. Synchronous and without I/O, so that the simulator drives the very
//! same code as the program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Aid, Millis, Oid, TaskId};
use crate::core::{Attempt, Command, Conflicted, Fact, Input, Left, State, Task, decide, decide_all};
use crate::model::{Policy, Spec};

/// One effect to start, with everything it may know: it reads no state.
#[derive(Clone, Debug)]
pub struct Job {
    pub command: Command,
    pub policy: Arc<Policy>,
    /// The line's tip as it was known when the job was started.
    pub line: Option<Oid>,
    /// The commit of the remote up to which the records of others were read.
    pub seen: Option<Oid>,
    /// A person wants back what the target lost.
    pub restore: bool,
    pub work: Option<Work>,
}

/// The attempt that a job is a step of, as it stood when the job was started.
#[derive(Clone, Debug)]
pub struct Work {
    pub spec: Arc<Spec>,
    pub attempt: Attempt,
    /// What its dependencies had landed when it was claimed.
    pub landed: BTreeMap<TaskId, Landed>,
    /// What the step may use.
    pub budget: crate::model::Budget,
    /// The inputs that have changed since it was done, and the commit that it was done in.
    pub renewed: Vec<String>,
    pub done_in: Option<Oid>,
    /// Why the attempt before this one failed.
    pub previous: Option<crate::core::Failure>,
    /// What it had made, if that did not merge.
    pub conflict: Option<Conflicted>,
    /// What it left in git.
    pub left: Option<Left>,
}

#[derive(Clone, Debug)]
pub struct Landed {
    pub title: String,
    pub aid: Aid,
    /// Absent for a task that works in the checkout.
    pub commit: Option<Oid>,
    /// Where the line stood before it, as far as that is known.
    pub onto: Option<Oid>,
    /// Orders landings.
    pub landing: u64,
}

impl Work {
    /// What an attempt at a task may know of the rest.
    pub fn of(state: &State, task: &Task, attempt: &Attempt) -> Self {
        let landed = |id: &TaskId| {
            let dependency = state.tasks.get(id)?;
            let done = dependency.completion.as_ref().filter(|c| c.landing <= attempt.landings)?;
            let (title, commit, onto) = (dependency.spec.title.clone(), done.commit.clone(), done.onto.clone());
            Some((id.clone(), Landed { title, aid: done.aid.clone(), commit, onto, landing: done.landing }))
        };
        Self {
            spec: if attempt.stand_ins.is_empty() { task.spec.clone() } else { Arc::new(attempt.working(&task.spec)) },
            attempt: attempt.clone(),
            landed: task.spec.depends_on.iter().filter_map(landed).collect(),
            budget: state.budget_left(task),
            renewed: task.renewed.clone(),
            done_in: task.completion.as_ref().and_then(|c| c.commit.clone()),
            previous: task.last_failure.clone(),
            conflict: task.conflict.clone(),
            left: task.left.clone(),
        }
    }
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
    /// Attempts that were told to end.
    told: BTreeSet<Aid>,
}

impl Machine {
    pub fn new(state: State) -> Self {
        Self { state, started: BTreeSet::new(), through: Vec::new(), told: BTreeSet::new() }
    }

    /// Decides on an input. The facts must be committed before `due` is asked.
    pub fn input(&mut self, now: Millis, input: &Input) -> Vec<Fact> {
        decide(&mut self.state, now, input)
    }

    /// Decides on inputs that belong together: nothing is begun between two of them.
    pub fn inputs(&mut self, now: Millis, inputs: &[Input]) -> Vec<Fact> {
        decide_all(&mut self.state, now, inputs)
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
        let new: Vec<Command> = owed.into_iter().filter(|c| !self.started.contains(c) && !self.must_wait(c)).collect();
        self.started.extend(new.iter().cloned());
        new.into_iter().map(|c| self.job(c)).collect()
    }

    /// Whether something else of its attempt is under way: one that is to end is first heard out, and
    /// what lands under another policy than the one in force has landed.
    fn must_wait(&self, command: &Command) -> bool {
        let Some((_, aid)) = command.attempt() else { return false };
        self.started.iter().any(|c| c.attempt().is_some_and(|(_, a)| a == aid))
    }

    /// Attempts that are to end and have something under way, each once: asked after `due`, and
    /// before anything of that is begun.
    pub fn unwanted(&mut self) -> Vec<Aid> {
        let ending = self.state.active().filter(|(_, a)| a.is_ending() && !self.told.contains(&a.aid)).map(|(_, a)| a.aid.clone());
        let ending: Vec<Aid> = ending.collect();
        self.told.extend(ending.iter().cloned());
        ending
    }

    /// Effects under way, timers apart.
    pub fn busy(&self) -> impl Iterator<Item = &Command> {
        self.started.iter().filter(|c| !matches!(c, Command::WakeAt { .. }) && !self.through.contains(c))
    }

    pub(super) fn job(&self, command: Command) -> Job {
        let task = command.attempt().and_then(|(task, _)| self.state.tasks.get(task));
        let work = task.and_then(|t| Some(Work::of(&self.state, t, t.attempt()?)));
        let line = &self.state.head.line;
        Job {
            command,
            policy: self.state.policy.clone(),
            line: line.tip.clone(),
            seen: line.remote.seen.clone(),
            restore: line.asked.restore,
            work,
        }
    }
}

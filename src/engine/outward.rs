//! Publishing without a run: the steps of one that bring out what has landed, and the core that
//! decides what they came to, with nothing claimed and no attempt taken up.
//!
//! Nothing is owed to it that a run would not do as well: cut short anywhere, it is begun again.

use std::time::Duration;

use super::driver::now;
use super::effects::{Workplace, World};
use super::machine::Machine;
use super::steps;
use crate::core::{Command, Due, Input, Publish, State};
use crate::store::{Store, StoreError, batch};

/// So often in a row line, target and remote may have something new for each other.
const ROUNDS: u32 = 12;

pub struct Outward {
    pub workplace: Workplace,
    pub store: Box<dyn Store>,
    /// As the store holds it.
    pub state: State,
}

impl Outward {
    /// Brings the target to the line, and the remote; with `restore` what the target lost comes
    /// back. What passes by itself is waited for, as at the end of a run.
    pub fn run(self, restore: bool) -> Result<State, StoreError> {
        let world = World::new(self.workplace, None);
        let mut going = Going { world, store: self.store, machine: Machine::new(self.state) };
        // What an earlier run found is not known to be there still.
        let changes = Input::GitChanges { found: going.world.repo.unaccepted() };
        going.take(vec![changes, Input::PublishAsked { restore }])?;
        for _ in 0..ROUNDS {
            let Some(command) = going.next() else { break };
            let job = going.machine.job(command);
            let inputs = steps::perform(&going.world, &job);
            going.take(inputs)?;
        }
        Ok(going.machine.state)
    }
}

struct Going {
    world: World,
    store: Box<dyn Store>,
    machine: Machine,
}

impl Going {
    /// Decides, and has the facts made durable.
    fn take(&mut self, inputs: Vec<Input>) -> Result<(), StoreError> {
        let at = now();
        let facts: Vec<_> = inputs.iter().flat_map(|input| self.machine.input(at, input)).collect();
        match facts.is_empty() {
            true => Ok(()),
            false => self.store.commit(&self.world.target, &batch(&self.machine.state, at, facts)),
        }
    }

    /// What is owed, once it may be tried.
    fn next(&self) -> Option<Command> {
        let state = &self.machine.state;
        if !state.outward().busy {
            return None;
        }
        let line = &state.head.line;
        let (command, due) = match &line.publish {
            Publish::Done => (Command::Push, line.remote.due),
            Publish::Owed | Publish::Held(_) => (Command::Publish, line.again.due),
        };
        due.iter().for_each(wait);
        Some(command)
    }
}

fn wait(due: &Due) {
    std::thread::sleep(due.at.since(now()).min(Duration::from_millis(due.length)));
}

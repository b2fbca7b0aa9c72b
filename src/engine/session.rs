//! One run from its first input to its end: the driver, the effects and the runtime put together.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::driver::{Driver, Message, Stopped};
use super::effects::{RealEffects, Running, World};
use super::machine::Machine;
use super::{preflight, steps};
use crate::base::Aid;
use crate::core::{Input, State};
use crate::git::Repo;
use crate::report::Reporter;
use crate::store::Store;
use crate::store::lock::ActiveLock;

/// The most attempts that the files or the command line can ask for at a time.
const MAX_WORKERS: usize = 1024;

/// Everything a run needs; nothing of it is read again from files while it runs.
pub struct Session {
    pub repo: Repo,
    pub target: String,
    pub worktrees: PathBuf,
    pub inherited: Vec<(String, String)>,
    pub lock: ActiveLock,
    pub store: Box<dyn Store>,
    /// The attempts that any target's record knows of: their worktrees are not touched at the start.
    pub known: BTreeSet<Aid>,
    /// As the store holds it.
    pub state: State,
    /// What the run begins with: the reconcile, if there is one, and the run itself.
    pub first: Vec<Input>,
}

/// How a person or the environment reaches a run that is under way.
#[derive(Clone)]
pub struct Handle(Sender<Message>);

impl Handle {
    /// Claim nothing more; what runs finishes.
    pub fn drain(&self) {
        self.send(Input::Drain);
    }
    /// End what runs; it is taken up again at the next start.
    pub fn interrupt(&self) {
        self.send(Input::Interrupt);
    }
    fn send(&self, input: Input) {
        // A run that is over has nobody left to tell.
        let _ = self.0.send(Message::Signal(input));
    }
}

impl Session {
    /// Runs to the end. `control` is given a handle before anything starts, on the runtime
    /// that the effects use.
    pub fn run(self, reporter: &mut dyn Reporter, control: impl FnOnce(Handle)) -> Result<State, Stopped> {
        let (outbox, inbox) = channel();
        let workers = MAX_WORKERS;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            // Each attempt holds one while its command runs; the rest is for git and clean-up.
            .max_blocking_threads(workers + 64)
            .enable_all()
            .build()
            .map_err(Stopped::Runtime)?;
        runtime.spawn(preflight::watch_room(vec![self.repo.state_dir(), self.worktrees.clone()]));
        let world = World {
            state_dir: self.repo.state_dir(),
            repo: self.repo,
            target: self.target.clone(),
            worktrees: self.worktrees,
            inherited: self.inherited,
            running: Running::default(),
            lock: self.lock,
            line: Mutex::default(),
        };
        steps::clear_orphans(&world, &self.known);
        let mut effects = RealEffects { world: Arc::new(world), runtime: runtime.handle().clone(), outbox: outbox.clone() };
        runtime.block_on(async { control(Handle(outbox.clone())) });
        let driver = Driver { machine: Machine::new(self.state), target: self.target, inbox, outbox, effects: &mut effects, reporter };
        let result = driver.run(self.store, self.first);
        // Timers and effects that nobody waits for any more end with the process; shims go on.
        runtime.shutdown_background();
        result
    }
}

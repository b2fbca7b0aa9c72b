//! One run from its first input to its end: the driver, the effects and the runtime put together.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::driver::{Answered, Driver, Message, News, Stay, Stopped};
use super::effects::{RealEffects, Workplace, World};
use super::machine::Machine;
use super::{orphans, preflight, steps};
use crate::base::Aid;
use crate::control;
use crate::core::{Flow, Input, State};
use crate::fault;
use crate::report::Reporter;
use crate::store::Store;

/// The most attempts that the files or the command line can ask for at a time.
const MAX_WORKERS: usize = 1024;

/// Everything a run needs; nothing of it is read again from files while it runs.
pub struct Session {
    pub workplace: Workplace,
    pub store: Box<dyn Store>,
    /// The attempts that any target's record knows of: their worktrees are not touched at the start.
    pub known: BTreeSet<Aid>,
    /// As the store holds it.
    pub state: State,
    /// What the run begins with: the reconcile, if there is one, and the run itself.
    pub first: Vec<Input>,
    /// Nothing: it ends with its run.
    pub stay: Option<Stay>,
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
    /// Something may be new. False: the session is over.
    pub fn news(&self, question: impl FnOnce(&State, bool) -> Answered + Send + 'static) -> bool {
        self.0.send(Message::News(News(Box::new(question)))).is_ok()
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
        let (busy, is_busy) = tokio::sync::watch::channel(true);
        runtime.spawn(preflight::watch_room(vec![self.workplace.repo.state_dir(), self.workplace.worktrees.clone()], is_busy.clone()));
        if reporter.shows_time() {
            runtime.spawn(tick(outbox.clone(), is_busy.clone()));
        }
        let target = self.workplace.target.clone();
        let world = World::new(self.workplace, Some(outbox.clone()));
        fault::around("orphans", || steps::clear_orphans(&world, &self.known));
        let repo = world.repo.clone();
        let server = listen(&world, runtime.handle(), outbox.clone());
        let mut effects = RealEffects { world: Arc::new(world), runtime: runtime.handle().clone(), outbox: outbox.clone(), busy };
        runtime.block_on(async { control(Handle(outbox.clone())) });
        let machine = Machine::new(self.state);
        let driver = Driver { machine, target, inbox, outbox, effects: &mut effects, reporter: &mut *reporter, stay: self.stay };
        let result = driver.run(self.store, self.first);
        if let Ok(state) = &result
            && state.flow == Flow::Interrupting
        {
            // What an earlier Drover began and this one did not come to take over.
            orphans::end(&repo.state_dir(), &state.active().map(|(_, a)| &a.aid).collect::<Vec<_>>());
        }
        fault::point("run.over");
        drop(server);
        // Under the lock: whoever waits for that opens the store at once.
        reporter.end(result.as_ref().ok());
        // Timers and effects that nobody waits for any more end with the process; shims go on.
        runtime.shutdown_background();
        if let Ok(state) = &result
            && !state.is_landing_stopped()
            && let Err(error) = repo.unwatch_git()
        {
            tracing::warn!("{error}");
        }
        result
    }
}

/// Once a second while there is something to do.
async fn tick(outbox: Sender<Message>, mut busy: tokio::sync::watch::Receiver<bool>) {
    while busy.wait_for(|busy| *busy).await.is_ok() && outbox.send(Message::Tick).is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Lets the verbs in that are used beside the run. Where that cannot be, the run goes on without.
fn listen(world: &World, runtime: &tokio::runtime::Handle, outbox: Sender<Message>) -> Option<control::Server> {
    let dir = |name: &str| world.inherited.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| PathBuf::from(v));
    let temporary = dir("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
    let take = move |asked| drop(outbox.send(Message::Asked(asked)));
    let server = control::serve(runtime, (dir("XDG_RUNTIME_DIR").as_deref(), &temporary), &world.state_dir, take);
    server.inspect_err(|error| tracing::warn!("no verb reaches this run while it lasts: the socket cannot be made: {error}")).ok()
}

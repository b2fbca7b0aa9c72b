//! The real effects: each command a blocking task of its own, its answer sent to the driver.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;

use super::driver::{Effects, Message};
use super::machine::{Done, Job};
use super::room::Room;
use super::slots::Slots;
use super::steps;
use crate::base::trace::Sampling;
use crate::base::{Aid, Oid};
use crate::core::{Answer, Command, Failure, FailureClass, Input};
use crate::git::{GitError, Repo, Worktree};
use crate::process;
use crate::report::Activity;
use crate::store::lock::ActiveLock;

/// Where work is done, and by whose leave.
pub struct Workplace {
    pub repo: Repo,
    pub target: String,
    /// Below here new worktrees are made.
    pub worktrees: PathBuf,
    /// Drover's own environment, as it was at the start.
    pub inherited: Vec<(String, String)>,
    /// What agents are told to be part of; nothing where nothing is traced.
    pub tracing: Option<Sampling>,
    /// What runs ends with this process, however that ends.
    pub tethered: bool,
    pub lock: ActiveLock,
}

/// Everything an effect may touch. Shared by all of them; holds no state of the run.
pub struct World {
    pub repo: Repo,
    pub target: String,
    /// `<git common dir>/drover`.
    pub state_dir: PathBuf,
    /// Below here new worktrees are made.
    pub worktrees: PathBuf,
    pub slots: Slots,
    /// Drover's own environment, as it was at the start.
    pub inherited: Vec<(String, String)>,
    /// What agents are told to be part of; nothing where nothing is traced.
    pub tracing: Option<Sampling>,
    /// What runs ends with this process.
    pub tethered: bool,
    pub running: Running,
    pub room: Room,
    /// Where is said what agents are doing.
    pub outbox: Option<Sender<Message>>,
    pub lock: ActiveLock,
    /// Where this process last put or saw the line. Held while it is moved.
    pub line: Mutex<Option<Oid>>,
    /// Whether the remote answered when it was last asked. Held while it is talked to.
    pub remote: Mutex<bool>,
}

/// What a prompt is made from, beside the record.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub repo: &'a Repo,
    pub state_dir: &'a Path,
}

impl World {
    /// `outbox`: where is said what agents are doing.
    pub fn new(workplace: Workplace, outbox: Option<Sender<Message>>) -> Self {
        let Workplace { repo, target, worktrees, inherited, tracing, tethered, lock } = workplace;
        let state_dir = repo.state_dir();
        let (slots, room, running) = (Slots::new(&state_dir), Room::default(), Running::default());
        let (line, remote) = (Mutex::default(), Mutex::default());
        Self { repo, target, state_dir, worktrees, slots, inherited, tracing, tethered, running, room, outbox, lock, line, remote }
    }
    /// Says what an agent is doing, to whoever looks on.
    pub fn tell(&self, activity: Activity) {
        if let Some(outbox) = &self.outbox {
            // A run that is over has nobody left who looks on.
            let _ = outbox.send(Message::Activity(activity));
        }
    }
    pub fn reading(&self) -> Reading<'_> {
        Reading { repo: &self.repo, state_dir: &self.state_dir }
    }
    /// Where an attempt's records are kept.
    pub fn attempt_dir(&self, aid: &Aid) -> PathBuf {
        self.state_dir.join("attempts").join(aid.as_str())
    }
    /// The worktree of an attempt, whether it stands or not: where it was begun, though the
    /// configuration may name another place by now. Without a slot, where there is none.
    pub fn worktree(&self, aid: &Aid) -> Result<Worktree, GitError> {
        let slot = self.slots.of(aid).map_err(|e| GitError::trouble(format!("looking for the worktree of attempt {aid}: {e}")))?;
        slot.map_or_else(|| Worktree::new(&self.worktrees, aid.as_str()), |slot| slot.worktree())
    }
    /// The first of the ports that are an attempt's, while it lasts.
    pub fn port(&self, aid: &Aid) -> Option<u16> {
        self.slots.of(aid).ok().flatten()?.port
    }
    pub fn line_tip(&self) -> Result<Oid, GitError> {
        let known = self.known_line()?;
        let line = Repo::line_ref(&self.target);
        let tip = match &*known {
            Some(tip) => Some(tip.clone()),
            None => self.repo.tip(&line)?,
        };
        tip.ok_or_else(|| GitError::trouble(format!("the integration line {line} is gone")))
    }

    /// Where the line is known to stand, once this run has looked. Nobody but Drover moves it;
    /// an agent that deleted or moved the ref must neither lose what landed nor land by that,
    /// so the ref is put back, and what it was moved to is kept.
    pub fn known_line(&self) -> Result<MutexGuard<'_, Option<Oid>>, GitError> {
        let known = self.line.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let line = Repo::line_ref(&self.target);
        if let Some(tip) = &*known {
            let found = self.repo.tip(&line)?;
            if found.as_ref() != Some(tip) {
                if let Some(foreign) = &found {
                    self.repo.keep(&format!("refs/drover/kept/{}", foreign.short()), foreign)?;
                }
                self.repo.move_ref(&line, tip)?;
                let moved = found.map_or("deleted".to_owned(), |f| format!("moved to {}, kept as refs/drover/kept/{0}", f.short()));
                tracing::warn!("{line} was {moved}, and not by Drover; it is put back to {}", tip.short());
            }
        }
        Ok(known)
    }
}

/// The step directories whose processes this process waits for, so that they can be ended.
#[derive(Default)]
pub struct Running {
    dirs: Mutex<BTreeSet<PathBuf>>,
    /// Attempts of which nothing is begun any more.
    ended: Mutex<BTreeSet<String>>,
    stopping: AtomicBool,
}

impl Running {
    /// Runs or adopts a command; `None` if processes are being ended and it was not started.
    pub fn run(&self, dir: &Path, launch: &process::Launch) -> Option<std::io::Result<process::Completion>> {
        self.locked().insert(dir.to_owned());
        // The flag is looked at after the directory is listed: whoever sets it later sees it there.
        let result = (!self.is_stopping()).then(|| {
            if lock(&self.ended).contains(&launch.aid) {
                process::interrupt(dir)?;
            }
            process::run(dir, launch)
        });
        self.locked().remove(dir);
        result
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        lock(&self.dirs)
    }

    /// Asks what runs of one attempt to end. What is listed later ends before it begins: see `run`.
    fn end(&self, aid: &Aid, attempt_dir: &Path) {
        lock(&self.ended).insert(aid.to_string());
        self.locked().iter().filter(|dir| dir.starts_with(attempt_dir)).for_each(|dir| interrupt(dir));
    }

    /// Whether nothing more is begun of an attempt.
    pub fn has_ended(&self, aid: &Aid) -> bool {
        lock(&self.ended).contains(aid.as_str())
    }

    /// Whether everything is being ended.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Asks every listed process tree to end. What is listed later is not started: see `run`.
    fn end_all(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.locked().iter().for_each(|dir| interrupt(dir));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn interrupt(dir: &Path) {
    if let Err(error) = process::interrupt(dir) {
        tracing::warn!("what runs in {} could not be told to end: {error}", dir.display());
    }
}

pub struct RealEffects {
    pub world: Arc<World>,
    pub runtime: Handle,
    pub outbox: Sender<Message>,
    /// Whether a run is under way.
    pub busy: tokio::sync::watch::Sender<bool>,
}

impl Effects for RealEffects {
    fn start(&mut self, job: Job) {
        let outbox = self.outbox.clone();
        if let Command::WakeAt { at, length } = job.command {
            let wait = at.since(super::driver::now()).min(Duration::from_millis(length));
            self.runtime.spawn(async move {
                tokio::time::sleep(wait).await;
                // The driver may be gone: then nobody needs waking.
                let _ = outbox.send(Message::Done(Done { command: job.command, inputs: vec![Input::Tick] }));
            });
            return;
        }
        let world = self.world.clone();
        // Known before the attempts that are begun together with this look for a slot.
        if let Command::Clean { aid } = &job.command {
            world.slots.ends(aid);
        }
        let aid = job.command.attempt().map(|(_, aid)| aid.clone());
        if let Some(aid) = &aid {
            world.room.enter(aid);
        }
        self.runtime.spawn_blocking(move || {
            // What the log says from here on is about it.
            let _of = aid.as_ref().map(|aid| tracing::info_span!("attempt", %aid).entered());
            let inputs = catch_unwind(AssertUnwindSafe(|| steps::perform(&world, &job))).unwrap_or_else(|_| bug(&job));
            if let Command::Clean { aid } = &job.command {
                world.slots.has_ended(aid);
            }
            if let Some(aid) = &aid {
                world.room.leave(aid);
            }
            let _ = outbox.send(Message::Done(Done { command: job.command, inputs }));
        });
    }

    fn interrupt(&mut self) {
        self.world.running.end_all();
    }

    fn end(&mut self, aid: &Aid) {
        self.world.running.end(aid, &self.world.attempt_dir(aid));
        self.world.room.look_again();
    }

    fn still_ours(&self) -> bool {
        self.world.lock.still_ours()
    }

    fn is_there(&self) -> bool {
        self.world.repo.is_there()
    }

    fn away(&self) -> Option<PathBuf> {
        let repo = &self.world.repo;
        [repo.root(), repo.common_dir()].into_iter().find(|dir| !dir.is_dir()).map(Path::to_owned)
    }

    fn last_look(&self) -> Input {
        Input::GitChanges { found: self.world.repo.unaccepted() }
    }

    fn look_at_line(&self, known: Option<&Oid>) -> Option<Input> {
        // Where it cannot be looked at, publishing says so.
        steps::look(&self.world, known).ok()
    }

    fn rest(&mut self, stopped: bool) {
        self.busy.send_replace(false);
        if !stopped && let Err(error) = self.world.repo.unwatch_git() {
            tracing::warn!("{error}");
        }
    }

    fn wake(&mut self) -> Result<(), Vec<String>> {
        let found = self.world.repo.watch_git(false).unwrap_or_else(|error| vec![error.to_string()]);
        if !found.is_empty() {
            return Err(found);
        }
        // Whoever moved the line while nothing was under way may have been told to.
        *self.world.line.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        self.busy.send_replace(true);
        Ok(())
    }
}

/// A panic in an effect fails the attempt, and is told as the bug it is.
fn bug(job: &Job) -> Vec<Input> {
    let message = format!("Drover has a bug: {:?} panicked; the log above says where. Please report it.", job.command);
    let Some(work) = &job.work else { return given_up(&job.command, message) };
    let failure = Failure::new(FailureClass::Bug, message);
    let answer = Box::new(Answer::Broken { failure });
    vec![Input::Answer { task: work.spec.id.clone(), aid: work.attempt.aid.clone(), answer }]
}

/// What belongs to no attempt is not tried again in this run: it would panic without end.
fn given_up(command: &Command, why: String) -> Vec<Input> {
    match command {
        Command::Clean { aid } => vec![Input::Cleaned { aid: aid.clone() }],
        Command::Push => vec![Input::PushHeld { why, lasting: true }],
        Command::SyncLine | Command::Publish => vec![Input::PublishHeld { why }],
        _ => Vec::new(),
    }
}

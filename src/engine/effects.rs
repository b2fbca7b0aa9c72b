//! The real effects: each command a blocking task of its own, its answer sent to the driver.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;

use super::driver::{Effects, Message};
use super::machine::{Done, Job};
use super::steps;
use crate::base::{Aid, Oid};
use crate::core::{Answer, Command, Failure, FailureClass, Input};
use crate::git::{GitError, Repo, Worktree};
use crate::process;
use crate::store::lock::ActiveLock;

/// The file of an attempt's directory that holds where its worktree is.
const PLACE: &str = "place";

/// Everything an effect may touch. Shared by all of them; holds no state of the run.
pub struct World {
    pub repo: Repo,
    pub target: String,
    /// `<git common dir>/drover`.
    pub state_dir: PathBuf,
    /// Below here new worktrees are made.
    pub worktrees: PathBuf,
    /// Drover's own environment, as it was at the start.
    pub inherited: Vec<(String, String)>,
    pub running: Running,
    pub lock: ActiveLock,
    /// Where this process last put or saw the line. Held while it is moved.
    pub line: Mutex<Option<Oid>>,
}

impl World {
    /// Where an attempt's records are kept.
    pub fn attempt_dir(&self, aid: &Aid) -> PathBuf {
        self.state_dir.join("attempts").join(aid.as_str())
    }
    /// The worktree of an attempt, whether it stands or not: where it was begun, though the
    /// configuration may name another place by now.
    pub fn worktree(&self, aid: &Aid) -> Result<Worktree, GitError> {
        let noted = std::fs::read(self.attempt_dir(aid).join(PLACE)).ok();
        let noted = noted.map(|bytes| PathBuf::from(OsString::from_vec(bytes))).filter(|path| path.is_absolute());
        Worktree::new(noted.as_ref().unwrap_or(&self.worktrees), aid.as_str())
    }
    /// Notes where an attempt's worktree is about to be made.
    pub fn note_place(&self, aid: &Aid, worktree: &Worktree) -> std::io::Result<()> {
        std::fs::write(self.attempt_dir(aid).join(PLACE), worktree.root().as_os_str().as_bytes())
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
    stopping: AtomicBool,
}

impl Running {
    /// Runs or adopts a command; `None` if processes are being ended and it was not started.
    pub fn run(&self, dir: &Path, launch: &process::Launch) -> Option<std::io::Result<process::Completion>> {
        self.locked().insert(dir.to_owned());
        // The flag is looked at after the directory is listed: whoever sets it later sees it there.
        let result = (!self.stopping.load(Ordering::SeqCst)).then(|| process::run(dir, launch));
        self.locked().remove(dir);
        result
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.dirs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Asks every listed process tree to end. What is listed later is not started: see `run`.
    fn end_all(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for dir in self.locked().iter() {
            if let Err(error) = process::interrupt(dir) {
                tracing::warn!("what runs in {} could not be told to end: {error}", dir.display());
            }
        }
    }
}

pub struct RealEffects {
    pub world: Arc<World>,
    pub runtime: Handle,
    pub outbox: Sender<Message>,
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
        self.runtime.spawn_blocking(move || {
            let inputs = catch_unwind(AssertUnwindSafe(|| steps::perform(&world, &job))).unwrap_or_else(|_| bug(&job));
            let _ = outbox.send(Message::Done(Done { command: job.command, inputs }));
        });
    }

    fn interrupt(&mut self) {
        self.world.running.end_all();
    }

    fn still_ours(&self) -> bool {
        self.world.lock.still_ours()
    }
}

/// A panic in an effect fails the attempt, and is told as the bug it is.
fn bug(job: &Job) -> Vec<Input> {
    let message = format!("Drover has a bug: {:?} panicked; the log above says where. Please report it.", job.command);
    let Some(work) = &job.work else { return given_up(&job.command, message) };
    let failure = Failure::new(FailureClass::Bug, message);
    vec![Input::Answer { task: work.spec.id.clone(), aid: work.attempt.aid.clone(), answer: Answer::Broken { failure } }]
}

/// What belongs to no attempt is not tried again in this run: it would panic without end.
fn given_up(command: &Command, why: String) -> Vec<Input> {
    match command {
        Command::Clean { aid } => vec![Input::Cleaned { aid: aid.clone() }],
        Command::SyncLine | Command::Publish => vec![Input::PublishHeld { why }],
        _ => Vec::new(),
    }
}

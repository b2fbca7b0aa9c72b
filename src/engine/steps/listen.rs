//! Hearing what an agent says while it works: what it does is passed on, and one that has given its
//! result and does not exit is ended.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{self, Heard};
use crate::model::{Action, AgentKind, StepSpec};
use crate::process::{self, Changes, Probe};

/// How often what cannot be waited for is looked at: a shim that was killed.
const LOOK: Duration = Duration::from_secs(1);
/// How often is passed on what an agent does that says more than can be read at once.
const PACE: Duration = Duration::from_millis(200);

/// Does `act`, which runs the step in `dir` to its end, and listens meanwhile. What has given its
/// result has `grace` to exit by itself.
pub fn listening<T>(step: &StepSpec, dir: &Path, grace: Duration, tell: impl Fn(Heard) + Send, act: impl FnOnce() -> T) -> T {
    let over = &AtomicBool::new(false);
    match &step.action {
        Action::Prompt { agent, .. } if agent.kind != AgentKind::Command => thread::scope(|scope| {
            scope.spawn(move || listen(agent.kind, dir, grace, over, tell));
            let result = act();
            over.store(true, Ordering::SeqCst);
            result
        }),
        _ => act(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a pace and a grace, and nothing that is decided")]
fn listen(kind: AgentKind, dir: &Path, grace: Duration, over: &AtomicBool, tell: impl Fn(Heard)) {
    let (finished, news) = (Cell::new(None), RefCell::new(None));
    let pass_on = || news.borrow_mut().take().into_iter().for_each(&tell);
    let log = Following { dir, over, file: None, changes: Changes::default(), finished: &finished, grace, caught_up: pass_on };
    let mut told: Option<Instant> = None;
    agent::listen(kind, BufReader::new(log), |heard| {
        let now = Instant::now();
        finished.set(heard.has_finished.then(|| finished.get().unwrap_or(now)));
        *news.borrow_mut() = Some(heard);
        if told.is_none_or(|at| now.duration_since(at) >= PACE) {
            told = Some(now);
            pass_on();
        }
    });
}

/// A log that is read while it is written, until the step is over.
struct Following<'a, F> {
    dir: &'a Path,
    /// Nobody waits for the step any more; it may never have begun.
    over: &'a AtomicBool,
    file: Option<File>,
    changes: Changes,
    /// When the agent said that it was done.
    finished: &'a Cell<Option<Instant>>,
    grace: Duration,
    /// Called when all that was written has been read.
    caught_up: F,
}

impl<F> Following<'_, F> {
    /// What has been written since; nothing where there is nothing yet.
    fn more(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let log = process::out_log(self.dir);
        loop {
            let Some(file) = &mut self.file else {
                match File::open(&log) {
                    Ok(file) => self.file = Some(file),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
                    Err(e) => return Err(e),
                }
                continue;
            };
            let n = file.read(buf)?;
            // A log that is full goes on in a new file.
            let goes_on = n == 0 && log.metadata().is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() != now.ino()));
            if !goes_on {
                return Ok(n);
            }
            self.file = None;
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) || !matches!(process::probe(self.dir), Ok(Probe::Fresh | Probe::Running { .. }))
    }
}

impl<F: Fn()> Read for Following<'_, F> {
    #[expect(clippy::disallowed_methods, reason = "the grace of an agent that has given its result")]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            self.changes.add(self.dir);
            // In this order: what was written before the end is read after it.
            let is_over = self.is_over();
            match self.more(buf)? {
                0 if is_over => return Ok(0),
                0 => {}
                n => return Ok(n),
            }
            (self.caught_up)();
            let left = self.finished.get().map(|at| self.grace.saturating_sub(Instant::now().duration_since(at)));
            if left == Some(Duration::ZERO) {
                self.finished.set(None);
                tracing::info!("an agent gave its result and went on running; it is ended: {}", self.dir.display());
                process::interrupt(self.dir)?;
            }
            self.changes.wait(left.unwrap_or(LOOK).clamp(Duration::from_millis(1), LOOK));
        }
    }
}

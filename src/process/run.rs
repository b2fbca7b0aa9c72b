//! Drover's side: start a shim or take over the one that is there, look, interrupt.
//!
//! Holds no state: each call reads the directory, so that it does not matter which Drover calls.

#![expect(clippy::disallowed_methods, reason = "starts the shim")]

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::dir::{AtRest, Started, StepDir, at};
use super::tree::{self, boot_id, is_marked, start_time};
use crate::fault;

use super::{Completion, Launch, MARKER, Probe, SHIM_VERB};

/// How many shims may end before they have done anything until that counts as an error.
const TRIES: usize = 3;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Has shims run `path` instead of the running program; the first call counts.
/// For programs that use this library and are not Drover, such as its tests.
pub fn set_program(path: &Path) {
    PROGRAM.get_or_init(|| path.to_owned());
}

/// The link is followed in the child, right before it becomes the program: it leads to the very
/// file that is running, also when an upgrade has put another one at its path or removed it.
fn program() -> &'static Path {
    PROGRAM.get().map_or(Path::new("/proc/self/exe"), PathBuf::as_path)
}

/// Runs a command under a shim in `step_dir`, or takes over the one that runs there; blocks until
/// it has ended. After a crash, call it again with the same arguments: the command is started at
/// most once, whoever calls, and however often.
///
/// # Errors
/// When the directory cannot be read or written, or no shim can be started. Nothing ran then, or
/// it runs on: a later call takes it over.
pub fn run(step_dir: &Path, launch: &Launch) -> io::Result<Completion> {
    let dir = StepDir::new(step_dir);
    dir.create()?;
    let mut last = String::new();
    let mut tries = 0;
    loop {
        match dir.wait_until_at_rest()? {
            AtRest::Fresh if tries == TRIES => return Err(no_progress(&dir, step_dir, &last)),
            AtRest::Fresh => {
                tries += 1;
                last = start(&dir, step_dir, launch)?;
            }
            AtRest::Finished(record) => {
                dir.forget_spec();
                return Ok(Completion::Finished(record));
            }
            AtRest::Lost => {
                tree::sweep(&launch.aid);
                dir.forget_spec();
                return Ok(Completion::Lost);
            }
        }
    }
}

fn no_progress(dir: &StepDir, step_dir: &Path, last: &str) -> io::Error {
    dir.forget_spec();
    let said = fs::read_to_string(dir.file("shim.log")).unwrap_or_default();
    // After a panic the last line is a hint about backtraces.
    let said = said.lines().rfind(|line| !line.starts_with("note: ")).unwrap_or("it left no message");
    io::Error::other(format!("{}: the shim ended before it started the command ({last}): {said}", step_dir.display()))
}

/// Starts a shim and waits until it ends. Returns in words how it did, which settles nothing: the
/// directory does.
fn start(dir: &StepDir, step_dir: &Path, launch: &Launch) -> io::Result<String> {
    dir.write_spec(launch)?;
    fault::point("shim.asked");
    let args = [OsStr::new(SHIM_VERB), step_dir.as_os_str()];
    let mut command = Command::new(program());
    command.arg0("drover").args(args).env_clear().env(MARKER, &launch.aid);
    #[cfg(debug_assertions)]
    command.envs(fault::handed_down());
    command.stdin(if launch.tethered { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::null()).stderr(dir.append_log("shim.log")?);
    let mut shim = command.spawn().map_err(at(program()))?;
    // Held until the shim has ended. No child has this end, so the kernel closes it with this process.
    let _tether = shim.stdin.take();
    fault::point("shim.started");
    Ok(match shim.wait() {
        Ok(status) => status.to_string(),
        Err(e) => format!("its status is unknown: {e}"),
    })
}

/// What goes on in `step_dir`. Changes nothing; a missing directory is [`Probe::Fresh`].
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn probe(step_dir: &Path) -> io::Result<Probe> {
    StepDir::new(step_dir).look()
}

/// Has the command in `step_dir` ended: SIGTERM, grace, SIGKILL, by its shim; [`run`] then
/// returns `Interrupted`. Does not wait. A command that has not started yet never will; one
/// that has ended stays as it ended.
///
/// # Errors
/// When the request cannot be written.
pub fn interrupt(step_dir: &Path) -> io::Result<()> {
    let dir = StepDir::new(step_dir);
    dir.create()?;
    // First the file, then the look: a shim looks for the file after it has said who it is, so
    // either we see the shim or it sees the file.
    dir.request_interrupt()?;
    if let Some(started) = dir.started()? {
        terminate(&started);
    }
    Ok(())
}

/// Has whatever runs in `step_dir` ended as [`interrupt`] does, and waits until it has.
///
/// # Errors
/// When the directory cannot be read or written.
pub fn end(step_dir: &Path) -> io::Result<()> {
    if matches!(probe(step_dir)?, Probe::Running { .. }) {
        interrupt(step_dir)?;
        StepDir::new(step_dir).wait_until_at_rest()?;
    }
    Ok(())
}

/// Signals the shim if the process with its pid is the shim. It cannot become another one between
/// the look and the signal: the descriptor was opened before the look.
fn terminate(shim: &Started) {
    let Some(pid) = i32::try_from(shim.pid).ok().and_then(Pid::from_raw) else { return };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let same_boot = boot_id().is_ok_and(|id| id == shim.boot_id);
    if same_boot && start_time(pid) == Some(shim.start_time) && is_marked(pid, &shim.aid) {
        let _ = pidfd_send_signal(&process, Signal::TERM);
    }
}

//! The shim: a process that runs one command, outlives Drover, and leaves a record.
//!
//! Everything happens on its main thread: the command is bound to the life of the thread that
//! started it. Knows only what stands in the step's directory.

#![expect(clippy::disallowed_methods, reason = "the shim starts the command, and writes down when")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, getpid, set_child_subreaper, setsid};
use tokio::runtime::{Builder, Runtime};

use super::dir::{Spec, Started, StepDir, at};
use super::log::Log;
use super::tree::{boot_id, start_time};
use super::watch::{Signals, Stream, Tether, boottime, end_descendants, follow, is_disk_full};
use super::{Ended, ExitRecord, MARKER, VERSION, sys};
use crate::fault;

/// How long to wait for room on a full disk before the record is tried again.
const DISK_FULL_WAIT: Duration = Duration::from_secs(1);

/// `drover __shim <step-dir>`: runs what `spec.json` there says. To be called before the program
/// does anything else, from its main thread.
pub fn shim_main(step_dir: &OsStr) -> ExitCode {
    let dir = StepDir::new(Path::new(step_dir));
    match prepare().and_then(|(runtime, signals)| supervise(&dir, &runtime, signals)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // To `shim.log`. Where that fails too, there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{e}");
            ExitCode::FAILURE
        }
    }
}

/// Cuts the ties to whoever started us, and from here on hears signals instead of dying of them.
fn prepare() -> io::Result<(Runtime, Signals)> {
    sys::close_inherited()?;
    // Fails for the leader of a group only, and such a one gets no signals from a terminal either
    // unless somebody at a shell typed the hidden verb.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    // Else `ps` and `top` call us `exe`, by the path we were started through.
    let _ = rustix::thread::set_name(c"drover-shim");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listening = runtime.enter();
    let signals = Signals::listen()?;
    drop(listening);
    Ok((runtime, signals))
}

fn supervise(dir: &StepDir, runtime: &Runtime, mut signals: Signals) -> io::Result<()> {
    // Held to the end of the process, and never let go by hand.
    let _alive = dir.lock_as_shim()?;
    if dir.exists("started")? || dir.exists("exit.json")? {
        dir.forget_spec();
        return Ok(());
    }
    let spec = dir.spec()?;
    let own = own_identity(&spec.aid)?;
    fault::around("shim.promise", || dir.write_started(&own))?;
    dir.forget_spec();
    let clock = Stopwatch::start();
    let (ended, survivors) =
        if dir.exists("interrupt")? { (Ended::Interrupted, 0) } else { runtime.block_on(run_command(dir, &spec, &mut signals)) };
    fault::around("shim.record", || leave_record(dir, &clock.record(ended, survivors)))
}

fn own_identity(aid: &str) -> io::Result<Started> {
    let pid = getpid();
    let start_time = start_time(pid).ok_or_else(|| io::Error::other("/proc/self/stat has no start time: is /proc mounted?"))?;
    let pid = pid.as_raw_pid().cast_unsigned();
    Ok(Started { version: VERSION, boot_id: boot_id()?, pid, start_time, aid: aid.to_owned() })
}

/// Runs the command until nothing of it is left.
async fn run_command(dir: &StepDir, spec: &Spec, signals: &mut Signals) -> (Ended, u32) {
    let started = Tether::of(spec).and_then(|tether| Ok((tether, start(dir, spec)?)));
    let (mut tether, (child, mut streams)) = match started {
        Ok(started) => started,
        Err(e) => return (Ended::NotStarted { why: e.to_string() }, 0),
    };
    let ended = follow(child, spec, &mut streams, signals, &mut tether).await;
    let survivors = end_descendants(&spec.aid, signals).await;
    for stream in &mut streams {
        stream.drain();
        if let Err(e) = stream.finish() {
            let _ = writeln!(io::stderr(), "the output may be incomplete: {e}");
        }
    }
    (ended, survivors)
}

/// Starts the command. What can fail comes before the spawn: after it there is a process to follow.
fn start(dir: &StepDir, spec: &Spec) -> io::Result<(Pid, [Stream; 2])> {
    let (program, args) = spec.argv.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    let cwd = Path::new(&spec.cwd);
    // The error of the spawn itself would not say which of the two is missing.
    if !cwd.is_dir() {
        return Err(io::Error::other(format!("{}: the directory to run in does not exist", cwd.display())));
    }
    let (out, stdout) = Stream::open(Log::create(dir, "out.log", &spec.logs)?)?;
    let (err, stderr) = Stream::open(Log::create(dir, "err.log", &spec.logs)?)?;
    let mut command = Command::new(program);
    command.args(args).current_dir(cwd).env_clear().envs(&spec.env).env(MARKER, &spec.aid);
    command.stdin(stdin(dir, spec)?).stdout(stdout).stderr(stderr);
    let child = sys::spawn_bound(&mut command).map_err(at(Path::new(program)))?;
    Ok((Pid::from_child(&child), [out, err]))
}

fn stdin(dir: &StepDir, spec: &Spec) -> io::Result<Stdio> {
    if !spec.stdin {
        return Ok(Stdio::null());
    }
    let path = dir.file("stdin");
    File::open(&path).map(Stdio::from).map_err(at(&path))
}

/// A full disk must not cost an hour of an agent's work: the record waits for room.
fn leave_record(dir: &StepDir, record: &ExitRecord) -> io::Result<()> {
    loop {
        match dir.write_exit(record) {
            Err(e) if is_disk_full(&e) => thread::sleep(DISK_FULL_WAIT),
            done => return done,
        }
    }
}

struct Stopwatch {
    wall: SystemTime,
    boot: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: SystemTime::now(), boot: boottime() }
    }

    fn record(&self, ended: Ended, survivors: u32) -> ExitRecord {
        let started_at = millis(self.wall.duration_since(UNIX_EPOCH).unwrap_or_default());
        let duration_ms = millis(boottime().saturating_sub(self.boot));
        ExitRecord { version: VERSION, ended, started_at, duration_ms, survivors }
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

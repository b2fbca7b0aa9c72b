//! Following one running command: its output to files, its time-outs, its end.
//!
//! Time is CLOCK_BOOTTIME: it neither jumps with the wall clock nor stops while the machine sleeps.

use std::io::{self, ErrorKind, PipeWriter};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::ChildStdout;
use tokio::signal::unix::{self as unix_signal, SignalKind};
use tokio::time::sleep;

use super::dir::Spec;
use super::log::Log;
use super::tree::kill_children;
use super::{Ended, TETHERED_GRACE, tree};

/// The most that is read at once, and the memory that a stream takes.
const CHUNK: usize = 64 * 1024;
/// The most chunks that are read of a stream after every process is gone: more than any pipe
/// holds, and an end even if somebody outside the tree goes on writing.
const LEFT_IN_PIPE: usize = 256;
/// The longest sleep. The runtime's timer stands still while the machine sleeps and our clock
/// does not, so after such a sleep a time-out comes at most this late.
const NAP: Duration = Duration::from_secs(10);
/// How long to wait for a killed process before looking again.
const KILL_ROUND: Duration = Duration::from_millis(50);

/// Time since boot, sleep included.
pub(super) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::try_from(now).expect("time since boot is not negative")
}

/// The signals the shim lives by.
pub(super) struct Signals {
    child: unix_signal::Signal,
    terminate: unix_signal::Signal,
    /// Heard and ignored. Not *set* to ignore: that would be inherited by the command.
    _ignored: [unix_signal::Signal; 2],
}

impl Signals {
    /// From here on SIGTERM is a request and no end.
    pub fn listen() -> io::Result<Self> {
        let on = unix_signal::signal;
        Ok(Self {
            child: on(SignalKind::child())?,
            terminate: on(SignalKind::terminate())?,
            _ignored: [on(SignalKind::interrupt())?, on(SignalKind::hangup())?],
        })
    }
}

/// One of the command's output streams, on its way to a file.
pub(super) struct Stream {
    pipe: Option<ChildStdout>,
    log: Log,
    chunk: Vec<u8>,
}

impl Stream {
    /// A stream into `log`, and the end of it that is for the command.
    pub fn open(log: Log) -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let pipe = ChildStdout::from_std(OwnedFd::from(reader).into())?;
        Ok((Self { pipe: Some(pipe), log, chunk: vec![0; CHUNK] }, writer))
    }

    /// Moves one chunk; `false` at the end of the stream. Waits for ever once it has ended.
    /// May be dropped while it waits: nothing is lost.
    async fn pump(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        let n = pipe.read(&mut self.chunk).await.unwrap_or(0);
        if n == 0 {
            self.pipe = None;
        }
        self.log.write(&self.chunk[..n]);
        n > 0
    }

    /// Moves what lies in the pipe, without waiting for more.
    pub fn drain(&mut self) {
        for _ in 0..LEFT_IN_PIPE {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe.as_fd(), &mut self.chunk[..]) {
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => return,
                Ok(n) => self.log.write(&self.chunk[..n]),
            }
        }
    }

    /// The command has ended, and so has its log.
    pub fn finish(&mut self) -> io::Result<()> {
        self.log.finish()
    }
}

/// What tells a shim that whoever started it is gone.
pub(super) struct Tether(Option<pipe::Receiver>);

impl Tether {
    /// By the standard input, if the command is tethered.
    pub fn of(spec: &Spec) -> io::Result<Self> {
        let stdin = || pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?);
        spec.tethered.then(stdin).transpose().map(Self)
    }

    /// Returns once, when it is gone.
    async fn parted(&mut self) {
        let Some(pipe) = &mut self.0 else { return std::future::pending().await };
        let mut byte = [0];
        while pipe.read(&mut byte).await.is_ok_and(|n| n > 0) {}
        self.0 = None;
    }
}

/// When the command is to be ended, and how far that has got. Times are [`boottime`].
struct Deadlines {
    timeout_at: Option<Duration>,
    stall: Option<Duration>,
    heard_at: Duration,
    grace: Duration,
    /// The grace of one that is interrupted.
    interrupt_grace: Duration,
    ending: Option<Ending>,
}

struct Ending {
    reason: Ended,
    /// `None` once that is done, or too far ahead to be counted.
    kill_at: Option<Duration>,
}

/// What a deadline asks for.
#[derive(Debug, PartialEq)]
enum Act {
    Terminate,
    Kill,
}

impl Deadlines {
    fn new(spec: &Spec, now: Duration) -> Self {
        let interrupt_grace = if spec.tethered { spec.grace.min(TETHERED_GRACE) } else { spec.grace };
        let timeout_at = now.checked_add(spec.timeout);
        Self { timeout_at, stall: spec.stall_timeout, heard_at: now, grace: spec.grace, interrupt_grace, ending: None }
    }

    fn stall_at(&self) -> Option<Duration> {
        self.heard_at.checked_add(self.stall?)
    }

    /// Begins the end, unless it has begun: the first reason counts.
    fn end(&mut self, reason: Ended, now: Duration) -> Option<Act> {
        if self.ending.is_some() {
            return None;
        }
        let grace = if reason == Ended::Interrupted { self.interrupt_grace } else { self.grace };
        self.ending = Some(Ending { reason, kill_at: now.checked_add(grace) });
        Some(Act::Terminate)
    }

    fn due(&mut self, now: Duration) -> Option<Act> {
        let passed = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if let Some(ending) = &mut self.ending {
            return passed(ending.kill_at).then(|| {
                ending.kill_at = None;
                Act::Kill
            });
        }
        if passed(self.timeout_at) {
            return self.end(Ended::TimedOut, now);
        }
        if passed(self.stall_at()) {
            return self.end(Ended::Stalled, now);
        }
        None
    }

    /// How long to sleep until something may be due.
    fn nap(&self, now: Duration) -> Duration {
        let next = match &self.ending {
            Some(ending) => ending.kill_at,
            None => [self.timeout_at, self.stall_at()].into_iter().flatten().min(),
        };
        // A timer counts in whole milliseconds; one more, so that it is over when we look.
        next.map_or(NAP, |at| (at.saturating_sub(now) + Duration::from_millis(1)).min(NAP))
    }
}

/// Follows the command, which leads a process group, until it has ended by itself or been ended.
/// Processes that it leaves behind are not waited for.
pub(super) async fn follow(child: Pid, spec: &Spec, streams: &mut [Stream; 2], signals: &mut Signals, tether: &mut Tether) -> Ended {
    let [out, err] = streams;
    let mut deadlines = Deadlines::new(spec, boottime());
    loop {
        if let Reaped::Wanted(status) = reap(Some(child)) {
            return deadlines.ending.map_or_else(|| ended_by(status), |ending| ending.reason);
        }
        let mut act = deadlines.due(boottime());
        if act.is_none() {
            tokio::select! {
                biased;
                _ = signals.child.recv() => {}
                _ = signals.terminate.recv() => act = deadlines.end(Ended::Interrupted, boottime()),
                () = tether.parted() => act = deadlines.end(Ended::Interrupted, boottime()),
                () = sleep(deadlines.nap(boottime())) => {}
                true = out.pump() => deadlines.heard_at = boottime(),
                true = err.pump() => deadlines.heard_at = boottime(),
            }
        }
        // The child has not been reaped, so the group is still its own.
        let _ = match act {
            None => Ok(()),
            Some(Act::Terminate) => kill_process_group(child, Signal::TERM),
            Some(Act::Kill) => kill_process_group(child, Signal::KILL),
        };
    }
}

/// Kills every descendant, and whatever else carries the marker, until none is left.
/// Returns how many had to be left because they belong to another user.
///
/// A caller without children has no descendants: it is a subreaper, and inherits orphans.
pub(super) async fn end_descendants(aid: &str, signals: &mut Signals) -> u32 {
    let mut survivors = 0;
    while !matches!(reap(None), Reaped::NoChildren) {
        let children = kill_children();
        if children.all > 0 && children.all == children.refused {
            survivors = children.refused;
            break;
        }
        tokio::select! {
            _ = signals.child.recv() => {}
            () = sleep(KILL_ROUND) => {}
        }
    }
    tree::sweep(aid);
    survivors
}

enum Reaped {
    /// The process asked for has ended.
    Wanted(WaitStatus),
    SomeLive,
    NoChildren,
}

/// Takes the status of every child that has ended, the inherited ones too: an agent that works
/// for hours would fill the process table. Stops at the wanted one.
fn reap(wanted: Option<Pid>) -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if Some(pid) == wanted => return Reaped::Wanted(status),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Reaped::SomeLive,
            Err(_) => return Reaped::NoChildren,
        }
    }
}

fn ended_by(status: WaitStatus) -> Ended {
    match status.terminating_signal() {
        Some(signal) => Ended::Signaled { signal },
        None => Ended::Exited { code: status.exit_status().unwrap_or(-1) },
    }
}

/// Whether waiting and trying again may help.
pub(super) fn is_disk_full(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn deadlines(timeout: Duration, stall_timeout: Option<Duration>, now: Duration) -> Deadlines {
        let spec = Spec {
            version: 1,
            aid: "a".into(),
            argv: Vec::new(),
            cwd: "/".into(),
            env: Default::default(),
            stdin: false,
            timeout,
            stall_timeout,
            grace: seconds(5),
            logs: Default::default(),
            tethered: false,
        };
        Deadlines::new(&spec, now)
    }

    #[test]
    fn a_command_is_asked_to_end_once_and_killed_once() {
        let mut it = deadlines(seconds(10), None, seconds(100));
        assert_eq!(it.due(seconds(109)), None);
        assert_eq!(it.due(seconds(110)), Some(Act::Terminate));
        assert_eq!(it.end(Ended::Interrupted, seconds(111)), None, "the first reason counts");
        assert_eq!(it.due(seconds(114)), None);
        assert_eq!(it.due(seconds(115)), Some(Act::Kill));
        assert_eq!(it.due(seconds(9999)), None);
        assert_eq!(it.ending.unwrap().reason, Ended::TimedOut);
    }

    #[test]
    fn a_tethered_command_has_little_time_when_it_is_interrupted_and_all_of_it_at_a_timeout() {
        let tethered = |grace| Deadlines { interrupt_grace: TETHERED_GRACE.min(grace), grace, ..deadlines(seconds(10), None, seconds(0)) };
        let mut it = tethered(seconds(60));
        it.end(Ended::Interrupted, seconds(1));
        assert_eq!(it.due(seconds(4)), Some(Act::Kill));
        let mut it = tethered(seconds(60));
        it.end(Ended::TimedOut, seconds(1));
        assert_eq!((it.due(seconds(60)), it.due(seconds(61))), (None, Some(Act::Kill)));
    }

    #[test]
    fn output_puts_off_the_stall_and_not_the_timeout() {
        let mut it = deadlines(seconds(60), Some(seconds(10)), seconds(0));
        it.heard_at = seconds(8);
        assert_eq!(it.due(seconds(17)), None);
        assert_eq!(it.nap(seconds(17)), Duration::from_millis(1001));
        assert_eq!(it.due(seconds(18)), Some(Act::Terminate));
        assert_eq!(it.ending.unwrap().reason, Ended::Stalled);
    }

    #[test]
    fn a_limit_without_end_does_not_overflow() {
        let mut it = deadlines(Duration::MAX, Some(Duration::MAX), seconds(5));
        assert_eq!(it.due(seconds(u64::MAX)), None);
        assert_eq!(it.nap(seconds(6)), NAP);
    }
}

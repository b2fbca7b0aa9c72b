//! How long a git is waited for: one that talks to a remote is ended, of another it is said that it goes on.
//! Knows nothing of what is called.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError::Timeout};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::fault;

/// From SIGTERM to SIGKILL for a call that took too long.
const GRACE: Duration = Duration::from_secs(2);
/// Whether nobody waits for remotes any more.
static HUNG_UP: AtomicBool = AtomicBool::new(false);
/// How soon that is noticed.
const NOTICE: Duration = Duration::from_millis(200);

/// From now on what talks to a remote is ended, as if it had taken too long: by a process that is to
/// leave, and must not leave behind what has its lock.
pub fn hang_up() {
    HUNG_UP.store(true, Ordering::SeqCst);
}

/// Says of a call that is still under way after a while: whatever it calls could wait for a person. It is not ended, for
/// a large checkout takes as long.
pub(super) fn tell_if_it_hangs(what: &str, pid: u32, through: &Receiver<()>) {
    let patience = fault::patience(Duration::from_secs(60));
    if through.recv_timeout(patience) == Err(Timeout) {
        tracing::warn!(
            "`{what}` has been running for {} s: a filter, or the program that signs, may wait for somebody; `kill {pid}` ends it, and it is tried again",
            patience.as_secs()
        );
    }
}

/// Ends a process group that is not through after `limit`; true if it was.
pub(super) fn end_after(limit: Duration, through: &Receiver<()>, group: Pid) -> bool {
    let mut left = limit;
    while !left.is_zero() && !HUNG_UP.load(Ordering::SeqCst) {
        let round = left.min(NOTICE);
        if through.recv_timeout(round) != Err(Timeout) {
            return true;
        }
        left -= round;
    }
    // One that is gone by now needs no signal.
    let _ = kill_process_group(group, Signal::TERM);
    if through.recv_timeout(GRACE) == Err(Timeout) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    false
}

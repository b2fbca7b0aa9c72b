//! Ctrl-C and SIGTERM: drain, interrupt, leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::terminal::Terminal;
use crate::engine::session::Handle;
use crate::fault;
use crate::git;
use crate::notice::Haste;

/// What a run was told to do from outside.
#[derive(Clone, Default)]
pub struct Told(Arc<AtomicU8>);

const INTERRUPTED: u8 = 1;
const TERMINATED: u8 = 2;

impl Told {
    /// The exit code of a run that was ended by a signal.
    pub fn exit(&self) -> Option<Exit> {
        match self.0.load(Ordering::SeqCst) {
            INTERRUPTED => Some(Exit::Interrupted),
            TERMINATED => Some(Exit::Terminated),
            _ => None,
        }
    }
}

/// A tethered Drover that was told to end leaves after this time, whatever is still under way: the
/// runner of GitHub Actions sends SIGTERM after 7.5 s, and kills 2.5 s later. What commands have to
/// end in is part of it (`process::TETHERED_GRACE`).
const LEAVE_AFTER: Duration = Duration::from_secs(6);

/// After this time it does not wait for remotes any more.
const HANG_UP_AFTER: Duration = Duration::from_secs(3);

/// Listens for signals as long as the runtime lives. First Ctrl-C: claim nothing more. Second,
/// or SIGTERM or SIGHUP: end what runs. Third: leave at once; the shims stay, and the next
/// start adopts what they run. Where it is tethered the first one counts as the second, and what
/// is not through soon after it is left. Where only receivers of events are waited for, any of them ends that.
pub fn listen(handle: Handle, haste: Haste, terminal: Terminal, told: Told, tethered: bool) {
    let (Ok(mut int), Ok(mut term), Ok(mut hup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        terminal.warn("signals cannot be caught here: Ctrl-C ends Drover at once, and `drover resume` goes on");
        return;
    };
    tokio::spawn(async move {
        let mut presses = u8::from(tethered);
        loop {
            tokio::select! {
                _ = int.recv() => presses += 1,
                _ = term.recv() => { told.0.store(TERMINATED, Ordering::SeqCst); presses = presses.max(1) + 1 }
                _ = hup.recv() => { told.0.store(TERMINATED, Ordering::SeqCst); presses = presses.max(1) + 1 }
            }
            match presses {
                1 if haste.begin_if_ending() => terminal.note("receivers of events are not waited for any longer."),
                1 => {
                    terminal
                        .note("draining: nothing more is started, and what runs may finish. Ctrl-C again ends it; a third leaves at once.");
                    handle.drain();
                }
                2 => {
                    let _ = told.0.compare_exchange(0, INTERRUPTED, Ordering::SeqCst, Ordering::SeqCst);
                    terminal.note("interrupting: what runs is ended and its work kept; `drover resume` goes on from it.");
                    handle.interrupt();
                    haste.begin();
                    if tethered {
                        tokio::spawn(leave_later(terminal.clone(), told.clone()));
                    }
                }
                _ => leave(&terminal, &told, tethered),
            }
        }
    });
}

async fn leave_later(terminal: Terminal, told: Told) {
    tokio::time::sleep(HANG_UP_AFTER).await;
    git::hang_up();
    tokio::time::sleep(LEAVE_AFTER - HANG_UP_AFTER).await;
    fault::pause("signals.leave");
    leave(&terminal, &told, true);
}

/// All that was decided is durable: the next start goes on from there.
fn leave(terminal: &Terminal, told: &Told, tethered: bool) {
    terminal.note(match tethered {
        true => "leaving: what still runs ends with Drover; `drover resume` goes on from there.",
        false => "leaving: what runs goes on under its shims; `drover resume` takes it over.",
    });
    terminal.end();
    std::process::exit(told.exit().unwrap_or(Exit::Interrupted) as i32);
}

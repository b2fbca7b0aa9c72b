//! Ctrl-C and SIGTERM: drain, interrupt, leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::terminal::Terminal;
use crate::engine::session::Handle;

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

/// Listens for signals as long as the runtime lives. First Ctrl-C: claim nothing more. Second,
/// or SIGTERM or SIGHUP: end what runs. Third: leave at once; the shims stay, and the next
/// start adopts what they run.
pub fn listen(handle: Handle, terminal: Terminal, told: Told) {
    let (Ok(mut int), Ok(mut term), Ok(mut hup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        terminal.warn("signals cannot be caught here: Ctrl-C ends Drover at once, and `drover resume` goes on");
        return;
    };
    tokio::spawn(async move {
        let mut presses = 0;
        loop {
            tokio::select! {
                _ = int.recv() => presses += 1,
                _ = term.recv() => { told.0.store(TERMINATED, Ordering::SeqCst); presses = presses.max(1) + 1 }
                _ = hup.recv() => { told.0.store(TERMINATED, Ordering::SeqCst); presses = presses.max(1) + 1 }
            }
            match presses {
                1 => {
                    terminal
                        .note("draining: nothing more is started, and what runs may finish. Ctrl-C again ends it; a third leaves at once.");
                    handle.drain();
                }
                2 => {
                    let _ = told.0.compare_exchange(0, INTERRUPTED, Ordering::SeqCst, Ordering::SeqCst);
                    terminal.note("interrupting: what runs is ended and its work kept; `drover resume` goes on from it.");
                    handle.interrupt();
                }
                _ => {
                    terminal.note("leaving: what runs goes on under its shims; `drover resume` takes it over.");
                    std::process::exit(told.exit().unwrap_or(Exit::Interrupted) as i32);
                }
            }
        }
    });
}

//! The two things that Rust calls unsafe: closing descriptors by number, and code between fork and exec.

#![expect(unsafe_code, reason = "inherited descriptors have no owner, and pre_exec runs in a forked child; both are argued at the call")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal, setsid};

/// Closes every descriptor above stderr: what Drover lets its children inherit (its own lock)
/// must not live on in a process that outlives it.
///
/// To be called first thing in `main`, before the program owns a descriptor of its own.
pub(super) fn close_inherited() -> io::Result<()> {
    const OPEN: &str = "/proc/self/fd";
    // Numbers alone: an entry would keep the listing open.
    let listed: io::Result<Vec<_>> = fs::read_dir(OPEN)?.map(|entry| Ok(entry?.file_name())).collect();
    for fd in listed?.iter().filter_map(|name| name.to_str()?.parse::<i32>().ok()).filter(|fd| *fd > 2) {
        // The listing had a descriptor too, which is closed by now.
        if fs::read_link(format!("{OPEN}/{fd}")).is_ok() {
            // SAFETY: it is open, and nothing in this process owns a descriptor yet, so none is
            // closed behind an owner's back.
            unsafe { rustix::io::close(fd) };
        }
    }
    Ok(())
}

/// Starts a command in a session of its own, to be killed by the kernel when the calling
/// *thread* ends: call it from the main thread.
pub(super) fn spawn_bound(command: &mut Command) -> io::Result<Child> {
    let parent = getpid();
    let in_child = move || {
        setsid()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above: then no signal will come.
        if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec the closure makes four system calls, and allocates nothing:
    // an `io::Error` made from an `Errno` is a number.
    unsafe { command.pre_exec(in_child) };
    command.spawn()
}

//! Finding and ending processes: by parent, for those under a shim, and by the marker in the
//! environment, for those that got away from it.
//!
//! Reads `/proc/<pid>/{stat,environ,comm,fd}` alone; `task/*/children` is missing in kernels built
//! without it. Knows no step directories.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, getpid, kill_process, kill_process_group, pidfd_open, pidfd_send_signal};

use super::MARKER;

/// How often [`sweep`] looks again before it gives up on processes that SIGKILL does not end.
const ROUNDS: usize = 64;
/// How long a round waits for what it has killed: one that hangs in the kernel holds nothing up.
const ROUND_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Kills every process whose environment holds exactly `DROVER_ATTEMPT=<aid>`, except the
/// calling one, until none is left; a shim of that attempt is one of them. Returns how many it killed.
pub fn sweep(aid: &str) -> usize {
    let mut killed = 0;
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        let dying: Vec<OwnedFd> = pids().into_iter().filter(|pid| *pid != getpid()).filter_map(|pid| kill_marked(pid, aid)).collect();
        quiet = if dying.is_empty() { quiet + 1 } else { 0 };
        // One quiet round can be luck: a process is not seen while it execs.
        if quiet == 2 {
            break;
        }
        killed += dying.len();
        wait_for(&dying);
    }
    killed
}

/// Kills the process if it carries the marker. The descriptor is taken before the second look,
/// so that the signal goes to the very process that was looked at.
fn kill_marked(pid: Pid, aid: &str) -> Option<OwnedFd> {
    if !is_marked(pid, aid) {
        return None;
    }
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    if !is_marked(pid, aid) {
        return None;
    }
    pidfd_send_signal(&process, Signal::KILL).ok()?;
    Some(process)
}

/// Whether a process has its working directory in `dir`.
pub fn works_in(dir: &Path) -> bool {
    pids().into_iter().any(|pid| fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok_and(|cwd| cwd.starts_with(dir)))
}

fn wait_for(dying: &[OwnedFd]) {
    for process in dying {
        let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&ROUND_WAIT));
    }
}

/// Whether the process's environment holds exactly `DROVER_ATTEMPT=<aid>`.
pub(super) fn is_marked(pid: Pid, aid: &str) -> bool {
    let marker = [MARKER.as_bytes(), b"=", aid.as_bytes()].concat();
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|b| *b == 0).any(|entry| entry == marker))
}

/// Sends SIGKILL to the caller's children, each with its process group: a group is killed in one
/// stroke, so that what forks and exits in a hurry does not get away. Their own children become
/// the caller's (it is a subreaper) and are next.
///
/// A child's pid and group cannot have been reused, for only the caller takes its children's
/// status, and it does not do so meanwhile.
pub(super) fn kill_children() -> Children {
    let own_group = getpgid(None).ok();
    let mut seen = Children::default();
    for pid in pids().into_iter().filter(|pid| is_child(*pid)) {
        seen.all += 1;
        if let Some(group) = getpgid(Some(pid)).ok().filter(|group| Some(*group) != own_group) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if kill_process(pid, Signal::KILL) == Err(Errno::PERM) {
            seen.refused += 1;
        }
    }
    seen
}

/// What [`kill_children`] found.
#[derive(Default)]
pub(super) struct Children {
    pub all: u32,
    /// Those that belong to another user.
    pub refused: u32,
}

fn is_child(pid: Pid) -> bool {
    stat_field(pid, 4) == Some(getpid().as_raw_pid().cast_unsigned().into())
}

/// Whether there is a process of this number.
pub fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Other processes that have a file open, each with its name, as far as they can be seen.
pub fn users_of(file: &fs::Metadata) -> Vec<(u32, String)> {
    let has_it = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| fs::metadata(fd.path()).ok()).any(|meta| (meta.dev(), meta.ino()) == (file.dev(), file.ino()))
    };
    let others = pids().into_iter().filter(|pid| *pid != getpid()).filter_map(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    others
        .filter(has_it)
        .map(|pid| (pid, fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()))
        .collect()
}

/// Whether a process was stopped, as by Ctrl-Z or SIGSTOP, and does nothing until it is continued.
pub fn is_stopped(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/stat")).is_ok_and(|stat| parse_state(&stat) == Some(b'T'))
}

fn parse_state(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    stat[end + 1..].trim_ascii_start().first().copied()
}

/// When the process started, in clock ticks since boot. With its pid and the boot, this names it.
pub(super) fn start_time(pid: Pid) -> Option<u64> {
    stat_field(pid, 22)
}

/// A numeric field of `/proc/<pid>/stat`, counted as in proc(5), from the fourth on.
fn stat_field(pid: Pid, number: usize) -> Option<u64> {
    parse_stat_field(&fs::read(format!("/proc/{pid}/stat")).ok()?, number)
}

/// The second field is the program's name, in brackets, and holds whatever it likes: what counts
/// starts after the last bracket.
fn parse_stat_field(stat: &[u8], number: usize) -> Option<u64> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// Names this boot of the kernel.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Every process there is.
fn pids() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start children")]
mod tests {
    use super::*;

    #[test]
    fn a_program_cannot_fake_its_parent_by_its_name() {
        let stat = b"42 (a) S 1 (b) ) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5555 100 200";
        assert_eq!(parse_stat_field(stat, 4), Some(7));
        assert_eq!(parse_stat_field(stat, 22), Some(5555));
        assert_eq!(parse_stat_field(b"garbage", 4), None);
    }

    #[test]
    fn a_marker_counts_only_in_full() {
        // Of this test run alone: the whole machine is swept.
        let own = format!("tree-test-{}-", std::process::id());
        let spawn = |n: &str| {
            let child = std::process::Command::new("sleep").arg("100").env(MARKER, format!("{own}{n}")).spawn().unwrap();
            // A program that is just being started shows no environment yet.
            while !is_marked(Pid::from_child(&child), &format!("{own}{n}")) {
                std::thread::yield_now();
            }
            child
        };
        let mut mine = spawn("1");
        let mut longer = spawn("11");
        assert_eq!(sweep(&own), 0);
        assert_eq!(sweep(&format!("{own}1")), 1);
        assert!(!mine.wait().unwrap().success());
        assert!(longer.try_wait().unwrap().is_none(), "a process of another attempt was killed");
        longer.kill().unwrap();
        longer.wait().unwrap();
    }
}

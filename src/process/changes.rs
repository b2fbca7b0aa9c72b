//! Waiting until something is written in some directories, without asking again and again.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Directories that are watched. Where the system grants no watch (its limit is reached), waiting
/// is only shorter: whoever waits looks again in any case.
pub struct Changes {
    queue: Option<OwnedFd>,
    watched: BTreeSet<PathBuf>,
    complete: bool,
}

/// How long is waited where not everything is watched.
const BLIND: Duration = Duration::from_millis(250);

impl Default for Changes {
    fn default() -> Self {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Self { complete: queue.is_some(), queue, watched: BTreeSet::new() }
    }
}

impl Changes {
    /// Watches a directory and what is directly in it, from now on.
    pub fn add(&mut self, dir: &Path) {
        let Some(queue) = &self.queue else { return };
        if self.watched.contains(dir) {
            return;
        }
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        match inotify::add_watch(queue, dir, flags) {
            Ok(_) => drop(self.watched.insert(dir.to_owned())),
            Err(_) => self.complete = false,
        }
    }

    /// Returns when something has changed since the last call, or after `at_most`; whether anything has, or
    /// may have.
    pub fn wait(&mut self, at_most: Duration) -> bool {
        let at_most = if self.complete { at_most } else { at_most.min(BLIND) };
        let Some(queue) = &self.queue else {
            std::thread::sleep(at_most);
            return true;
        };
        let timeout = Timespec::try_from(at_most).ok();
        let mut fds = [PollFd::new(queue, PollFlags::IN)];
        // Cut short by a signal: the caller looks once more than it had to.
        let _ = poll(&mut fds, timeout.as_ref());
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(queue, &mut buffer);
        let mut any = !self.complete;
        while events.next().is_ok() {
            any = true;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_between_two_waits_ends_the_second_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut changes = Changes::default();
        changes.add(dir.path());
        std::fs::write(dir.path().join("a"), "x").unwrap();
        // Would be noticed by the time limit of the test runner, were it not noticed here.
        assert!(changes.wait(Duration::from_secs(3600)));
        assert!(!changes.wait(Duration::ZERO));
    }
}

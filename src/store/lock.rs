//! One active Drover a repository: a lock that the kernel frees, never a pid or a time stamp.
//!
//! The lock is a `flock` on an open file. Children inherit it on purpose: a git that outlives
//! a killed Drover keeps the next one out until it has ended too. What must not keep it (an
//! agent, its shim) closes the descriptor, see [`ActiveLock`]'s `AsFd`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::{Errno, FdFlags};
use serde::{Deserialize, Serialize};

use super::{StoreError, dir};
use crate::base::text::one_line;
use crate::process;

/// No link is followed, and nothing is waited for that is no file.
const CAREFULLY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);
/// What is read of the holder's line, in bytes, and shown, in characters.
const HOLDER: usize = 300;
/// The most that is read of what the holder says of itself, in bytes.
const SERVED: u64 = 16 << 10;

/// The second line of the file, once it is known: what the holder is at work on.
#[derive(Serialize, Deserialize)]
struct Served {
    target: String,
    root: PathBuf,
}

/// Held as long as any descriptor of it is open, in this process or a child. Dropping it closes
/// this process's own.
#[derive(Debug)]
pub struct ActiveLock {
    file: File,
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another drover is at work in this repository: {holder}; wait for it to end, or stop it")]
    Held {
        /// In words; for display only.
        holder: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes `<dir>/lock`, making the directory if need be, and waits for it up to `wait`.
pub fn acquire(dir: &Path, wait: Duration) -> Result<ActiveLock, LockError> {
    let lock = take(dir, wait)?;
    // Only now that it is locked: a child started before would have shared the description and
    // with it the lock.
    rustix::io::fcntl_setfd(&lock.file, FdFlags::empty())
        .map_err(|e| StoreError::io("cannot pass on to children", &lock.path, e.into()))?;
    Ok(lock)
}

/// Whether somebody holds the lock of a state directory right now. Writes nothing.
pub fn is_held(dir: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).custom_flags(CAREFULLY.bits().cast_signed()).open(dir.join("lock")) else {
        return false;
    };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// The target of whoever holds the lock of a state directory right now, if it is at work in this
/// checkout. Writes nothing.
pub fn served(dir: &Path, root: &Path) -> Option<String> {
    let file = OpenOptions::new().read(true).custom_flags(CAREFULLY.bits().cast_signed()).open(dir.join("lock")).ok()?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) != Err(Errno::WOULDBLOCK) {
        return None;
    }
    let mut text = String::new();
    file.take(SERVED).read_to_string(&mut text).ok()?;
    let Served { target, root: theirs } = serde_json::from_str(text.lines().nth(1)?).ok()?;
    (theirs == root).then_some(target)
}

/// The process that holds the lock of a state directory right now, if that was stopped, as by Ctrl-Z: it answers nobody
/// until it is continued. Writes nothing.
pub fn stopped_holder(dir: &Path) -> Option<u32> {
    let mut file = OpenOptions::new().read(true).custom_flags(CAREFULLY.bits().cast_signed()).open(dir.join("lock")).ok()?;
    let held = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
    let pid = held.then(|| pid_in(&line_of(&mut file)))??;
    process::is_stopped(pid).then_some(pid)
}

/// What has a process go on that was stopped, in words.
pub fn go_on(pid: u32) -> String {
    format!("`fg` in its terminal, or `kill -CONT {pid}`, has it go on")
}

/// The lock, not inherited: for a moment's work without children.
pub(super) fn take(dir: &Path, wait: Duration) -> Result<ActiveLock, LockError> {
    let path = dir.join("lock");
    let mut left = wait;
    let mut pause = Duration::from_millis(5);
    loop {
        // Opened anew each time: the directory may be replaced while we wait, and a lock on a
        // file that has lost its name keeps nobody out.
        dir::prepare(dir)?;
        let mut file = open(&path)?;
        if !lock_now(&file).map_err(|e| StoreError::io("cannot lock", &path, e.into()))? {
            if left.is_zero() {
                return Err(LockError::Held { holder: holder(&mut file) });
            }
        } else {
            let mut lock = ActiveLock { file, path: path.clone() };
            if lock.still_ours() {
                lock.sign();
                return Ok(lock);
            }
            if left.is_zero() {
                return Err(LockError::Held { holder: "the state directory is being replaced".into() });
            }
        }
        let sleep = pause.min(left);
        std::thread::sleep(sleep);
        left -= sleep;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(CAREFULLY.bits().cast_signed());
    let opening = |e| StoreError::io("cannot open", path, e);
    let file = options.open(path).map_err(opening)?;
    if !file.metadata().map_err(opening)?.is_file() {
        return Err(StoreError::Refused { path: path.to_owned(), why: "it is not a regular file; move it out of the way".into() });
    }
    Ok(file)
}

fn lock_now(file: &File) -> Result<bool, Errno> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Who holds it, in words.
fn holder(file: &mut File) -> String {
    let line = line_of(file);
    match pid_in(&line).filter(|pid| process::is_stopped(*pid)) {
        Some(pid) => format!("{line}, which is stopped ({})", go_on(pid)),
        None if pid_in(&line).is_some_and(|pid| !process::is_there(pid)) => left_behind(&line, file),
        None if line.is_empty() => "it did not say which".into(),
        None => line,
    }
}

/// The one that took the lock has ended; what it started has not, and has the lock too.
fn left_behind(line: &str, file: &File) -> String {
    const SHOWN: usize = 5;
    let users = file.metadata().map(|meta| process::users_of(&meta)).unwrap_or_default();
    let users: Vec<String> = users.iter().take(SHOWN).map(|(pid, name)| format!("process {pid} ({})", one_line(name, 30))).collect();
    format!(
        "{line}, which has ended, but what it started has not: {}",
        if users.is_empty() { "it cannot be seen which".into() } else { users.join(", ") }
    )
}

/// What the holder wrote about itself. Anybody may have written there: made safe to show.
fn line_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.take(HOLDER as u64).read_to_end(&mut bytes);
    one_line(String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default(), HOLDER)
}

/// As [`ActiveLock::sign`] writes it.
fn pid_in(line: &str) -> Option<u32> {
    line.strip_prefix("process ")?.split(',').next()?.parse().ok()
}

impl ActiveLock {
    /// Whether the locked file is still the one under its name. The state directory may have
    /// been deleted in mid-run; then another Drover may be at work already.
    pub fn still_ours(&self) -> bool {
        let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(held), Ok(named)) => same(held, named),
            _ => false,
        }
    }

    /// Gives the lock up for all who inherited it. For an orderly end, when no child that
    /// touches the repository is left; dropping the lock instead waits for such children.
    pub fn release(self) {
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }

    /// Says what the holder is at work on, for whoever asks while another branch is checked out.
    pub fn serves(&mut self, target: &str, root: &Path) {
        let served = Served { target: target.to_owned(), root: root.to_owned() };
        // A root that is no text is not found again, and on a full disk it stays unsaid.
        if let Ok(line) = serde_json::to_string(&served) {
            let _ = writeln!(self.file, "{line}");
        }
    }

    /// Says who holds it, as well as that can be done: on a full disk it stays unsaid.
    fn sign(&mut self) {
        let command: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
        let since = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
        let line = format!("process {}, since {since}: {}", std::process::id(), command.join(" "));
        let _ = self.file.set_len(0);
        let _ = self.file.rewind();
        let _ = writeln!(self.file, "{}", one_line(&line, HOLDER / 2));
    }
}

impl AsFd for ActiveLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start children")]
mod tests {
    use super::*;

    /// Long enough for children of other tests that were started while the lock was held.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_second_one_is_told_who_holds_it() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("drover");
        let first = acquire(&dir, Duration::ZERO).unwrap();
        for wait in [Duration::ZERO, Duration::from_millis(20)] {
            let Err(LockError::Held { holder }) = acquire(&dir, wait) else { panic!("locked twice") };
            assert!(holder.contains(&format!("process {}, since 2", std::process::id())), "{holder}");
        }
        first.release();
        acquire(&dir, PATIENCE).unwrap().release();
    }

    #[test]
    fn it_is_waited_for() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("drover");
        let first = acquire(&dir, Duration::ZERO).unwrap();
        let (waits, dir2) = (std::sync::Barrier::new(2), dir.clone());
        std::thread::scope(|s| {
            let second = s.spawn(|| {
                waits.wait();
                acquire(&dir2, PATIENCE).map(ActiveLock::release)
            });
            waits.wait();
            first.release();
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_child_keeps_it_when_its_parent_lets_go() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("drover");
        let lock = acquire(&dir, Duration::ZERO).unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        drop(lock);
        assert!(matches!(acquire(&dir, Duration::ZERO), Err(LockError::Held { .. })));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_deleted_state_directory_is_noticed() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("drover");
        let first = acquire(&dir, Duration::ZERO).unwrap();
        assert!(first.still_ours());
        fs::remove_dir_all(&dir).unwrap();
        assert!(!first.still_ours());
        let second = acquire(&dir, Duration::ZERO).unwrap();
        assert!(second.still_ours() && !first.still_ours());
        second.release();
    }

    #[test]
    fn what_the_holder_wrote_cannot_upset_a_terminal() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("drover");
        let lock = acquire(&dir, Duration::ZERO).unwrap();
        fs::write(dir.join("lock"), b"\x1b[2Jpid\xff 7\n").unwrap();
        let Err(LockError::Held { holder }) = acquire(&dir, Duration::ZERO) else { panic!("locked twice") };
        assert!(!holder.contains('\x1b') && holder.contains("[2Jpid"), "{holder:?}");
        fs::write(dir.join("lock"), b"").unwrap();
        assert!(acquire(&dir, Duration::ZERO).unwrap_err().to_string().contains("it did not say which"));
        lock.release();
    }
}

//! Stale lock files: a git that was killed leaves them, and every later update would fail.
//!
//! One is removed only with proof that nobody stands behind it: it is older than this
//! process's first look at the repository (or guards a ref that only Drover writes), no process
//! has it open, and no git process that could have made it works in this repository any more.
//! The caller holds the project's lock, and every git that Drover starts inherits that lock, so
//! an earlier Drover's children are gone.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::{GitError, Result};
use super::repo::Repo;

/// Clock ticks a second in `/proc/<pid>/stat`; the same on every Linux.
const TICKS: u64 = 100;
/// How much later than its lock a process may seem to have started.
const SLACK: Duration = Duration::from_secs(2);

impl Repo {
    /// Removes what killed git processes left behind in the way of Drover's own updates, and
    /// says which files those were. For the start, when the project's lock was taken.
    pub fn clear_stale_locks(&self, target: &str) -> Result<Vec<PathBuf>> {
        let mut cleared = Vec::new();
        let common = self.common_dir();
        let mut candidates = vec![common.join("packed-refs.lock"), common.join(format!("refs/heads/{target}.lock"))];
        locks_below(&common.join("refs/drover"), &mut candidates);
        for lock in candidates {
            if self.clear_if_stale(&lock)? {
                cleared.push(lock);
            }
        }
        Ok(cleared)
    }

    /// The same for one ref, after an update of it failed. True if a lock was removed.
    pub(super) fn clear_stale_lock_of(&self, refname: &str) -> Result<bool> {
        let common = self.common_dir();
        let own = self.clear_if_stale(&common.join(format!("{refname}.lock")))?;
        Ok(self.clear_if_stale(&common.join("packed-refs.lock"))? || own)
    }

    /// The same for those that a killed fast-forward of a checkout leaves.
    pub(super) fn clear_stale_locks_of(&self, git_dir: &Path, target: &str) -> Result<()> {
        let refs = [self.common_dir().join(format!("refs/heads/{target}.lock")), self.common_dir().join("packed-refs.lock")];
        let own = ["HEAD.lock", "ORIG_HEAD.lock"].map(|name| git_dir.join(name));
        own.iter().chain(&refs).try_for_each(|lock| self.clear_if_stale(lock).map(drop))
    }

    fn clear_if_stale(&self, lock: &Path) -> Result<bool> {
        let Ok(meta) = fs::symlink_metadata(lock) else {
            return Ok(false);
        };
        let made = meta.modified().map_err(|e| GitError::io("reading", lock, &e))?;
        let drovers = lock.starts_with(self.common_dir().join("refs/drover"));
        if !meta.is_file() || !(drovers || made < self.inner.opened) || self.may_be_held(lock, made) {
            return Ok(false);
        }
        tracing::warn!(lock = %lock.display(), "removing the lock file of a git process that is gone");
        match fs::remove_file(lock) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(e) => Err(GitError::io("removing the stale lock", lock, &e)),
        }
    }

    /// Whether a living process has the file open, or is a git that works in this repository
    /// and may have made it. Where that cannot be told, yes.
    fn may_be_held(&self, lock: &Path, made: SystemTime) -> bool {
        let (Ok(processes), Some(boot)) = (fs::read_dir("/proc"), boot_time()) else {
            return true;
        };
        let pids = processes.flatten().filter(|e| e.file_name().as_bytes().iter().all(u8::is_ascii_digit));
        pids.map(|e| e.path()).any(|p| has_open(&p, lock) || (started(&p, boot).is_none_or(|s| s <= made + SLACK) && self.works_here(&p)))
    }

    fn works_here(&self, process: &Path) -> bool {
        let is_git = fs::read_to_string(process.join("comm")).is_ok_and(|name| name.starts_with("git"));
        if !is_git {
            return false;
        }
        let common = self.common_dir();
        if fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(common) || self.is_checkout_of_ours(&cwd)) {
            return true;
        }
        let named = |file| fs::read(process.join(file)).is_ok_and(|bytes| contains(&bytes, common.as_os_str().as_bytes()));
        named("cmdline") || named("environ")
    }

    /// Whether a directory is in a checkout of this repository.
    fn is_checkout_of_ours(&self, dir: &Path) -> bool {
        self.checkouts().is_ok_and(|all| all.iter().any(|c| dir.starts_with(&c.path)))
    }
}

fn locks_below(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            locks_below(&path, out);
        } else if path.extension().is_some_and(|e| e == "lock") {
            out.push(path);
        }
    }
}

fn has_open(process: &Path, file: &Path) -> bool {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.map(|d| d.path()).any(|d| fs::read_link(d).is_ok_and(|target| target == file))
}

/// When a process began, by the wall clock.
fn started(process: &Path, boot: SystemTime) -> Option<SystemTime> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name in parentheses may hold anything; the 22nd field is the 20th after it.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(boot + Duration::from_millis(ticks * 1000 / TICKS))
}

fn boot_time() -> Option<SystemTime> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

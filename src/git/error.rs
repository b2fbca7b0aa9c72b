//! What can go wrong, typed by what the caller can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, GitError>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The machine's fault, or another process's: a full disk, a lock, I/O. Wait, then try again.
    #[error("{what}")]
    Trouble { what: String },
    /// Git, or this room, will not do it, now or later, unless something is changed.
    #[error("{what}")]
    Refused { what: String },
    /// What was taken to be impossible: a mistake in this program.
    #[error("a bug in Drover: {what}")]
    Bug { what: String },
}

impl GitError {
    pub fn trouble(what: impl fmt::Display) -> Self {
        Self::Trouble { what: what.to_string() }
    }
    pub fn refused(what: impl fmt::Display) -> Self {
        Self::Refused { what: what.to_string() }
    }
    pub fn bug(what: impl fmt::Display) -> Self {
        Self::Bug { what: what.to_string() }
    }
    /// Whether the same call may well succeed later.
    pub fn is_trouble(&self) -> bool {
        matches!(self, Self::Trouble { .. })
    }

    /// Whether nothing but a person can mend it: the same call is not worth another try.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Refused { what } if LASTING.iter().any(|l| what.contains(l)))
    }

    /// An I/O error at a path. Missing rights are not going to mend themselves; the rest may.
    pub(super) fn io(doing: &str, path: &Path, e: &io::Error) -> Self {
        let what = format!("{doing} {}: {e}", path.display());
        match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => Self::Refused { what },
            _ => Self::Trouble { what },
        }
    }
}

/// What the git program says when the machine, not the request, is the matter (in `LC_ALL=C`).
const TROUBLE: &[&str] = &[
    "No space left on device",
    "Disk quota exceeded",
    "Input/output error",
    "Too many open files",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Stale file handle",
    "Read-only file system",
    "out of memory",
    ".lock': File exists",
    "Another git process seems to be running",
    "unable to write",
    "failed to write",
    "sha1 file write error",
    "cannot fork",
    "unable to create thread",
];

/// What git, or the library that reads, says when somebody has to do something about the
/// repository: a ref in the way of another, rights, objects that are gone or broken.
const LASTING: &[&str] = &[
    "exists; cannot create '",
    "blocking reference",
    "insufficient permission for adding an object",
    "object not found - no match for id",
    "unable to read tree",
    "is corrupt",
    "bad object ",
    "missing blob object",
];

/// Sorts a failed call by what it printed. Killed by a signal is trouble, too.
pub(super) fn classify(what: String, stderr: &str, killed: bool) -> GitError {
    // A program that is not there, a filter's say, is told like a fork that failed.
    let missing = stderr.contains("cannot exec '");
    match killed || (!missing && TROUBLE.iter().any(|t| stderr.contains(t))) {
        true => GitError::Trouble { what },
        false => GitError::Refused { what },
    }
}

/// For errors of the library that reads: a missing or unreadable object is no bug of ours.
impl From<git2::Error> for GitError {
    fn from(e: git2::Error) -> Self {
        match e.code() {
            git2::ErrorCode::Locked => Self::trouble(format!("reading the repository: {}", e.message())),
            _ if e.class() == git2::ErrorClass::Os => Self::trouble(format!("reading the repository: {}", e.message())),
            _ => Self::refused(format!("reading the repository: {}", e.message())),
        }
    }
}

/// Why a directory cannot be worked in.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("{0} is not in a git repository: run `git init` and commit something first")]
    NotARepository(PathBuf),
    #[error(
        "{0} is a bare repository: start Drover in a checkout of it (`git worktree add`); if it is meant to be a checkout, run `git config core.bare false`"
    )]
    Bare(PathBuf),
    #[error("the program `git` was not found in PATH: install git {MIN_GIT} or newer")]
    NoGit,
    #[error("git {0} is too old: {MIN_GIT} or newer is needed")]
    GitTooOld(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Io(String),
}

/// The oldest git whose `merge-tree --write-tree` can be used.
pub(super) const MIN_GIT: &str = "2.38";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_lock_are_trouble_and_a_bad_request_is_not() {
        let of = |stderr| classify("git".into(), stderr, false);
        assert!(of("fatal: cannot create: No space left on device").is_trouble());
        assert!(of("fatal: Unable to create '/r/.git/packed-refs.lock': File exists.").is_trouble());
        assert!(!of("fatal: not a valid object name").is_trouble());
        assert!(!of("fatal: cannot exec 'git-lfs': No such file\nerror: cannot fork to run external filter 'git-lfs'").is_trouble());
        assert!(classify("git".into(), "", true).is_trouble());
    }

    #[test]
    fn what_only_a_person_can_mend_is_told_from_what_may_go_another_time() {
        for stderr in [
            "fatal: cannot lock ref 'refs/a/b': 'refs/a' exists; cannot create 'refs/a/b'",
            "fatal: cannot lock ref 'refs/a': there is a non-empty directory '.git/refs/a' blocking reference 'refs/a'",
            "error: insufficient permission for adding an object to repository database .git/objects",
            "fatal: unable to read tree (3333333333333333333333333333333333333333)",
            "fatal: loose object 33 (stored in .git/objects/33/33) is corrupt",
        ] {
            assert!(classify(format!("git failed: {stderr}"), stderr, false).is_lasting(), "{stderr}");
        }
        for stderr in
            ["fatal: Unable to create '/r/.git/x.lock': File exists.", "fatal: not a valid object name", "error: unable to unlink a"]
        {
            assert!(!classify(stderr.into(), stderr, false).is_lasting(), "{stderr}");
        }
    }
}

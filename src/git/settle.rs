//! Ending a fast-forward of the user's checkout, however far it came.
//!
//! The journal says what was to be done. If the branch has moved, the files and the index are
//! brought to the new commit; if not, back to the old one. A file is touched only if it is one
//! that git wrote or was writing: as in one of the two commits, cut off while being written, or
//! not there. Anything else is the user's and stays. The user's index is only ever replaced
//! as a whole, by rename, and only while the lock in front of it is provably ours.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::checkouts::{Checkout, head_ref};
use super::error::{GitError, Result};
use super::local::{Change, Side, Unlike, parents};
use super::repo::Repo;
use super::worktree::copy_file;
use crate::base::Oid;
use crate::fault;

/// A fast-forward that may be under way.
#[derive(Debug)]
pub(super) struct Journal {
    pub target: String,
    pub old: Oid,
    pub new: Oid,
    /// Of the checkout.
    pub git_dir: PathBuf,
}

impl Journal {
    /// The copy of the user's index that git works on.
    pub fn index(&self) -> PathBuf {
        self.git_dir.join("index.drover")
    }
    fn lock(&self) -> PathBuf {
        self.git_dir.join("index.lock")
    }
    /// What our lock of the user's index holds: no other lock does.
    fn mark(&self) -> String {
        format!("drover is publishing {} to {}; if it is not running, run `drover apply`\n", self.new, self.target)
    }
    fn write(&self) -> Vec<u8> {
        let head = format!("{}\n{}\n{}\n", self.target, self.old, self.new);
        [head.as_bytes(), self.git_dir.as_os_str().as_bytes()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.splitn(4, |b| *b == b'\n');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let (target, old, new) = (text()?.to_owned(), Oid::parse(text()?)?, Oid::parse(text()?)?);
        Some(Self { target, old, new, git_dir: OsStr::from_bytes(parts.next()?).into() })
    }
}

impl Repo {
    fn journal_file(&self) -> PathBuf {
        self.state_dir().join("publish.journal")
    }

    pub(super) fn write_journal(&self, journal: &Journal) -> Result<()> {
        let file = self.journal_file();
        super::place::make_private(&self.state_dir()).map_err(|e| GitError::io("creating", &self.state_dir(), &e))?;
        let written = write_synced(&file.with_extension("new"), &journal.write());
        let renamed = written.and_then(|()| fs::rename(file.with_extension("new"), &file));
        renamed.and_then(|()| sync_dir(&self.state_dir())).map_err(|e| GitError::io("writing", &file, &e))
    }

    /// Takes the lock of the user's index; false if another process has it.
    pub(super) fn lock_index(&self, journal: &Journal) -> Result<bool> {
        // Linked into place, so that it never stands there without its mark.
        let made = journal.git_dir.join("index.lock.drover");
        let taken = write_synced(&made, journal.mark().as_bytes()).and_then(|()| fs::hard_link(&made, journal.lock()));
        let _ = fs::remove_file(&made);
        match taken {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(GitError::io("locking", &journal.lock(), &e)),
        }
    }

    pub(super) fn copy_users_index(&self, journal: &Journal) -> Result<()> {
        copy_file(&journal.git_dir.join("index"), &journal.index())
    }

    /// Brings a fast-forward that was begun, if one was, to an end.
    pub(super) fn settle(&self) -> Result<()> {
        let file = self.journal_file();
        let journal = match fs::read(&file) {
            Ok(bytes) => Journal::read(&bytes).ok_or_else(|| GitError::refused(format!("{} cannot be read", file.display())))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(GitError::io("reading", &file, &e)),
        };
        let at = self.checkouts()?.into_iter().find(|c| c.git_dir == journal.git_dir && c.path.is_dir());
        let tip = self.branch_tip(&journal.target)?;
        let moved = match &tip {
            Some(tip) => self.is_ancestor(&journal.new, tip)?,
            None => false,
        };
        if let Some(at) = &at {
            self.clear_stale_locks_of(&at.git_dir, &journal.target)?;
            let on_it = head_ref(&at.git_dir) == Some(self.branch_ref(&journal.target)?);
            let there = tip.as_ref() == Some(if moved { &journal.new } else { &journal.old });
            match moved {
                true => self.finish(at, &journal, on_it && there)?,
                false => self.undo(at, &journal, on_it && there)?,
            }
        }
        fault::point("publish.settled");
        remove(&file)
    }

    /// The branch moved: the index, then what files there may be left.
    fn finish(&self, at: &Checkout, journal: &Journal, untouched: bool) -> Result<()> {
        if is_ours(journal) {
            // Git puts the copy in place before it moves the branch: if it is there, it is whole.
            match fs::rename(journal.index(), journal.git_dir.join("index")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(GitError::io("replacing the index by", &journal.index(), &e)),
                _ => {}
            }
            unlock(journal)?;
        } else if untouched {
            self.mend_index(at, journal)?;
        }
        clear_copy(journal)?;
        if untouched {
            let changes = self.changes_between(&journal.old, &journal.new)?;
            self.bring(at, &changes, Side::New)?;
            sync_files(&at.path, &changes);
        }
        Ok(())
    }

    /// The branch did not move: back to the old commit, then let go of the index.
    fn undo(&self, at: &Checkout, journal: &Journal, untouched: bool) -> Result<()> {
        // Git works on a copy of the index: where there is none, it wrote nothing.
        if untouched && journal.index().exists() {
            self.bring(at, &self.changes_between(&journal.old, &journal.new)?, Side::Old)?;
        }
        clear_copy(journal)?;
        if is_ours(journal) { unlock(journal) } else { Ok(()) }
    }

    /// Somebody took our lock away after the branch moved: entries that still are the old
    /// commit's become the new one's; staged ones stay.
    fn mend_index(&self, at: &Checkout, journal: &Journal) -> Result<()> {
        let mut entries = BTreeSet::new();
        self.git_in(&at.git_dir, &at.path, ["ls-files", "--stage", "-z"]).each_record(|record| {
            entries.insert(record.to_vec());
        })?;
        let mut input = Vec::new();
        for change in self.changes_between(&journal.old, &journal.new)? {
            let has = |mode: &str, oid: &Oid| entries.contains(&[format!("{mode} {oid} 0\t").as_bytes(), &change.path].concat());
            let is_old = match &change.old {
                Some(old) => has(&old.mode, &old.oid),
                None => !entries.iter().any(|e| e.ends_with(&[b"\t", change.path.as_slice()].concat())),
            };
            match (&change.new, &change.old) {
                _ if !is_old => {}
                (Some(new), _) => input.extend(new.index_info(&change.path)),
                (None, Some(old)) => input.extend([format!("0 {}\t", old.oid).as_bytes(), &change.path, b"\0"].concat()),
                (None, None) => {}
            }
        }
        if input.is_empty() {
            return Ok(());
        }
        self.git_in(&at.git_dir, &at.path, ["update-index", "-z", "--index-info"]).input(input).ok().map(drop)
    }

    /// Makes the changed files those of `side`, but for what is the user's.
    fn bring(&self, at: &Checkout, changes: &[Change], side: Side) -> Result<()> {
        let other = if side == Side::Old { Side::New } else { Side::Old };
        let unlike = self.unlike(at, changes, side)?;
        let is_there = |c: &&Change| c.on(side).is_none() && present(&at.path, &c.path);
        let wrong: Vec<&Change> = changes.iter().filter(|c| unlike.contains_key(&c.path) || is_there(c)).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let unlike_other = self.unlike(at, changes, other)?;
        let left_out = self.left_out(at)?;
        let mut restore = Vec::new();
        for change in wrong {
            let as_other = change.on(other).is_some() && !unlike_other.contains_key(&change.path);
            let gone = !present(&at.path, &change.path) && unlike.get(&change.path) == Some(&Unlike::Absent);
            let absent = gone && !left_out.contains(&change.path);
            let submodule = change.old.iter().chain(&change.new).any(|e| e.is_submodule());
            if submodule || behind_link(&at.path, &change.path) || !(absent || as_other || self.is_cut_off(at, change)?) {
                continue;
            }
            match change.on(side) {
                Some(_) => restore.push(change),
                None => remove(&change.file(&at.path))?,
            }
        }
        self.restore(at, &restore, side)
    }

    /// Writes files of one side anew, where nothing but what was judged is in their place.
    fn restore(&self, at: &Checkout, changes: &[&Change], side: Side) -> Result<()> {
        let free = |change: &&&Change| {
            let file = change.file(&at.path);
            // A directory that the other side needed; gone only if nothing is in it.
            if fs::symlink_metadata(&file).is_ok_and(|m| m.is_dir()) && fs::remove_dir(&file).is_err() {
                return false;
            }
            let blocked = |dir: &[u8]| fs::symlink_metadata(at.path.join(OsStr::from_bytes(dir))).is_ok_and(|m| !m.is_dir());
            !parents(&change.path).any(blocked)
        };
        let free: Vec<&Change> = changes.iter().filter(free).copied().collect();
        if !self.load_small_index(free.iter().filter_map(|c| Some((c.path.as_slice(), c.on(side)?))))? {
            return Ok(());
        }
        self.git_small(at, ["checkout-index", "--force", "--all", "--quiet"]).ok().map(drop)
    }

    /// Whether a file is the beginning of what git was to write there.
    fn is_cut_off(&self, at: &Checkout, change: &Change) -> Result<bool> {
        let file = change.file(&at.path);
        let Some(new) = change.new.as_ref().filter(|e| e.mode.starts_with("100")) else {
            return Ok(false);
        };
        if !fs::symlink_metadata(&file).is_ok_and(|m| m.is_file()) {
            return Ok(false);
        }
        let have = fs::read(&file).map_err(|e| GitError::io("reading", &file, &e))?;
        if have.is_empty() {
            return Ok(true);
        }
        let mut path = std::ffi::OsString::from("--path=");
        path.push(OsStr::from_bytes(&change.path));
        let want = self.git_in(&at.git_dir, &at.path, ["cat-file", "--filters"]).arg(path).arg(new.oid.as_str()).ok()?;
        Ok(want.starts_with(&have))
    }
}

/// Whether the lock of the index is the one that this journal made.
fn is_ours(journal: &Journal) -> bool {
    fs::read(journal.lock()).is_ok_and(|mark| mark == journal.mark().as_bytes())
}

fn unlock(journal: &Journal) -> Result<()> {
    remove(&journal.lock())
}

fn clear_copy(journal: &Journal) -> Result<()> {
    remove(&journal.git_dir.join("index.drover.lock"))?;
    remove(&journal.git_dir.join("index.lock.drover"))?;
    remove(&journal.index())
}

/// Whether a path leads through a link: what is there is somewhere else.
fn behind_link(top: &Path, path: &[u8]) -> bool {
    parents(path).any(|dir| fs::symlink_metadata(top.join(OsStr::from_bytes(dir))).is_ok_and(|m| m.is_symlink()))
}

fn present(top: &Path, path: &[u8]) -> bool {
    fs::symlink_metadata(top.join(OsStr::from_bytes(path))).is_ok()
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("removing", file, &e)),
        _ => Ok(()),
    }
}

fn write_synced(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut f = fs::File::create(file)?;
    f.write_all(bytes)?;
    f.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// The files that git wrote reach the disk before the journal goes; git itself does not see to
/// that. What cannot be synced is told by nobody: its content is in the repository.
fn sync_files(top: &Path, changes: &[Change]) {
    let mut dirs = BTreeSet::new();
    for change in changes {
        let file = change.file(top);
        if fs::symlink_metadata(&file).is_ok_and(|m| m.is_file()) {
            let _ = fs::File::open(&file).and_then(|f| f.sync_all());
        }
        dirs.extend(file.parent().map(Path::to_owned));
    }
    for dir in dirs {
        let _ = sync_dir(&dir);
    }
}

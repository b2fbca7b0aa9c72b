//! What a checkout holds that a fast-forward would touch.
//!
//! The files that differ between two commits are compared with each of the two through a small
//! index of just these paths: the user's own index, with whatever bits are set in it, is only
//! asked what is staged.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::checkouts::Checkout;
use super::error::{GitError, Result};
use super::repo::Repo;
use super::run::Call;
use crate::base::Oid;

/// One path that two commits differ in.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub path: Vec<u8>,
    pub old: Option<Entry>,
    pub new: Option<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub mode: String,
    pub oid: Oid,
}

/// A side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

/// How a file is not like an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unlike {
    Absent,
    Other,
}

impl Change {
    pub fn on(&self, side: Side) -> Option<&Entry> {
        match side {
            Side::Old => self.old.as_ref(),
            Side::New => self.new.as_ref(),
        }
    }
    pub fn file(&self, top: &Path) -> PathBuf {
        top.join(OsStr::from_bytes(&self.path))
    }
    fn removes(&self) -> bool {
        self.new.is_none()
    }
}

impl Entry {
    pub fn is_submodule(&self) -> bool {
        self.mode == "160000"
    }
    /// As `git update-index --index-info` takes it.
    pub fn index_info(&self, path: &[u8]) -> Vec<u8> {
        [format!("{} {}\t", self.mode, self.oid).as_bytes(), path, b"\0"].concat()
    }
}

impl Repo {
    /// Every path that differs between two commits.
    pub(super) fn changes_between(&self, old: &Oid, new: &Oid) -> Result<Vec<Change>> {
        let args =
            ["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=none", old.as_str(), new.as_str()];
        let mut changes = Vec::new();
        let mut meta: Option<Vec<u8>> = None;
        self.git(args).each_record(|record| match meta.take() {
            None => meta = Some(record.to_vec()),
            Some(meta) => changes.extend(change(&meta, record)),
        })?;
        Ok(changes)
    }

    /// What in a checkout of `old` a fast-forward would have to touch and must not: edited,
    /// staged, deleted, untracked and ignored files, whatever the index says of them.
    pub(super) fn in_the_way(&self, at: &Checkout, old: &Oid, changes: &[Change]) -> Result<Vec<String>> {
        let staged = self.staged_among(at, old, changes)?;
        let mut found: BTreeSet<Vec<u8>> = BTreeSet::new();
        let unlike = self.unlike(at, changes, Side::Old)?;
        for change in changes {
            let Some(how) = unlike.get(&change.path) else { continue };
            let harmless = *how == Unlike::Absent && (change.removes() || change.old.as_ref().is_some_and(Entry::is_submodule));
            if !harmless {
                found.insert(change.path.clone());
            }
        }
        if unlike.values().any(|how| *how == Unlike::Absent) {
            let left_out = self.left_out(at)?;
            found.retain(|path| unlike.get(path) != Some(&Unlike::Absent) || !left_out.contains(path));
        }
        found.extend(staged);
        let removed: BTreeSet<&[u8]> = changes.iter().filter(|c| c.removes()).map(|c| c.path.as_slice()).collect();
        for change in changes.iter().filter(|c| c.old.is_none()) {
            found.extend(obstacle(&at.path, &change.path, &removed));
        }
        Ok(found.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// Those of the changed paths that are staged, or lie above or below something staged.
    fn staged_among(&self, at: &Checkout, old: &Oid, changes: &[Change]) -> Result<BTreeSet<Vec<u8>>> {
        let paths: BTreeSet<&[u8]> = changes.iter().map(|c| c.path.as_slice()).collect();
        let mut staged = BTreeSet::new();
        let call = self.git_in(&at.git_dir, &at.path, ["diff-index", "--cached", "--no-renames", "-z", "--name-only", old.as_str()]);
        call.each_record(|path| {
            let below = [path, b"/"].concat();
            let above = parents(path).any(|dir| paths.contains(dir));
            if above || paths.contains(path) || paths.range(below.as_slice()..).next().is_some_and(|p| p.starts_with(&below)) {
                staged.insert(path.to_vec());
            }
        })?;
        Ok(staged)
    }

    /// Paths that the user's sparse checkout leaves out.
    pub(super) fn left_out(&self, at: &Checkout) -> Result<BTreeSet<Vec<u8>>> {
        let mut paths = BTreeSet::new();
        self.git_in(&at.git_dir, &at.path, ["ls-files", "-t", "-z"]).each_record(|record| {
            paths.extend(record.strip_prefix(b"S ").map(<[u8]>::to_vec));
        })?;
        Ok(paths)
    }

    /// The changed paths whose files are not as on that side. A path that is absent on that side
    /// is not judged.
    pub(super) fn unlike(&self, at: &Checkout, changes: &[Change], side: Side) -> Result<BTreeMap<Vec<u8>, Unlike>> {
        let mut found = BTreeMap::new();
        if !self.load_small_index(changes.iter().filter_map(|c| Some((c.path.as_slice(), c.on(side)?))))? {
            return Ok(found);
        }
        let refreshed = self.git_small(at, ["update-index", "-q", "--refresh"]).run()?;
        if !matches!(refreshed.code(), Some(0 | 1)) {
            return Err(refreshed.error());
        }
        let mut status = None;
        self.git_small(at, ["diff-files", "-z", "--name-status", "--ignore-submodules=dirty"]).each_record(|record| {
            match status.take() {
                None => status = Some(record == b"D"),
                Some(absent) => {
                    found.insert(record.to_vec(), if absent { Unlike::Absent } else { Unlike::Other });
                }
            }
        })?;
        Ok(found)
    }

    /// Fills the small index with entries; false if there are none.
    pub(super) fn load_small_index<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a Entry)>) -> Result<bool> {
        let index = self.small_index();
        for file in [&index, &index.with_extension("index.lock")] {
            match fs::remove_file(file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(GitError::io("removing", file, &e)),
                _ => {}
            }
        }
        let input: Vec<u8> = entries.flat_map(|(path, entry)| entry.index_info(path)).collect();
        if input.is_empty() {
            return Ok(false);
        }
        super::place::make_private(&self.state_dir()).map_err(|e| GitError::io("creating", &self.state_dir(), &e))?;
        let call = super::worktree::whole(self.git(["update-index", "-z", "--index-info"])).env("GIT_INDEX_FILE", &index);
        call.input(input).ok().map(|_| true)
    }

    /// A call on a checkout's files with the small index.
    pub(super) fn git_small<'a>(&'a self, at: &Checkout, args: impl IntoIterator<Item = &'a str>) -> Call<'a> {
        super::worktree::whole(self.git_in(&at.git_dir, &at.path, args)).env("GIT_INDEX_FILE", self.small_index())
    }

    pub(super) fn small_index(&self) -> PathBuf {
        self.state_dir().join("publish.index")
    }
}

/// Reads `:<mode> <mode> <oid> <oid> <status>`.
fn change(meta: &[u8], path: &[u8]) -> Option<Change> {
    let meta = std::str::from_utf8(meta).ok()?;
    let mut fields = meta.strip_prefix(':')?.split(' ');
    let (old_mode, new_mode) = (fields.next()?, fields.next()?);
    let (old, new) = (fields.next()?, fields.next()?);
    let entry = |mode: &str, oid: &str| (mode != "000000").then(|| Some(Entry { mode: mode.into(), oid: Oid::parse(oid)? })).flatten();
    Some(Change { path: path.into(), old: entry(old_mode, old), new: entry(new_mode, new) })
}

/// The directories above a path, nearest first.
pub(super) fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().rev().filter(|(_, b)| **b == b'/').map(|(i, _)| &path[..i])
}

/// What stands where a new file is to go, or where one of its directories is.
fn obstacle(top: &Path, path: &[u8], removed: &BTreeSet<&[u8]>) -> Option<Vec<u8>> {
    let at = |path: &[u8]| fs::symlink_metadata(top.join(OsStr::from_bytes(path)));
    let blocked = |dir: &&[u8]| at(dir).is_ok_and(|m| !m.is_dir()) && !removed.contains(dir);
    if let Some(dir) = parents(path).find(blocked) {
        return Some(dir.to_vec());
    }
    match at(path) {
        Ok(meta) if meta.is_dir() => foreign_below(top, path, removed),
        Ok(_) => Some(path.to_vec()),
        // Below a file that goes away, or nothing there.
        Err(_) => None,
    }
}

/// A file in a directory that would have to go and is not known to the change.
fn foreign_below(top: &Path, dir: &[u8], removed: &BTreeSet<&[u8]>) -> Option<Vec<u8>> {
    let entries = match fs::read_dir(top.join(OsStr::from_bytes(dir))) {
        Ok(entries) => entries,
        Err(_) => return Some(dir.to_vec()),
    };
    for entry in entries.flatten() {
        let path = [dir, b"/", entry.file_name().as_bytes()].concat();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if let Some(found) = foreign_below(top, &path, removed) {
                return Some(found);
            }
        } else if !removed.contains(path.as_slice()) {
            return Some(path);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_above_a_path_are_named_nearest_first() {
        assert_eq!(parents(b"a/b/c").collect::<Vec<_>>(), [b"a/b".as_slice(), b"a"]);
        assert_eq!(parents(b"a").count(), 0);
    }
}

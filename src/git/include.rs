//! Copying git-ignored files that a worktree needs (`.env`, local settings) from the user's
//! checkout, as a file of patterns names them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::error::{GitError, Result};
use super::repo::Repo;
use super::worktree::Worktree;

impl Repo {
    /// Copies into a worktree the files of the user's checkout that git ignores and that match
    /// `include_file`, which is in the syntax of `.gitignore` and relative to the checkout.
    /// What is there already is left alone; links are copied as links. Returns how many.
    pub fn copy_includes(&self, wt: &Worktree, include_file: &str) -> Result<usize> {
        let (mut copied, mut list) = (0, Vec::new());
        for path in self.included(include_file)? {
            let done = copy(&self.root().join(&path), &wt.path(), &path);
            if done.map_err(|e| GitError::io("copying into the worktree", &path, &e))? {
                copied += 1;
                list.extend_from_slice(path.as_os_str().as_bytes());
                list.push(0);
            }
        }
        if copied > 0 {
            let note = self.included_note(wt);
            fs::write(&note, list).map_err(|e| GitError::io("noting", &note, &e))?;
        }
        Ok(copied)
    }

    /// Takes the copies of an earlier attempt out of a worktree, and what stands where the next
    /// ones belong.
    pub(super) fn clear_includes(&self, wt: &Worktree, include_file: &str) -> Result<()> {
        let note = self.included_note(wt);
        let earlier = match fs::read(&note) {
            Ok(list) => paths(&list),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(GitError::io("reading", &note, &e)),
        };
        for path in earlier.iter().chain(&self.included(include_file)?) {
            remove(&wt.path(), path).map_err(|e| GitError::io("removing from the worktree", path, &e))?;
        }
        match fs::remove_file(&note) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("removing", &note, &e)),
            _ => Ok(()),
        }
    }

    /// The files of the user's checkout that are to be copied.
    fn included(&self, include_file: &str) -> Result<Vec<PathBuf>> {
        let patterns = self.root().join(include_file);
        if include_file.is_empty() || !patterns.is_file() {
            return Ok(Vec::new());
        }
        let mut wanted = Vec::new();
        let list = self.git_in(self.own_git_dir(), self.root(), ["ls-files", "--others", "--ignored", "-z", "--exclude-from"]);
        list.arg(&patterns).each_record(|record| {
            // A directory in this list is a repository of its own, such as another worktree.
            if !record.ends_with(b"/") {
                wanted.extend_from_slice(record);
                wanted.push(0);
            }
        })?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let ignored = self.git_in(self.own_git_dir(), self.root(), ["check-ignore", "-z", "--stdin"]).input(wanted).run()?;
        match ignored.code() {
            Some(0 | 1) => Ok(paths(&ignored.stdout)),
            _ => Err(ignored.error()),
        }
    }

    pub(super) fn included_note(&self, wt: &Worktree) -> PathBuf {
        self.indexes().join(format!("{}.included", wt.name()))
    }
}

fn paths(list: &[u8]) -> Vec<PathBuf> {
    list.split(|b| *b == 0).filter(|p| !p.is_empty()).map(|p| PathBuf::from(OsStr::from_bytes(p))).collect()
}

fn is_inside(path: &Path) -> bool {
    path.components().all(|c| matches!(c, Component::Normal(_)))
}

/// Removes one file or link below `top`, never through a link there. Directories stay.
fn remove(top: &Path, path: &Path) -> io::Result<()> {
    let is_dir = |dir: &Path| fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir());
    let mut dir = top.to_owned();
    for part in path.parent().into_iter().flat_map(Path::components) {
        dir.push(part);
        if !is_dir(&dir) {
            return Ok(());
        }
    }
    let file = top.join(path);
    if !is_inside(path) || is_dir(&file) {
        return Ok(());
    }
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Copies one file or link to the same place below `top`, never through a link there.
fn copy(from: &Path, top: &Path, path: &Path) -> io::Result<bool> {
    if !is_inside(path) {
        return Ok(false);
    }
    let mut dir = top.to_owned();
    for part in path.parent().into_iter().flat_map(Path::components) {
        dir.push(part);
        match fs::symlink_metadata(&dir) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(_) => fs::create_dir(&dir)?,
        }
    }
    let to = top.join(path);
    if fs::symlink_metadata(&to).is_ok() {
        return Ok(false);
    }
    let kind = match fs::symlink_metadata(from) {
        Ok(meta) => meta.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, &to)?;
    } else if kind.is_file() {
        fs::copy(from, &to)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

//! Copying git-ignored files that a worktree needs (`.env`, local settings) from the user's
//! checkout, as a file of patterns names them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::error::{GitError, Result};
use super::repo::Repo;
use super::worktree::Worktree;

impl Repo {
    /// Copies into a worktree the files of the user's checkout that git ignores and that match
    /// `include_file`, which is in the syntax of `.gitignore` and relative to the checkout.
    /// What is there already is left alone; links are copied as links. Returns how many.
    pub fn copy_includes(&self, wt: &Worktree, include_file: &str) -> Result<usize> {
        let patterns = self.root().join(include_file);
        if include_file.is_empty() || !patterns.is_file() {
            return Ok(0);
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
            return Ok(0);
        }
        let ignored = self.git_in(self.own_git_dir(), self.root(), ["check-ignore", "-z", "--stdin"]).input(wanted).run()?;
        if !matches!(ignored.code(), Some(0 | 1)) {
            return Err(ignored.error());
        }
        let mut copied = 0;
        for path in ignored.stdout.split(|b| *b == 0).filter(|p| !p.is_empty()) {
            let path = Path::new(OsStr::from_bytes(path));
            let done = copy(&self.root().join(path), &wt.path(), path);
            copied += usize::from(done.map_err(|e| GitError::io("copying into the worktree", path, &e))?);
        }
        Ok(copied)
    }
}

/// Copies one file or link to the same place below `top`, never through a link there.
fn copy(from: &Path, top: &Path, path: &Path) -> io::Result<bool> {
    if path.components().any(|c| !matches!(c, Component::Normal(_))) {
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

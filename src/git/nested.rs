//! Adding all files of a worktree to an index, repositories inside it included.
//!
//! Git takes a repository inside a worktree for a submodule: it records a commit that exists
//! nowhere else, or fails if there is none. Its files are added as files instead, so that the
//! work is kept, and its path is told, so that it does not land unseen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::{GitError, Result};
use super::repo::Repo;
use super::worktree::Worktree;
use crate::base::Oid;

/// The most repositories inside one worktree.
const MAX_NESTED: usize = 64;

impl Repo {
    /// Makes `index` hold the files of the worktree that are not ignored, and returns the paths
    /// of the repositories found inside.
    pub(super) fn add_all(&self, wt: &Worktree, index: &Path) -> Result<Vec<PathBuf>> {
        let top = wt.path();
        let mut nested = Vec::new();
        self.add_files(wt, &top, index, &mut nested)?;
        let mut done = 0;
        while done < nested.len() {
            let inside = nested[done].clone();
            done += 1;
            let tree = self.write_nested(wt, &inside, &mut nested)?;
            self.graft(wt, index, &inside, &tree)?;
        }
        Ok(nested)
    }

    /// Adds what lies in `files`, the worktree's top or a repository inside it, but for further
    /// repositories, which are put on the list.
    fn add_files(&self, wt: &Worktree, files: &Path, index: &Path, nested: &mut Vec<PathBuf>) -> Result<()> {
        self.forget_replaced(wt, files, index)?;
        let mut found = Vec::new();
        let mut broken = Vec::new();
        let submodules = self.update_gitlinks(wt, files, index, &mut broken)?;
        let list = ["ls-files", "--others", "--exclude-standard", "-z"];
        self.git_on(wt, files, index, list).each_record(|record| {
            // Git descends into directories; what it lists as one is a repository.
            if let Some(path) = record.strip_suffix(b"/") {
                found.push(PathBuf::from(OsStr::from_bytes(path)));
            }
        })?;
        let top = wt.path();
        let inside = files.strip_prefix(&top).expect("below the worktree's top");
        nested.extend(found.iter().chain(&broken).map(|path| inside.join(path)));
        if nested.len() > MAX_NESTED {
            let what = format!("{} holds more than {MAX_NESTED} repositories of its own, such as {}", top.display(), nested[0].display());
            return Err(GitError::refused(what));
        }
        let mut add = self.git_on(wt, files, index, ["add", "--all"]);
        found.extend(submodules);
        if !found.is_empty() {
            let mut paths = b".".to_vec();
            for path in &found {
                paths.extend_from_slice(b"\0:(exclude,literal)");
                paths.extend_from_slice(path.as_os_str().as_bytes());
            }
            add = add.arg("--pathspec-from-file=-").arg("--pathspec-file-nul").input(paths);
        }
        add.ok().map(drop)
    }

    /// Drops entries of files that have become directories: were such a directory a repository,
    /// git would take it for what the entry stands for.
    fn forget_replaced(&self, wt: &Worktree, files: &Path, index: &Path) -> Result<()> {
        let mut replaced = Vec::new();
        let mut submodule = None;
        let list = ["diff-files", "--raw", "-z", "--diff-filter=DT", "--ignore-submodules=dirty"];
        self.git_on(wt, files, index, list).each_record(|record| match submodule.take() {
            None => submodule = Some(record.starts_with(b":160000")),
            Some(false) if std::fs::symlink_metadata(files.join(OsStr::from_bytes(record))).is_ok_and(|m| m.is_dir()) => {
                replaced.extend_from_slice(record);
                replaced.push(0);
            }
            Some(_) => {}
        })?;
        if replaced.is_empty() {
            return Ok(());
        }
        self.git_on(wt, files, index, ["update-index", "--force-remove", "-z", "--stdin"]).input(replaced).ok().map(drop)
    }

    /// The files of a repository inside the worktree as a tree.
    fn write_nested(&self, wt: &Worktree, inside: &Path, nested: &mut Vec<PathBuf>) -> Result<Oid> {
        let index = self.indexes().join(format!("{}.work.nested", wt.name()));
        let _ = std::fs::remove_file(&index);
        let _ = std::fs::remove_file(index.with_extension("nested.lock"));
        let files = wt.path().join(inside);
        self.git_on(wt, &files, &index, ["read-tree", "--empty"]).ok()?;
        self.add_files(wt, &files, &index, nested)?;
        let tree = self.git_on(wt, &files, &index, ["write-tree"]).oid()?;
        let _ = std::fs::remove_file(&index);
        Ok(tree)
    }

    /// Puts a tree into the index below a path.
    fn graft(&self, wt: &Worktree, index: &Path, at: &Path, tree: &Oid) -> Result<()> {
        let top = wt.path();
        let mut prefix = std::ffi::OsString::from("--prefix=");
        prefix.push(at);
        prefix.push("/");
        self.git_on(wt, &top, index, ["read-tree"]).arg(prefix).arg(tree.as_str()).ok().map(drop)
    }
}

/// Paths as they are shown: bytes that are no UTF-8 replaced.
pub(super) fn paths_of(paths: Vec<PathBuf>) -> Vec<String> {
    paths.into_iter().map(|p| p.to_string_lossy().into_owned()).collect()
}

//! Ignored files that stood in a worktree before its attempt began: caches of earlier attempts,
//! what `worktree.setup` made, copies of the user's own. They are not part of the attempt's
//! work, not even if it changes what is ignored.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::error::{GitError, Result};
use super::repo::Repo;
use super::worktree::Worktree;

impl Repo {
    /// Notes what is ignored in a worktree that is about to be given to an agent.
    pub fn note_ignored(&self, wt: &Worktree) -> Result<()> {
        let mut list = Vec::new();
        let args = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"];
        self.git_on(wt, &wt.path(), &self.saved_index(wt)?, args).each_record(|record| {
            list.extend_from_slice(record);
            list.push(0);
        })?;
        let note = self.ignored_note(wt);
        fs::write(&note, list).map_err(|e| GitError::io("noting", &note, &e))
    }

    /// Those of `added`, files that an attempt's commit would bring, that stood there ignored
    /// before it began and that nobody wrote since.
    pub(super) fn leftovers(&self, wt: &Worktree, added: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        if added.is_empty() {
            return Ok(Vec::new());
        }
        let note = self.ignored_note(wt);
        let list = match fs::read(&note) {
            Ok(list) => list,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(GitError::io("reading", &note, &e)),
        };
        // Copies of the user's own are none of its work even where nothing ignores them.
        let list = [list, fs::read(self.included_note(wt)).unwrap_or_default()].concat();
        let noted = fs::metadata(&note).map_err(|e| GitError::io("reading", &note, &e))?;
        let began = (noted.mtime(), noted.mtime_nsec());
        let stood: BTreeSet<&[u8]> = list.split(|b| *b == 0).filter(|p| !p.is_empty()).collect();
        let untouched = |path: &[u8]| {
            let meta = fs::symlink_metadata(wt.path().join(OsStr::from_bytes(path)));
            meta.is_ok_and(|m| (m.ctime(), m.ctime_nsec()) <= began)
        };
        Ok(added.iter().filter(|path| holds(&stood, path) && untouched(path)).cloned().collect())
    }

    fn ignored_note(&self, wt: &Worktree) -> PathBuf {
        self.indexes().join(format!("{}.ignored", wt.name()))
    }
}

/// Whether a path, or a directory above it, is on the list.
fn holds(list: &BTreeSet<&[u8]>, path: &[u8]) -> bool {
    let dirs = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &path[..=at]);
    list.contains(path) || dirs.into_iter().any(|dir| list.contains(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_on_the_list_itself_or_by_a_directory_above_it() {
        let list = BTreeSet::from([&b"a/"[..], b"b/c", b"d/e/"]);
        for inside in ["a/x", "a/x/y", "b/c", "d/e/f"] {
            assert!(holds(&list, inside.as_bytes()), "{inside}");
        }
        for outside in ["a", "b", "b/cc", "b/c/d", "d/ef", "d/x"] {
            assert!(!holds(&list, outside.as_bytes()), "{outside}");
        }
    }
}

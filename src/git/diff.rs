//! What changed between two commits, for people: a patch, or how much of which file.
//!
//! By the plumbing, which the user's settings for display do not change: no external program, no
//! text conversion, no colours.

use std::collections::BTreeSet;

use super::error::Result;
use super::refs::{from_git2, to_git2};
use super::repo::Repo;
use crate::base::Oid;

/// How much of a file changed; no numbers for a binary one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// With what is no UTF-8 replaced.
    pub path: String,
    pub added: Option<u64>,
    pub removed: Option<u64>,
}

impl Repo {
    /// The patch from one commit to another, as git prints it.
    pub fn patch(&self, from: &Oid, to: &Oid) -> Result<Vec<u8>> {
        self.diff_tree("--patch", from, to)
    }

    /// The files that differ, in the order of their paths.
    pub fn file_changes(&self, from: &Oid, to: &Oid) -> Result<Vec<FileChange>> {
        let answer = self.diff_tree("--numstat", from, to)?;
        Ok(String::from_utf8_lossy(&answer).split_terminator('\0').filter_map(file_change).collect())
    }

    /// The paths whose content differs; nothing where one of the commits is gone.
    pub fn paths_between(&self, from: &Oid, to: &Oid) -> Result<BTreeSet<Vec<u8>>> {
        let repo = self.read()?;
        let (from, to) = (to_git2(from)?, to_git2(to)?);
        let tree = |oid| repo.find_commit(oid).and_then(|commit| commit.tree());
        let (Ok(from), Ok(to)) = (tree(from), tree(to)) else { return Ok(BTreeSet::new()) };
        let diff = repo.diff_tree_to_tree(Some(&from), Some(&to), None)?;
        let files = diff.deltas().flat_map(|d| [d.old_file().path_bytes(), d.new_file().path_bytes()].map(|p| p.map(<[u8]>::to_vec)));
        Ok(files.flatten().collect())
    }

    /// Where the work of the next attempt begins: the line, unless the target has gone ahead of it.
    pub fn newest(&self, target: &str) -> Result<Option<Oid>> {
        let (line, target) = (self.tip(&Self::line_ref(target))?, self.branch_tip(target)?);
        match (line, target) {
            (Some(line), Some(target)) if line == target || self.is_ancestor(&target, &line)? => Ok(Some(line)),
            (line, target) => Ok(target.or(line)),
        }
    }

    fn diff_tree(&self, form: &str, from: &Oid, to: &Oid) -> Result<Vec<u8>> {
        let fixed = ["diff-tree", "-r", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames"];
        let zero = (form == "--numstat").then_some("-z");
        self.git(fixed.into_iter().chain(zero).chain([form, from.as_str(), to.as_str(), "--"])).ok()
    }

    /// The newest of what an attempt left in git: its commit, or the files of its last step.
    pub fn left_by(&self, aid: &str) -> Result<Option<Oid>> {
        let anchor = Self::attempt_ref(aid);
        if let Some(commit) = self.tip(&anchor)? {
            return Ok(Some(commit));
        }
        let repo = self.read()?;
        let mut newest: Option<(usize, Oid)> = None;
        for found in repo.references_glob(&format!("{anchor}-s*"))?.flatten() {
            let step = found.name().ok().and_then(|name| name.strip_prefix(&anchor)?.strip_prefix("-s")?.parse().ok());
            if let (Some(step), Some(target)) = (step, found.target())
                && newest.as_ref().is_none_or(|(n, _)| *n < step)
            {
                newest = Some((step, from_git2(target)));
            }
        }
        Ok(newest.map(|(_, commit)| commit))
    }
}

/// `<added>\t<removed>\t<path>`; `-` for the numbers of a binary file.
fn file_change(record: &str) -> Option<FileChange> {
    let mut parts = record.splitn(3, '\t');
    let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
    Some(FileChange { path: path.to_owned(), added: added.parse().ok(), removed: removed.parse().ok() })
}

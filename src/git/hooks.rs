//! A commit with the repository's own hooks: made by `git commit` in the worktree, by whoever runs
//! the command that this makes ready.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::error::{GitError, Result};
use super::message::is_record;
use super::repo::Repo;
use super::worktree::Worktree;
use crate::base::{Millis, Oid};

/// What an unfinished merge, pick or revert leaves: `git commit` would take it up.
const UNFINISHED: &[&str] = &["MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "SQUASH_MSG", "CHERRY_PICK_HEAD", "REVERT_HEAD", "AUTO_MERGE"];

/// Hooks run, nothing starts by itself, and the signature is made when the hooks are through.
const SETTINGS: &[&str] = &["gc.auto=0", "maintenance.auto=false", "core.fsmonitor=false", "commit.gpgSign=false", "core.fsync=all"];

impl Repo {
    /// Makes a worktree ready for a commit of exactly `tree`, whose files it holds, on `parent`.
    pub fn stage_for_hooks(&self, wt: &Worktree, parent: &Oid, tree: &Oid) -> Result<()> {
        if let Some(what) = self.link_problem(wt) {
            return Err(GitError::refused(what));
        }
        let admin = self.admin_dir(wt);
        for file in UNFINISHED {
            let _ = fs::remove_file(admin.join(file));
        }
        self.stand_at(wt, parent)?;
        if self.head_of(wt).as_ref() != Some(parent) {
            return Err(GitError::refused(format!("HEAD of {} cannot be set", wt.path().display())));
        }
        self.git_of(wt, ["read-tree", tree.as_str()]).ok().map(drop)
    }

    /// The command that commits what is staged, with the message in a file, and variables for it.
    pub fn commit_command(&self, message: &Path, date: Millis) -> Result<(Vec<String>, BTreeMap<String, String>)> {
        let mut argv = vec![self.inner.program.path().to_string_lossy().into_owned()];
        argv.extend(SETTINGS.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        argv.extend(["commit", "--quiet", "--allow-empty", "--cleanup=whitespace", "-F"].map(str::to_owned));
        argv.push(message.to_string_lossy().into_owned());
        let date = format!("@{} +0000", date.0 / 1000);
        let mut env: BTreeMap<String, String> = self.identity()?.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        for (key, value) in
            [("GIT_AUTHOR_DATE", date.as_str()), ("GIT_COMMITTER_DATE", &date), ("GIT_EDITOR", "true"), ("GIT_TERMINAL_PROMPT", "0")]
        {
            env.insert(key.into(), value.into());
        }
        Ok((argv, env))
    }

    /// Tree and message of what was committed on `parent`; `None` if HEAD is nothing of the kind.
    pub fn committed(&self, wt: &Worktree, parent: &Oid) -> Result<Option<(Oid, String)>> {
        let Some(head) = self.head_of(wt) else { return Ok(None) };
        if self.parents(&head)? != std::slice::from_ref(parent) {
            return Ok(None);
        }
        Ok(Some((self.tree_of(&head)?, self.message(&head)?)))
    }
}

/// Whether a message holds exactly these trailers, and nothing else that looks like a record.
pub fn keeps_record(message: &str, trailers: &str) -> bool {
    message.lines().filter(|line| is_record(line)).map(str::trim).eq(trailers.lines().map(str::trim))
}

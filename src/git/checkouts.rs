//! Where branches are checked out, and what is going on there.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::repo::Repo;

/// A checkout of the repository: the main one or a linked worktree, the user's or Drover's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkout {
    /// Holds its HEAD and index.
    pub git_dir: PathBuf,
    /// The top of its files; may be gone.
    pub path: PathBuf,
}

/// Who has a branch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum User {
    Nobody,
    /// On it, with nothing under way.
    One(Checkout),
    /// In a state that must not be disturbed; in words.
    Busy(String),
}

/// Files of a git directory that say what is under way there.
const UNDER_WAY: &[(&str, &str)] = &[
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase"),
    ("sequencer", "a cherry-pick or revert"),
    ("BISECT_LOG", "a bisection"),
    ("BISECT_START", "a bisection"),
];

impl Repo {
    /// Every checkout of the repository.
    pub(super) fn checkouts(&self) -> Result<Vec<Checkout>> {
        let common = self.common_dir();
        let main = self.read()?.workdir().map(Path::to_owned);
        let main = main.map(|path| Checkout { git_dir: common.into(), path });
        let linked = fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten();
        let linked = linked.map(|entry| entry.path()).map(|git_dir| Checkout { path: linked_path(&git_dir).unwrap_or_default(), git_dir });
        Ok(main.into_iter().chain(linked).collect())
    }

    /// The branch that `target` is, or stands for by a symbolic ref.
    pub(super) fn branch_ref(&self, target: &str) -> Result<String> {
        let named = format!("refs/heads/{target}");
        let repo = self.read()?;
        let real = repo.find_reference(&named).and_then(|r| r.resolve());
        Ok(real.ok().and_then(|r| r.name().ok().map(str::to_owned)).unwrap_or(named))
    }

    /// Who has `target` checked out, or set aside in a rebase or bisection. Attempts' worktrees
    /// do not count: where an agent wandered to is nothing to wait for.
    pub(super) fn user_of(&self, target: &str) -> Result<User> {
        let refname = self.branch_ref(target)?;
        let branch = refname.trim_start_matches("refs/heads/");
        let mut on_it = Vec::new();
        for checkout in self.checkouts()?.into_iter().filter(|c| !self.is_attempts(&c.git_dir)) {
            let at = checkout.path.display();
            let on = head_ref(&checkout.git_dir).as_deref() == Some(&refname);
            if !on && !checkout.set_aside(branch, &refname) {
                continue;
            }
            if !checkout.path.is_dir() {
                return Ok(User::Busy(format!("`{branch}` is checked out in {at}, which is gone: run `git worktree prune`")));
            }
            if let Some(what) = checkout.under_way() {
                return Ok(User::Busy(format!("{what} of `{branch}` is under way in {at}: finish or abort it")));
            }
            on_it.push(checkout);
        }
        Ok(match on_it.len() {
            0 => User::Nobody,
            1 => User::One(on_it.remove(0)),
            n => User::Busy(format!("`{branch}` is checked out in {n} places at once")),
        })
    }
}

impl Checkout {
    fn under_way(&self) -> Option<&'static str> {
        UNDER_WAY.iter().find(|(file, _)| fs::symlink_metadata(self.git_dir.join(file)).is_ok()).map(|(_, what)| *what)
    }

    /// Whether the branch is to be come back to when what is under way here ends.
    fn set_aside(&self, branch: &str, refname: &str) -> bool {
        let says = |file: &str, what: &str| fs::read_to_string(self.git_dir.join(file)).is_ok_and(|t| t.lines().any(|l| l.trim() == what));
        says("rebase-merge/head-name", refname)
            || says("rebase-merge/update-refs", refname)
            || says("rebase-apply/head-name", refname)
            || says("BISECT_START", branch)
            || says("BISECT_START", refname)
    }
}

/// The ref that HEAD stands for, if it is not detached.
pub(super) fn head_ref(git_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(git_dir.join("HEAD")).ok()?;
    Some(text.strip_prefix("ref:")?.trim().to_owned())
}

/// Where the files of a linked worktree are, by its administrative entry.
fn linked_path(git_dir: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(git_dir.join("gitdir")).ok()?;
    Some(git_dir.join(text.trim_end_matches('\n')).parent()?.to_owned())
}

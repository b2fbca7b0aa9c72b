//! Where branches are checked out, and what is going on there.

use std::ffi::OsString;
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

/// Why the files of a checkout are not to be taken for what a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnderWay {
    /// A git is at work, or was killed at it: its lock.
    Lock(PathBuf),
    /// What a person has begun and not finished, in words.
    Operation(&'static str),
}

/// A directory, and a name in it.
pub type Place = (PathBuf, Option<OsString>);

impl Repo {
    /// What is going on in the checkout that Drover was started in.
    pub fn under_way(&self) -> Option<UnderWay> {
        let git_dir = self.own_git_dir();
        let lock = git_dir.join("index.lock");
        if fs::symlink_metadata(&lock).is_ok() {
            return Some(UnderWay::Lock(lock));
        }
        let own = Checkout { git_dir: git_dir.to_owned(), path: self.root().to_owned() };
        own.under_way().map(UnderWay::Operation)
    }

    /// Where git notes that it does something with that checkout, or that `target` moves.
    pub fn places(&self, target: &str) -> Vec<Place> {
        let own = ["HEAD", "index", "index.lock"].into_iter().chain(UNDER_WAY.iter().map(|(name, _)| *name));
        let own = own.map(|name| (self.own_git_dir().to_owned(), name));
        let common = ["packed-refs", "config", "HEAD"].map(|name| (self.common_dir().to_owned(), name));
        let branch = self.common_dir().join("refs/heads").join(target);
        let dir = branch.ancestors().skip(1).find(|dir| dir.is_dir());
        let branch = dir.and_then(|dir| Some((dir.to_owned(), branch.strip_prefix(dir).ok()?.components().next()?.as_os_str().to_owned())));
        own.chain(common).map(|(dir, name)| (dir, name.into())).chain(branch).map(|(dir, name)| (dir, Some(name))).collect()
    }

    /// Every checkout of the repository.
    pub(super) fn checkouts(&self) -> Result<Vec<Checkout>> {
        let common = self.common_dir();
        let main = self.main_place()?.map(|path| Checkout { git_dir: common.into(), path });
        let linked = fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten();
        let linked = linked.map(|entry| entry.path()).map(|git_dir| Checkout { path: linked_path(&git_dir).unwrap_or_default(), git_dir });
        Ok(main.into_iter().chain(linked).collect())
    }

    /// Where the files of the main checkout are, if there is one: empty where the repository does
    /// not say. The library takes any directory beside for it.
    fn main_place(&self) -> Result<Option<PathBuf>> {
        if self.own_git_dir() == self.common_dir() {
            return Ok(Some(self.root().to_owned()));
        }
        let repo = self.read()?;
        if repo.is_bare() {
            return Ok(None);
        }
        let named = repo.workdir().filter(|dir| leads_to(dir, self.common_dir()));
        Ok(Some(named.map(Path::to_owned).unwrap_or_default()))
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
            if checkout.path.as_os_str().is_empty() {
                return Ok(User::Busy(format!(
                    "`{branch}` is checked out in a place that the repository does not name: start Drover there"
                )));
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

/// Whether the `.git` of a directory is that repository, or a link to it.
pub(super) fn leads_to(dir: &Path, repository: &Path) -> bool {
    let link = dir.join(".git");
    let named = fs::read_to_string(&link).ok();
    let named = named.as_deref().and_then(|text| text.strip_prefix("gitdir:")).map(|path| dir.join(path.trim()));
    named.unwrap_or(link).canonicalize().is_ok_and(|found| found == repository)
}

/// The ref that HEAD stands for, if it is not detached.
pub(super) fn head_ref(git_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(git_dir.join("HEAD")).ok()?;
    Some(text.strip_prefix("ref:")?.trim().to_owned())
}

/// Where the files of a linked worktree are, by its administrative entry.
pub(super) fn linked_path(git_dir: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(git_dir.join("gitdir")).ok()?;
    Some(git_dir.join(text.trim_end_matches('\n')).parent()?.to_owned())
}

//! Bringing what landed to the target branch, without touching anything of the user's.
//!
//! A branch that is checked out nowhere is moved by compare-and-swap. One that is checked out
//! is fast-forwarded there: the plan is written to a journal, the user's index is locked with a
//! lock that tells whose it is, and git merges into a copy of the index, which then takes the
//! index's place. Whatever cuts that short, `settle` brings it to one of its two ends.

use std::sync::Mutex;

use super::checkouts::{Checkout, User, head_ref};
use super::error::{GitError, Result};
use super::local::Change;
use super::repo::Repo;
use super::settle::Journal;
use crate::base::Oid;
use crate::fault;

/// The most paths that a message names.
const SHOWN: usize = 5;

pub(super) static PUBLISHING: Mutex<()> = Mutex::new(());

/// What publishing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// The target contains the line's tip.
    Done(Oid),
    /// Not now, why, and what to do, in words; what landed stays on the line. `paths` are files
    /// in the user's checkout that it waits for, if it is that.
    /// `passing` if what is in the way goes away by itself.
    Held { why: String, paths: Vec<String>, passing: bool },
}

impl Publish {
    pub(super) fn held(why: impl Into<String>) -> Self {
        Self::Held { why: why.into(), paths: Vec::new(), passing: false }
    }
}

impl Repo {
    /// Brings `target` to where the line is. May be repeated at any time.
    pub fn publish(&self, target: &str) -> Result<Publish> {
        let _one = PUBLISHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.settle()?;
        for _ in 0..3 {
            let Some(line) = self.tip(&Self::line_ref(target))? else {
                return Ok(Publish::held(format!("nothing has landed for `{target}` yet")));
            };
            let Some(tip) = self.branch_tip(target)? else {
                return Ok(Publish::held(format!("there is no branch `{target}`: make it with `git branch {target} {line}`")));
            };
            let outcome =
                if self.is_ancestor(&line, &tip)? { Some(Publish::Done(line.clone())) } else { self.forward(target, &tip, &line)? };
            match outcome {
                Some(Publish::Done(line)) => {
                    fault::point("publish.moved");
                    self.move_ref(&Self::published_ref(target), &line)?;
                    return Ok(Publish::Done(line));
                }
                Some(held) => return Ok(held),
                None => {}
            }
        }
        Err(GitError::trouble(format!("`{target}` is moved faster than it can be published")))
    }

    /// What a person can do about a target that lost what was published to it, in words.
    pub fn ways_out() -> &'static str {
        "it was reset or force-pushed; `drover publish --restore` brings the work back, `drover publish --let-go` lets it go"
    }

    /// Moves the target from `tip` to `line`; `None` if it moved meanwhile.
    fn forward(&self, target: &str, tip: &Oid, line: &Oid) -> Result<Option<Publish>> {
        if let Some(lost) = self.lost_from(target, tip)? {
            let why = format!("`{target}` no longer contains {}, which was published: {}", lost.short(), Self::ways_out());
            return Ok(Some(Publish::held(why)));
        }
        if !self.is_ancestor(tip, line)? {
            let why = format!("`{target}` has commits that what landed was not made on: run `git merge {}` on it", Self::line_ref(target));
            return Ok(Some(Publish::held(why)));
        }
        match self.user_of(target)? {
            User::Busy(why) => Ok(Some(Publish::held(format!("{} landed, waiting: {why}", self.landed_between(tip, line)?)))),
            User::One(at) => self.forward_checkout(target, &at, tip, line),
            User::Nobody => {
                let moved = self.swap(&format!("refs/heads/{target}"), Some(tip), line)?;
                Ok(moved.then(|| Publish::Done(line.clone())))
            }
        }
    }

    fn forward_checkout(&self, target: &str, at: &Checkout, tip: &Oid, line: &Oid) -> Result<Option<Publish>> {
        let changes = self.changes_between(tip, line)?;
        let paths = self.in_the_way(at, tip, &changes)?;
        if !paths.is_empty() {
            return self.waiting(tip, line, paths).map(Some);
        }
        let journal = Journal { target: target.into(), old: tip.clone(), new: line.clone(), git_dir: at.git_dir.clone() };
        self.write_journal(&journal)?;
        fault::point("publish.journalled");
        let locked = self.lock_index(&journal)?;
        fault::point("publish.locked");
        let outcome = match locked {
            true => self.merge_checkout(target, at, &journal, &changes),
            false => Ok(Some(format!("another git command is at work in {} (if not, remove its index.lock)", at.path.display()))),
        };
        self.settle()?;
        if self.branch_tip(target)?.is_some_and(|now| now == *line) {
            return Ok(Some(Publish::Done(line.clone())));
        }
        match outcome? {
            Some(why) => {
                let why = format!("{} landed, waiting for your checkout: {why}", self.landed_between(tip, line)?);
                Ok(Some(Publish::Held { why, paths: Vec::new(), passing: !locked }))
            }
            None => Ok(None),
        }
    }

    /// With the index locked: looks once more, then merges into a copy of the index. Says what
    /// was in the way, if anything was.
    fn merge_checkout(&self, target: &str, at: &Checkout, journal: &Journal, changes: &[Change]) -> Result<Option<String>> {
        let refname = self.branch_ref(target)?;
        if head_ref(&at.git_dir).as_ref() != Some(&refname) || self.branch_tip(target)?.as_ref() != Some(&journal.old) {
            return Ok(None);
        }
        let paths = self.in_the_way(at, &journal.old, changes)?;
        if !paths.is_empty() {
            return Ok(Some(shown(&paths)));
        }
        self.copy_users_index(journal)?;
        let options = ["merge", "--quiet", "--ff-only", "--no-squash", "--no-autostash", "--no-stat", "--no-overwrite-ignore"];
        let call = self.git_in(&at.git_dir, &at.path, options).arg(journal.new.as_str());
        let call = call
            .config(&format!("branch.{}.mergeOptions=", refname.trim_start_matches("refs/heads/")))
            .env("GIT_REFLOG_ACTION", "drover publish");
        let answer = call.env("GIT_INDEX_FILE", journal.index()).run()?;
        if answer.status.success() {
            fault::point("publish.merged");
            return Ok(None);
        }
        match answer.error() {
            trouble @ GitError::Trouble { .. } => Err(trouble),
            refused => Ok(Some(refused.to_string())),
        }
    }

    fn waiting(&self, tip: &Oid, line: &Oid, paths: Vec<String>) -> Result<Publish> {
        let why = format!("{} landed, waiting for your checkout: {}", self.landed_between(tip, line)?, shown(&paths));
        Ok(Publish::Held { why, paths, passing: false })
    }
}

/// Paths in one line, the first of many.
fn shown(paths: &[String]) -> String {
    let first: Vec<String> = paths.iter().take(SHOWN).map(|p| crate::base::text::one_line(p, 200)).collect();
    match paths.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

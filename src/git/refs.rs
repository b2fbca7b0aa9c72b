//! Refs: read, anchored, and moved by compare-and-swap only.
//!
//! Everything of Drover's lies below `refs/drover/`: `integration/<target>` is the line,
//! `published/<target>` what the target last was in common with it, `attempts/<aid>…` what
//! attempts made.

use super::error::{GitError, Result};
use super::repo::Repo;
use crate::base::Oid;

/// Where attempts' work is anchored.
pub const ATTEMPTS: &str = "refs/drover/attempts/";

impl Repo {
    /// The line that finished work lands on.
    pub fn line_ref(target: &str) -> String {
        format!("refs/drover/integration/{target}")
    }
    /// What target and line last had in common.
    pub fn published_ref(target: &str) -> String {
        format!("refs/drover/published/{target}")
    }
    /// The ref that keeps an attempt's work.
    pub fn attempt_ref(aid: &str) -> String {
        format!("{ATTEMPTS}{aid}")
    }

    /// What a ref points at in the end, if it exists.
    pub fn tip(&self, refname: &str) -> Result<Option<Oid>> {
        let repo = self.read()?;
        match repo.find_reference(refname).and_then(|r| r.resolve()) {
            Ok(found) => Ok(found.target().map(from_git2)),
            Err(e) if e.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(e) if e.code() == git2::ErrorCode::InvalidSpec => Err(GitError::refused(format!("`{refname}` is no name for a ref"))),
            Err(e) => Err(e.into()),
        }
    }

    /// Anchors an object for good: fine if the ref has that value already, refused if it has
    /// another, because what it keeps might be kept by nothing else.
    pub fn keep(&self, refname: &str, oid: &Oid) -> Result<()> {
        if self.swap(refname, None, oid)? {
            return Ok(());
        }
        match self.tip(refname)? {
            Some(has) if has == *oid => Ok(()),
            has => Err(GitError::refused(format!("{refname} already keeps {has:?}; it is not made to keep {oid:?} instead"))),
        }
    }

    /// Points a ref of Drover's at `oid`, whatever it pointed at before. For anchors of what
    /// can be made again, such as a merge that waits to land.
    pub fn move_ref(&self, refname: &str, oid: &Oid) -> Result<()> {
        for _ in 0..3 {
            let old = self.tip(refname)?;
            if old.as_ref() == Some(oid) || self.swap(refname, old.as_ref(), oid)? {
                return Ok(());
            }
        }
        Err(GitError::trouble(format!("{refname} is being moved by somebody else")))
    }

    /// Compare-and-swap; `old` is `None` for a ref that must not exist. False if the ref has
    /// neither value now; true also if it has the new one already.
    pub(super) fn swap(&self, refname: &str, old: Option<&Oid>, new: &Oid) -> Result<bool> {
        let zero = "0".repeat(new.as_str().len());
        let expected = old.map_or(zero.as_str(), Oid::as_str);
        // The user may have one branch stand for another; nothing of Drover's ever does.
        let deref = if refname.starts_with("refs/drover/") { "--no-deref" } else { "--" };
        let call = || {
            let args = ["update-ref", "-m", "drover", deref, refname, new.as_str(), expected];
            self.git(args).run()
        };
        let mut answer = call()?;
        if !answer.status.success() && self.clear_stale_lock_of(refname)? {
            answer = call()?;
        }
        if answer.status.success() {
            return Ok(true);
        }
        let has = self.tip(refname)?;
        match has.as_ref() == Some(new) {
            true => Ok(true),
            // It still is what was expected: the swap failed for another reason.
            false if has.as_ref() == old => Err(answer.error()),
            false => Ok(false),
        }
    }
}

pub(super) fn from_git2(oid: git2::Oid) -> Oid {
    Oid::parse(&oid.to_string()).expect("git2 prints whole object names")
}

pub(super) fn to_git2(oid: &Oid) -> Result<git2::Oid> {
    git2::Oid::from_str(oid.as_str()).map_err(|_| GitError::refused(format!("{oid} is no name of an object here")))
}

//! Reading history: ancestry, trees, messages, and whether an attempt is in it.

use std::collections::BTreeSet;

use super::error::Result;
use super::message::records_of;
use super::refs::{from_git2, to_git2};
use super::repo::Repo;
use crate::base::Oid;

impl Repo {
    pub fn exists(&self, oid: &Oid) -> Result<bool> {
        let repo = self.read()?;
        Ok(repo.odb()?.exists(to_git2(oid)?))
    }

    /// The tree of a commit; a tree's own name if given one.
    pub fn tree_of(&self, oid: &Oid) -> Result<Oid> {
        let repo = self.read()?;
        let object = repo.find_object(to_git2(oid)?, None)?;
        Ok(from_git2(object.peel(git2::ObjectType::Tree)?.id()))
    }

    pub fn parents(&self, commit: &Oid) -> Result<Vec<Oid>> {
        let repo = self.read()?;
        Ok(repo.find_commit(to_git2(commit)?)?.parent_ids().map(from_git2).collect())
    }

    /// A commit's message, with what is no UTF-8 replaced.
    pub fn message(&self, commit: &Oid) -> Result<String> {
        let repo = self.read()?;
        Ok(String::from_utf8_lossy(repo.find_commit(to_git2(commit)?)?.message_bytes()).into_owned())
    }

    /// Whether `tip` contains `commit`; a commit contains itself.
    pub fn is_ancestor(&self, commit: &Oid, tip: &Oid) -> Result<bool> {
        if commit == tip {
            return Ok(true);
        }
        Ok(self.read()?.graph_descendant_of(to_git2(tip)?, to_git2(commit)?)?)
    }

    /// A commit that `tip` contains and `from_exclusive` does not, and that carries the line
    /// `Drover-Attempt: <aid>`.
    pub fn find_landed(&self, from_exclusive: &Oid, tip: &Oid, aid: &str) -> Result<Option<Oid>> {
        let mut found = None;
        self.walk(from_exclusive, tip, |commit, message| {
            let named = records_of(message, "Attempt").any(|value| value == aid);
            if named {
                found = Some(commit);
            }
            !named
        })?;
        Ok(found)
    }

    /// How many attempts landed in `tip` and not in `from_exclusive`.
    pub fn landed_between(&self, from_exclusive: &Oid, tip: &Oid) -> Result<usize> {
        Ok(self.attempts_between(from_exclusive, tip)?.len())
    }

    /// The attempts recorded in `from_exclusive..tip`.
    pub(super) fn attempts_between(&self, from_exclusive: &Oid, tip: &Oid) -> Result<BTreeSet<String>> {
        let mut out = BTreeSet::new();
        self.walk(from_exclusive, tip, |_, message| {
            out.extend(records_of(message, "Attempt").map(str::to_owned));
            true
        })?;
        Ok(out)
    }

    /// Shows each commit in `from_exclusive..tip` to `visit`, until it says false.
    pub(super) fn walk(&self, from_exclusive: &Oid, tip: &Oid, mut visit: impl FnMut(Oid, &str) -> bool) -> Result<()> {
        let repo = self.read()?;
        let mut walk = repo.revwalk()?;
        walk.push(to_git2(tip)?)?;
        walk.hide(to_git2(from_exclusive)?)?;
        for oid in walk {
            let oid = oid?;
            let commit = repo.find_commit(oid)?;
            if !visit(from_git2(oid), &String::from_utf8_lossy(commit.message_bytes())) {
                break;
            }
        }
        Ok(())
    }
}

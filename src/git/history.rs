//! Reading history: ancestry, trees, messages, and the records that landed commits carry.

use std::collections::BTreeSet;

use super::error::{GitError, Result};
use super::message::{record_value, records_of};
use super::refs::{from_git2, to_git2};
use super::repo::Repo;
use crate::base::Oid;

/// What one commit says about a task: its `Drover-*` lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub commit: Option<Oid>,
    /// `<id>@<digest>`.
    pub task: String,
    pub attempt: String,
    pub run: String,
}

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

    /// Every record in commits that any of `tips` contains and none of `seen` does, newest first.
    pub fn records(&self, tips: &[Oid], seen: &[Oid]) -> Result<Vec<Record>> {
        let repo = self.read()?;
        let mut walk = repo.revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME)?;
        tips.iter().try_for_each(|t| walk.push(to_git2(t)?).map_err(GitError::from))?;
        seen.iter().try_for_each(|s| walk.hide(to_git2(s)?).map_err(GitError::from))?;
        let mut out = Vec::new();
        for oid in walk {
            let oid = oid?;
            let commit = repo.find_commit(oid)?;
            let message = String::from_utf8_lossy(commit.message_bytes());
            for line in message.lines() {
                read_record(&mut out, line, &from_git2(oid));
            }
        }
        Ok(out)
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
    fn walk(&self, from_exclusive: &Oid, tip: &Oid, mut visit: impl FnMut(Oid, &str) -> bool) -> Result<()> {
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

/// Adds what a line says: a task begins a record, the rest belongs to the one begun last in
/// the same commit (a squash may hold several).
fn read_record(out: &mut Vec<Record>, line: &str, commit: &Oid) {
    if let Some(task) = record_value(line, "Task") {
        out.push(Record { commit: Some(commit.clone()), task: task.to_owned(), ..Record::default() });
        return;
    }
    let Some(last) = out.last_mut().filter(|r| r.commit.as_ref() == Some(commit)) else {
        return;
    };
    if let Some(attempt) = record_value(line, "Attempt") {
        last.attempt = attempt.to_owned();
    } else if let Some(run) = record_value(line, "Run") {
        last.run = run.to_owned();
    }
}

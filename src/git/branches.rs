//! The strategy `branch`: what landed is shown by a branch for each task, and the target stays.
//!
//! A branch is made, or moved from where Drover itself had put it, by compare-and-swap. What was
//! put where is noted under `refs/drover/branches/`: a branch that a person deleted or took
//! further afterwards is theirs.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::checkouts::User;
use super::error::{GitError, Result};
use super::publish::{PUBLISHING, Publish};
use super::records::Says;
use super::repo::Repo;
use crate::base::{Aid, Oid, TaskId};

impl Repo {
    /// The branch that shows a task's work, without `refs/heads/`.
    pub fn task_branch(task: &TaskId) -> String {
        format!("drover/{task}")
    }

    /// What was last put there. The task comes first: one target's name may begin with another's.
    fn branch_note(target: &str, task: &TaskId) -> String {
        format!("refs/drover/branches/{task}/{target}")
    }

    /// Makes or moves the branches of what landed and is not on `target`. May be repeated at any
    /// time.
    pub fn publish_branches(&self, target: &str) -> Result<Publish> {
        let _one = PUBLISHING.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = self.tip(&Self::line_ref(target))? else {
            return Ok(Publish::held(format!("nothing has landed for `{target}` yet")));
        };
        let mut held = Vec::new();
        for (task, commit) in self.branches_owed(target, &line)? {
            match self.put_branch(target, &task, &commit) {
                Ok(None) => {}
                Ok(Some(why)) | Err(GitError::Refused { what: why }) => held.push(why),
                Err(error) => return Err(error),
            }
        }
        Ok(match held.is_empty() {
            true => Publish::Done(line),
            false => Publish::held(format!("{} landed, waiting: {}", held.len(), held.join("; "))),
        })
    }

    /// Whether every branch that is to stand has been put there, and the line has the target.
    pub fn branches_stand(&self, target: &str) -> Result<bool> {
        let (Some(line), Some(tip)) = (self.tip(&Self::line_ref(target))?, self.branch_tip(target)?) else { return Ok(false) };
        Ok(self.is_ancestor(&tip, &line)? && self.branches_owed(target, &line)?.is_empty())
    }

    /// The newest landing of each task that the target lacks and no branch was put at: the task's
    /// own commit, which has the same record as the merge of it and comes after that.
    fn branches_owed(&self, target: &str, line: &Oid) -> Result<Vec<(TaskId, Oid)>> {
        let Some(tip) = self.branch_tip(target)? else { return Ok(Vec::new()) };
        let mut newest: BTreeMap<TaskId, (Aid, Oid)> = BTreeMap::new();
        for mark in self.marks(std::slice::from_ref(line), std::slice::from_ref(&tip))? {
            let Says::Landed { task, attempt, .. } = mark.says else { continue };
            let (newest, commit) = newest.entry(task).or_insert_with(|| (attempt.clone(), mark.commit.clone()));
            if *newest == attempt {
                *commit = mark.commit;
            }
        }
        let mut owed = Vec::new();
        for (task, (_, commit)) in newest {
            // Where the target has taken it, what is left on the line alone is the merge of it.
            let merged = self.parents(&commit)?.get(1).map_or(Ok(false), |of| self.is_ancestor(of, &tip))?;
            if !merged && self.tip(&Self::branch_note(target, &task))?.as_ref() != Some(&commit) {
                owed.push((task, commit));
            }
        }
        Ok(owed)
    }

    /// Puts one branch at `commit`, or says what keeps it from that.
    fn put_branch(&self, target: &str, task: &TaskId, commit: &Oid) -> Result<Option<String>> {
        let (name, note) = (Self::task_branch(task), Self::branch_note(target, task));
        let full = format!("refs/heads/{name}");
        let has = self.tip(&full)?;
        if has.as_ref() != Some(commit) {
            let kept = format!("(the work of `{task}` is {})", commit.short());
            if has.is_some() && has != self.tip(&note)? {
                return Ok(Some(format!("the branch `{name}` is not as Drover left it: rename or delete it {kept}")));
            }
            if self.branch_ref(&name)? != full {
                return Ok(Some(format!("the branch `{name}` stands for another one: delete it {kept}")));
            }
            match self.user_of(&name)? {
                User::Nobody => {}
                User::Busy(why) => return Ok(Some(format!("{why} {kept}"))),
                User::One(at) => return Ok(Some(format!("`{name}` is checked out in {}: leave it {kept}", at.path.display()))),
            }
            if !self.swap(&full, has.as_ref(), commit)? {
                return Err(GitError::trouble(format!("`{name}` is being moved by somebody else")));
            }
        }
        // Afterwards: noted and not made, it would be missing for good.
        self.move_ref(&note, commit)?;
        Ok(None)
    }
}

//! The line that finished work lands on, kept in step with its target branch.

use super::error::{GitError, Result};
use super::records::Says;
use super::repo::Repo;
use crate::base::{Aid, Oid, TaskId};

/// Where line and target stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineState {
    /// The line's tip; it contains the target.
    Tip(Oid),
    /// Each has what the other lacks. The line is as it was.
    Diverged { line: Oid, target: Oid },
    /// The target no longer contains what it once had in common with the line, and landed work
    /// was lost with it: a reset or a force-push. Nothing is done about that unasked.
    Rewound { line: Oid, target: Oid, published: Oid },
    /// There is no such branch, or it has no commit yet.
    NoTarget,
}

/// What a line has that its target lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    line: Oid,
    /// The target.
    pub tip: Oid,
    published: Oid,
    /// What landed and is not in the target under another name; the newest first.
    pub landed: Vec<(TaskId, Aid)>,
}

impl Repo {
    /// Brings the line to where the target is, as far as that can be done without a merge, and unless
    /// an attempt put there what did not land.
    pub fn sync_line(&self, target: &str) -> Result<LineState> {
        for _ in 0..5 {
            let Some(tip) = self.branch_tip(target)? else {
                return Ok(LineState::NoTarget);
            };
            let line = self.tip(&Self::line_ref(target))?;
            if self.notice_taken(target, None)?
                && let Some(line) = line
            {
                return Ok(LineState::Diverged { line, target: tip });
            }
            let state = self.held_against(target, line.as_ref(), &tip)?;
            if state != LineState::Tip(tip.clone()) {
                return Ok(state);
            }
            if line.as_ref() == Some(&tip) || self.swap(&Self::line_ref(target), line.as_ref(), &tip)? {
                self.move_ref(&Self::published_ref(target), &tip)?;
                return Ok(state);
            }
        }
        Err(GitError::trouble(format!("`{target}` is moved faster than the line can follow")))
    }

    /// Where line and target stand to each other, and where the line is to be. Moves nothing.
    pub fn look_at_line(&self, target: &str) -> Result<LineState> {
        match self.branch_tip(target)? {
            Some(tip) => self.held_against(target, self.tip(&Self::line_ref(target))?.as_ref(), &tip),
            None => Ok(LineState::NoTarget),
        }
    }

    fn held_against(&self, target: &str, line: Option<&Oid>, tip: &Oid) -> Result<LineState> {
        match line {
            Some(line) => self.compare(target, line, tip),
            None => self.after_loss(target, tip),
        }
    }

    /// Puts a line back that somebody deleted, at `tip`, where it was last known to be. What
    /// landed and was not published is on it and nowhere else. True if it was.
    pub fn restore_line(&self, target: &str, tip: &Oid) -> Result<bool> {
        let line = Self::line_ref(target);
        let Some(now) = self.branch_tip(target)? else { return Ok(false) };
        if self.tip(&line)?.is_some() || !self.exists(tip)? || self.is_ancestor(tip, &now)? || self.keeps_landed(tip, &now)? {
            return Ok(false);
        }
        tracing::warn!("{line} was gone; it is put back at {}", tip.short());
        self.swap(&line, None, tip)
    }

    /// Where a line that exists is to stand: `Tip(tip)` if it is to follow the target.
    fn compare(&self, target: &str, line: &Oid, tip: &Oid) -> Result<LineState> {
        if line == tip || self.is_ancestor(line, tip)? {
            return Ok(LineState::Tip(tip.clone()));
        }
        if let Some(published) = self.lost_from(target, tip)? {
            // All that is on the line was on the target once. Where the user only amended or
            // rebased there, following loses nothing that landed.
            let follow = self.is_ancestor(line, &published)? && self.keeps_landed(line, tip)?;
            return Ok(match follow {
                true => LineState::Tip(tip.clone()),
                false => LineState::Rewound { line: line.clone(), target: tip.clone(), published },
            });
        }
        Ok(match self.is_ancestor(tip, line)? {
            true => LineState::Tip(line.clone()),
            false => LineState::Diverged { line: line.clone(), target: tip.clone() },
        })
    }

    /// A new line starts at the target, unless the target lost what was published.
    fn after_loss(&self, target: &str, tip: &Oid) -> Result<LineState> {
        let Some(published) = self.lost_from(target, tip)? else {
            return Ok(LineState::Tip(tip.clone()));
        };
        Ok(match self.keeps_landed(&published, tip)? {
            true => LineState::Tip(tip.clone()),
            false => LineState::Rewound { line: published.clone(), target: tip.clone(), published },
        })
    }

    /// What the target lost counts as not yet published from now on, so that publishing brings it
    /// back. The line must have all of it, and what the target has instead. False if either moved.
    pub fn owe_lost(&self, target: &str, published: &Oid, tip: &Oid) -> Result<bool> {
        let Some(line) = self.tip(&Self::line_ref(target))? else { return Ok(false) };
        if !self.is_ancestor(published, &line)? || !self.is_ancestor(tip, &line)? {
            return Ok(false);
        }
        self.swap(&Self::published_ref(target), Some(published), tip)
    }

    /// What the line has and a target that was reset does not, if it was.
    pub fn lost(&self, target: &str) -> Result<Option<Lost>> {
        let LineState::Rewound { line, target: tip, published } = self.sync_line(target)? else { return Ok(None) };
        let stands = self.attempts_between(&line, &tip)?;
        let mut landed: Vec<(TaskId, Aid)> = Vec::new();
        for mark in self.marks(&[line.clone(), published.clone()], std::slice::from_ref(&tip))? {
            if let Says::Landed { task, attempt, .. } = mark.says
                && !stands.contains(attempt.as_str())
                && landed.iter().all(|(_, known)| *known != attempt)
            {
                landed.push((task, attempt));
            }
        }
        Ok(Some(Lost { line, tip, published, landed }))
    }

    /// The line follows the target. What only the line has is kept under other refs first; their
    /// names. May be repeated at any time.
    pub fn let_go(&self, target: &str, lost: &Lost) -> Result<Vec<String>> {
        let mut kept = Vec::new();
        for commit in [&lost.line, &lost.published] {
            let name = format!("refs/drover/kept/{}", commit.short());
            if !kept.contains(&name) && !self.is_ancestor(commit, &lost.tip)? {
                self.keep(&name, commit)?;
                kept.push(name);
            }
        }
        let line = Self::line_ref(target);
        let had = self.tip(&line)?;
        if had.as_ref().is_some_and(|had| *had != lost.line) || !self.swap(&line, had.as_ref(), &lost.tip)? {
            return Err(GitError::trouble(format!("{line} was moved meanwhile: say it again")));
        }
        // From here on the line is where the target is: any look at the two does what is left.
        self.move_ref(&Self::published_ref(target), &lost.tip)?;
        Ok(kept)
    }

    /// Whether each attempt that landed in `old` and not in `new` did land in `new` under the
    /// name of another commit.
    fn keeps_landed(&self, old: &Oid, new: &Oid) -> Result<bool> {
        let lost = self.attempts_between(new, old)?;
        Ok(lost.is_empty() || lost.is_subset(&self.attempts_between(old, new)?))
    }

    /// What line and target once had in common, if the target does not contain it any more.
    pub(super) fn lost_from(&self, target: &str, tip: &Oid) -> Result<Option<Oid>> {
        match self.tip(&Self::published_ref(target))? {
            Some(published) if !self.is_ancestor(&published, tip)? => Ok(Some(published)),
            _ => Ok(None),
        }
    }

    /// Moves the line from `old` to `new`, which must stand on it. True if the line has
    /// `new` now, also from an earlier call; false if it has moved elsewhere.
    pub fn land(&self, target: &str, old: &Oid, new: &Oid) -> Result<bool> {
        if !self.stands_on(new, old)? {
            return Err(GitError::bug(format!("{} is to land on {}, but was made on {:?}", new.short(), old.short(), self.parents(new)?)));
        }
        let line = Self::line_ref(target);
        if self.swap(&line, Some(old), new)? {
            return Ok(true);
        }
        match self.tip(&line)? {
            Some(tip) => self.is_ancestor(new, &tip),
            None => Err(GitError::refused(format!("the line {line} is gone"))),
        }
    }
}

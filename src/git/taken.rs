//! Commits of attempts on the target that did not land there.
//!
//! An agent can check the target out in its worktree and commit, or move the branch. What it put
//! there passed no check, and looks like a person's. The log of its worktree's HEAD says that it was
//! made there. Then the line does not follow the target, and nothing lands, until the commit is gone
//! or a person has accepted it. An agent that hides its traces is not found out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkouts::head_ref;
use super::error::{GitError, Result};
use super::own::{MAX_LOG, end_of};
use super::repo::Repo;
use super::reuse::MARK;
use super::tamper::write_durably;
use crate::base::Oid;
use crate::base::text::one_line;

/// Where it is noted, in the state directory.
const NOTE: &str = "taken-target.json";
/// What git says in the log of HEAD when it makes a commit.
const MAKES: &[&str] = &["commit", "cherry-pick", "revert", "am", "rebase", "merge", "pull"];
/// What it says when one that is there already is gone to.
const GOES: &[&str] = &["ast-forward", "(start)", "(finish)", "(abort)"];

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Taken {
    target: String,
    /// The first that was found on the target and had been made in an attempt's worktree.
    made: Oid,
    /// Where the target was before it.
    before: Oid,
    /// Who made it, in words.
    who: String,
    /// Up to there a person has accepted it.
    #[serde(default)]
    accepted: Option<Oid>,
}

impl Repo {
    /// Whether the target holds what an attempt under way made, and nobody has accepted. What is
    /// found is noted, and stops landing. `who` says in words whose attempt it is that is looked after.
    pub fn notice_taken(&self, target: &str, who: Option<&str>) -> Result<bool> {
        let noted = self.taken()?;
        if noted.as_ref().is_some_and(|taken| taken.accepted.is_none()) {
            return Ok(true);
        }
        let (Some(tip), Some(line)) = (self.branch_tip(target)?, self.tip(&Self::line_ref(target))?) else { return Ok(false) };
        if self.is_ancestor(&tip, &line)? {
            return Ok(false);
        }
        let call = self.git(["rev-list", "--reverse", "--topo-order"]).arg(tip.as_str()).arg(format!("^{line}"));
        let accepted = noted.and_then(|taken| taken.accepted);
        let new = accepted.into_iter().fold(call, |call, up_to| call.arg(format!("^{up_to}"))).text()?;
        let new: Vec<Oid> = new.lines().filter_map(Oid::parse).collect();
        for admin in self.under_way_in() {
            let mut made = made_in(&admin);
            if head_ref(&admin).is_some_and(|on| on == format!("refs/heads/{target}")) {
                made.insert(tip.clone());
            }
            let Some(first) = new.iter().find(|commit| made.contains(*commit)) else { continue };
            let mark = fs::read_to_string(admin.join(MARK)).unwrap_or_default();
            let who = who.map_or_else(|| format!("attempt {}", one_line(mark.trim(), 80)), str::to_owned);
            let before = self.before(target, first, &tip)?.unwrap_or(line);
            tracing::warn!("`{target}` holds {}, which {who} made and put there", first.short());
            self.note_taken(&Taken { target: target.into(), made: first.clone(), before, who, accepted: None })?;
            return Ok(true);
        }
        Ok(false)
    }

    /// What was noticed and neither went away nor was accepted, in words, with what takes it back.
    pub(super) fn taken_in_words(&self) -> Option<String> {
        let taken = self.taken().ok()?.filter(|taken| taken.accepted.is_none())?;
        let Taken { target, made, before, who, .. } = taken;
        let tip = self.branch_tip(&target).ok()??;
        Some(format!(
            "`{target}` holds {}, made by {who}, not checked; `git update-ref refs/heads/{target} {} {}` takes it back",
            made.short(),
            before.short(),
            tip.short()
        ))
    }

    /// A person wants to keep what the target holds now.
    pub(super) fn accept_taken(&self) -> Result<()> {
        let Some(taken) = self.taken()? else { return Ok(()) };
        let tip = self.branch_tip(&taken.target)?;
        self.note_taken(&Taken { accepted: tip, ..taken })
    }

    /// What is noted, if it still is so.
    fn taken(&self) -> Result<Option<Taken>> {
        let file = self.state_dir().join(NOTE);
        let Ok(bytes) = fs::read(&file) else { return Ok(None) };
        let Ok(taken) = serde_json::from_slice::<Taken>(&bytes) else { return Ok(None) };
        let holds = |tip: Option<Oid>| tip.map_or(Ok(false), |tip| self.is_ancestor(&taken.made, &tip));
        let stands = holds(self.branch_tip(&taken.target)?)? && !holds(self.tip(&Self::line_ref(&taken.target))?)?;
        if !stands {
            fs::remove_file(&file).map_err(|e| GitError::io("removing", &file, &e))?;
        }
        Ok(stands.then_some(taken))
    }

    fn note_taken(&self, taken: &Taken) -> Result<()> {
        let file = self.state_dir().join(NOTE);
        let bytes = serde_json::to_vec(taken).map_err(|e| GitError::bug(e.to_string()))?;
        write_durably(&file, &bytes).map_err(|e| GitError::io("writing", &file, &e))
    }

    /// The administrative entries of the worktrees that attempts have now.
    fn under_way_in(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.common_dir().join("worktrees")).into_iter().flatten().flatten().map(|e| e.path());
        entries.filter(|admin| self.is_attempts(admin) && !self.is_noted_idle(admin)).collect()
    }

    /// Where the target was before it got `made`, by its log, or else by what was last published.
    fn before(&self, target: &str, made: &Oid, tip: &Oid) -> Result<Option<Oid>> {
        let log = end_of(&self.common_dir().join("logs/refs/heads").join(target), MAX_LOG).unwrap_or_default();
        let has = |commit: &Oid| self.is_ancestor(made, commit).unwrap_or(false);
        let moves = log.lines().rev().map(|line| {
            let mut oids = line.split(' ').map(Oid::parse);
            (oids.next().flatten(), oids.next().flatten())
        });
        let moves = moves.take_while(|(_, new)| new.as_ref().is_some_and(has));
        let old = moves.last().and_then(|(old, _)| old).filter(|old| self.is_ancestor(old, tip).unwrap_or(false) && !has(old));
        match old {
            Some(old) => Ok(Some(old)),
            None => self.tip(&Self::published_ref(target)),
        }
    }
}

/// The commits that were made in a worktree, as far as the log of its HEAD goes.
fn made_in(admin: &Path) -> BTreeSet<Oid> {
    let log = end_of(&admin.join("logs/HEAD"), MAX_LOG).unwrap_or_default();
    let made = log.lines().filter(|line| line.split_once('\t').is_some_and(|(_, said)| makes(said)));
    made.filter_map(|line| Oid::parse(line.split(' ').nth(1)?)).collect()
}

fn makes(said: &str) -> bool {
    let word = |c: char| !(c.is_ascii_alphabetic() || c == '-');
    MAKES.contains(&said.split(word).next().unwrap_or_default()) && !GOES.iter().any(|goes| said.contains(goes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_told_from_what_was_gone_to() {
        for said in
            ["commit: x", "commit (amend): x", "commit (merge): x", "merge main: Merge made by the 'ort' strategy.", "rebase (pick): x"]
        {
            assert!(makes(said), "{said}");
        }
        for said in
            ["", "checkout: moving from a to main", "merge main: Fast-forward", "reset: moving to main", "rebase (start): checkout main"]
        {
            assert!(!makes(said), "{said}");
        }
    }
}

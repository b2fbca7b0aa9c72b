//! Building an attempt's worktree, and taking it away again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Ends, StepResult, land, verify};
use crate::base::{Aid, Millis, Oid};
use crate::core::{Answer, Failure, FailureClass, Input, Step};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::git::{self, Repo, Worktree};
use crate::model::{Policy, Workspace};
use crate::process;

/// The file of an attempt's directory that holds its base.
const BASE: &str = "base";
/// Where an attempt's agents keep their records.
const AGENT: &str = "agent-";

/// A fresh worktree at the attempt's base, set up. No agent can exist yet, so whatever an
/// earlier try left is ended and built anew.
pub fn prepare(world: &World, policy: &Policy, work: &Work) -> StepResult {
    for (id, landed) in &work.landed {
        if let Some(commit) = &landed.commit
            && work.spec.workspace == Workspace::Worktree
            && !world.repo.is_ancestor(commit, &work.attempt.base)?
        {
            let message = format!("the base {} does not hold what `{id}` landed ({})", work.attempt.base.short(), commit.short());
            return Err(Ends::Broken(Failure::new(FailureClass::Bug, message)));
        }
    }
    if let (Some(tip), Workspace::Worktree) = (world.repo.tip(&Repo::line_ref(&world.target))?, work.spec.workspace) {
        land::refuse_dropped(world, work, &tip)?;
    }
    furnish(world, policy, work)
}

/// The worktree itself, and what is run in it before anything else.
pub fn furnish(world: &World, policy: &Policy, work: &Work) -> StepResult {
    let attempt = &work.attempt;
    let dir = world.attempt_dir(&attempt.aid);
    // Looked up before the records of an earlier try go: it may have begun elsewhere.
    let worktree = world.worktree(&attempt.aid)?;
    end_leftovers(&dir, &attempt.aid)?;
    fs::create_dir_all(&dir)?;
    if work.spec.workspace == Workspace::Checkout {
        return Ok(Answer::Prepared);
    }
    note_base(world, work)?;
    world.note_place(&attempt.aid, &worktree)?;
    world.repo.add_worktree(&worktree, &attempt.base, attempt.restore.as_ref())?;
    if !policy.worktree.include.is_empty() {
        world.repo.copy_includes(&worktree, &policy.worktree.include)?;
    }
    for (n, command) in policy.worktree.setup.iter().enumerate() {
        verify::setup(world, policy, work, &dir.join(format!("setup-{n}")), command)?;
    }
    Ok(Answer::Prepared)
}

/// Read again by `clean`, which knows no more than the attempt's id.
pub fn note_base(world: &World, work: &Work) -> std::io::Result<()> {
    fs::write(world.attempt_dir(&work.attempt.aid).join(BASE), work.attempt.base.as_str())
}

/// Ends what a try that was cut short left running, and forgets its records.
fn end_leftovers(dir: &Path, aid: &Aid) -> Result<(), Ends> {
    if !dir.exists() {
        return Ok(());
    }
    process::sweep(aid.as_str());
    fs::remove_dir_all(dir)?;
    Ok(())
}

/// Takes away the worktree of an attempt that ended. What an agent made is in git by then; if
/// a crash or a full disk kept it from getting there, it is put there first, and where even
/// that fails the worktree stays.
pub fn clean(world: &World, aid: &Aid) -> Input {
    process::sweep(aid.as_str());
    let cleaned = world.worktree(aid).map_err(Ends::from).and_then(|worktree| {
        salvage(world, aid, &worktree)?;
        Ok(world.repo.remove_worktree(&worktree)?)
    });
    if let Err(Ends::Trouble(why)) = cleaned {
        tracing::warn!("the worktree of attempt {aid} was left in {}: {why}", world.worktrees.display());
    }
    Input::Cleaned { aid: aid.clone() }
}

/// Keeps the files of an agent step that ended without a snapshot. An error where that cannot
/// be told: then the files may be all there is of the work.
fn salvage(world: &World, aid: &Aid, worktree: &Worktree) -> Result<(), Ends> {
    if !worktree.path().exists() {
        return Ok(());
    }
    let dir = world.attempt_dir(aid);
    let base = fs::read_to_string(dir.join(BASE)).ok().and_then(|text| Oid::parse(text.trim()));
    let base = base.ok_or_else(|| Ends::Trouble("the record of what it started from is gone".into()))?;
    let Some(last) = last_step(&dir)? else { return Ok(()) };
    let keep = keep_ref(aid, last);
    if world.repo.tip(&keep)?.is_none() {
        let message = git::message("Unfinished work of an attempt", "", "");
        world.repo.snapshot(worktree, &base, &base, &message, Millis(0), &keep)?;
    }
    Ok(())
}

/// Ends and clears attempts that no record knows of: the store was lost under them. Their work
/// is kept as that of any attempt; the task it was for starts anew.
pub fn clear_orphans(world: &World, known: &BTreeSet<Aid>) {
    let names = world.repo.worktree_names(&world.worktrees).unwrap_or_else(|error| {
        tracing::warn!("worktrees left over from lost records could not be looked for: {error}");
        Vec::new()
    });
    for aid in names.iter().filter_map(|name| Aid::parse(name).ok()).filter(|aid| !known.contains(aid)) {
        tracing::warn!(
            "attempt {aid} is not in the record: what runs of it is ended, its work kept below {}",
            Repo::attempt_ref(aid.as_str())
        );
        clean(world, &aid);
    }
}

/// The newest step of an attempt that an agent was started for. An attempt that took up the work
/// of an interrupted one does not begin with the first.
fn last_step(dir: &Path) -> std::io::Result<Option<usize>> {
    let mut last = None;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        last = last.max(name.to_str().and_then(|n| n.strip_prefix(AGENT)?.parse().ok()));
    }
    Ok(last)
}

/// The failure of an attempt whose files somebody deleted.
pub fn gone(worktree: &Worktree) -> Failure {
    Failure::new(FailureClass::Tampered, format!("its worktree {} is gone: somebody deleted it", worktree.path().display()))
}

/// The ref that anchors what step `n` of an attempt left.
pub fn keep_ref(aid: &Aid, n: usize) -> String {
    format!("{}-s{n}", Repo::attempt_ref(aid.as_str()))
}

/// Whether the attempt is at the step it should be for `expected`; else the job is stale.
pub fn at<'a, T>(work: &'a Work, expected: impl Fn(&'a Step) -> Option<T>) -> Result<T, Ends> {
    expected(&work.attempt.step).ok_or_else(|| Ends::stale("step"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_step_is_found_though_the_first_was_of_an_earlier_attempt() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_step(dir.path()).unwrap(), None);
        for name in ["agent-2", "agent-10", "check-11", "setup-12"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(last_step(dir.path()).unwrap(), Some(10));
    }
}

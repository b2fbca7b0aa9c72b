//! Building an attempt's worktree, and taking it away again.

use std::fs;
use std::path::Path;

use super::{Ends, StepResult, verify};
use crate::base::Aid;
use crate::core::{Answer, Failure, FailureClass, Input, Step};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::model::{Policy, Workspace};
use crate::process;

/// A fresh worktree at the attempt's base, set up. No agent can exist yet, so whatever an
/// earlier try left is ended and built anew.
pub fn prepare(world: &World, policy: &Policy, work: &Work) -> StepResult {
    let attempt = &work.attempt;
    let dir = world.attempt_dir(&attempt.aid);
    end_leftovers(&dir, &attempt.aid)?;
    fs::create_dir_all(&dir)?;
    if work.spec.workspace == Workspace::Checkout {
        return Ok(Answer::Prepared);
    }
    for (id, landed) in &work.landed {
        if let Some(commit) = &landed.commit
            && !world.repo.is_ancestor(commit, &attempt.base)?
        {
            let message = format!("the base {} does not hold what `{id}` landed ({})", attempt.base.short(), commit.short());
            return Err(Ends::Broken(Failure::new(FailureClass::Bug, message)));
        }
    }
    let path = world.worktree_path(&attempt.aid);
    world.repo.add_worktree(&path, attempt.aid.as_str(), &attempt.base, attempt.restore.as_ref())?;
    if !policy.worktree.include.is_empty() {
        world.repo.copy_includes(&path, &policy.worktree.include)?;
    }
    for (n, command) in policy.worktree.setup.iter().enumerate() {
        verify::setup(world, policy, work, &dir.join(format!("setup-{n}")), command)?;
    }
    Ok(Answer::Prepared)
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
    let path = world.worktree_path(aid);
    process::sweep(aid.as_str());
    let done = match salvage(world, aid, &path) {
        Ok(()) => world.repo.remove_worktree(&path, aid.as_str()).map_err(|e| e.to_string()),
        Err(why) => Err(why),
    };
    if let Err(why) = done {
        tracing::warn!("the worktree {} was left in place: {why}", path.display());
    }
    Input::Cleaned { aid: aid.clone() }
}

/// Keeps the files of an agent step that ended without a snapshot.
fn salvage(world: &World, aid: &Aid, path: &Path) -> Result<(), String> {
    let steps = (0..).take_while(|n| world.attempt_dir(aid).join(format!("agent-{n}")).exists()).count();
    let Some(last) = steps.checked_sub(1) else { return Ok(()) };
    if !path.exists() || world.repo.has_ref(&keep_ref(aid, last)).map_err(|e| e.to_string())? {
        return Ok(());
    }
    world.repo.salvage(path, aid.as_str(), &keep_ref(aid, last)).map_err(|e| e.to_string())
}

/// The ref that anchors what step `n` of an attempt left.
pub fn keep_ref(aid: &Aid, n: usize) -> String {
    format!("refs/drover/attempts/{aid}-s{n}")
}

/// Whether the attempt is at the step it should be for `expected`; else the job is stale.
pub fn at<'a, T>(work: &'a Work, expected: impl Fn(&'a Step) -> Option<T>) -> Result<T, Ends> {
    expected(&work.attempt.step).ok_or_else(|| Ends::stale("prepare"))
}

//! Building an attempt's worktree, so that work can begin in it.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::slot::BASE;
use super::{Ends, StepResult, land, slot, verify};
use crate::base::{Aid, Oid, sha256_hex};
use crate::core::{Answer, Failure, FailureClass, Step};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::fault;
use crate::git::{GitError, Repo, Worktree};
use crate::model::{Policy, Workspace, WorktreePolicy};
use crate::process;

/// A worktree at the attempt's base, set up. No agent can exist yet, so whatever an earlier try
/// left is ended and built anew.
pub fn prepare(world: &World, policy: &Policy, work: &Work) -> StepResult {
    let needs = work.landed.iter().filter(|_| work.spec.workspace == Workspace::Worktree);
    for (id, landed) in needs {
        let Some(commit) = landed.commit.as_ref() else { continue };
        if holds(world, &work.attempt.base, commit, &landed.aid)? {
            continue;
        }
        // Landed in another clone, and so on the line sooner than in what was known of it.
        if world.repo.is_ancestor(commit, &world.line_tip()?)? {
            return Ok(Answer::Outdated);
        }
        let message = format!(
            "what `{id}` landed ({}) is no longer part of `{}`: it was taken off there, or rewritten without its record; to have it done again, `drover apply --rerun {id}`",
            commit.short(),
            world.target
        );
        // Trying again would come to the same.
        return Err(Ends::Broken(Failure::new(FailureClass::Poison, message)));
    }
    if let (Some(tip), Workspace::Worktree) = (world.repo.tip(&Repo::line_ref(&world.target))?, work.spec.workspace) {
        land::refuse_dropped(world, work, &tip)?;
    }
    land::refuse_gone(world, work, None)?;
    furnish(world, policy, work)
}

/// Whether what landed is in `base`, under its own name or, where a person has rewritten history
/// since, under that of another commit with its record.
fn holds(world: &World, base: &Oid, commit: &Oid, aid: &Aid) -> Result<bool, Ends> {
    Ok(world.repo.is_ancestor(commit, base)? || world.repo.find_landed(commit, base, aid.as_str())?.is_some())
}

/// The worktree itself, and what is run in it before anything else.
pub fn furnish(world: &World, policy: &Policy, work: &Work) -> StepResult {
    let attempt = &work.attempt;
    let dir = world.attempt_dir(&attempt.aid);
    end_leftovers(&dir, &attempt.aid)?;
    fs::create_dir_all(&dir)?;
    if work.spec.workspace == Workspace::Checkout {
        world.slots.take_bare(&attempt.aid, &world.worktrees, |wt| world.repo.is_vacant(wt))?;
        return Ok(Answer::Prepared);
    }
    note_base(world, work)?;
    let (slot, reused) = slot::occupy(world, policy, attempt)?;
    let worktree = slot.worktree()?;
    world.repo.settle_submodules(&worktree, attempt.restore.as_ref().unwrap_or(&attempt.base)).map_err(unfit)?;
    let copied = world.repo.copy_includes(&worktree, &policy.worktree.include)?;
    let wanted = setup_digest(&policy.worktree, &worktree.path())?;
    let stands = reused && slot.furnished.as_ref() == Some(&wanted);
    for (n, command) in policy.worktree.setup.iter().enumerate().filter(|_| !stands) {
        verify::setup(world, policy, work, &dir.join(format!("setup-{n}")), command)?;
    }
    if reused || copied > 0 || !policy.worktree.setup.is_empty() {
        world.repo.note_ignored(&worktree)?;
    }
    fault::point("worktree.set-up");
    world.slots.furnished(&slot, &wanted)?;
    Ok(Answer::Prepared)
}

/// What git refuses to make is not made by waiting: a filter that is missing, a submodule that was
/// never fetched.
pub fn unfit(error: GitError) -> Ends {
    match error {
        GitError::Refused { what } => Ends::Broken(Failure::new(FailureClass::Setup, format!("its worktree cannot be made: {what}"))),
        other => other.into(),
    }
}

/// What `worktree.setup` depends on: its own lines, and the files that it is told to depend on.
fn setup_digest(policy: &WorktreePolicy, top: &Path) -> io::Result<String> {
    let mut parts: Vec<Vec<u8>> = policy.setup.iter().map(|c| c.run.clone().into_bytes()).collect();
    for input in &policy.setup_inputs {
        let file = top.join(input);
        // Through a link anything could be read, and something without an end.
        let content = match fs::symlink_metadata(&file) {
            Ok(meta) if meta.is_file() => fs::read(&file)?,
            Ok(meta) if meta.is_symlink() => fs::read_link(&file)?.into_os_string().into_vec(),
            _ => Vec::new(),
        };
        parts.extend([input.clone().into_bytes(), content]);
    }
    let digests: Vec<String> = parts.iter().map(|part| sha256_hex(part)).collect();
    Ok(sha256_hex(digests.join("\n").as_bytes()))
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

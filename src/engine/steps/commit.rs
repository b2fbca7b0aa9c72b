//! From files to git: the snapshot after each agent step, and the commit that may land.

use globset::{Glob, GlobSetBuilder};

use super::prepare::{at, gone, keep_ref};
use super::{Ends, StepResult};
use crate::core::{Answer, Failure, FailureClass, Snap, Step};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::git::{self, GitError, Repo, Snapshot, Worktree};
use crate::model::Workspace;
use crate::process;

/// Keeps the files as step `n` left them, before anything else looks at them.
pub fn snapshot(world: &World, work: &Work, n: usize) -> StepResult {
    let attempt = &work.attempt;
    if work.spec.workspace == Workspace::Checkout {
        let snap = Snap { tree: attempt.base.clone(), commit: attempt.base.clone(), unchanged: false, problem: None };
        return Ok(Answer::Snapshotted { n, snap });
    }
    // Nothing may still write while the files are read.
    process::sweep(attempt.aid.as_str());
    let step = work.spec.steps.get(n).ok_or_else(|| Ends::stale("commit"))?;
    let parent = attempt.snaps.last().map_or(&attempt.base, |s| &s.commit);
    let worktree = world.worktree(&attempt.aid)?;
    if !worktree.path().is_dir() {
        // Nothing is left to keep but what was kept before.
        let tree = world.repo.tree_of(parent)?;
        let snap = Snap { tree, commit: parent.clone(), unchanged: false, problem: Some(gone(&worktree)) };
        return Ok(Answer::Snapshotted { n, snap });
    }
    let taken = world.repo.snapshot(
        &worktree,
        &attempt.base,
        parent,
        &git::message(&step.title, &summary(work), ""),
        attempt.started,
        &keep_ref(&attempt.aid, n),
    );
    let taken = taken.map_err(|e| unfit_for_git(e, world.worktree(&attempt.aid)))?;
    let snap = Snap { problem: problem(work, &taken), tree: taken.tree, commit: taken.commit, unchanged: taken.unchanged };
    Ok(Answer::Snapshotted { n, snap })
}

/// What git will not take, now or later, is the work of the agent: waiting would not mend it.
fn unfit_for_git(error: GitError, worktree: Result<Worktree, GitError>) -> Ends {
    let GitError::Refused { what } = error else { return error.into() };
    let left = worktree.ok().map(|w| w.path()).filter(|p| p.exists());
    let place = left.map(|p| format!("\nThe files stay in {}", p.display())).unwrap_or_default();
    Ends::Broken(Failure::new(FailureClass::Tampered, format!("what it left cannot be put into git: {what}{place}")))
}

fn summary(work: &Work) -> String {
    match &work.attempt.step {
        Step::Snapshot { exit, .. } if !exit.summary.is_empty() => exit.summary.clone(),
        _ => work.attempt.summary.clone(),
    }
}

/// What makes the files unfit to land, if anything does.
fn problem(work: &Work, taken: &Snapshot) -> Option<Failure> {
    if let Some(what) = &taken.tampered {
        return Some(Failure::new(FailureClass::Tampered, format!("the worktree's link to the repository was changed: {what}")));
    }
    if !taken.nested.is_empty() {
        let message = format!(
            "a repository inside the worktree cannot land: {}; remove its .git, or add it as a submodule by hand",
            taken.nested.join(", ")
        );
        return Some(Failure::new(FailureClass::NestedRepository, message));
    }
    let mut builder = GlobSetBuilder::new();
    for pattern in work.spec.protect.iter().filter_map(|p| Glob::new(p).ok()) {
        builder.add(pattern);
    }
    let protected = builder.build().ok()?;
    let touched: Vec<&str> = taken.paths_changed.iter().filter(|p| protected.is_match(p)).map(String::as_str).take(20).collect();
    let message = format!("it touched protected files: {} (`protect` of the task)", touched.join(", "));
    (!touched.is_empty()).then(|| Failure::new(FailureClass::Protected, message))
}

/// The commit of exactly the verified tree, with the record of what it is. After a crash, the
/// one that is there already: its dates are stored ones, but a signature may hold the time.
pub fn commit(world: &World, work: &Work) -> StepResult {
    let attempt = &work.attempt;
    at(work, |step| matches!(step, Step::Commit).then_some(()))?;
    let last = attempt.snaps.last().ok_or_else(|| Ends::stale("commit"))?;
    let parent = attempt.snaps.len().checked_sub(2).and_then(|i| attempt.snaps.get(i)).map_or(&attempt.base, |s| &s.commit);
    let message = git::message(&work.spec.title, &attempt.summary, &trailers(work));
    let anchor = Repo::attempt_ref(attempt.aid.as_str());
    if let Some(commit) = world.repo.tip(&anchor)?
        && world.repo.tree_of(&commit)? == last.tree
        && world.repo.parents(&commit)?.first() == Some(parent)
    {
        return Ok(Answer::Committed { commit });
    }
    let commit = world.repo.commit_signed(&last.tree, std::slice::from_ref(parent), &message, attempt.started)?;
    world.repo.keep(&anchor, &commit)?;
    Ok(Answer::Committed { commit })
}

/// The record of a landed task, read again by whoever has only the repository.
pub fn trailers(work: &Work) -> String {
    let agent = work.spec.agents().last().map_or_else(
        || "command".to_owned(),
        |a| match &a.model {
            Some(model) => format!("{}/{model}", a.kind.name()),
            None => a.kind.name().to_owned(),
        },
    );
    git::trailers(&format!("{}@{}", work.spec.id, work.spec.digest), work.attempt.aid.as_str(), work.attempt.run.as_str(), &agent)
}

//! From files to git: the snapshot after each agent step, and the commit that may land.

use std::fs;

use super::hooks::{self, Text};
use super::land::refuse_gone;
use super::prepare::{at, gone, keep_ref};
use super::{Ends, StepResult, scope};
use crate::core::{Answer, Failure, FailureClass, Snap, Step};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::fault;
use crate::git::{self, GitError, Repo, Rules, Snapshot, Worktree};
use crate::model::{Policy, Workspace};
use crate::process;

/// The file of an attempt's directory that says by which rules its files were kept, if by others
/// than the accepted ones.
const RULES: &str = "other-rules";

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
    let rules = world.repo.rules();
    let taken = world.repo.snapshot(
        &worktree,
        &attempt.base,
        parent,
        &git::message(&step.title, &summary(work), ""),
        attempt.started,
        &keep_ref(&attempt.aid, n),
    );
    let taken = taken.map_err(|e| unfit_for_git(e, world.worktree(&attempt.aid)))?;
    note_rules(world, work, &rules)?;
    if let Some(why) = &taken.own.left_out {
        let kept = if taken.own.kept.is_empty() { "nothing new" } else { &taken.own.kept.join(", ") };
        tracing::warn!("{}: the commits that its agent made do not land, its files do: {why} (kept: {kept})", work.spec.id);
    }
    let snap = Snap { problem: problem(world, work, &taken)?, tree: taken.tree, commit: taken.commit, unchanged: taken.unchanged };
    Ok(Answer::Snapshotted { n, snap })
}

/// Notes that files were kept by rules that nobody accepted: what is missing of them, no check of
/// the worktree tells.
fn note_rules(world: &World, work: &Work, rules: &Rules) -> Result<(), Ends> {
    let note = world.attempt_dir(&work.attempt.aid).join(RULES);
    let same = world.repo.rules() == *rules;
    match same && world.repo.accepts(rules) {
        true if note.exists() => fs::remove_file(&note)?,
        true => {}
        false => fs::write(&note, if same { rules.digest() } else { String::new() })?,
    }
    Ok(())
}

/// Whether such work may land: somebody has accepted the rules since.
pub fn refuse_other_rules(world: &World, work: &Work) -> Result<(), Ends> {
    let Ok(noted) = fs::read_to_string(world.attempt_dir(&work.attempt.aid).join(RULES)) else { return Ok(()) };
    if noted == world.repo.rules().digest() {
        return Ok(());
    }
    let message = format!(
        "its files were kept while somebody changed what git leaves out or how it converts files (info/exclude, info/attributes and the like), so what was checked may not be what would land; they are kept below {}",
        Repo::attempt_ref(work.attempt.aid.as_str())
    );
    Err(Ends::Broken(Failure::new(FailureClass::Tampered, message)))
}

/// What git will not take, now or later, is the work of the agent: waiting would not mend it.
fn unfit_for_git(error: GitError, worktree: Result<Worktree, GitError>) -> Ends {
    let left = worktree.ok().map(|w| w.path()).filter(|p| p.exists());
    let place = left.map(|p| format!("\nThe files stay in {}", p.display())).unwrap_or_default();
    if error.is_lasting() {
        return Ends::Lasting(format!("{error}{place}"));
    }
    let GitError::Refused { what } = error else { return error.into() };
    Ends::Broken(Failure::new(FailureClass::Tampered, format!("what it left cannot be put into git: {what}{place}")))
}

fn summary(work: &Work) -> String {
    match &work.attempt.step {
        Step::Snapshot { exit, .. } if !exit.summary.is_empty() => exit.summary.clone(),
        _ => work.attempt.summary.clone(),
    }
}

/// What makes the files unfit to land, if anything does.
fn problem(world: &World, work: &Work, taken: &Snapshot) -> Result<Option<Failure>, Ends> {
    if let Some(what) = &taken.tampered {
        return Ok(Some(Failure::new(FailureClass::Tampered, format!("the worktree's link to the repository was changed: {what}"))));
    }
    if !taken.nested.is_empty() {
        let message = format!(
            "a repository inside the worktree cannot land: {}; remove its .git, or add it as a submodule by hand",
            taken.nested.join(", ")
        );
        return Ok(Some(Failure::new(FailureClass::NestedRepository, message)));
    }
    if !taken.submodules.is_empty() {
        return Ok(Some(Failure::new(FailureClass::NestedRepository, taken.submodules.join("\n"))));
    }
    scope::violation(world, work, taken)
}

/// The commit of exactly the verified tree, with the record of what it is. After a crash, the
/// one that is there already: its dates are stored ones, but a signature may hold the time.
pub fn commit(world: &World, policy: &Policy, work: &Work) -> StepResult {
    let attempt = &work.attempt;
    at(work, |step| matches!(step, Step::Commit).then_some(()))?;
    let last = attempt.snaps.last().ok_or_else(|| Ends::stale("commit"))?;
    refuse_gone(world, work, None)?;
    // On what the last step was kept on: what an agent committed itself is part of that.
    let parents = world.repo.parents(&last.commit)?;
    let trailers = trailers(work);
    let mut text = Text { tree: last.tree.clone(), message: git::message(&work.spec.title, &attempt.summary, &trailers) };
    if let Some(parent) = parents.first().filter(|_| policy.merge.hooks) {
        text = hooks::run(world, policy, work, parent, text, &trailers)?;
    }
    let anchor = Repo::attempt_ref(attempt.aid.as_str());
    if let Some(commit) = world.repo.tip(&anchor)?
        && world.repo.tree_of(&commit)? == text.tree
        && world.repo.parents(&commit)? == parents
    {
        return Ok(Answer::Committed { commit });
    }
    let commit = world.repo.commit_signed(&text.tree, &parents, &text.message, attempt.started)?;
    fault::point("commit.made");
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

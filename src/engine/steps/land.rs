//! Landing: merge in memory, and a compare-and-swap of the line. One attempt at a time.

use super::commit::trailers;
use super::prepare::at;
use super::{Ends, StepResult};
use crate::base::Oid;
use crate::core::{Answer, Failure, FailureClass, Step};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::git::{self, Merge, Repo};

/// Merges the attempt's commit onto the line's tip, without touching any files.
pub fn merge(world: &World, work: &Work) -> StepResult {
    let attempt = &work.attempt;
    let commit = at(work, |step| match step {
        Step::Merge { commit } => Some(commit),
        _ => None,
    })?;
    let tip = world.line_tip()?;
    if let Some(landed) = landed(world, work, &tip)? {
        return Ok(landed);
    }
    refuse_dropped(world, work, &tip)?;
    let tree = match world.repo.merge(&tip, commit)? {
        Merge::Conflict { paths } => return Ok(Answer::Conflict { paths }),
        Merge::Clean { tree } => tree,
    };
    let subject = format!("Merge {}: {}", work.spec.id, work.spec.title);
    let message = git::message(&subject, "", &trailers(work));
    let new = world.repo.commit_signed(&tree, &[tip.clone(), commit.clone()], &message, attempt.started)?;
    // Anchored before the intent is recorded: a garbage collection must not take it.
    world.repo.move_ref(&format!("{}-land", Repo::attempt_ref(attempt.aid.as_str())), &new)?;
    Ok(Answer::Merged { old: tip, new, tree })
}

/// Whether the attempt is on the line already: after a crash it may be.
pub fn landed(world: &World, work: &Work, tip: &Oid) -> Result<Option<Answer>, Ends> {
    let found = world.repo.find_landed(&work.attempt.base, tip, work.attempt.aid.as_str())?;
    Ok(found.map(|commit| Answer::Landed { commit, tip: tip.clone() }))
}

/// What was made on a commit that somebody has since taken off the target would bring it back.
pub fn refuse_dropped(world: &World, work: &Work, tip: &Oid) -> Result<(), Ends> {
    let base = &work.attempt.base;
    if world.repo.is_ancestor(base, tip)? {
        return Ok(());
    }
    let message =
        format!("it was made on {}, which is no longer part of `{}`: the branch was reset, amended or rebased", base.short(), world.target);
    Err(Ends::Broken(Failure::new(FailureClass::Conflict, message)))
}

/// Moves the line, if it is still where the merge started from. Looks first: after a crash it
/// may have happened already.
pub fn land(world: &World, work: &Work) -> StepResult {
    let (old, new, tree) = at(work, |step| match step {
        Step::Land { old, new, tree, .. } => Some((old, new, tree)),
        _ => None,
    })?;
    let tip = world.line_tip()?;
    if let Some(landed) = landed(world, work, &tip)? {
        return Ok(landed);
    }
    if tip != *old || !world.repo.exists(new)? {
        return Ok(Answer::LostRace);
    }
    // What was verified is what lands: asserted on the commit itself.
    if world.repo.tree_of(new)? != *tree || world.repo.parents(new)?.first() != Some(old) {
        let message = format!("the merge {} is not the one that was verified", new.short());
        return Err(Ends::Broken(Failure::new(FailureClass::Bug, message)));
    }
    // Whoever deleted the state directory may have started another Drover since.
    if !world.lock.still_ours() {
        return Err(Ends::Trouble("the state directory was replaced".into()));
    }
    let mut line = world.known_line()?;
    match world.repo.land(&world.target, old, new)? {
        true => {
            *line = Some(new.clone());
            Ok(Answer::Landed { commit: new.clone(), tip: new.clone() })
        }
        false => Ok(Answer::LostRace),
    }
}

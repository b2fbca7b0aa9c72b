//! Landing: merge in memory, and a compare-and-swap of the line. One attempt at a time.

use super::commit::{refuse_other_rules, trailers};
use super::prepare::at;
use super::{Ends, StepResult, push, refuse_changes};
use crate::base::Oid;
use crate::core::{Answer, Failure, FailureClass, Step};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::engine::recall;
use crate::fault;
use crate::git::{self, Finished, Onto, Past, Repo};
use crate::model::Policy;

/// Puts the attempt's commit onto the line's tip, without touching any files.
pub fn merge(world: &World, policy: &Policy, work: &Work) -> StepResult {
    let attempt = &work.attempt;
    let commit = at(work, |step| match step {
        Step::Merge { commit } => Some(commit),
        _ => None,
    })?;
    let tip = world.line_tip()?;
    if let Some(landed) = landed(world, work, &tip)? {
        return Ok(landed);
    }
    refuse_gone(world, work, Some(commit))?;
    refuse_dropped(world, work, &tip)?;
    // Drivers for merges are read from the configuration.
    refuse_changes(world)?;
    refuse_other_rules(world, work)?;
    if let Some(found) = push::by_others(world, work, &tip)? {
        return Ok(Answer::Elsewhere(found));
    }
    let (subject, trailers) = (format!("Merge {}: {}", work.spec.id, work.spec.title), trailers(work));
    let steps: Vec<Oid> = attempt.snaps.iter().map(|snap| snap.commit.clone()).collect();
    let finished = Finished {
        commit,
        base: &attempt.base,
        steps: &steps,
        message: &git::message(&subject, "", &trailers),
        trailers: &trailers,
        date: attempt.started,
    };
    let (new, tree) = match world.repo.put_onto(policy.merge.strategy, &tip, &finished)? {
        Onto::Conflict { paths } => return Ok(Answer::Conflict { paths }),
        Onto::Made { new, tree } => (new, tree),
    };
    fault::point("merge.made");
    // Anchored before the intent is recorded: a garbage collection must not take it.
    world.repo.move_ref(&format!("{}-land", Repo::attempt_ref(attempt.aid.as_str())), &new)?;
    Ok(Answer::Merged { old: tip, new, tree })
}

/// Whether the attempt is on the line already: after a crash it may be.
pub fn landed(world: &World, work: &Work, tip: &Oid) -> Result<Option<Answer>, Ends> {
    let (base, aid) = (&work.attempt.base, &work.attempt.aid);
    let Some(commit) = world.repo.find_landed(base, tip, aid.as_str())? else { return Ok(None) };
    let tip = tip.clone();
    let marks = world.repo.marks(std::slice::from_ref(&tip), std::slice::from_ref(base))?;
    let by = recall::reverts(&Past { tips: Vec::new(), marks }).into_iter().find(|(reverted, ..)| reverted == aid).and_then(|(.., by)| by);
    Ok(Some(match by {
        Some(by) => Answer::TakenBack { commit, tip, by },
        None => Answer::Landed { commit, tip },
    }))
}

/// What an attempt has made so far is kept in git under refs that a person may delete. Without it
/// nothing is left to wait for, and the next attempt makes it anew.
pub fn refuse_gone(world: &World, work: &Work, commit: Option<&Oid>) -> Result<(), Ends> {
    let attempt = &work.attempt;
    let made = attempt.snaps.iter().flat_map(|snap| [&snap.commit, &snap.tree]).chain(&attempt.restore).chain(commit);
    for object in made {
        if !world.repo.exists(object)? {
            let message = format!(
                "what it had made is gone from the repository: no object {} (refs below {} were deleted, and `git gc` ran?); it has to be made anew",
                object.short(),
                Repo::attempt_ref("").trim_end_matches('/')
            );
            return Err(Ends::Broken(Failure::new(FailureClass::Tampered, message)));
        }
    }
    Ok(())
}

/// It landed in an earlier life, or others have it and it only has to land here as well: whatever has
/// to pass by now, and whether or not anybody still wants it.
pub fn landed_before(world: &World, policy: &Policy, work: &Work) -> Result<Option<Answer>, Ends> {
    if !work.attempt.in_lane() {
        return Ok(None);
    }
    match (landed(world, work, &world.line_tip()?)?, &work.attempt.step) {
        (None, Step::Land { new, .. }) if push::has(world, policy, new)? => land(world, work).map(Some),
        (landed, _) => Ok(landed),
    }
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
    if world.repo.tree_of(new)? != *tree || !world.repo.stands_on(new, old)? {
        let message = format!("the merge {} is not the one that was verified", new.short());
        return Err(Ends::Broken(Failure::new(FailureClass::Bug, message)));
    }
    // Whoever deleted the state directory may have started another Drover since.
    if !world.lock.still_ours() {
        return Err(Ends::Trouble("the state directory was replaced".into()));
    }
    refuse_changes(world)?;
    let mut line = world.known_line()?;
    fault::point("land.checked");
    match world.repo.land(&world.target, old, new)? {
        true => {
            *line = Some(new.clone());
            assert_landed(world, old, new, tree)?;
            Ok(Answer::Landed { commit: new.clone(), tip: new.clone() })
        }
        false => Ok(Answer::LostRace),
    }
}

/// What the line has now is what was verified, on top of all that landed before.
fn assert_landed(world: &World, old: &Oid, new: &Oid, tree: &Oid) -> Result<(), Ends> {
    let line = Repo::line_ref(&world.target);
    let tip = world.repo.tip(&line)?.ok_or_else(|| Ends::Trouble(format!("{line} is gone right after the landing")))?;
    let whole = world.repo.is_ancestor(new, &tip)? && world.repo.is_ancestor(old, new)? && world.repo.tree_of(new)? == *tree;
    match whole {
        true => Ok(()),
        false => Err(Ends::Trouble(format!("{line} is at {} right after {} landed, and does not hold it", tip.short(), new.short()))),
    }
}

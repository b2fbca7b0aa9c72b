//! Giving an attempt the slot that its worktree stands in, and giving it back when it has ended.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::prepare::{keep_ref, unfit};
use super::{Ends, salvage};
use crate::base::{Aid, Millis, Oid};
use crate::core::{Attempt, Input};
use crate::engine::effects::World;
use crate::engine::room::{make_room, tidy_up};
use crate::engine::slots::{Slot, number_of, throw_away};
use crate::fault;
use crate::git::{self, Repo, Worktree};
use crate::model::{Policy, WorktreePolicy};
use crate::process;

/// The file of an attempt's directory that holds its base.
pub const BASE: &str = "base";
/// Where an attempt's agents keep their records.
const AGENT: &str = "agent-";

/// A slot whose worktree is at the attempt's base. True if it is one that was used before, with
/// what git ignores still in it.
pub fn occupy(world: &World, policy: &Policy, attempt: &Attempt) -> Result<(Slot, bool), Ends> {
    if let Some(limit) = policy.worktree.max_disk
        && !make_room(world, limit, &attempt.aid)?
    {
        return Err(Ends::CutShort);
    }
    let (base, restore) = (&attempt.base, attempt.restore.as_ref());
    loop {
        let slot = world.slots.take(&attempt.aid, &world.worktrees, |wt| world.repo.is_vacant(wt))?;
        let worktree = slot.worktree()?;
        let reused = world.repo.refuse_users(&worktree).and_then(|()| match (slot.furnished.is_some(), policy.worktree.reuse) {
            (true, true) => world.repo.reuse_worktree(&worktree, base, restore, &policy.worktree.include),
            (true, false) => world.repo.discard_idle(&worktree).map(|_| false),
            (false, _) => Ok(false),
        });
        match reused {
            Ok(reused) => {
                if !reused {
                    world.repo.add_worktree(&worktree, base, restore).map_err(unfit)?;
                }
                fault::point("worktree.made");
                world.repo.mark_worktree(&worktree, Some(attempt.aid.as_str()))?;
                return Ok((slot, reused));
            }
            Err(error) if error.is_trouble() => return Err(error.into()),
            Err(error) => {
                tracing::warn!("{} holds what Drover did not put there, and is left alone: {error}", worktree.path().display());
                world.slots.forget(&slot)?;
            }
        }
    }
}

/// Gives back the slot of an attempt that ended. What an agent made is in git by then; if a
/// crash or a full disk kept it from getting there, it is put there first, and where even that
/// fails the worktree stays. With `reuse` the worktree stays too, idle, if it ended cleanly.
pub fn clean(world: &World, policy: &WorktreePolicy, aid: &Aid) -> Input {
    process::sweep(aid.as_str());
    if let Err(Ends::Trouble(why) | Ends::Refused(why) | Ends::Lasting(why)) = vacate(world, aid, policy.reuse) {
        let place = world.worktree(aid).map(|wt| wt.path()).unwrap_or_default();
        tracing::warn!("the worktree of attempt {aid} was left in {}: {why}", place.display());
    }
    if let Some(Err(error)) = policy.max_disk.map(|limit| tidy_up(world, limit)) {
        tracing::warn!("what the worktrees take could not be looked at: {error}");
    }
    Input::Cleaned { aid: aid.clone() }
}

fn vacate(world: &World, aid: &Aid, reuse: bool) -> Result<(), Ends> {
    let worktree = world.worktree(aid)?;
    let base = salvage(world, aid, &worktree)?;
    fault::point("clean.kept");
    let Some(slot) = world.slots.of(aid)? else {
        return Ok(world.repo.remove_worktree(&worktree)?);
    };
    if let (Some(base), true, true) = (base, reuse, slot.furnished.is_some())
        && !process::works_in(&worktree.path())
        && world.repo.retire_worktree(&worktree, &base)?
    {
        fault::point("clean.idle");
        return Ok(world.slots.release(&slot)?);
    }
    world.repo.remove_worktree(&worktree)?;
    Ok(world.slots.forget(&slot)?)
}

/// Keeps the files of an agent step that ended without a snapshot, and says what the attempt
/// started from, if anything is left of it. An error where it cannot be told whether they are
/// kept: then the files may be all there is of the work.
fn salvage(world: &World, aid: &Aid, worktree: &Worktree) -> Result<Option<Oid>, Ends> {
    if !worktree.path().exists() {
        return Ok(None);
    }
    let dir = world.attempt_dir(aid);
    let base = fs::read_to_string(dir.join(BASE)).ok().and_then(|text| Oid::parse(text.trim()));
    let Some(base) = base else { return salvage::keep_lost(world, aid, worktree).map(|()| None) };
    if let Some(keep) = last_step(&dir)?.map(|last| keep_ref(aid, last))
        && world.repo.tip(&keep)?.is_none()
    {
        let message = git::message("Unfinished work of an attempt", "", "");
        world.repo.snapshot(worktree, &base, &base, &message, Millis(0), &keep)?;
    }
    Ok(Some(base))
}

/// Ends and clears attempts that no record knows of: the store was lost under them. Their work
/// is kept as that of any attempt; the task it was for starts anew. Takes away what is idle
/// where no worktrees are made any more, or is not known to be whole.
pub fn clear_orphans(world: &World, known: &BTreeSet<Aid>) {
    let mut names = world.repo.worktree_names(&world.worktrees).unwrap_or_else(|error| {
        tracing::warn!("worktrees left over from lost records could not be looked for: {error}");
        Vec::new()
    });
    let slots = world.slots.all().unwrap_or_else(|error| {
        tracing::warn!("the slots of worktrees could not be listed: {error}");
        Vec::new()
    });
    for name in names.extract_if(.., |name| number_of(name).is_some()).filter(|name| slots.iter().all(|s| s.name() != *name)) {
        if let Err(Ends::Trouble(why) | Ends::Refused(why) | Ends::Lasting(why)) = clear_lost(world, &name, known) {
            tracing::warn!("{} stands there, no record knows what for, and is left: {why}", world.worktrees.join(name).display());
        }
    }
    let owners = slots.iter().filter_map(|s| s.owner.clone());
    for aid in names.iter().filter_map(|name| Aid::parse(name).ok()).chain(owners).filter(|aid| !known.contains(aid)) {
        tracing::warn!(
            "attempt {aid} is not in the record: what runs of it is ended, its work kept below {}",
            Repo::attempt_ref(aid.as_str())
        );
        clean(world, &WorktreePolicy { reuse: false, ..WorktreePolicy::default() }, &aid);
    }
    for slot in slots.iter().filter(|s| s.owner.is_none() && (s.root != world.worktrees || s.furnished.is_none())) {
        if let Err(error) = throw_away(&world.repo, &world.slots, slot) {
            tracing::warn!("the idle worktree {} was left in {}: {error}", slot.name(), slot.root.display());
        }
    }
}

/// A worktree whose slot's records are gone. Which attempt it was of, if any, it says itself.
fn clear_lost(world: &World, name: &str, known: &BTreeSet<Aid>) -> Result<(), Ends> {
    let worktree = Worktree::new(&world.worktrees, name)?;
    match world.repo.worktree_mark(&worktree).and_then(|text| Aid::parse(&text).ok()) {
        Some(aid) if known.contains(&aid) => return Ok(()),
        Some(aid) => {
            process::sweep(aid.as_str());
            salvage::keep_lost(world, &aid, &worktree)?;
        }
        None => drop(world.repo.rescue(&worktree)?),
    }
    Ok(world.repo.remove_worktree(&worktree)?)
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

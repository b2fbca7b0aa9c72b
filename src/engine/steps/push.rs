//! The remote: what lands is on it before it is on the line, and what others pushed is merged
//! into the line like anything that lands.
//!
//! A push is accepted only if it adds to what the remote has. So the remote decides which of
//! several clones lands a task, and whoever is refused finds the record of the other before
//! anything of its own has landed. A remote that does not answer is no reason to wait: what
//! lands meanwhile is owed to it.

use std::sync::{MutexGuard, PoisonError};

use super::sync::{Other, Synced, merge_in};
use super::{Ends, line, refuse_changes};
use crate::base::Oid;
use crate::core::{Elsewhere, Input, Step};
use crate::engine::effects::World;
use crate::engine::machine::{Job, Work};
use crate::engine::recall;
use crate::git::{Fetched, Pushed, RemoteTrouble as Trouble, Repo};
use crate::model::{Policy, Strategy};

/// So often the remote is asked in a row before something lands without it.
const TRIES: usize = 3;

/// What came of bringing a commit to the remote.
enum Shared {
    Has,
    /// The remote had more, and the line has that too now: look again.
    Moved,
    Held(Trouble),
}

/// Whether the remote answered when it was last asked; held while it is talked to.
fn contact(world: &World) -> MutexGuard<'_, bool> {
    world.remote.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_shared(policy: &Policy) -> bool {
    !policy.merge.push.is_empty() && policy.merge.strategy != Strategy::Branch
}

/// For a run that begins: what others pushed is on the line before anything is claimed. A remote
/// that cannot be asked keeps nobody from working; it is said what is the matter.
pub fn meet(world: &World, job: &Job) -> (Option<Input>, Option<Input>) {
    if !is_shared(&job.policy) {
        return (None, None);
    }
    let mut well = contact(world);
    let held = catch_up(world, &job.policy).unwrap_or_else(|ends| Some(in_words(ends)));
    *well = held.is_none();
    (unread(world, job), held.map(told))
}

/// Brings the remote to the line, and what others pushed into the line.
pub fn push(world: &World, job: &Job) -> Vec<Input> {
    let mut well = contact(world);
    let outcome = bring(world, &job.policy, *well);
    *well = matches!(outcome, Ok(Ok(_)));
    let last = match outcome {
        Ok(Ok(tip)) => Input::Pushed { tip },
        Ok(Err(trouble)) => told(trouble),
        // Owed still: done again at the next start.
        Err(Ends::CutShort) => return moved(world, job),
        Err(Ends::Unaccepted(found)) => Input::GitChanges { found },
        Err(ends) => told(in_words(ends)),
    };
    moved(world, job).into_iter().chain([last]).collect()
}

/// Just before a landing: the remote takes it first. Where it has more than the line, the line
/// gets that, and so the landing is lost and made again on top of it.
pub fn before_landing(world: &World, job: &Job, work: &Work) -> Vec<Input> {
    let Step::Land { old, new, tree, .. } = &work.attempt.step else { return Vec::new() };
    if !is_shared(&job.policy) {
        return Vec::new();
    }
    let mut well = contact(world);
    if !*well || !can_land(world, old, new, tree).unwrap_or(false) {
        return Vec::new();
    }
    let mut held = Trouble { why: format!("`{}` refused it and had nothing new", job.policy.merge.push), lasting: false };
    for _ in 0..TRIES {
        match share(world, &job.policy, new) {
            Ok(Shared::Has) => return Vec::new(),
            Ok(Shared::Moved) if world.line_tip().is_ok_and(|tip| tip == *old) => {}
            Ok(Shared::Moved) | Err(Ends::CutShort) => return moved(world, job),
            // Nothing lands either.
            Err(Ends::Unaccepted(_)) => return Vec::new(),
            Ok(Shared::Held(trouble)) => held = trouble,
            Err(ends) => held = in_words(ends),
        }
        if held.lasting {
            break;
        }
    }
    // It lands here all the same, and is owed to the remote.
    *well = false;
    vec![told(held)]
}

/// Before an attempt in the lane is given up: what the remote took of it has landed, and is on the line
/// before it is looked there.
pub fn before_the_end(world: &World, job: &Job, work: &Work) -> Vec<Input> {
    if !is_shared(&job.policy) || !work.attempt.in_lane() {
        return Vec::new();
    }
    let mut well = contact(world);
    if !*well {
        return Vec::new();
    }
    match catch_up(world, &job.policy).unwrap_or_else(|ends| Some(in_words(ends))) {
        None => moved(world, job),
        Some(trouble) => {
            *well = false;
            vec![told(trouble)]
        }
    }
}

/// Whether the remote was last seen to have a commit.
pub fn has(world: &World, policy: &Policy, commit: &Oid) -> Result<bool, Ends> {
    let seen = || world.repo.tip(&Repo::remote_ref(&policy.merge.push, &world.target));
    match if is_shared(policy) { seen()? } else { None } {
        Some(tip) => Ok(world.repo.exists(commit)? && world.repo.is_ancestor(commit, &tip)?),
        None => Ok(false),
    }
}

/// Nothing is pushed that does not land next.
fn can_land(world: &World, old: &Oid, new: &Oid, tree: &Oid) -> Result<bool, Ends> {
    let repo = &world.repo;
    let stands = world.line_tip()? == *old && repo.exists(new)? && repo.tree_of(new)? == *tree && repo.stands_on(new, old)?;
    Ok(stands && world.lock.still_ours())
}

/// The task has landed since the attempt's base, by another clone.
pub fn by_others(world: &World, work: &Work, tip: &Oid) -> Result<Option<Elsewhere>, Ends> {
    let (base, own) = (&work.attempt.base, &work.attempt.aid);
    if base == tip {
        return Ok(None);
    }
    let found = landed_in(world, tip, std::slice::from_ref(base))?;
    Ok(found.into_iter().find(|f| f.task == work.spec.id && f.digest == work.spec.digest && f.aid != *own))
}

/// What landed in `tip` and stands there, and not in what was seen: of each task the newest.
fn landed_in(world: &World, tip: &Oid, seen: &[Oid]) -> Result<Vec<Elsewhere>, Ends> {
    Ok(recall::landed(world.repo.marks(std::slice::from_ref(tip), seen)?))
}

fn bring(world: &World, policy: &Policy, well: bool) -> Result<Result<Oid, Trouble>, Ends> {
    // A remote that somebody reset would take what was taken off it as something new.
    if !well && let Some(trouble) = catch_up(world, policy)? {
        return Ok(Err(trouble));
    }
    for _ in 0..TRIES {
        let tip = world.line_tip()?;
        match share(world, policy, &tip)? {
            Shared::Has => return Ok(Ok(tip)),
            Shared::Held(trouble) => return Ok(Err(trouble)),
            Shared::Moved => {}
        }
    }
    Ok(Err(Trouble { why: format!("`{}` is moved on `{}` faster than it can be pushed", world.target, policy.merge.push), lasting: false }))
}

fn share(world: &World, policy: &Policy, tip: &Oid) -> Result<Shared, Ends> {
    let merge = &policy.merge;
    if world.repo.tip(&Repo::remote_ref(&merge.push, &world.target))?.as_ref() == Some(tip) {
        return Ok(Shared::Has);
    }
    // How a remote is reached is read from the configuration.
    refuse_changes(world)?;
    match world.repo.push(&merge.push, &world.target, tip, merge.push_timeout)? {
        Pushed::Done => Ok(Shared::Has),
        Pushed::Failed(trouble) => Ok(Shared::Held(trouble)),
        Pushed::Rejected => Ok(catch_up(world, policy)?.map_or(Shared::Moved, Shared::Held)),
    }
}

/// Fetches, and brings what is new into the line. Says what is in the way.
fn catch_up(world: &World, policy: &Policy) -> Result<Option<Trouble>, Ends> {
    let (remote, target) = (&policy.merge.push, &world.target);
    let held = |why| Ok(Some(Trouble { why, lasting: true }));
    refuse_changes(world)?;
    let tip = match world.repo.fetch(remote, target, policy.merge.push_timeout)? {
        Fetched::Tip(tip) => tip,
        Fetched::Nothing => return Ok(None),
        Fetched::Failed(trouble) => return Ok(Some(trouble)),
        Fetched::Rewound { had } => {
            let kept = Repo::remote_ref(remote, target);
            return held(format!(
                "`{target}` of `{remote}` no longer contains {0}, which was there: to bring it back, `git push {remote} {0}:refs/heads/{target}`; to let it go, `git fetch {remote} +refs/heads/{target}:{kept}`",
                had.short()
            ));
        }
    };
    for _ in 0..TRIES {
        match pull(world, policy, &tip)? {
            Synced::Merged => return Ok(None),
            Synced::Held(why) => return held(why),
            Synced::Moved => {}
        }
    }
    Ok(Some(Trouble { why: format!("what landed moves faster than `{remote}` can be merged with it"), lasting: false }))
}

/// Makes the line contain a commit of the remote.
fn pull(world: &World, policy: &Policy, tip: &Oid) -> Result<Synced, Ends> {
    let line = world.line_tip()?;
    if world.repo.is_ancestor(tip, &line)? {
        return Ok(Synced::Merged);
    }
    if !world.repo.is_ancestor(&line, tip)? {
        return merge_in(world, policy, &line, tip, &Other::Remote(&policy.merge.push));
    }
    let mut known = world.known_line()?;
    if !world.repo.advance_line(&world.target, &line, tip)? {
        return Ok(Synced::Moved);
    }
    *known = Some(tip.clone());
    Ok(Synced::Merged)
}

/// What the record must hear of after the line may have moved.
fn moved(world: &World, job: &Job) -> Vec<Input> {
    let synced = line::look(world, job.line.as_ref()).ok();
    synced.into_iter().chain(unread(world, job)).collect()
}

/// The records of others in what the remote had when it was last seen, once the line has that.
/// Derived each time from what the state has read: a crash loses none.
fn unread(world: &World, job: &Job) -> Option<Input> {
    let look = || -> Result<Option<Input>, Ends> {
        let Some(tip) = world.repo.tip(&Repo::remote_ref(&job.policy.merge.push, &world.target))? else { return Ok(None) };
        if job.seen.as_ref() == Some(&tip) || !world.repo.is_ancestor(&tip, &world.line_tip()?)? {
            return Ok(None);
        }
        let seen: Vec<Oid> = job.seen.iter().filter(|s| world.repo.exists(s).unwrap_or(false)).cloned().collect();
        let found = landed_in(world, &tip, &seen)?;
        Ok(Some(Input::Found { tip, found }))
    };
    look().unwrap_or_else(|ends| {
        tracing::warn!("what others pushed could not be read: {}", in_words(ends).why);
        None
    })
}

fn told(trouble: Trouble) -> Input {
    Input::PushHeld { why: trouble.why, lasting: trouble.lasting }
}

fn in_words(ends: Ends) -> Trouble {
    let why = match ends {
        Ends::Trouble(why) | Ends::Refused(why) | Ends::Lasting(why) => why,
        Ends::Broken(failure) => failure.message,
        Ends::CutShort => "it was cut short".into(),
        Ends::Unaccepted(found) => format!("git was given commands to run: {}", found.join("; ")),
    };
    Trouble { why, lasting: false }
}

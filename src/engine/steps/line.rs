//! The line and the target: kept together, never forced.

use super::sync::{Other, Synced, merge_in};
use super::{Ends, push, refuse_changes};
use crate::base::{Aid, Oid, TaskId};
use crate::core::{Elsewhere, Input};
use crate::engine::effects::World;
use crate::engine::machine::Job;
use crate::engine::recall;
use crate::git::{GitError, LineState, Publish, Says};
use crate::model::{Policy, Strategy};

/// So often line and target are looked at in a row before what moves them is called trouble.
const TRIES: usize = 5;

/// Brings the line to a target that moved ahead, and puts one back that was deleted or moved by
/// anybody else; says where it stands, or in words why that is not known. `known` is where it
/// was last known to be.
pub fn look(world: &World, known: Option<&Oid>) -> Result<Input, String> {
    let was = known.cloned();
    let tip = match follow(world, known).map_err(|error| error.to_string())? {
        LineState::Tip(tip) => tip,
        // Work goes on from the line; publishing brings the two together.
        LineState::Diverged { line, .. } | LineState::Rewound { line, .. } => line,
        LineState::NoTarget => return Err(format!("the target branch `{}` is gone", world.target)),
    };
    if was.as_ref() == Some(&tip) {
        return Ok(Input::LineSynced { was, tip });
    }
    let (found, reverts) = news(world, known, &tip).map_err(|error| error.to_string())?;
    Ok(match found.is_empty() && reverts.is_empty() {
        true => Input::LineSynced { was, tip },
        false => Input::LineBrings { was, tip, found, reverts },
    })
}

type News = (Vec<Elsewhere>, Vec<(Aid, TaskId, Option<Oid>)>);

/// What the commits say that were brought to the line since it was looked at: by a pull in the
/// middle of a run, or in the moment between the reading of history and the run.
fn news(world: &World, known: Option<&Oid>, tip: &Oid) -> Result<News, GitError> {
    let repo = &world.repo;
    let read = || repo.kept_past(&world.target).map(|past| past.tips).unwrap_or_default();
    let mut seen = known.map_or_else(read, |known| vec![known.clone()]);
    seen.retain(|commit| repo.exists(commit).unwrap_or(false));
    // Who read nothing at the start has nothing that could be new.
    if seen.is_empty() || seen.contains(tip) {
        return Ok(News::default());
    }
    let marks = repo.marks(std::slice::from_ref(tip), &seen)?;
    let takes_back = marks.iter().any(|mark| matches!(mark.says, Says::Reverts { .. }));
    // What is reverted may have landed long before.
    let reverts = if takes_back { recall::reverts(&repo.past(&world.target, std::slice::from_ref(tip))?) } else { Vec::new() };
    Ok((recall::landed(marks), reverts))
}

fn follow(world: &World, known: Option<&Oid>) -> Result<LineState, GitError> {
    if let Some(tip) = known {
        world.repo.restore_line(&world.target, tip)?;
    }
    let mut line = world.known_line()?;
    let state = world.repo.sync_line(&world.target)?;
    if let LineState::Tip(tip) | LineState::Diverged { line: tip, .. } | LineState::Rewound { line: tip, .. } = &state {
        *line = Some(tip.clone());
    }
    Ok(state)
}

/// Looks whether an attempt under way, that of `task` if one is given, moved the target. To be asked
/// while its worktree is there.
pub fn notice(world: &World, task: Option<&TaskId>) {
    let who = task.map(|task| format!("task `{task}`"));
    if let Err(error) = world.repo.notice_taken(&world.target, who.as_deref()) {
        tracing::warn!("whether an attempt moved `{}` could not be looked at: {error}", world.target);
    }
}

fn stand(world: &World, known: Option<&Oid>) -> Input {
    look(world, known).unwrap_or_else(|why| Input::PublishHeld { why })
}

/// The same for a run that begins, which cannot go on without. What others pushed comes first, so
/// that nothing is begun that they have done.
pub fn sync(world: &World, job: &Job) -> Vec<Input> {
    if let held @ Input::PublishHeld { .. } = stand(world, job.line.as_ref()) {
        return vec![held];
    }
    let (found, held) = push::meet(world, job);
    found.into_iter().chain([stand(world, job.line.as_ref())]).chain(held).collect()
}

/// Brings the target to the line, if that touches nothing of a person's. Commits of people that
/// the line lacks are merged into it first. What the target lost comes back only if a person
/// wants that.
pub fn publish(world: &World, job: &Job) -> Vec<Input> {
    let (policy, known) = (&job.policy, job.line.as_ref());
    notice(world, None);
    if let Err(Ends::Unaccepted(found)) = refuse_changes(world) {
        return vec![stand(world, known), Input::GitChanges { found }];
    }
    let mut together = if job.restore { restored(world, policy, known) } else { Ok(None) };
    if matches!(together, Ok(None)) {
        together = brought_together(world, policy, known);
    }
    let mut inputs = vec![stand(world, known)];
    if matches!(inputs.last(), Some(Input::PublishHeld { .. })) {
        return inputs;
    }
    let together = together.and_then(|held| refuse_changes(world).map(|()| held));
    inputs.push(match together {
        Ok(None) => match published(world, policy) {
            Ok(Publish::Done(tip)) => Input::Published { tip },
            Ok(Publish::Held { why, passing: false, paths }) if !paths.is_empty() => Input::PublishWaits { why, paths },
            Ok(Publish::Held { why, passing: false, .. }) => Input::PublishHeld { why },
            Ok(Publish::Held { why, .. }) => Input::PublishBusy { why },
            Err(error) if error.is_trouble() => Input::PublishBusy { why: error.to_string() },
            Err(error) => Input::PublishHeld { why: error.to_string() },
        },
        Ok(Some(why)) => Input::PublishHeld { why },
        Err(Ends::Trouble(why)) => Input::PublishBusy { why },
        Err(Ends::Refused(why) | Ends::Lasting(why)) => Input::PublishHeld { why },
        Err(Ends::Broken(failure)) => Input::PublishHeld { why: failure.message },
        Err(Ends::Unaccepted(found)) => Input::GitChanges { found },
        // Owed still: done again at the next start.
        Err(Ends::CutShort) => return inputs,
    });
    inputs
}

fn published(world: &World, policy: &Policy) -> Result<Publish, GitError> {
    match policy.merge.strategy {
        Strategy::Branch => world.repo.publish_branches(&world.target),
        Strategy::Merge | Strategy::Squash | Strategy::Rebase => world.repo.publish(&world.target),
    }
}

/// Has what the target lost published again: the line gets all of it, and whatever the target has
/// instead, and then it counts as not yet published. Until that last stroke nothing has happened
/// that matters, and after it any publishing goes on. Otherwise says what a person has to do.
fn restored(world: &World, policy: &Policy, known: Option<&Oid>) -> Result<Option<String>, Ends> {
    for _ in 0..TRIES {
        let LineState::Rewound { target, published, .. } = follow(world, known)? else { return Ok(None) };
        let mut moved = false;
        for other in [&published, &target] {
            match contain(world, policy, other)? {
                Synced::Merged => {}
                Synced::Held(why) => return Ok(Some(why)),
                Synced::Moved => moved = true,
            }
        }
        refuse_changes(world)?;
        if !moved && world.repo.owe_lost(&world.target, &published, &target)? {
            return Ok(None);
        }
    }
    Err(GitError::trouble(format!("`{}` is moved faster than it can be restored", world.target)).into())
}

/// Makes the line contain a commit that was, or is, the target's.
fn contain(world: &World, policy: &Policy, other: &Oid) -> Result<Synced, Ends> {
    let line = world.line_tip()?;
    // A line that was lost with the target is made again here.
    let mut known = world.known_line()?;
    if world.repo.is_ancestor(other, &line)? {
        return Ok(Synced::Merged);
    }
    if !world.repo.is_ancestor(&line, other)? {
        drop(known);
        return merge_in(world, policy, &line, other, &Other::Target);
    }
    if !world.repo.advance_line(&world.target, &line, other)? {
        return Ok(Synced::Moved);
    }
    *known = Some(other.clone());
    Ok(Synced::Merged)
}

/// Makes the line contain the target. Otherwise says what a person has to do.
fn brought_together(world: &World, policy: &Policy, known: Option<&Oid>) -> Result<Option<String>, Ends> {
    for _ in 0..TRIES {
        let (line, target) = match follow(world, known)? {
            LineState::Diverged { line, target } => (line, target),
            // What to do about a target that is gone or was reset is said by `sync` and `publish`.
            LineState::Tip(_) | LineState::Rewound { .. } | LineState::NoTarget => return Ok(None),
        };
        match merge_in(world, policy, &line, &target, &Other::Target)? {
            Synced::Merged => return Ok(None),
            Synced::Held(why) => return Ok(Some(why)),
            Synced::Moved => {}
        }
    }
    Err(GitError::trouble(format!("`{}` is moved faster than it can be merged", world.target)).into())
}

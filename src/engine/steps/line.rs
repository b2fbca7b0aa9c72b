//! The line and the target: kept together, never forced.

use super::Ends;
use super::sync::{Synced, merge_target};
use crate::base::Oid;
use crate::core::Input;
use crate::engine::effects::World;
use crate::git::{GitError, LineState, Publish};
use crate::model::Policy;

/// Brings the line to a target that moved ahead, and puts one back that was deleted or moved by
/// anybody else; says where it stands, or in words why that is not known. `known` is where it
/// was last known to be.
pub fn look(world: &World, known: Option<&Oid>) -> Result<Input, String> {
    let was = known.cloned();
    match follow(world, known).map_err(|error| error.to_string())? {
        LineState::Tip(tip) => Ok(Input::LineSynced { was, tip }),
        // Work goes on from the line; publishing brings the two together.
        LineState::Diverged { line, .. } | LineState::Rewound { line, .. } => Ok(Input::LineSynced { was, tip: line }),
        LineState::NoTarget => Err(format!("the target branch `{}` is gone", world.target)),
    }
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

/// The same for a run that begins, which cannot go on without.
pub fn sync(world: &World, known: Option<&Oid>) -> Vec<Input> {
    vec![look(world, known).unwrap_or_else(|why| Input::PublishHeld { why })]
}

/// Brings the target to the line, if that touches nothing of a person's. Commits of people that
/// the line lacks are merged into it first.
pub fn publish(world: &World, policy: &Policy, known: Option<&Oid>) -> Vec<Input> {
    let together = brought_together(world, policy, known);
    let mut inputs = sync(world, known);
    if matches!(inputs.last(), Some(Input::PublishHeld { .. })) {
        return inputs;
    }
    inputs.push(match together {
        Ok(None) => match world.repo.publish(&world.target) {
            Ok(Publish::Done(tip)) => Input::Published { tip },
            Ok(Publish::Held { why, .. }) => Input::PublishHeld { why },
            Err(error) => Input::PublishHeld { why: error.to_string() },
        },
        Ok(Some(why)) | Err(Ends::Trouble(why)) => Input::PublishHeld { why },
        Err(Ends::Broken(failure)) => Input::PublishHeld { why: failure.message },
        // Owed still: done again at the next start.
        Err(Ends::CutShort) => return inputs,
    });
    inputs
}

/// Makes the line contain the target. Otherwise says what a person has to do.
fn brought_together(world: &World, policy: &Policy, known: Option<&Oid>) -> Result<Option<String>, Ends> {
    for _ in 0..5 {
        let (line, target) = match follow(world, known)? {
            LineState::Diverged { line, target } => (line, target),
            // What to do about a target that is gone or was reset is said by `sync` and `publish`.
            LineState::Tip(_) | LineState::Rewound { .. } | LineState::NoTarget => return Ok(None),
        };
        match merge_target(world, policy, &line, &target)? {
            Synced::Merged => return Ok(None),
            Synced::Held(why) => return Ok(Some(why)),
            Synced::Moved => {}
        }
    }
    Err(GitError::trouble(format!("`{}` is moved faster than it can be merged", world.target)).into())
}

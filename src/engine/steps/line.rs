//! The line and the target: kept together, never forced.

use crate::base::Oid;
use crate::core::Input;
use crate::engine::effects::World;
use crate::git::{GitError, LineState, Publish};

/// Brings the line to a target that moved ahead, and puts one back that was deleted; says where
/// it stands, or in words why that is not known. `known` is where it was last known to be.
pub fn look(world: &World, known: Option<&Oid>) -> Result<Input, String> {
    let was = known.cloned();
    match follow(world, known).map_err(|error| error.to_string())? {
        LineState::Tip(tip) => Ok(Input::LineSynced { was, tip }),
        // Work goes on from the line; publishing says what a person has to do.
        LineState::Diverged { line, .. } | LineState::Rewound { line, .. } => Ok(Input::LineSynced { was, tip: line }),
        LineState::NoTarget => Err(format!("the target branch `{}` is gone", world.target)),
    }
}

fn follow(world: &World, known: Option<&Oid>) -> Result<LineState, GitError> {
    if let Some(tip) = known {
        world.repo.restore_line(&world.target, tip)?;
    }
    world.repo.sync_line(&world.target)
}

/// The same for a run that begins, which cannot go on without.
pub fn sync(world: &World, known: Option<&Oid>) -> Vec<Input> {
    vec![look(world, known).unwrap_or_else(|why| Input::PublishHeld { why })]
}

/// Brings the target to the line, if that touches nothing of a person's.
pub fn publish(world: &World, known: Option<&Oid>) -> Vec<Input> {
    let mut inputs = sync(world, known);
    if matches!(inputs.last(), Some(Input::PublishHeld { .. })) {
        return inputs;
    }
    inputs.push(match world.repo.publish(&world.target) {
        Ok(Publish::Done(tip)) => Input::Published { tip },
        Ok(Publish::Held { why, .. }) => Input::PublishHeld { why },
        Err(error) => Input::PublishHeld { why: error.to_string() },
    });
    inputs
}

//! The line and the target: kept together, never forced.

use crate::base::Oid;
use crate::core::Input;
use crate::engine::effects::World;
use crate::git::{GitError, LineState, Publish};

/// Brings the line to a target that moved ahead, and puts one back that was deleted; says where
/// it stands. `known` is where it was last known to be.
pub fn follow(world: &World, known: Option<&Oid>) -> Result<LineState, GitError> {
    if let Some(tip) = known {
        world.repo.restore_line(&world.target, tip)?;
    }
    world.repo.sync_line(&world.target)
}

pub fn sync(world: &World, known: Option<&Oid>) -> Vec<Input> {
    let was = known.cloned();
    match follow(world, known) {
        Ok(LineState::Tip(tip)) => vec![Input::LineSynced { was, tip }],
        // Work goes on from the line; publishing says what a person has to do.
        Ok(LineState::Diverged { line, .. } | LineState::Rewound { line, .. }) => vec![Input::LineSynced { was, tip: line }],
        Ok(LineState::NoTarget) => vec![Input::PublishHeld { why: format!("the target branch `{}` is gone", world.target) }],
        Err(error) => vec![Input::PublishHeld { why: error.to_string() }],
    }
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

//! The line and the target: kept together, never forced.

use crate::core::Input;
use crate::engine::effects::World;
use crate::git::{LineState, Publish};

/// Brings the line to a target that moved ahead; says where the line stands.
pub fn sync(world: &World) -> Vec<Input> {
    let mut known = match world.known_line() {
        Ok(known) => known,
        Err(error) => return vec![Input::PublishHeld { why: error.to_string() }],
    };
    let state = world.repo.sync_line(&world.target);
    if let Ok(LineState::Tip(tip) | LineState::Diverged { line: tip, .. } | LineState::Rewound { line: tip, .. }) = &state {
        *known = Some(tip.clone());
    }
    match state {
        Ok(LineState::Tip(tip)) => vec![Input::LineSynced { tip }],
        // Work goes on from the line; publishing says what a person has to do.
        Ok(LineState::Diverged { line, .. } | LineState::Rewound { line, .. }) => vec![Input::LineSynced { tip: line }],
        Ok(LineState::NoTarget) => vec![Input::PublishHeld { why: format!("the target branch `{}` is gone", world.target) }],
        Err(error) => vec![Input::PublishHeld { why: error.to_string() }],
    }
}

/// Brings the target to the line, if that touches nothing of a person's.
pub fn publish(world: &World) -> Vec<Input> {
    let mut inputs = sync(world);
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

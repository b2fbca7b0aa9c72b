//! The line and the target: kept together, never forced.

use super::Ends;
use super::sync::{Synced, merge_target};
use crate::core::Input;
use crate::engine::effects::World;
use crate::git::{GitError, LineState, Publish};
use crate::model::Policy;

/// Brings the line to a target that moved ahead; says where the line stands.
pub fn sync(world: &World) -> Vec<Input> {
    let input = match world.repo.sync_line(&world.target) {
        Ok(LineState::Tip(tip)) => Input::LineSynced { tip },
        // Work goes on from the line; publishing brings the two together.
        Ok(LineState::Diverged { line, .. } | LineState::Rewound { line, .. }) => Input::LineSynced { tip: line },
        Ok(LineState::NoTarget) => Input::PublishHeld { why: format!("the target branch `{}` is gone", world.target) },
        Err(error) => Input::PublishHeld { why: error.to_string() },
    };
    vec![input]
}

/// Brings the target to the line, if that touches nothing of a person's. Commits of people that
/// the line lacks are merged into it first.
pub fn publish(world: &World, policy: &Policy) -> Vec<Input> {
    match brought_together(world, policy) {
        Ok(None) => {}
        Ok(Some(why)) => return held(world, why),
        // Owed still: done again at the next start.
        Err(Ends::CutShort) => return Vec::new(),
        Err(Ends::Trouble(why)) => return held(world, why),
        Err(Ends::Broken(failure)) => return held(world, failure.message),
    }
    let mut inputs = sync(world);
    inputs.push(match world.repo.publish(&world.target) {
        Ok(Publish::Done(tip)) => Input::Published { tip },
        Ok(Publish::Held { why, .. }) => Input::PublishHeld { why },
        Err(error) => Input::PublishHeld { why: error.to_string() },
    });
    inputs
}

/// Where the line stands, and why it is not published.
fn held(world: &World, why: String) -> Vec<Input> {
    let mut inputs = sync(world);
    inputs.push(Input::PublishHeld { why });
    inputs
}

/// Makes the line contain the target. Otherwise says what a person has to do.
fn brought_together(world: &World, policy: &Policy) -> Result<Option<String>, Ends> {
    for _ in 0..5 {
        let (line, target) = match world.repo.sync_line(&world.target)? {
            LineState::Diverged { line, target } => (line, target),
            LineState::NoTarget => return Ok(Some(format!("the target branch `{}` is gone", world.target))),
            // What to do about a reset target is said by `publish`.
            LineState::Tip(_) | LineState::Rewound { .. } => return Ok(None),
        };
        match merge_target(world, policy, &line, &target)? {
            Synced::Merged => return Ok(None),
            Synced::Held(why) => return Ok(Some(why)),
            Synced::Moved => {}
        }
    }
    Err(GitError::trouble(format!("`{}` is moved faster than it can be merged", world.target)).into())
}

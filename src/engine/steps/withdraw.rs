//! The end of an attempt that a person does not want to go on.

use std::fs;
use std::path::Path;

use super::{Ends, StepResult, land};
use crate::core::Answer;
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::model::Policy;
use crate::process;

/// Nothing else of the attempt is under way in this process. What an earlier one began is ended, and
/// it is looked whether the line or the remote has the work already.
pub fn withdraw(world: &World, policy: &Policy, work: &Work) -> StepResult {
    end(&world.attempt_dir(&work.attempt.aid))?;
    match land::landed_before(world, policy, work) {
        // What the remote has and cannot land here now is taken up when the two are brought together.
        Ok(None | Some(Answer::LostRace)) | Err(Ends::Unaccepted(_)) => Ok(Answer::Withdrawn),
        Ok(Some(landed)) => Ok(landed),
        Err(ends) => Err(ends),
    }
}

/// Ends every command of an attempt that runs under a shim.
fn end(attempt: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(attempt).into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            process::end(&entry.path())?;
        }
    }
    Ok(())
}

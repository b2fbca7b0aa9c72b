//! Attempts that a lost record knew of: what runs of them is ended. Their work is kept, and their
//! worktrees go, when the next run begins.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::Aid;
use crate::process::{self, Probe};

/// Has what still runs of an attempt ended; does not wait.
pub fn interrupt(state_dir: &Path, aid: &Aid) {
    for step in names(&state_dir.join("attempts").join(aid.as_str())) {
        if matches!(process::probe(&step), Ok(Probe::Running { .. }))
            && let Err(error) = process::interrupt(&step)
        {
            tracing::warn!("what runs in {} could not be told to end: {error}", step.display());
        }
    }
}

/// The directories in one: of attempts, or of the steps of one, beside which files stand.
fn names(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

/// Has what still runs of these attempts ended, all of them at once, and waits until it has.
pub fn end(state_dir: &Path, attempts: &[&Aid]) {
    attempts.iter().for_each(|aid| interrupt(state_dir, aid));
    for step in attempts.iter().flat_map(|aid| names(&state_dir.join("attempts").join(aid.as_str()))) {
        if let Err(error) = process::end(&step) {
            tracing::warn!("what runs in {} could not be ended: {error}", step.display());
        }
    }
}

/// Ends what runs of any attempt, and says of which.
pub fn end_all(state_dir: &Path) -> Vec<Aid> {
    let mut ended = Vec::new();
    for dir in names(&state_dir.join("attempts")) {
        let Some(aid) = dir.file_name().and_then(|n| Aid::parse(n.to_str()?).ok()) else { continue };
        if names(&dir).iter().any(|step| matches!(process::probe(step), Ok(Probe::Running { .. } | Probe::Lost))) {
            process::sweep(aid.as_str());
            ended.push(aid);
        }
    }
    ended
}

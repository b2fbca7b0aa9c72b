//! Keeping the work of an attempt of which nothing is known any more: somebody deleted the state
//! directory under it.

use super::Ends;
use crate::base::{Aid, Millis};
use crate::engine::effects::World;
use crate::git::{self, Repo, Worktree};

/// Keeps the files of a worktree as they are, on top of what its HEAD names. It cannot be told
/// whether they were kept already.
pub fn keep_lost(world: &World, aid: &Aid, worktree: &Worktree) -> Result<(), Ends> {
    let keep = format!("{}-lost", Repo::attempt_ref(aid.as_str()));
    if world.repo.tip(&keep)?.is_some() {
        return Ok(());
    }
    let head = world.repo.worktree_head(worktree)?;
    let head = head.ok_or_else(|| Ends::Trouble("neither a record nor its HEAD says what it started from".into()))?;
    let message = git::message("Work of an attempt whose record was lost", "", "");
    world.repo.snapshot(worktree, &head, &head, &message, Millis(0), &keep)?;
    Ok(())
}

//! What others can see of what landed: on the target, and on the remote.

use crate::core::State;
use crate::git::Repo;
use crate::model::Strategy;

/// Whether the target holds all that has landed, or branches show it.
pub fn is_published(repo: &Repo, target: &str, strategy: Strategy) -> bool {
    if strategy == Strategy::Branch {
        return repo.branches_stand(target).unwrap_or(false);
    }
    let tips = (repo.tip(&Repo::line_ref(target)), repo.branch_tip(target));
    matches!(tips, (Ok(Some(line)), Ok(Some(target))) if line == target)
}

/// Whether the remote, as far as is known, holds it too.
pub fn is_pushed(repo: &Repo, target: &str, state: &State) -> bool {
    let remote = Repo::remote_ref(&state.policy.merge.push, target);
    !state.pushes() || matches!((repo.tip(&remote), repo.branch_tip(target)), (Ok(Some(remote)), Ok(Some(target))) if remote == target)
}

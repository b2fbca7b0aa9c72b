//! The repository's commit hooks, for projects that ask for them: `git commit` in the worktree,
//! under a shim like every command that is a user's.

use std::fs;

use super::agent::with_output;
use super::{Ends, refuse_changes, scope, verify};
use crate::base::Oid;
use crate::core::{Failure, FailureClass};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::git::{self, Own, Repo, Snapshot};
use crate::model::Policy;
use crate::process::{self, Ended, Launch, Probe};

const IDENTITY: &[&str] = &[
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// What hooks are given, and what they may have changed.
pub struct Text {
    pub tree: Oid,
    pub message: String,
}

/// Runs the hooks on a commit of the verified files. A hook may change the files: the task's checks
/// are run on every tree that lands, so also on what it made of them.
pub fn run(world: &World, policy: &Policy, work: &Work, parent: &Oid, given: Text, trailers: &str) -> Result<Text, Ends> {
    let attempt = &work.attempt;
    refuse_changes(world)?;
    let (worktree, records) = (world.worktree(&attempt.aid)?, world.attempt_dir(&attempt.aid));
    let dir = verify::usable_dir(&records.join("hooks"));
    let file = records.join("message");
    if matches!(process::probe(&dir)?, Probe::Fresh) {
        verify::set_files(world, work, &given.tree)?;
        fs::write(&file, &given.message)?;
        world.repo.stage_for_hooks(&worktree, parent, &given.tree)?;
    }
    let (argv, additions) = world.repo.commit_command(&file, attempt.started)?;
    let timeout = work.spec.steps.last().ok_or_else(|| Ends::stale("hooks"))?.timeout;
    let cwd = worktree.path();
    let mut env = verify::environment(world, work, &cwd.to_string_lossy(), &additions);
    // Who commits, and by which configuration, is the same as for Drover's own calls.
    env.extend(world.inherited.iter().filter(|(key, _)| IDENTITY.contains(&key.as_str())).cloned());
    env.extend(additions);
    let (aid, grace, logs) = (attempt.aid.to_string(), policy.shutdown_grace, super::logs::kept(policy, &env));
    let launch = Launch { aid, argv, env, cwd, stdin: None, timeout, stall_timeout: None, grace, logs, tethered: world.tethered };
    let ended = verify::wait(world, &dir, &launch)?;
    process::sweep(attempt.aid.as_str());
    // Whatever becomes of it: it must not be taken for what the next attempt in this place made.
    if let Some(made) = world.repo.worktree_head(&worktree)?.filter(|head| head != parent) {
        world.repo.keep(&format!("{}-hooks-{}", Repo::attempt_ref(attempt.aid.as_str()), &made.as_str()[..12]), &made)?;
    }
    if ended != (Ended::Exited { code: 0 }) {
        let message = format!("the repository's commit hooks did not let it pass: {}", verify::words(&ended, timeout));
        return Err(Ends::Broken(with_output(FailureClass::Hook, message, &dir)));
    }
    let refused = |what: &str| Ends::Broken(with_output(FailureClass::Hook, format!("after the repository's commit hooks, {what}"), &dir));
    let (tree, message) = world.repo.committed(&worktree, parent)?.ok_or_else(|| refused("HEAD is no commit of the work"))?;
    if !git::keeps_record(&message, trailers) {
        return Err(refused("the message no longer has the record of the task as it was"));
    }
    if tree != given.tree {
        judge(world, work, &tree)?;
    }
    Ok(Text { tree, message })
}

/// What is asked of the files that an agent left is asked of what a hook made of them.
fn judge(world: &World, work: &Work, tree: &Oid) -> Result<(), Ends> {
    let base = &work.attempt.base;
    if world.repo.tree_of(base)? == *tree && !work.spec.allow_empty {
        let message = "after the repository's commit hooks, nothing is changed";
        return Err(Ends::Broken(Failure::new(FailureClass::Hook, message)));
    }
    let changed = Snapshot {
        tree: tree.clone(),
        commit: base.clone(),
        unchanged: false,
        paths_changed: Vec::new(),
        more_paths: true,
        nested: Vec::new(),
        submodules: Vec::new(),
        tampered: None,
        own: Own::default(),
    };
    scope::violation(world, work, &changed)?.map_or(Ok(()), |failure| Err(Ends::Broken(failure)))
}

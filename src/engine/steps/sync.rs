//! Commits that people made on the target beside what landed: merged into the line, and proved
//! there like anything that lands.
//!
//! Nothing of it is recorded: a crash in the middle means that it is done again. Only the swap of
//! the line counts, and that happens once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::prepare::{clean, furnish};
use super::{Ends, verify};
use crate::base::{Aid, Digest, Millis, Oid, RunId, TaskId};
use crate::core::{Answer, Attempt, Step};
use crate::engine::driver::now;
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::git::{self, Merge, Repo};
use crate::model::{Action, OnChange, OnDependency, Policy, Retry, Source, Spec, StepSpec, Workspace};

/// What came of a merge of the target into the line.
pub enum Synced {
    /// The line has it.
    Merged,
    /// The line moved meanwhile: look again.
    Moved,
    /// A person has to do something, and what.
    Held(String),
}

/// Merges `target`'s commits into the line at `line`, proves `[merge] verify` on the tree, and
/// moves the line.
pub fn merge_target(world: &World, policy: &Policy, line: &Oid, target: &Oid) -> Result<Synced, Ends> {
    let (branch, line_ref) = (&world.target, Repo::line_ref(&world.target));
    let tree = match world.repo.merge(line, target)? {
        Merge::Clean { tree } => tree,
        Merge::Conflict { paths } => {
            return Ok(Synced::Held(format!(
                "`{branch}` and what landed have both changed {}: run `git merge {line_ref}` on it, and resolve that",
                paths.join(", ")
            )));
        }
    };
    let message = git::message(&format!("Merge {branch} into what landed"), "", "");
    let new = world.repo.commit_signed(&tree, &[line.clone(), target.clone()], &message, now())?;
    let aid = Aid::parse(&format!("sync-{}-{}", line.short(), target.short())).map_err(|e| Ends::Trouble(e.to_string()))?;
    world.repo.move_ref(&format!("{}-land", Repo::attempt_ref(aid.as_str())), &new)?;
    if let Some(why) = unproved(world, policy, &aid, &new, &tree)? {
        return Ok(Synced::Held(format!("with the new commits of `{branch}` merged in, {why}: mend it on `{branch}`")));
    }
    if !world.lock.still_ours() {
        return Err(Ends::Trouble("the state directory was replaced".into()));
    }
    let mut known = world.known_line()?;
    if !world.repo.land(branch, line, &new)? {
        return Ok(Synced::Moved);
    }
    *known = Some(new);
    Ok(Synced::Merged)
}

/// What fails on the merged tree, if anything does.
fn unproved(world: &World, policy: &Policy, aid: &Aid, new: &Oid, tree: &Oid) -> Result<Option<String>, Ends> {
    if policy.merge.verify.is_empty() {
        return Ok(None);
    }
    let work = work(policy, aid, new);
    furnish(world, policy, &work)?;
    let mut failed = None;
    for check in &policy.merge.verify {
        if let Answer::CheckFailed { failure, .. } = verify::check(world, policy, &work, tree, &check.key())? {
            failed = Some(failure.message);
            break;
        }
    }
    clean(world, aid);
    Ok(failed)
}

/// Checks are run as for a task that has nothing of its own.
fn work(policy: &Policy, aid: &Aid, base: &Oid) -> Work {
    let id = TaskId::parse("sync").expect("a plain id");
    let step = StepSpec {
        id: id.clone(),
        title: String::new(),
        action: Action::Shell(String::new()),
        verify: Vec::new(),
        timeout: Default::default(),
        stall_timeout: Default::default(),
    };
    let spec = Spec {
        id,
        title: "Merge the target".into(),
        epic: None,
        digest: Digest::v1(b""),
        depends_on: Vec::new(),
        priority: 0,
        labels: Vec::new(),
        groups: Vec::new(),
        steps: vec![step],
        verify: Vec::new(),
        retry: Retry::default(),
        on_change: OnChange::Keep,
        on_dependency: OnDependency::Keep,
        allow_empty: true,
        protect: Vec::new(),
        workspace: Workspace::Worktree,
        env: policy.env.clone(),
        env_pass: policy.env_pass.clone(),
        source: Source::default(),
    };
    let attempt = Attempt {
        aid: aid.clone(),
        no: 1,
        run: RunId::parse("sync").expect("a plain id"),
        base: base.clone(),
        restore: None,
        started: Millis(0),
        step: Step::Prepare,
        snaps: Vec::new(),
        summary: String::new(),
        proofs: BTreeSet::new(),
        delay: None,
        landings: 0,
    };
    Work { spec: Arc::new(spec), attempt, landed: BTreeMap::new(), previous: None }
}

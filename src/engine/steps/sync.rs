//! Commits that people made on the target beside what landed: merged into the line, and proved
//! there like anything that lands.
//!
//! Nothing of it is recorded: a crash in the middle means that it is done again. Only the swap of
//! the line counts, and that happens once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::prepare::furnish;
use super::slot::clean;
use super::{Ends, refuse_changes, verify};
use crate::base::text::some_of;
use crate::base::{Aid, Millis, Oid, RunId, TaskId};
use crate::core::{Answer, Attempt, Step};
use crate::engine::driver::now;
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::git::{self, Merge, Repo};
use crate::model::{Action, Check, OnChange, Policy, Spec, StepSpec};

/// What came of a merge of the target into the line.
pub enum Synced {
    /// The line has it.
    Merged,
    /// The line moved meanwhile: look again.
    Moved,
    /// A person has to do something, and what.
    Held(String),
}

/// Where commits come from that the line lacks.
pub enum Other<'a> {
    Target,
    Remote(&'a str),
}

impl Other<'_> {
    fn name(&self, branch: &str) -> String {
        match self {
            Other::Target => format!("`{branch}`"),
            Other::Remote(remote) => format!("`{branch}` of `{remote}`"),
        }
    }
    /// What a person merges, on the target, to resolve a conflict.
    fn to_merge(&self, branch: &str) -> String {
        match self {
            Other::Target => Repo::line_ref(branch),
            Other::Remote(remote) => Repo::remote_ref(remote, branch),
        }
    }
}

/// Merges `target`'s commits, or a remote's, into the line at `line`, proves `[merge] verify` on
/// the tree, and moves the line.
pub fn merge_in(world: &World, policy: &Policy, line: &Oid, target: &Oid, other: &Other<'_>) -> Result<Synced, Ends> {
    let branch = &world.target;
    let name = other.name(branch);
    let tree = match world.repo.merge(line, target)? {
        Merge::Clean { tree } => tree,
        Merge::Conflict { paths } => {
            return Ok(Synced::Held(format!(
                "{name} and what landed have both changed {}: run `git merge {}` on `{branch}`, and resolve that",
                some_of(&paths),
                other.to_merge(branch)
            )));
        }
    };
    let message = git::message(&format!("Merge {} into what landed", name.replace('`', "")), "", "");
    let new = world.repo.commit_signed(&tree, &[line.clone(), target.clone()], &message, now())?;
    let aid = Aid::parse(&format!("sync-{}-{}", line.short(), target.short())).map_err(|e| Ends::Trouble(e.to_string()))?;
    world.repo.move_ref(&format!("{}-land", Repo::attempt_ref(aid.as_str())), &new)?;
    if let Some(why) = unproved(world, policy, &aid, line, &new, &tree)? {
        return Ok(Synced::Held(format!("with the new commits of {name} merged in, {why}: mend it on `{branch}`")));
    }
    if !world.lock.still_ours() {
        return Err(Ends::Trouble("the state directory was replaced".into()));
    }
    refuse_changes(world)?;
    let mut known = world.known_line()?;
    if !world.repo.land(branch, line, &new)? {
        return Ok(Synced::Moved);
    }
    *known = Some(new);
    Ok(Synced::Merged)
}

/// What fails on the merged tree, if anything does.
fn unproved(world: &World, policy: &Policy, aid: &Aid, line: &Oid, new: &Oid, tree: &Oid) -> Result<Option<String>, Ends> {
    if policy.merge.verify.is_empty() {
        return Ok(None);
    }
    let work = work(policy, aid, new);
    furnish(world, policy, &work)?;
    let mut failed = None;
    for check in &policy.merge.verify {
        failed = failure(world, policy, &work, line, tree, check)?;
        if failed.is_some() {
            break;
        }
    }
    clean(world, &policy.worktree, aid);
    Ok(failed)
}

/// As the core judges the checks of an attempt: see `core::gate`. What the line fails already is
/// no reason to hold the target's commits.
fn failure(world: &World, policy: &Policy, work: &Work, line: &Oid, tree: &Oid, check: &Check) -> Result<Option<String>, Ends> {
    let key = check.key();
    let mut message = None;
    for nth in 0..if policy.merge.baseline { 2 } else { 1 } {
        let Answer::CheckFailed { failure, .. } = verify::check(world, policy, work, tree, &key, nth)? else { return Ok(None) };
        message = Some(failure.message);
    }
    if policy.merge.baseline
        && let Answer::Compared { green: false, .. } = verify::compare(world, policy, work, line, &key)?
    {
        tracing::warn!("`{}` fails on what landed already, and is passed over", check.label());
        return Ok(None);
    }
    Ok(message)
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
        title: "Merge the target".into(),
        steps: vec![step],
        on_change: OnChange::Keep,
        allow_empty: true,
        env: policy.env.clone(),
        env_pass: policy.env_pass.clone(),
        ..Spec::new(id)
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
        reds: Vec::new(),
        excused: Vec::new(),
        blemishes: Default::default(),
        delay: None,
        landings: 0,
        conversation: None,
        hints: Vec::new(),
        usage: Default::default(),
        ending: None,
        stand_ins: BTreeMap::new(),
    };
    Work {
        spec: Arc::new(spec),
        attempt,
        landed: BTreeMap::new(),
        budget: Default::default(),
        renewed: Vec::new(),
        done_in: None,
        previous: None,
        conflict: None,
        left: None,
    }
}

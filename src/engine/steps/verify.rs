//! Checks and setup: a shell line in the attempt's worktree, on exactly the tree it is to prove.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::agent::{Place, with_output};
use super::{Ends, StepResult, land};
use crate::agent;
use crate::base::{Oid, format_duration};
use crate::core::{Answer, FailureClass};
use crate::engine::effects::World;
use crate::engine::machine::Work;
use crate::model::{Check, Policy, Workspace};
use crate::process::{self, Completion, Ended, Launch, Probe};

/// Proves one check on one tree. The files are made exactly that tree first: what an earlier
/// check or the agent's daemons wrote is not in it. A check that failed may be run once more.
pub fn check(world: &World, policy: &Policy, work: &Work, tree: &Oid, key: &str, nth: u32) -> StepResult {
    if let Some(landed) = land::landed_before(world, policy, work)? {
        return Ok(landed);
    }
    land::refuse_gone(world, work, None)?;
    let check = find(policy, work, key)?;
    let again = if nth == 0 { String::new() } else { format!("-again-{nth}") };
    let (ended, dir) = prove(world, policy, work, &format!("check-{}-{key}{again}", tree.short()), check, tree)?;
    let (tree, key) = (tree.clone(), key.to_owned());
    if ended == (Ended::Exited { code: 0 }) {
        return Ok(Answer::CheckPassed { tree, check: key, nth });
    }
    let failure = with_output(FailureClass::Verify, format!("verify `{}` {}", check.label(), words(&ended, check.timeout)), &dir);
    Ok(Answer::CheckFailed { tree, check: key, nth, failure })
}

/// What a check comes to on a commit that the attempt's work is compared with, in its worktree.
pub fn compare(world: &World, policy: &Policy, work: &Work, commit: &Oid, key: &str) -> StepResult {
    if let Some(landed) = land::landed_before(world, policy, work)? {
        return Ok(landed);
    }
    let check = find(policy, work, key)?;
    let tree = world.repo.tree_of(commit)?;
    let (ended, _) = prove(world, policy, work, &format!("baseline-{}-{key}", commit.short()), check, &tree)?;
    if let Ended::NotStarted { why } = ended {
        return Err(Ends::Trouble(format!("verify `{}` could not be started on {}: {why}", check.label(), commit.short())));
    }
    Ok(Answer::Compared { commit: commit.clone(), check: key.to_owned(), green: ended == (Ended::Exited { code: 0 }) })
}

fn find<'a>(policy: &'a Policy, work: &'a Work, key: &str) -> Result<&'a Check, Ends> {
    let mut checks = work.spec.steps.iter().flat_map(|s| &s.verify).chain(&work.spec.verify).chain(&policy.merge.verify);
    checks.find(|c| c.key() == key).ok_or_else(|| Ends::stale("verify"))
}

/// Runs a check on exactly the files of `tree`, and says where its records are.
fn prove(world: &World, policy: &Policy, work: &Work, name: &str, check: &Check, tree: &Oid) -> Result<(Ended, PathBuf), Ends> {
    let dir = usable_dir(&world.attempt_dir(&work.attempt.aid).join(name));
    if work.spec.workspace == Workspace::Worktree && matches!(process::probe(&dir)?, Probe::Fresh) {
        set_files(world, work, tree)?;
    }
    Ok((run(world, policy, work, &dir, check)?, dir))
}

/// Makes the files of the attempt's worktree exactly those of `tree`.
pub fn set_files(world: &World, work: &Work, tree: &Oid) -> Result<(), Ends> {
    let worktree = world.worktree(&work.attempt.aid)?;
    if !worktree.path().is_dir() {
        return Err(Ends::Broken(super::prepare::gone(&worktree)));
    }
    Ok(world.repo.set_files(&worktree, tree)?)
}

/// One setup command of a new worktree.
pub fn setup(world: &World, policy: &Policy, work: &Work, dir: &Path, command: &Check) -> Result<(), Ends> {
    match run(world, policy, work, dir, command)? {
        Ended::Exited { code: 0 } => Ok(()),
        ended => {
            let message = format!("setup `{}` {}", command.label(), words(&ended, command.timeout));
            Err(Ends::Broken(with_output(FailureClass::Setup, message, dir)))
        }
    }
}

/// The first of `dir`, `dir.1`, … that was not cut short: a record that says nothing about the
/// check is never used again.
pub fn usable_dir(dir: &Path) -> PathBuf {
    let cut_short = |dir: &Path| match process::probe(dir) {
        Ok(Probe::Lost) => true,
        Ok(Probe::Finished(record)) => record.ended == Ended::Interrupted,
        // What cannot be read is told by the run that comes next.
        Ok(Probe::Fresh | Probe::Running { .. }) | Err(_) => false,
    };
    let numbered = (1..).map(|n| dir.with_extension(n.to_string()));
    std::iter::once(dir.to_owned()).chain(numbered).find(|d| !cut_short(d)).unwrap_or_else(|| dir.to_owned())
}

fn run(world: &World, policy: &Policy, work: &Work, dir: &Path, check: &Check) -> Result<Ended, Ends> {
    let cwd = match work.spec.workspace {
        Workspace::Worktree => world.worktree(&work.attempt.aid)?.path(),
        Workspace::Checkout => world.repo.root().to_owned(),
    };
    let worktree = cwd.to_string_lossy().into_owned();
    let step = work.spec.steps.last().ok_or_else(|| Ends::stale("verify"))?;
    let place = Place { worktree: &worktree, port: world.port(&work.attempt.aid), resumes: false };
    let argv = agent::shell(&check.run, &super::agent::context(policy, work, step, &place)).argv;
    let env = environment(world, work, &worktree, &BTreeMap::new());
    let launch = Launch {
        aid: work.attempt.aid.to_string(),
        argv,
        logs: super::logs::kept(policy, &env),
        env,
        cwd,
        stdin: None,
        timeout: check.timeout,
        stall_timeout: None,
        grace: policy.shutdown_grace,
        tethered: world.tethered,
    };
    wait(world, dir, &launch)
}

/// Runs a command, or takes up one that runs, to its end.
pub fn wait(world: &World, dir: &Path, launch: &Launch) -> Result<Ended, Ends> {
    match world.running.run(dir, launch) {
        None => Err(Ends::CutShort),
        Some(Ok(Completion::Lost)) => Err(Ends::Trouble("the shim of a check was killed".into())),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(Completion::Finished(record))) if record.ended == Ended::Interrupted => Err(Ends::CutShort),
        Some(Ok(Completion::Finished(record))) => Ok(record.ended),
    }
}

/// What every command of a task sees: the allow-list, the task's own variables, and names for
/// what it is part of.
pub fn environment(world: &World, work: &Work, worktree: &str, additions: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut env = agent::environment(&work.spec, additions, world.inherited.iter().cloned());
    let own = [
        ("DROVER_TASK", work.spec.id.to_string()),
        ("DROVER_EPIC", work.spec.epic.as_ref().map(|e| e.to_string()).unwrap_or_default()),
        ("DROVER_RUN", work.attempt.run.to_string()),
        ("DROVER_ATTEMPT_NUMBER", work.attempt.no.to_string()),
        ("DROVER_BASE", work.attempt.base.to_string()),
        ("DROVER_WORKTREE", worktree.to_owned()),
    ];
    env.extend(own.map(|(k, v)| (k.to_owned(), v)));
    env.extend(world.port(&work.attempt.aid).map(|port| ("DROVER_PORT".to_owned(), port.to_string())));
    env
}

pub fn words(ended: &Ended, timeout: Duration) -> String {
    match ended {
        Ended::Exited { code } => format!("exit {code}"),
        Ended::Signaled { signal } => format!("was ended by signal {signal}"),
        Ended::TimedOut => format!("ran longer than {}", format_duration(timeout)),
        Ended::Stalled => "printed nothing for too long".into(),
        Ended::Interrupted => "was interrupted".into(),
        Ended::NotStarted { why } => format!("could not be started: {why}"),
    }
}

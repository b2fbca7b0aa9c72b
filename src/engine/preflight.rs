//! What can be known to go wrong before anything is started, and so before money is spent.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::{self, Login};
use crate::base::TaskId;
use crate::core::{Phase, Selection, State};
use crate::git::Repo;
use crate::model::{AgentSpec, Graph, Policy, Spec, Strategy, Workspace};

/// Less free space than this and a run is not begun, in bytes.
pub const MIN_FREE: u64 = 64 * 1024 * 1024;
/// How often a running Drover looks at what is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Everything that would keep the selected tasks from running, each with what to do about it.
pub fn check(repo: &Repo, worktrees: &Path, tasks: &Upcoming, path: Option<&OsStr>) -> Vec<String> {
    let mut problems = Vec::new();
    let state_dir = repo.state_dir();
    let movable = "Set `[worktree] dir` to a directory that can, or change its permissions.";
    for (dir, way_out) in [(state_dir.as_path(), "Change its permissions."), (worktrees, movable)] {
        let written = crate::git::check_writable(dir);
        // First: on a full disk it cannot be written either, and that is not the cause.
        if let Some(free) = free_bytes(dir).filter(|f| *f < MIN_FREE) {
            problems.push(format!(
                "{} has only {} MiB free\n  Free some space: {} MiB is the least that a run is begun with.",
                dir.display(),
                free >> 20,
                MIN_FREE >> 20
            ));
        } else if let Err(why) = written {
            problems.push(format!("{} cannot be written: {why}\n  {way_out}", dir.display()));
        }
    }
    let missing = tasks.agents.values().filter_map(|(agent, _)| agent::missing(agent, path, repo.root()));
    problems.extend(missing);
    problems
}

/// The agents that nobody seems to be logged in to, each with what to do. They may need no login.
pub fn logins(repo: &Repo, tasks: &Upcoming, own: &[(String, String)]) -> Vec<String> {
    let told = tasks.agents.values().filter_map(|(agent, spec)| {
        let seen = agent::environment(spec, &BTreeMap::new(), own.iter().cloned());
        let path = seen.get("PATH").map(OsStr::new);
        let program = agent::program(agent, path, repo.root())?;
        let name = &agent.name;
        match agent::login(agent.kind, &program, &seen, own) {
            Login::Found(_) | Login::Unknown => None,
            Login::Withheld { variable } => Some(format!("{variable} is set, and not passed on to agent `{name}`: add it to `env_pass`")),
            Login::NotFound { hint } => Some(format!("no login was found of agent `{name}`; if it has none: {hint}")),
        }
    });
    told.collect()
}

/// What of the way work is to land cannot be done here.
pub fn landing(repo: &Repo, policy: &Policy, tasks: &Upcoming) -> Vec<String> {
    let stranded = |(task, needed): &(TaskId, TaskId)| {
        format!(
            "`{task}` works in the checkout and needs `{needed}`, whose work `[merge] strategy = \"branch\"` does not bring there\n  Give it a worktree, or choose another strategy."
        )
    };
    let (remote, known) = (&policy.merge.push, |remote| repo.has_remote(remote).unwrap_or(true));
    if !remote.is_empty() && !known(remote) {
        return vec![format!("there is no remote `{remote}` to push to (`[merge] push`)\n  Add it with `git remote add {remote} URL`.")];
    }
    match policy.merge.strategy {
        Strategy::Rebase => repo.cannot_rebase().into_iter().collect(),
        Strategy::Branch => tasks.checkout.iter().map(stranded).collect(),
        Strategy::Merge | Strategy::Squash => Vec::new(),
    }
}

/// Of the disk that a directory is on, or would be.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = dir.ancestors().find_map(|d| rustix::fs::statvfs(d).ok())?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Less than this, in bytes, and the disk is called full while a run is under way.
const FULL: u64 = 1024 * 1024;

/// Says so when a disk that the run needs has no room left, once until it has some again: steps
/// wait for room, and that must not look like nothing. Looks only while the run is busy.
pub async fn watch_room(dirs: Vec<PathBuf>, mut busy: tokio::sync::watch::Receiver<bool>) {
    let mut full = BTreeSet::new();
    while busy.wait_for(|busy| *busy).await.is_ok() {
        for dir in &dirs {
            let is_full = free_bytes(dir).is_some_and(|free| free < FULL);
            if !is_full {
                full.remove(dir);
            } else if full.insert(dir) {
                tracing::warn!("the disk of {} is full: what runs waits for room; free some and it goes on", dir.display());
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What a run is about to use.
pub struct Upcoming {
    /// With a task that uses it.
    agents: BTreeMap<String, (AgentSpec, Spec)>,
    /// Tasks that work in the checkout, and one that each needs and that lands.
    checkout: Vec<(TaskId, TaskId)>,
}

impl Upcoming {
    /// From the files where they are read, else from the store.
    pub fn new(graph: Option<&Graph>, state: &State, selection: &Selection) -> Self {
        let done = |id| state.tasks.get(id).is_some_and(|t| matches!(t.phase, Phase::Completed | Phase::Failed | Phase::Cancelled));
        let specs: BTreeMap<&TaskId, &Spec> = match graph {
            Some(graph) => graph.tasks().iter().map(|(id, spec)| (id, &**spec)).collect(),
            None => state.tasks.iter().map(|(id, task)| (id, &*task.spec)).collect(),
        };
        let lands = |id: &&TaskId| specs.get(*id).is_some_and(|s| s.workspace == Workspace::Worktree);
        let (mut agents, mut checkout) = (BTreeMap::new(), Vec::new());
        for spec in specs.values().filter(|s| s.enabled && selection.holds(&s.id) && !done(&s.id)) {
            for agent in spec.agents().flat_map(AgentSpec::in_turn) {
                agents.entry(agent.name.clone()).or_insert_with(|| (agent.clone(), (*spec).clone()));
            }
            if spec.workspace == Workspace::Checkout {
                checkout.extend(spec.depends_on.iter().find(lands).map(|needed| (spec.id.clone(), needed.clone())));
            }
        }
        Self { agents, checkout }
    }
}

//! What can be known to go wrong before anything is started, and so before money is spent.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use crate::agent;
use crate::core::{Phase, Selection, State};
use crate::git::Repo;
use crate::model::{AgentSpec, Graph};

/// Less free space than this and a run is not begun, in bytes.
const MIN_FREE: u64 = 64 * 1024 * 1024;

/// Everything that would keep the selected tasks from running, each with what to do about it.
pub fn check(repo: &Repo, worktrees: &Path, tasks: &Upcoming, path: Option<&OsStr>) -> Vec<String> {
    let mut problems = Vec::new();
    for dir in [repo.state_dir().as_path(), worktrees] {
        if let Err(why) = crate::git::check_writable(dir) {
            problems.push(format!(
                "{} cannot be written: {why}\n  Set `[worktree] dir` to a directory that can, or change its permissions.",
                dir.display()
            ));
        } else if let Some(free) = free_bytes(dir).filter(|f| *f < MIN_FREE) {
            problems.push(format!(
                "{} has only {} MiB free\n  Free some space: {} MiB is the least that a run is begun with.",
                dir.display(),
                free >> 20,
                MIN_FREE >> 20
            ));
        }
    }
    let missing = tasks.agents.values().filter_map(|agent| agent::missing(agent, path, repo.root()));
    problems.extend(missing);
    problems
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What a run is about to use.
pub struct Upcoming {
    agents: BTreeMap<String, AgentSpec>,
}

impl Upcoming {
    /// From the files where they are read, else from the store.
    pub fn new(graph: Option<&Graph>, state: &State, selection: &Selection) -> Self {
        let done = |id| state.tasks.get(id).is_some_and(|t| matches!(t.phase, Phase::Completed | Phase::Failed | Phase::Cancelled));
        let mut agents = BTreeMap::new();
        let mut add = |spec: &crate::model::Spec| agents.extend(spec.agents().map(|a| (a.name.clone(), a.clone())));
        match graph {
            Some(graph) => graph.tasks().values().filter(|s| selection.holds(&s.id) && !done(&s.id)).for_each(|s| add(s)),
            None => state.tasks.values().filter(|t| selection.holds(&t.spec.id) && !done(&t.spec.id)).for_each(|t| add(&t.spec)),
        }
        Self { agents }
    }
}

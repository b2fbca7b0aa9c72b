//! What can be known to go wrong before anything is started, and so before money is spent.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent;
use crate::core::{Phase, Selection, State};
use crate::git::Repo;
use crate::model::{AgentSpec, Graph};

/// Less free space than this and a run is not begun, in bytes.
const MIN_FREE: u64 = 64 * 1024 * 1024;
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
    let missing = tasks.agents.values().filter_map(|agent| agent::missing(agent, path, repo.root()));
    problems.extend(missing);
    problems
}

/// Of the disk that a directory is on, or would be.
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = dir.ancestors().find_map(|d| rustix::fs::statvfs(d).ok())?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Less than this, in bytes, and the disk is called full while a run is under way.
const FULL: u64 = 1024 * 1024;

/// Says so when a disk that the run needs has no room left, once until it has some again: steps
/// wait for room, and that must not look like nothing. Never ends.
pub async fn watch_room(dirs: Vec<PathBuf>) {
    let mut full = BTreeSet::new();
    loop {
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

//! Which tasks that are done were done on other inputs than there are now.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Oid, TaskId};
use crate::core::State;
use crate::git::{Repo, Result};
use crate::model::Graph;
use crate::model::scope::Globs;

/// Of each completed task whose `inputs` are not as it landed on them, the paths that differ. What
/// is committed counts, and what the task itself landed is part of that: a task that writes its own
/// inputs does not run for ever.
pub fn changed(repo: &Repo, target: &str, graph: &Graph, state: &State) -> Result<BTreeMap<TaskId, Vec<String>>> {
    let mut changed = BTreeMap::new();
    let mut tip = None;
    let mut known: BTreeMap<&Oid, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for spec in graph.tasks().values().filter(|spec| !spec.inputs.is_empty()) {
        let Some(done) = state.tasks.get(&spec.id).filter(|t| t.is_completed()).and_then(|t| t.completion.as_ref()) else { continue };
        // A task in the checkout worked on what had landed by then.
        let Some(commit) = done.commit.as_ref().or(done.onto.as_ref()) else { continue };
        // Checked when the files were read.
        let Ok(globs) = Globs::new(&spec.inputs) else { continue };
        let now = match &tip {
            Some(tip) => tip,
            None => match repo.newest(target)? {
                Some(newest) => tip.insert(newest),
                None => return Ok(changed),
            },
        };
        if !known.contains_key(commit) {
            known.insert(commit, repo.paths_between(commit, now)?);
        }
        let differ = known.get(commit).into_iter().flatten().filter(|path| globs.matches(path));
        let differ: Vec<String> = differ.map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        if !differ.is_empty() {
            changed.insert(spec.id.clone(), differ);
        }
    }
    Ok(changed)
}

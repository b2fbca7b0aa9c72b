//! Which tasks that are done were done on other inputs than there are now.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Oid, TaskId};
use crate::core::State;
use crate::git::{Repo, Result};
use crate::model::Graph;
use crate::model::scope::Globs;

/// Of each completed task whose `inputs` are not as it found them, the paths that differ. What is
/// committed counts, and what others changed while it ran does: its agent has not seen that. What
/// the task itself landed is part of what it found: one that writes its own inputs does not run for
/// ever.
pub fn changed(repo: &Repo, target: &str, graph: &Graph, state: &State) -> Result<BTreeMap<TaskId, Vec<String>>> {
    let mut changed = BTreeMap::new();
    let mut tip = None;
    let mut paths = Paths { repo, known: BTreeMap::new() };
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
        let inputs = |paths: &BTreeSet<Vec<u8>>| paths.iter().filter(|path| globs.matches(path)).cloned().collect::<BTreeSet<_>>();
        let mut differ = inputs(paths.between(commit, now)?);
        // Where nothing landed while it ran, there is nothing that it has not seen.
        if let (Some(base), Some(onto)) = (&done.base, &done.onto)
            && base != onto
        {
            let own = inputs(paths.between(onto, commit)?);
            let unseen = inputs(paths.between(base, now)?);
            differ = differ.intersection(&own).chain(unseen.difference(&own)).cloned().collect();
        }
        let differ: Vec<String> = differ.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        if !differ.is_empty() {
            changed.insert(spec.id.clone(), differ);
        }
    }
    Ok(changed)
}

/// The paths that differ between commits, each pair compared once.
struct Paths<'a> {
    repo: &'a Repo,
    known: BTreeMap<(Oid, Oid), BTreeSet<Vec<u8>>>,
}

impl Paths<'_> {
    fn between(&mut self, from: &Oid, to: &Oid) -> Result<&BTreeSet<Vec<u8>>> {
        let pair = (from.clone(), to.clone());
        if !self.known.contains_key(&pair) {
            self.known.insert(pair.clone(), self.repo.paths_between(from, to)?);
        }
        Ok(&self.known[&pair])
    }
}

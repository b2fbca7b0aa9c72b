//! What the commits of the target say has landed, for a record that does not know of it: a
//! fresh clone, or a store that was deleted.

use std::collections::BTreeMap;

use super::exit::Failure;
use crate::base::{Aid, Digest, TaskId};
use crate::core::{Input, Recalled, State};
use crate::git::{Record, Repo};
use crate::model::Graph;

/// The tasks of the files that were never tried here and that history says are done. Reads no
/// history where there are none to ask about.
pub fn recall(repo: &Repo, target: &str, graph: &Graph, state: &State) -> Result<Option<Input>, Failure> {
    let open = |id: &TaskId| state.tasks.get(id).is_none_or(|t| t.is_untouched());
    if !graph.tasks().keys().any(open) {
        return Ok(None);
    }
    let failed = |e: crate::git::GitError| Failure::unfit(format!("the history of `{target}` cannot be read: {e}"));
    let tips: Vec<_> =
        [repo.branch_tip(target), repo.tip(&Repo::line_ref(target))].into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let tips: Vec<_> = tips.into_iter().flatten().collect();
    let newest = newest(repo.records(&tips, &[]).map_err(failed)?);
    let specs = graph.tasks().values().filter(|s| open(&s.id));
    let found: Vec<Recalled> = specs
        .filter_map(|spec| {
            let (digest, record) = newest.get(&spec.id)?;
            let aid = Aid::parse(&record.attempt).ok()?;
            Some(Recalled { spec: spec.clone(), digest: digest.clone(), aid, commit: record.commit.clone()? })
        })
        .collect();
    Ok((!found.is_empty()).then_some(Input::Recall { found }))
}

/// The newest record of each task. What is no record of ours is passed over.
fn newest(records: Vec<Record>) -> BTreeMap<TaskId, (Digest, Record)> {
    let mut newest = BTreeMap::new();
    for record in records {
        let parsed = record.task.split_once('@').and_then(|(id, digest)| Some((TaskId::parse(id).ok()?, Digest::parse(digest)?)));
        if let Some((id, digest)) = parsed {
            newest.entry(id).or_insert((digest, record));
        }
    }
    newest
}

//! From rows and journal to a state: the same for every store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Record, StoreError};
use crate::base::TaskId;
use crate::core::{Fact, Header, Recalled, Selection, State, Task};
use crate::model::{Policy, Spec};

/// Puts what the rows only point at into its place: specs, policy and selection.
/// `journal` finds a record by its number.
pub fn assemble<E: From<StoreError>>(
    head: Header,
    rows: Vec<(TaskId, Task)>,
    journal: impl Fn(u64) -> Result<Record, E>,
) -> Result<State, E> {
    let policy = match head.policy_seq {
        0 => Arc::default(),
        seq => policy(journal(seq)?)?,
    };
    let selection = match head.run_seq {
        0 => Selection::default(),
        seq => selection(journal(seq)?)?,
    };
    let mut tasks = BTreeMap::new();
    for (id, mut task) in rows {
        task.spec = spec(&id, journal(task.spec_seq)?)?;
        task.next = match task.next_seq {
            0 => None,
            seq => Some(spec(&id, journal(seq)?)?),
        };
        tasks.insert(id, task);
    }
    Ok(State::assemble(head, policy, selection, tasks))
}

fn policy(record: Record) -> Result<Arc<Policy>, StoreError> {
    match record.fact {
        Fact::PolicySet { policy } => Ok(policy),
        _ => Err(StoreError::record(format!("fact {}", record.seq), "the header says it holds the policy, and it does not")),
    }
}

fn selection(record: Record) -> Result<Selection, StoreError> {
    match record.fact {
        Fact::RunBegan { selection, .. } | Fact::Selected { selection } => Ok(selection),
        _ => Err(StoreError::record(format!("fact {}", record.seq), "the header says it holds the run's selection, and it does not")),
    }
}

fn spec(id: &TaskId, record: Record) -> Result<Arc<Spec>, StoreError> {
    match record.fact {
        Fact::Defined { spec, .. } | Fact::Moved { spec, .. } | Fact::Recalled(Recalled { spec, .. }) if spec.id == *id => Ok(spec),
        _ => Err(StoreError::record(format!("fact {}", record.seq), format!("task {id} says it holds its definition, and it does not"))),
    }
}

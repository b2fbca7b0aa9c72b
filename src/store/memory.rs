//! The contract of a store without a disk: for tests and simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::assemble::assemble;
use super::{Batch, Bookmark, Follower, Record, Store, StoreError};
use crate::base::TaskId;
use crate::core::{Header, State, Task};

/// Clones share their contents: a clone made before a simulated crash finds afterwards what
/// was committed, and nothing else.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    targets: Arc<Mutex<BTreeMap<String, Contents>>>,
    /// By target and reader.
    bookmarks: Arc<Mutex<BTreeMap<(String, String), Bookmark>>>,
}

#[derive(Debug, Default)]
struct Contents {
    head: Header,
    rows: BTreeMap<TaskId, Task>,
    /// The record with the number `n` is at `n - 1`.
    journal: Vec<Record>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    fn bookmarks(&self) -> MutexGuard<'_, BTreeMap<(String, String), Bookmark>> {
        self.bookmarks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Contents>> {
        // Nothing panics between two halves of a change.
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn record(&self, seq: u64) -> Result<Record, StoreError> {
        let at = usize::try_from(seq).ok().and_then(|n| n.checked_sub(1));
        let found = at.and_then(|n| self.journal.get(n));
        found.cloned().ok_or_else(|| StoreError::record(format!("fact {seq}"), "it is not there"))
    }
}

impl Store for MemoryStore {
    fn targets(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.locked().keys().cloned().collect())
    }

    fn load(&mut self, target: &str) -> Result<State, StoreError> {
        let targets = self.locked();
        let Some(found) = targets.get(target) else { return Ok(State::default()) };
        let rows = found.rows.iter().map(|(id, task)| (id.clone(), task.clone())).collect();
        assemble(found.head.clone(), rows, |seq| found.record(seq))
    }

    fn commit(&mut self, target: &str, batch: &Batch) -> Result<(), StoreError> {
        let mut targets = self.locked();
        let contents = targets.entry(target.to_owned()).or_default();
        let last = contents.journal.len() as u64;
        batch.check_order(target, last)?;
        let records = batch.facts.iter().zip(last + 1..);
        contents.journal.extend(records.map(|(fact, seq)| Record { seq, at: batch.at, fact: fact.clone() }));
        contents.head = batch.head.clone();
        for (id, row) in &batch.rows {
            match row {
                Some(task) => contents.rows.insert(id.clone(), task.clone()),
                None => contents.rows.remove(id),
            };
        }
        Ok(())
    }

    fn history(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let targets = self.locked();
        let journal = targets.get(target).map(|c| c.journal.as_slice()).unwrap_or_default();
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(journal.iter().skip(skip).take(limit).cloned().collect())
    }
    fn follower(&self) -> Box<dyn Follower> {
        Box::new(self.clone())
    }
}

impl Follower for MemoryStore {
    fn history(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        Store::history(self, target, after, limit)
    }

    fn bookmark(&self, target: &str, reader: &str) -> Result<Option<Bookmark>, StoreError> {
        Ok(self.bookmarks().get(&(target.to_owned(), reader.to_owned())).cloned())
    }

    fn enlist(&self, target: &str, reader: &str, seq: u64) -> Result<Bookmark, StoreError> {
        let new = || Bookmark { seq, ..Bookmark::default() };
        Ok(self.bookmarks().entry((target.to_owned(), reader.to_owned())).or_insert_with(new).clone())
    }

    fn keep(&self, target: &str, reader: &str, bookmark: &Bookmark) -> Result<(), StoreError> {
        self.bookmarks().entry((target.to_owned(), reader.to_owned())).and_modify(|kept| *kept = bookmark.clone());
        Ok(())
    }

    fn keep_only(&self, target: &str, readers: &BTreeSet<String>) -> Result<(), StoreError> {
        self.bookmarks().retain(|(of, reader), _| of != target || readers.contains(reader));
        Ok(())
    }
}

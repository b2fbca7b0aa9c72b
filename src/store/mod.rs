//! Durable facts. Knows encodings and disks; decides nothing.
//!
//! A [`Store`] keeps, for each target branch, the journal of facts and the state they add up
//! to. A [`Batch`] is written whole or not at all. What is large (a spec, a policy, a
//! selection) stands once, in the journal fact that brought it; the small rows that change
//! with every fact only point at it.
//!
//! - [`redb`] is the store on disk, [`memory`] the same contract without one.
//! - [`lock`] keeps a second Drover out of a repository while one is at work.
//! - [`home`] tells a copied state directory from the one that it was copied from.
//!
//! Must not know git, tasks' files, or when anything should happen.

mod assemble;
mod codec;
mod dir;
mod error;
pub mod home;
pub mod lock;
pub mod memory;
pub mod redb;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::{Millis, TaskId};
use crate::core::{Fact, Header, State, Task};

pub use error::StoreError;

/// What one transaction writes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// When the facts were decided: what [`crate::core::decide`] was told, so that folding the
    /// journal gives the rows again.
    pub at: Millis,
    pub facts: Vec<Fact>,
    /// The header after the last of the facts.
    pub head: Header,
    /// The tasks that the facts touched, as they now stand; `None` for one that was dropped.
    pub rows: Vec<(TaskId, Option<Task>)>,
}

impl Batch {
    /// Whether it continues a journal whose last record is `last`. A batch that does not would
    /// overwrite or skip facts.
    fn check_order(&self, target: &str, last: u64) -> Result<(), StoreError> {
        let follows = self.head.seq.checked_sub(self.facts.len() as u64);
        if follows == Some(last) {
            return Ok(());
        }
        let follows = follows.map_or("none".into(), |f| f.to_string());
        Err(StoreError::OutOfOrder { target: target.to_owned(), follows, last })
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub seq: u64,
    pub at: Millis,
    pub fact: Fact,
}

/// Where facts are kept. One writer; everything is keyed by the target branch.
pub trait Store: Send {
    /// The targets that were ever written, in the order of their names.
    fn targets(&self) -> Result<Vec<String>, StoreError>;

    /// The state of a target as of its last commit; an empty one for a target never seen.
    fn load(&mut self, target: &str) -> Result<State, StoreError>;

    /// Writes the batch, durable when it returns. After an error the store is dead: every
    /// further commit is refused, and what counts is what a newly opened store says.
    fn commit(&mut self, target: &str, batch: &Batch) -> Result<(), StoreError>;

    /// At most `limit` records after the number `after`, the oldest first. Numbers start at 1
    /// and have no gaps.
    fn history(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// For readers of the journal beside the one that writes it.
    fn follower(&self) -> Box<dyn Follower>;
}

/// How far a reader of the journal has come, and what it is to know when it goes on there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The last record that it is through with.
    pub seq: u64,
    #[serde(default)]
    pub note: serde_json::Value,
}

/// Reads the journal beside the one that writes it, in the same process, and keeps bookmarks by the
/// names of readers. As long as it is there, the store stays open.
pub trait Follower: Send {
    /// As [`Store::history`].
    fn history(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    fn bookmark(&self, target: &str, reader: &str) -> Result<Option<Bookmark>, StoreError>;

    /// The bookmark of a reader; one that is new gets one at `seq`, durable when it returns.
    fn enlist(&self, target: &str, reader: &str, seq: u64) -> Result<Bookmark, StoreError>;

    /// Moves a bookmark, durable when it returns. Whose bookmark was dropped gets none by that.
    fn keep(&self, target: &str, reader: &str, bookmark: &Bookmark) -> Result<(), StoreError>;

    /// Drops the bookmarks of all other readers of the target. Writes nothing where there are none.
    fn keep_only(&self, target: &str, readers: &BTreeSet<String>) -> Result<(), StoreError>;
}

/// The batch that brings a store up to `state`, which `facts` have just been applied to.
pub fn batch(state: &State, at: Millis, facts: Vec<Fact>) -> Batch {
    let rows = Fact::touched(&facts).into_iter().map(|id| (id.clone(), state.tasks.get(&id).cloned())).collect();
    Batch { at, facts, head: state.head.clone(), rows }
}

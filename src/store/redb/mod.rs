//! The store on disk: one redb file, one writing process, any number of reading ones.
//!
//! Readers copy one transaction into an owned state and close: a reader that stops half-way
//! must not stall the writer. A file that cannot be read is an error, and is never replaced.

mod aside;
mod cautious;
mod create;
mod follow;
mod layout;
mod open;
mod trouble;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::{Database, ReadableDatabase, StorageBackend};

use super::{Batch, Follower, Record, Store, StoreError, dir};
use crate::base::sha256_hex;
use crate::core::State;
pub use aside::{Overview, is_whole, overview, set_aside};
use trouble::guard;

/// The name of the store in the state directory.
pub const FILE: &str = "store.redb";

/// The store, open for writing.
#[derive(Debug)]
pub struct RedbStore {
    db: Arc<Database>,
    path: PathBuf,
    /// Device and inode of the file, if it is one.
    file: Option<(u64, u64)>,
    /// Why nothing more is written, once a write has failed.
    dead: Option<String>,
}

impl RedbStore {
    /// Opens the store of a state directory for writing; makes both if they are not there yet,
    /// and repairs what a crash left. The caller holds the active lock (see `lock`).
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        dir::prepare(dir)?;
        let path = dir.join(FILE);
        create::remove_leftovers(dir)?;
        if !open::is_there(&path)? {
            create::create(dir, &path)?;
        }
        let db = Arc::new(open::writable(&path)?);
        let file = identity(&path);
        Ok(Self { db, path, file, dead: None })
    }

    /// A store on another kind of storage, made anew if that is empty. For tests that simulate
    /// a disk: the backend must grant the locks it is asked for.
    pub fn with_backend(backend: impl StorageBackend) -> Result<Self, StoreError> {
        let path = PathBuf::from("(a backend)");
        let db = Arc::new(guard(&path, || create::on_backend(backend))?);
        Ok(Self { db, path, file: None, dead: None })
    }
}

/// Which file stands at a path.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Store for RedbStore {
    fn targets(&self) -> Result<Vec<String>, StoreError> {
        guard(&self.path, || layout::read_targets(&self.db.begin_read()?))
    }

    fn load(&mut self, target: &str) -> Result<State, StoreError> {
        let found = guard(&self.path, || layout::read_state(&self.db.begin_read()?, target))?;
        Ok(found.unwrap_or_default())
    }

    fn commit(&mut self, target: &str, batch: &Batch) -> Result<(), StoreError> {
        if let Some(why) = &self.dead {
            return Err(StoreError::Dead { why: why.clone() });
        }
        if batch.facts.is_empty() && batch.rows.is_empty() {
            return Ok(());
        }
        if self.file.is_some() && self.file != identity(&self.path) {
            // What is written to a file without a name is gone with this process.
            let why = format!("{} was deleted or replaced while it was open", self.path.display());
            self.dead = Some(why.clone());
            return Err(StoreError::Dead { why });
        }
        // Whether a write that failed is on the disk is not known: nothing more may be written
        // that takes either for granted.
        let written = guard(&self.path, || layout::write(&self.db, target, batch));
        written.inspect_err(|e| self.dead = Some(e.to_string()))
    }

    fn history(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        guard(&self.path, || layout::read_history(&self.db.begin_read()?, target, after, limit))
    }

    fn follower(&self) -> Box<dyn Follower> {
        Box::new(follow::RedbFollower { db: self.db.clone(), path: self.path.clone() })
    }
}

/// The state of a target as of the last commit, read beside a writer, if there is one.
/// `None`: there is no store, or it has never heard of the target.
pub fn snapshot(dir: &Path, target: &str) -> Result<Option<State>, StoreError> {
    let found = open::read(dir, |transaction| layout::read_state(transaction, target))?;
    Ok(found.flatten())
}

/// What tells the record of a target, and the file that it is in, from what either was or will be
/// when anything is written. `None`: there is no such record.
pub fn mark(dir: &Path, target: &str) -> Result<Option<String>, StoreError> {
    let Ok(meta) = std::fs::symlink_metadata(dir.join(FILE)) else { return Ok(None) };
    let Some(Some(record)) = open::read(dir, |transaction| layout::read_mark(transaction, target))? else { return Ok(None) };
    let file = (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    Ok(Some(format!("{file:?} {}", sha256_hex(&record))))
}

/// As [`Store::history`], read beside a writer, if there is one; empty if there is no store.
pub fn read_history(dir: &Path, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
    let found = open::read(dir, |transaction| layout::read_history(transaction, target, after, limit))?;
    Ok(found.unwrap_or_default())
}

/// What `pick` takes of each record of a target, read beside a writer, if there is one; empty if
/// there is no store.
pub fn pick_history<T>(dir: &Path, target: &str, pick: impl Fn(Record) -> Option<T>) -> Result<Vec<T>, StoreError> {
    let found = open::read(dir, |transaction| {
        let mut picked = Vec::new();
        layout::scan_history(transaction, target, 0, usize::MAX, |record| picked.extend(pick(record)))?;
        Ok(picked)
    })?;
    Ok(found.unwrap_or_default())
}

//! A file that is put back as it was when it turns out that it cannot be opened.
//!
//! redb repairs while it opens: it may rewrite the header and cut the file to the length it
//! finds there before it notices that the rest is damaged. What a person, or a better tool,
//! could still make of the file must not be lost by that.

use std::io::{Error, Result};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redb::backends::FileBackend;
use ::redb::{BackendError, StorageBackend};

type Locked = std::result::Result<bool, BackendError>;

/// Undoes every change when it is closed, unless it was told to keep them.
#[derive(Debug)]
pub struct Cautious {
    file: FileBackend,
    undo: Undo,
}

/// What undoes the changes so far, the oldest first; `None` once they are kept.
#[derive(Clone, Debug)]
pub struct Undo(Arc<Mutex<Option<Vec<Change>>>>);

#[derive(Debug)]
enum Change {
    Bytes { at: u64, old: Vec<u8> },
    Length(u64),
}

impl Undo {
    /// From now on the file is written as it comes.
    pub fn keep_changes(&self) {
        *self.changes() = None;
    }

    fn changes(&self) -> MutexGuard<'_, Option<Vec<Change>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cautious {
    pub fn new(file: FileBackend) -> (Self, Undo) {
        let undo = Undo(Arc::new(Mutex::new(Some(Vec::new()))));
        (Self { file, undo: undo.clone() }, undo)
    }

    /// Remembers what stands from `from` up to `to`, and how long the file is.
    fn remember(&self, from: u64, to: u64) -> Result<()> {
        let mut changes = self.undo.changes();
        let Some(changes) = changes.as_mut() else { return Ok(()) };
        let len = self.file.len()?;
        let lost = usize::try_from(to.min(len).saturating_sub(from)).map_err(Error::other)?;
        let mut old = vec![0; lost];
        self.file.read(from, &mut old)?;
        changes.push(Change::Bytes { at: from, old });
        changes.push(Change::Length(len));
        Ok(())
    }

    fn undo(&self) -> Result<()> {
        let changes = self.undo.changes().take().unwrap_or_default();
        if changes.is_empty() {
            return Ok(());
        }
        for change in changes.iter().rev() {
            match change {
                Change::Bytes { at, old } => self.file.write(*at, old)?,
                Change::Length(len) => self.file.set_len(*len)?,
            }
        }
        self.file.sync_data()
    }
}

impl StorageBackend for Cautious {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.remember(len, u64::MAX)?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.remember(offset, offset.saturating_add(data.len() as u64))?;
        self.file.write(offset, data)
    }
    fn close(&self) -> Result<()> {
        // The locks go last: nobody else may write before the file is as it was.
        let undone = self.undo();
        self.file.close().and(undone)
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked {
        self.file.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked {
        self.file.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<(), BackendError> {
        self.file.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked {
        self.file.query_lock_range(start, end)
    }
}

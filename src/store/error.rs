//! What can go wrong with a store, by what the caller can do about it.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory is not one to trust.
    #[error("the state directory {path} is refused: {why}", path = .path.display())]
    Refused { path: PathBuf, why: String },

    /// Somebody else writes.
    #[error("the store {path} is open for writing in another process; wait for that Drover to end, or stop it", path = .path.display())]
    InUse { path: PathBuf },

    /// Nobody writes any more, or not yet, and the file needs a repair that was not possible now.
    #[error(
        "the store {path} was left in the middle of a write, and another Drover that could repair it has not done so yet; try again in a moment",
        path = .path.display()
    )]
    Unrepaired { path: PathBuf },

    /// The file cannot be read. It was not changed.
    #[error(
        "the store {path} cannot be read: {why}\nthe file is left as it is; `drover state rebuild` keeps it under another name, begins a new record, \
         and finds what has landed in the commits of the target",
        path = .path.display()
    )]
    Damaged { path: PathBuf, why: String },

    /// One record does not decode, or what it points at is not there.
    #[error(
        "{record} in the store cannot be read: {why}\nthe store is left as it is; `drover state rebuild` keeps it under another name, begins a new record, \
         and finds what has landed in the commits of the target"
    )]
    Record { record: String, why: String },

    #[error("{what} was written by a newer drover (its version is {found}, this one knows up to {known}); use that drover, or a newer one")]
    Newer { what: String, found: u32, known: u32 },

    /// A bug of the caller: the batch does not continue what is recorded.
    #[error(
        "a batch for {target} that follows fact {follows} cannot be written after fact {last}: this is a bug in drover, please report it"
    )]
    OutOfOrder { target: String, follows: String, last: u64 },

    #[error("{what} {path}: {source}", path = .path.display())]
    Io {
        /// What was being done: `cannot create`.
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },

    /// An earlier write failed: nothing more is written through this handle.
    #[error("an earlier write to the store failed ({why}); start drover again: it goes on from what is on the disk")]
    Dead { why: String },
}

impl StoreError {
    pub(super) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    pub(super) fn record(record: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Record { record: record.into(), why: why.to_string() }
    }

    pub(super) fn damaged(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.to_string() }
    }
}

//! Errors and panics of the database, turned into [`StoreError`]s in one place.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::redb::Error;

use crate::store::StoreError;

/// What goes wrong inside; which file it is about is added by [`guard`].
pub enum Trouble {
    Database(Box<Error>),
    Store(StoreError),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble::Database(Box::new(error.into()))
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::Store(error)
    }
}

/// Runs what touches the database. A damaged file can make redb panic, above all when it was
/// opened for reading, which checks nothing: that is an error like any other.
pub fn guard<T>(path: &Path, run: impl FnOnce() -> Result<T, Trouble>) -> Result<T, StoreError> {
    // What a panic leaves half-done is thrown away with the handle, or was never committed.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(|trouble| trouble.at(path)),
        Err(panic) => Err(StoreError::damaged(path, format!("the database stopped with `{}`", message(&*panic)))),
    }
}

impl Trouble {
    pub fn at(self, path: &Path) -> StoreError {
        let error = match self {
            Trouble::Store(error) => return error,
            Trouble::Database(error) => *error,
        };
        match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => StoreError::InUse { path: path.to_owned() },
            Error::RepairAborted => StoreError::Unrepaired { path: path.to_owned() },
            // redb says so of a file that is empty or something else altogether, and of one that ends early.
            Error::Io(e) if matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) => {
                StoreError::damaged(path, e)
            }
            Error::Io(e) => StoreError::io("cannot read or write", path, e),
            Error::PreviousIo => StoreError::Dead { why: "an input or output error".into() },
            other => StoreError::damaged(path, other),
        }
    }

    /// The file must be repaired, which only a writer can do.
    pub fn wants_repair(&self) -> bool {
        matches!(self, Trouble::Database(error) if matches!(**error, Error::RepairAborted))
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

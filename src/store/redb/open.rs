//! Opening the file, for writing and for reading.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use ::redb::backends::FileBackend;
use ::redb::{Builder, ConcurrencyMode, Database, ReadTransaction, ReadableDatabase};

use super::FILE;
use super::cautious::Cautious;
use super::layout;
use super::trouble::{Trouble, guard};
use crate::store::{StoreError, dir, lock};

/// The page cache, in bytes.
const CACHE: usize = 16 << 20;

/// How often is looked again, by a reader for a file that another Drover is about to repair, by a writer
/// for one that somebody looks at just then; 5 ms before the second look, and twice as long before each further one.
const LOOKS: u32 = 9;

pub fn settings() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_concurrency_mode(ConcurrencyMode::SingleWriter).set_check_integrity_on_open(true);
    builder
}

/// Whether there is a store; refuses to call anything but a file one.
pub fn is_there(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(true),
        Ok(_) => Err(StoreError::Refused { path: path.to_owned(), why: "it is not a file; move it out of the way".into() }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::io("cannot look at", path, e)),
    }
}

/// Opens an existing file for writing, repairs what a crash left, and checks all of it. A file
/// that fails is left as it was.
///
/// The caller holds the active lock, so no other Drover writes. But a reader that finds a file to be
/// repaired keeps everybody out for the moment in which it finds that: this waits for it.
pub fn writable(path: &Path) -> Result<Database, StoreError> {
    for look in 0..LOOKS {
        match writable_at_once(path) {
            Err(StoreError::InUse { .. }) => std::thread::sleep(Duration::from_millis(5 << look)),
            result => return result,
        }
    }
    writable_at_once(path)
}

fn writable_at_once(path: &Path) -> Result<Database, StoreError> {
    guard(path, || {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() == 0 {
            // redb would make a new database of it.
            return Err(StoreError::damaged(path, "it is empty").into());
        }
        let (backend, undo) = Cautious::new(FileBackend::new(file)?);
        let db = settings().create_with_backend(backend)?;
        layout::check(&db.begin_read()?)?;
        undo.keep_changes();
        Ok(db)
    })
}

/// Reads one transaction beside a writer, if there is one; `None` if there is no store.
pub fn read<T>(dir: &Path, read: impl Fn(&ReadTransaction) -> Result<T, Trouble>) -> Result<Option<T>, StoreError> {
    let path = dir.join(FILE);
    if !dir::check(dir)? || !is_there(&path)? {
        return Ok(None);
    }
    for look in 0..LOOKS {
        if let Some(found) = look_once(&path, &read)? {
            return Ok(Some(found));
        }
        // A crash left it to be repaired. Whoever is at work does that when it starts; when
        // nobody is, it is done here.
        match lock::take(dir, Duration::ZERO) {
            Ok(held) => {
                drop(writable(&path)?);
                held.release();
            }
            Err(lock::LockError::Held { .. }) if look + 1 == LOOKS => break,
            Err(lock::LockError::Held { .. }) => std::thread::sleep(Duration::from_millis(5 << look)),
            Err(lock::LockError::Store(e)) => return Err(e),
        }
    }
    Err(StoreError::Unrepaired { path })
}

/// `None`: the file must be repaired first.
fn look_once<T>(path: &Path, read: impl Fn(&ReadTransaction) -> Result<T, Trouble>) -> Result<Option<T>, StoreError> {
    guard(path, || {
        let db = match settings().open_read_only(path).map_err(Trouble::from) {
            Ok(db) => db,
            Err(trouble) if trouble.wants_repair() => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        let transaction = db.begin_read()?;
        layout::check(&transaction)?;
        read(&transaction).map(Some)
    })
}

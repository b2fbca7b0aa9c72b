//! Making a store: it gets its name only once it is whole.
//!
//! A crash inside redb's own creation leaves a file that can never be opened again; under its
//! real name that would be a damaged store.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ::redb::backends::FileBackend;
use ::redb::{Database, ReadableDatabase, StorageBackend};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::trouble::{Trouble, guard};
use super::{FILE, layout, open};
use crate::fault;
use crate::store::{StoreError, dir};

/// What a store is called, before the creator's process id, while it is being made.
const UNFINISHED: &str = ".new-";

/// Makes an empty store at `path` in `dir`. The caller holds the active lock.
pub fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let temporary = dir.join(format!("{FILE}{UNFINISHED}{}", std::process::id()));
    let io = |e| StoreError::io("cannot create", path, e);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary).map_err(io)?;
    guard(path, || Ok(on_backend(FileBackend::new(file)?)?.close()?))?;
    File::open(&temporary).and_then(|f| f.sync_all()).map_err(io)?;
    fault::point("store.made");
    publish(&temporary, path).map_err(|e| io(e.into()))?;
    dir::sync(dir).map_err(io)
}

/// Renames, and never over a store that came into being meanwhile.
fn publish(temporary: &Path, path: &Path) -> Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // Not every file system can refuse to replace; the active lock has kept others out.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rustix::fs::rename(temporary, path),
        done => done,
    }
}

/// Removes what crashed creations left. Nothing was ever committed to those: that they still
/// have their temporary name is the proof.
pub fn remove_leftovers(dir: &Path) -> Result<(), StoreError> {
    let io = |e| StoreError::io("cannot clear up", dir, e);
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let ours = name.to_str().and_then(|n| n.strip_prefix(FILE)).is_some_and(|n| n.starts_with(UNFINISHED));
        if ours && entry.file_type().map_err(io)?.is_file() {
            fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

/// A database on `backend`; one that is empty is made a store.
pub fn on_backend(backend: impl StorageBackend) -> Result<Database, Trouble> {
    let empty = backend.len()? == 0;
    let db = open::settings().create_with_backend(backend)?;
    if empty {
        layout::create(&db)?;
    }
    layout::check(&db.begin_read()?)?;
    Ok(db)
}

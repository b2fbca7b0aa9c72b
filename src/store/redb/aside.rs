//! What there is to say of the file as a whole, and putting it out of the way: never deleted,
//! never over another one.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::{FILE, RedbStore, layout, open};
use crate::core::State;
use crate::store::{Store, StoreError, codec, dir};

/// What is in a store.
#[derive(Debug)]
pub struct Overview {
    pub path: PathBuf,
    /// The size of the file.
    pub bytes: u64,
    /// The version of the tables, and of the records in them.
    pub layout: u32,
    pub records: u8,
    pub targets: Vec<(String, State)>,
}

/// Looks at the store beside a writer, if there is one; `None` if there is no store.
pub fn overview(dir: &Path) -> Result<Option<Overview>, StoreError> {
    let path = dir.join(FILE);
    let found = open::read(dir, |transaction| {
        let names = layout::read_targets(transaction)?;
        let states = names.into_iter().map(|name| Ok((layout::read_state(transaction, &name)?.unwrap_or_default(), name)));
        states.map(|found| found.map(|(state, name)| (name, state))).collect()
    })?;
    let Some(targets) = found else { return Ok(None) };
    let bytes = fs::metadata(&path).map_err(|e| StoreError::io("cannot look at", &path, e))?.len();
    Ok(Some(Overview { path, bytes, layout: layout::LAYOUT, records: codec::VERSION, targets }))
}

/// Whether a store is whole; false if it is damaged. The caller holds the active lock,
/// and there is a store.
pub fn is_whole(dir: &Path) -> Result<bool, StoreError> {
    let read = || -> Result<(), StoreError> {
        let mut store = RedbStore::open(dir)?;
        store.targets()?.iter().try_for_each(|target| store.load(target).map(drop))
    };
    match read() {
        // What a newer version wrote is whole, as far as can be told.
        Ok(()) | Err(StoreError::Newer { .. }) => Ok(true),
        Err(StoreError::Damaged { .. } | StoreError::Record { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Renames the store to `store.redb.<why>-<time>`. The caller holds the active lock.
pub fn set_aside(dir: &Path, why: &str) -> Result<PathBuf, StoreError> {
    let path = dir.join(FILE);
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    for n in 0..1000 {
        let more = if n == 0 { String::new() } else { format!("-{n}") };
        let aside = dir.join(format!("{FILE}.{why}-{time}{more}"));
        let moved = match rustix::fs::renameat_with(CWD, &path, CWD, &aside, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => continue,
            // Not every file system can refuse to replace; the active lock has kept others out.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !aside.exists() => rustix::fs::rename(&path, &aside),
            done => done,
        };
        moved.map_err(std::io::Error::from).and_then(|()| dir::sync(dir)).map_err(|e| StoreError::io("cannot rename", &path, e))?;
        return Ok(aside);
    }
    Err(StoreError::Refused { path: dir.to_owned(), why: "it is full of stores that were set aside".into() })
}

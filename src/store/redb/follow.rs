//! Reading the journal beside the writing handle, and the bookmarks of those who do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use ::redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::layout;
use super::trouble::{Trouble, guard};
use crate::store::{Bookmark, Follower, Record, StoreError, codec};

/// The name of a target branch, the name of a reader -> `Bookmark`. By names: a bookmark can be
/// there before anything else of a target is. Stores made before there were any have no such table.
const BOOKMARKS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("bookmarks");

pub struct RedbFollower {
    pub db: Arc<Database>,
    pub path: PathBuf,
}

impl Follower for RedbFollower {
    fn history(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        guard(&self.path, || layout::read_history(&self.db.begin_read()?, target, after, limit))
    }

    fn bookmark(&self, target: &str, reader: &str) -> Result<Option<Bookmark>, StoreError> {
        guard(&self.path, || {
            let table = match self.db.begin_read()?.open_table(BOOKMARKS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(e) => return Err(e.into()),
            };
            let found = table.get((target, reader))?;
            found.map(|bytes| Ok(codec::decode(&key(target, reader), bytes.value(), || name(reader))?)).transpose()
        })
    }

    fn enlist(&self, target: &str, reader: &str, seq: u64) -> Result<Bookmark, StoreError> {
        if let Some(found) = self.bookmark(target, reader)? {
            return Ok(found);
        }
        let new = Bookmark { seq, ..Bookmark::default() };
        self.put(target, reader, &new, false)?;
        Ok(new)
    }

    fn keep(&self, target: &str, reader: &str, bookmark: &Bookmark) -> Result<(), StoreError> {
        self.put(target, reader, bookmark, true)
    }

    fn keep_only(&self, target: &str, readers: &BTreeSet<String>) -> Result<(), StoreError> {
        guard(&self.path, || {
            let others = self.others(target, readers)?;
            if others.is_empty() {
                return Ok(());
            }
            let transaction = layout::begin_write(&self.db)?;
            let mut table = transaction.open_table(BOOKMARKS)?;
            for reader in &others {
                table.remove((target, reader.as_str()))?;
            }
            drop(table);
            Ok(transaction.commit()?)
        })
    }
}

impl RedbFollower {
    /// Writes a bookmark if there was, or was not, one before.
    fn put(&self, target: &str, reader: &str, bookmark: &Bookmark, before: bool) -> Result<(), StoreError> {
        guard(&self.path, || {
            let bytes = codec::encode(&key(target, reader), bookmark).map_err(|e| StoreError::record(name(reader), e))?;
            let transaction = layout::begin_write(&self.db)?;
            let mut table = transaction.open_table(BOOKMARKS)?;
            // In the same transaction: whoever drops it meanwhile comes before this, or after it.
            if table.get((target, reader))?.is_some() != before {
                return Ok(());
            }
            table.insert((target, reader), bytes.as_slice())?;
            drop(table);
            Ok(transaction.commit()?)
        })
    }

    fn others(&self, target: &str, readers: &BTreeSet<String>) -> Result<Vec<String>, Trouble> {
        let table = match self.db.begin_read()?.open_table(BOOKMARKS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let mut others = Vec::new();
        for entry in table.range((target, "")..)? {
            let (key, _) = entry?;
            let (of, reader) = key.value();
            if of != target {
                break;
            }
            others.extend((!readers.contains(reader)).then(|| reader.to_owned()));
        }
        Ok(others)
    }
}

/// What the checksum of a bookmark is over besides its contents.
fn key(target: &str, reader: &str) -> Vec<u64> {
    target.bytes().chain([0]).chain(reader.bytes()).map(u64::from).collect()
}

fn name(reader: &str) -> String {
    format!("the bookmark of {reader}")
}

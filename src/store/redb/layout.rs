//! The tables, and how states and batches are read from and written to them.
//!
//! Targets and tasks are numbered, so that the rows that change with every fact have short
//! keys. The journal is append-only and its records are never rewritten.

use ::redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::trouble::Trouble;
use crate::base::{Millis, TaskId};
use crate::core::{Fact, Header, State, Task};
use crate::store::assemble::assemble;
use crate::store::{Batch, Record, StoreError, codec};

/// The version of the tables; records carry a version of their own.
pub const LAYOUT: u32 = 1;

/// `layout` -> [`LAYOUT`].
const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
/// The name of a target branch -> its number.
const TARGETS: TableDefinition<&str, u32> = TableDefinition::new("targets");
/// Target -> `Header`.
const HEADS: TableDefinition<u32, &[u8]> = TableDefinition::new("heads");
/// Target, the task's id -> its number among the target's tasks.
const IDS: TableDefinition<(u32, &str), u32> = TableDefinition::new("ids");
/// Target, task -> `Task` without its specs.
const ROWS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("tasks");
/// Target, sequence number -> `Entry`.
const JOURNAL: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("journal");

type Rows<'a> = Table<'a, (u32, u32), &'static [u8]>;
type Journal = ReadOnlyTable<(u32, u64), &'static [u8]>;

#[derive(Serialize)]
struct EntryRef<'a> {
    at: Millis,
    fact: &'a Fact,
}

#[derive(Deserialize)]
struct Entry {
    at: Millis,
    fact: Fact,
}

/// Makes the tables of an empty database.
pub fn create(db: &Database) -> Result<(), Trouble> {
    let transaction = begin_write(db)?;
    transaction.open_table(TARGETS)?;
    transaction.open_table(HEADS)?;
    transaction.open_table(IDS)?;
    transaction.open_table(ROWS)?;
    transaction.open_table(JOURNAL)?;
    transaction.open_table(META)?.insert("layout", LAYOUT)?;
    Ok(transaction.commit()?)
}

/// Whether the tables are there and of a version that is known here.
pub fn check(transaction: &ReadTransaction) -> Result<(), Trouble> {
    let layout = match transaction.open_table(META) {
        Ok(meta) => meta.get("layout")?.map(|v| v.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(e) => return Err(e.into()),
    };
    match layout {
        Some(LAYOUT) => Ok(()),
        Some(found) if found > LAYOUT => Err(StoreError::Newer { what: "the store".into(), found, known: LAYOUT }.into()),
        _ => {
            Err(StoreError::record("the version of the tables", "it is not there: this is a database, but not a store of drover's").into())
        }
    }
}

pub fn read_targets(transaction: &ReadTransaction) -> Result<Vec<String>, Trouble> {
    let table = transaction.open_table(TARGETS)?;
    table.iter()?.map(|entry| Ok(entry?.0.value().to_owned())).collect()
}

/// `None` for a target never seen.
pub fn read_state(transaction: &ReadTransaction, target: &str) -> Result<Option<State>, Trouble> {
    let Some(number) = number_of(transaction, target)? else { return Ok(None) };
    let head = transaction.open_table(HEADS)?;
    let head = head.get(number)?.ok_or_else(|| missing(format!("the header of {target}")))?;
    let head: Header = codec::decode(&[number.into()], head.value(), || format!("the header of {target}"))?;
    let rows = read_rows(transaction, number)?;
    let journal = transaction.open_table(JOURNAL)?;
    assemble(head, rows, |seq| record(&journal, number, seq)).map(Some)
}

/// What tells one record of a target from every other: its header, which counts the facts and
/// names the run, and its last fact, which says when.
pub fn read_mark(transaction: &ReadTransaction, target: &str) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(number) = number_of(transaction, target)? else { return Ok(None) };
    let head = transaction.open_table(HEADS)?;
    let Some(head) = head.get(number)? else { return Ok(None) };
    let journal = transaction.open_table(JOURNAL)?;
    let Some((_, last)) = journal.range((number, 0)..=(number, u64::MAX))?.next_back().transpose()? else { return Ok(None) };
    Ok(Some([head.value(), last.value()].concat()))
}

fn read_rows(transaction: &ReadTransaction, target: u32) -> Result<Vec<(TaskId, Task)>, Trouble> {
    let table = transaction.open_table(ROWS)?;
    let mut rows = Vec::new();
    for entry in transaction.open_table(IDS)?.range((target, "")..)? {
        let (key, number) = entry?;
        let ((of, id), number) = (key.value(), number.value());
        if of != target {
            break;
        }
        let name = || format!("the row of task {id}");
        let id = TaskId::parse(id).map_err(|e| StoreError::record(name(), e))?;
        let row = table.get((target, number))?.ok_or_else(|| missing(name()))?;
        rows.push((id, codec::decode(&[target.into(), number.into()], row.value(), name)?));
    }
    Ok(rows)
}

pub fn read_history(transaction: &ReadTransaction, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, Trouble> {
    let mut records = Vec::new();
    scan_history(transaction, target, after, limit, |record| records.push(record))?;
    Ok(records)
}

/// Hands over one record after the other: a journal may be long.
pub fn scan_history(
    transaction: &ReadTransaction,
    target: &str,
    after: u64,
    limit: usize,
    mut take: impl FnMut(Record),
) -> Result<(), Trouble> {
    let Some(number) = number_of(transaction, target)? else { return Ok(()) };
    let Some(first) = after.checked_add(1) else { return Ok(()) };
    let journal = transaction.open_table(JOURNAL)?;
    for (entry, seq) in journal.range((number, first)..=(number, u64::MAX))?.zip(first..).take(limit) {
        let (key, bytes) = entry?;
        if key.value().1 != seq {
            return Err(missing(format!("fact {seq}")).into());
        }
        take(decode_record(number, seq, bytes.value())?);
    }
    Ok(())
}

fn number_of(transaction: &ReadTransaction, target: &str) -> Result<Option<u32>, Trouble> {
    Ok(transaction.open_table(TARGETS)?.get(target)?.map(|n| n.value()))
}

fn record(journal: &Journal, target: u32, seq: u64) -> Result<Record, Trouble> {
    let bytes = journal.get((target, seq))?.ok_or_else(|| missing(format!("fact {seq}")))?;
    Ok(decode_record(target, seq, bytes.value())?)
}

fn decode_record(target: u32, seq: u64, bytes: &[u8]) -> Result<Record, StoreError> {
    let entry: Entry = codec::decode(&[target.into(), seq], bytes, || format!("fact {seq}"))?;
    Ok(Record { seq, at: entry.at, fact: entry.fact })
}

fn missing(record: String) -> StoreError {
    StoreError::record(record, "it is not there")
}

/// Writes a batch whole, or nothing of it.
pub fn write(db: &Database, target: &str, batch: &Batch) -> Result<(), Trouble> {
    let transaction = begin_write(db)?;
    let number = number_for(&transaction, target)?;
    append(&transaction, number, target, batch)?;
    let head = encode(&[number.into()], &batch.head, || format!("the header of {target}"))?;
    transaction.open_table(HEADS)?.insert(number, head.as_slice())?;
    write_rows(&transaction, number, &batch.rows)?;
    Ok(transaction.commit()?)
}

pub fn begin_write(db: &Database) -> Result<WriteTransaction, Trouble> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// The target's number, given on its first commit.
fn number_for(transaction: &WriteTransaction, target: &str) -> Result<u32, Trouble> {
    let mut table = transaction.open_table(TARGETS)?;
    if let Some(number) = table.get(target)? {
        return Ok(number.value());
    }
    let number = u32::try_from(table.len()?).map_err(|_| full())?;
    table.insert(target, number)?;
    Ok(number)
}

fn append(transaction: &WriteTransaction, number: u32, target: &str, batch: &Batch) -> Result<(), Trouble> {
    let mut journal = transaction.open_table(JOURNAL)?;
    let last = journal.range((number, 0)..=(number, u64::MAX))?.next_back().transpose()?.map_or(0, |(key, _)| key.value().1);
    batch.check_order(target, last)?;
    for (fact, seq) in batch.facts.iter().zip(last + 1..) {
        let entry = EntryRef { at: batch.at, fact };
        let bytes = encode(&[number.into(), seq], &entry, || format!("fact {seq}"))?;
        journal.insert((number, seq), bytes.as_slice())?;
    }
    Ok(())
}

fn write_rows(transaction: &WriteTransaction, target: u32, rows: &[(TaskId, Option<Task>)]) -> Result<(), Trouble> {
    let mut ids = transaction.open_table(IDS)?;
    let mut table = transaction.open_table(ROWS)?;
    for (id, row) in rows {
        let key = (target, id.as_str());
        let known = ids.get(key)?.map(|n| n.value());
        match (row, known) {
            (None, None) => {}
            (None, Some(number)) => {
                ids.remove(key)?;
                table.remove((target, number))?;
            }
            (Some(task), Some(number)) => write_row(&mut table, (target, number), id, task)?,
            (Some(task), None) => {
                let number = next_number(&table, target)?;
                ids.insert(key, number)?;
                write_row(&mut table, (target, number), id, task)?;
            }
        }
    }
    Ok(())
}

fn write_row(rows: &mut Rows, key: (u32, u32), id: &TaskId, task: &Task) -> Result<(), Trouble> {
    let bytes = encode(&[key.0.into(), key.1.into()], task, || format!("the row of task {id}"))?;
    rows.insert(key, bytes.as_slice())?;
    Ok(())
}

fn next_number(rows: &Rows, target: u32) -> Result<u32, Trouble> {
    match rows.range((target, 0)..=(target, u32::MAX))?.next_back().transpose()? {
        Some((key, _)) => key.value().1.checked_add(1).ok_or_else(|| full().into()),
        None => Ok(0),
    }
}

fn encode<T: Serialize>(key: &[u64], value: &T, name: impl Fn() -> String) -> Result<Vec<u8>, StoreError> {
    codec::encode(key, value).map_err(|e| StoreError::record(name(), e))
}

fn full() -> StoreError {
    StoreError::record("the next number", "all numbers are used up")
}

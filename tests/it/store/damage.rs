//! Damaged files: an error that says so, never a panic, and never a changed file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use drover::core::State;
use drover::store::redb::{FILE, RedbStore, read_history, snapshot};
use drover::store::{Store, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tempfile::TempDir;

use super::world::{MARK, fold, played, same, scratch};

const ROWS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("tasks");
const JOURNAL: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("journal");
const META: TableDefinition<&str, u32> = TableDefinition::new("meta");

/// A state directory with a store that was closed in order.
struct Fixture {
    _top: TempDir,
    dir: PathBuf,
    state: State,
}

impl Fixture {
    fn new() -> Self {
        let top = scratch();
        let dir = top.path().join("drover");
        let mut store = RedbStore::open(&dir).unwrap();
        let state = played(11, 80, &mut store, "main").state;
        assert!(state.tasks.len() > 2);
        Self { _top: top, dir, state }
    }

    /// As a killed Drover leaves it: synced and not closed.
    fn killed() -> Self {
        let top = scratch();
        let (from, dir) = (top.path().join("drover"), top.path().join("copy"));
        let mut store = RedbStore::open(&from).unwrap();
        let state = played(12, 80, &mut store, "main").state;
        fs::create_dir(&dir).unwrap();
        fs::copy(from.join(FILE), dir.join(FILE)).unwrap();
        Self { _top: top, dir, state }
    }

    fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// The states after each fact so far: what an older header may lead back to.
    fn past(&self) -> Vec<State> {
        let records = read_history(&self.dir, "main", 0, usize::MAX).unwrap();
        (0..=records.len()).map(|n| fold(&records[..n])).collect()
    }
}

/// Opens `bytes` as a store, for reading and for writing, and counts the refusals. A refused
/// file must not be changed. What a reader finds must be as it was written, but redb checks for
/// a writer only that nothing is missing.
fn try_both(dir: &Path, bytes: &[u8], good: &dyn Fn(&State) -> bool, what: &str) -> usize {
    let file = dir.join(FILE);
    let judge = |found: Result<State, StoreError>, good: &dyn Fn(&State) -> bool| match found {
        Ok(state) => {
            assert!(good(&state), "{what}: a wrong state was read: {state:#?}");
            0
        }
        Err(e) => {
            let text = e.to_string();
            assert!(matches!(e, StoreError::Damaged { .. } | StoreError::Record { .. } | StoreError::Newer { .. }), "{what}: {text}");
            assert_eq!(fs::read(&file).unwrap(), bytes, "{what}: the file was changed: {text}");
            1
        }
    };
    fs::write(&file, bytes).unwrap();
    let read = judge(snapshot(dir, "main").map(Option::unwrap_or_default), &|s| s.tasks.is_empty() || good(s));
    fs::write(&file, bytes).unwrap();
    read + judge(RedbStore::open(dir).and_then(|mut store| store.load("main")), good)
}

#[test]
fn a_file_that_is_no_store_is_refused_and_kept() {
    let fixture = Fixture::new();
    let whole = fs::read(fixture.file()).unwrap();
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), Vec::new()),
        ("a text".into(), b"these are somebody's notes\n".repeat(300)),
        ("zeros".into(), vec![0; whole.len()]),
        ("a header alone".into(), whole[..320].to_vec()),
    ];
    cases.extend(
        [1, 9, 100, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1].map(|n| (format!("cut at {n}"), whole[..n].to_vec())),
    );
    for (what, bytes) in cases {
        // A file grows ahead of what is in it: a reader may find all that it needs before the cut, and then
        // finds it right. Nobody writes to such a file.
        let cut = what.starts_with("cut");
        let refused = try_both(&fixture.dir, &bytes, &|found| cut && found.same_record(&fixture.state), &what);
        assert!(refused == 2 || cut && refused == 1, "{what} was taken for a store");
    }
}

#[test]
fn a_flipped_bit_or_a_lost_page_is_an_error_or_changes_nothing() {
    damage(&Fixture::new(), 5);
}

#[test]
fn damage_to_what_a_killed_writer_left_is_an_error_or_changes_nothing() {
    damage(&Fixture::killed(), 6);
}

fn damage(fixture: &Fixture, seed: u64) {
    let whole = fs::read(fixture.file()).unwrap();
    let past = fixture.past();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut refused = 0;
    // The first 64 bytes say how the file is laid out: each of them, and then some anywhere.
    let anywhere = (0..80).map(|n| if n < 30 { rng.usize(64..320) } else { rng.usize(0..whole.len()) });
    for at in (0..64).chain(anywhere.collect::<Vec<_>>()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << rng.u8(0..8);
        let good = |s: &State| s.same_record(&fixture.state) || at < 4096 && past.iter().any(|p| p.same_record(s));
        refused += try_both(&fixture.dir, &bytes, &good, &format!("bit flipped in byte {at}"));
    }
    for page in 0..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..][..4096].fill(0);
        refused += try_both(&fixture.dir, &bytes, &|s| s.same_record(&fixture.state), &format!("page {page} zeroed"));
    }
    assert!(refused > 20, "only {refused} were noticed: too little was damaged");
}

#[test]
fn a_record_that_does_not_decode_is_named() {
    let fixture = Fixture::new();
    edit(&fixture.file(), |bytes| bytes.truncate(30));
    for error in both_errors(&fixture.dir) {
        assert!(matches!(error, StoreError::Record { .. }));
        let text = error.to_string();
        assert!(text.contains("the row of task task-") && text.contains("begins a new record"), "{text}");
    }
}

#[test]
fn what_a_newer_drover_wrote_is_said_to_be_newer() {
    let fixture = Fixture::new();
    edit(&fixture.file(), |bytes| bytes[0] = 2);
    for error in both_errors(&fixture.dir) {
        let text = error.to_string();
        assert!(text.contains("the row of task task-") && text.contains("was written by a newer drover"), "{text}");
    }
    let db = Database::open(fixture.file()).unwrap();
    let write = db.begin_write().unwrap();
    write.open_table(META).unwrap().insert("layout", 2).unwrap();
    write.commit().unwrap();
    drop(db);
    for error in both_errors(&fixture.dir) {
        assert!(error.to_string().starts_with("the store was written by a newer drover"), "{error}");
    }
}

#[test]
fn another_programs_database_is_not_taken_for_a_store() {
    let top = scratch();
    let file = top.path().join(FILE);
    let db = Database::create(&file).unwrap();
    let write = db.begin_write().unwrap();
    write.open_table(ROWS).unwrap();
    write.commit().unwrap();
    drop(db);
    for error in both_errors(top.path()) {
        assert!(error.to_string().contains("not a store of drover's"), "{error}");
    }
}

#[test]
fn a_definition_stands_in_the_store_once() {
    let fixture = Fixture::new();
    let records = read_history(&fixture.dir, "main", 0, usize::MAX).unwrap();
    let defined = records.iter().filter(|r| matches!(r.fact, drover::core::Fact::Defined { .. })).count();
    let db = Database::open(fixture.file()).unwrap();
    let read = db.begin_read().unwrap();
    let marks = |bytes: &[u8]| bytes.windows(MARK.len()).filter(|w| *w == MARK.as_bytes()).count();
    let rows = read.open_table(ROWS).unwrap();
    let journal = read.open_table(JOURNAL).unwrap();
    assert_eq!(rows.iter().unwrap().map(|r| marks(r.unwrap().1.value())).sum::<usize>(), 0);
    assert_eq!(journal.iter().unwrap().map(|r| marks(r.unwrap().1.value())).sum::<usize>(), defined);
}

#[test]
fn the_store_is_its_owners_alone_and_links_are_refused() {
    let fixture = Fixture::new();
    assert_eq!(fs::metadata(fixture.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let other = fixture.dir.with_file_name("other");
    symlink(&fixture.dir, &other).unwrap();
    assert!(both_errors(&other).iter().all(|e| matches!(e, StoreError::Refused { .. })));
    fs::remove_file(&other).unwrap();
    fs::create_dir(&other).unwrap();
    symlink(fixture.file(), other.join(FILE)).unwrap();
    assert!(both_errors(&other).iter().all(|e| matches!(e, StoreError::Refused { .. })));
}

#[test]
fn what_a_crashed_creation_left_is_removed_and_nothing_else() {
    let fixture = Fixture::new();
    let leftover = fixture.dir.join("store.redb.new-4711");
    let kept = ["store.redb.corrupt-1", "store.redb.new", "notes"].map(|n| fixture.dir.join(n));
    kept.iter().chain([&leftover]).for_each(|p| fs::write(p, "half a store").unwrap());
    let mut store = RedbStore::open(&fixture.dir).unwrap();
    same(&store.load("main").unwrap(), &fixture.state).unwrap();
    assert!(!leftover.exists());
    assert!(kept.iter().all(|p| p.exists()));
}

/// Changes the first row of the tasks behind the store's back.
fn edit(file: &Path, change: impl Fn(&mut Vec<u8>)) {
    let db = Database::open(file).unwrap();
    let write = db.begin_write().unwrap();
    {
        let mut rows = write.open_table(ROWS).unwrap();
        let (key, mut bytes) = rows.first().unwrap().map(|(k, v)| (k.value(), v.value().to_vec())).unwrap();
        change(&mut bytes);
        rows.insert(key, bytes.as_slice()).unwrap();
    }
    write.commit().unwrap();
}

/// What a reader and a writer are told.
fn both_errors(dir: &Path) -> [StoreError; 2] {
    let loaded = RedbStore::open(dir).and_then(|mut store| store.load("main"));
    [snapshot(dir, "main").expect_err("a reader took it"), loaded.expect_err("a writer took it")]
}

//! Readers beside a writer, second writers, and what a crash leaves.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use drover::store::lock;
use drover::store::redb::{FILE, RedbStore, read_history, snapshot};
use drover::store::{Store, StoreError};

use super::world::{World, fold, played, same, scratch};

#[test]
fn where_nothing_was_ever_done_a_reader_finds_nothing_and_makes_nothing() {
    let top = scratch();
    let dir = top.path().join("drover");
    assert!(snapshot(&dir, "main").unwrap().is_none());
    assert_eq!(read_history(&dir, "main", 0, 9).unwrap(), []);
    assert!(!dir.exists());
    drop(RedbStore::open(&dir).unwrap());
    assert!(snapshot(&dir, "main").unwrap().is_none());
    assert_eq!(read_history(&dir, "main", 0, 9).unwrap(), []);
}

#[test]
fn a_reader_sees_whole_commits_while_a_writer_goes_on() {
    let top = scratch();
    let dir = top.path().join("drover");
    let mut store = RedbStore::open(&dir).unwrap();
    // Capacity 1: the writer is at most two commits ahead of the reader.
    let (committed, seen) = mpsc::sync_channel(1);
    std::thread::scope(|s| {
        s.spawn(move || {
            let mut world = World::new(21);
            for _ in 0..80 {
                let batch = world.step();
                store.commit("main", &batch).unwrap();
                committed.send(world.state.head.seq).unwrap();
            }
        });
        for acknowledged in seen {
            let state = snapshot(&dir, "main").unwrap().expect("the target is known");
            assert!(state.head.seq >= acknowledged, "an acknowledged commit is not seen");
            let journal = read_history(&dir, "main", 0, state.head.seq as usize).unwrap();
            same(&fold(&journal), &state).unwrap();
        }
    });
}

#[test]
fn a_second_writer_is_refused_in_words() {
    let top = scratch();
    let dir = top.path().join("drover");
    let mut first = RedbStore::open(&dir).unwrap();
    let error = RedbStore::open(&dir).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(error.to_string().contains("open for writing in another process"), "{error}");
    played(1, 5, &mut first, "main");
    drop(first);
    RedbStore::open(&dir).unwrap();
}

/// A copy of the state directory as a killed Drover leaves it: everything synced, nothing closed.
fn killed(dir: &Path, copy: &Path) -> World {
    let mut store = RedbStore::open(dir).unwrap();
    let world = played(31, 40, &mut store, "main");
    fs::create_dir(copy).unwrap();
    fs::copy(dir.join(FILE), copy.join(FILE)).unwrap();
    world
}

#[test]
fn a_reader_repairs_what_a_killed_writer_left() {
    let top = scratch();
    let copy = top.path().join("copy");
    let world = killed(&top.path().join("drover"), &copy);
    let before = fs::read(copy.join(FILE)).unwrap();
    same(&snapshot(&copy, "main").unwrap().unwrap(), &world.state).unwrap();
    assert_ne!(fs::read(copy.join(FILE)).unwrap(), before, "there was nothing to repair");
    same(&RedbStore::open(&copy).unwrap().load("main").unwrap(), &world.state).unwrap();
}

#[test]
fn a_reader_does_not_repair_under_an_active_drover_and_does_not_wait_for_ever() {
    let top = scratch();
    let copy = top.path().join("copy");
    let world = killed(&top.path().join("drover"), &copy);
    let before = fs::read(copy.join(FILE)).unwrap();
    let active = lock::acquire(&copy, Duration::ZERO).unwrap();
    let error = snapshot(&copy, "main").unwrap_err();
    assert!(matches!(error, StoreError::Unrepaired { .. }), "{error}");
    assert_eq!(fs::read(copy.join(FILE)).unwrap(), before);

    // The active one repairs when it opens.
    let store = RedbStore::open(&copy).unwrap();
    same(&snapshot(&copy, "main").unwrap().unwrap(), &world.state).unwrap();
    drop(store);
    active.release();
}

#[test]
fn a_writer_waits_for_readers_that_look_at_what_a_killed_one_left() {
    let top = scratch();
    let copy = top.path().join("copy");
    let world = killed(&top.path().join("drover"), &copy);
    let left = fs::read(copy.join(FILE)).unwrap();
    let over = AtomicBool::new(false);
    let active = lock::acquire(&copy, Duration::ZERO).unwrap();
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // It may not be repaired for as long as it is patient.
                    snapshot(&copy, "main").ok();
                }
            });
        }
        let opened: Vec<_> = (0..100)
            .map(|_| {
                // Put in its place as another file: nobody writes to one that is read.
                fs::write(top.path().join("left"), &left).unwrap();
                fs::rename(top.path().join("left"), copy.join(FILE)).unwrap();
                RedbStore::open(&copy).and_then(|mut store| store.load("main"))
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        for state in opened {
            same(&state.unwrap(), &world.state).unwrap();
        }
    });
    active.release();
}

//! Stores as earlier programs wrote them, byte for byte: they are opened, gone on with, and say the same.

use std::fs;
use std::path::Path;

use drover::core::{Phase, State};
use drover::store::Store;
use drover::store::redb::{FILE, RedbStore, read_history, snapshot};

use super::world::{World, fold, same, scratch, small_fact};
use crate::fixture::{CONFIG, repo};

/// Each left by a Drover of that day that was killed: `a` and `b` have landed, `bad` has failed, and the
/// agent of `c` was at work.
fn stores() -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir("tests/fixtures/stores").unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn says_what_it_said(state: &State, of: &Path) {
    let phase = |id: &str| &state.tasks.iter().find(|(t, _)| t.as_str() == id).unwrap().1.phase;
    let as_left = *phase("a") == Phase::Completed && *phase("b") == Phase::Completed && *phase("bad") == Phase::Failed;
    assert!(as_left && matches!(phase("c"), Phase::Active(_)), "{}: {:#?}", of.display(), state.tasks);
}

#[test]
fn stores_of_earlier_programs_are_opened_and_gone_on_with() {
    for old in stores() {
        let top = scratch();
        let file = top.path().join(FILE);
        fs::copy(&old, &file).unwrap();
        let read = snapshot(top.path(), "main").unwrap().unwrap();
        says_what_it_said(&read, &old);
        let journal = read_history(top.path(), "main", 0, usize::MAX).unwrap();
        assert!(journal.len() > 30);
        // The fold of today may know more than the rows of then, and nothing else.
        let folded = fold(&journal);
        assert_eq!((folded.head.seq, folded.tasks.len()), (read.head.seq, read.tasks.len()));
        for (id, task) in &folded.tasks {
            let row = &read.tasks[id];
            assert_eq!((&task.phase, &task.spec, &task.last_failure), (&row.phase, &row.spec, &row.last_failure));
            assert_eq!(task.completion.as_ref().map(|c| &c.commit), row.completion.as_ref().map(|c| &c.commit));
        }
        let mut store = RedbStore::open(top.path()).unwrap();
        let mut state = store.load("main").unwrap();
        same(&state, &read).unwrap();
        let now = World::new(1).now;
        state.apply(now, &small_fact()).unwrap();
        store.commit("main", &drover::store::batch(&state, now, vec![small_fact()])).unwrap();
        same(&store.load("main").unwrap(), &state).unwrap();
    }
}

#[test]
fn the_program_of_today_shows_what_an_earlier_one_left() {
    for old in stores() {
        let it = repo().file("drover.toml", CONFIG).commit("start");
        fs::create_dir(it.state_dir()).unwrap();
        fs::copy(&old, it.state_dir().join(FILE)).unwrap();
        let statuses: Vec<String> = it.statuses().into_iter().map(|(id, status)| format!("{id} {status}")).collect();
        assert_eq!(statuses, ["a completed", "b completed", "bad failed", "c in_progress"], "{}", old.display());
    }
}

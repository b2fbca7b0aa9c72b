//! What every store does: one suite, run on each of them.

use std::sync::Arc;

use drover::base::{Millis, Oid, RunId};
use drover::core::{Change, Header, Input, Phase, Selection, State};
use drover::model::Spec;
use drover::store::memory::MemoryStore;
use drover::store::redb::RedbStore;
use drover::store::{Batch, Bookmark, Store, StoreError, batch};

use super::world::{World, fold, played, same, scratch, small_fact, spec, task};

/// Opens the store that is under test; what was committed through an earlier handle is there.
type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

fn on_every_store(test: fn(Open)) {
    eprintln!("on the memory store");
    let memory = MemoryStore::new();
    test(&|| Box::new(memory.clone()));

    eprintln!("on the redb store");
    let top = scratch();
    let dir = top.path().join("drover");
    test(&|| Box::new(RedbStore::open(&dir).unwrap()));
}

#[test]
fn a_target_never_seen_is_empty() {
    on_every_store(|open| {
        let mut store = open();
        same(&store.load("main").unwrap(), &State::default()).unwrap();
        assert_eq!(store.history("main", 0, 9).unwrap(), []);
    });
}

#[test]
fn after_every_commit_of_a_run_the_same_state_is_loaded_and_the_journal_adds_up_to_it() {
    on_every_store(|open| {
        let mut rng = fastrand::Rng::with_seed(7);
        for seed in 0..4 {
            let target = format!("branch-{seed}");
            let (mut store, mut world) = (open(), World::new(seed));
            for _ in 0..120 {
                let batch = world.step();
                store.commit(&target, &batch).unwrap();
                let loaded = store.load(&target).unwrap();
                same(&loaded, &world.state).unwrap();
                if rng.u8(0..20) == 0 {
                    drop(store);
                    store = open();
                    // Goes on from what was read, as a process does that starts again.
                    world.state = store.load(&target).unwrap();
                    same(&world.state, &loaded).unwrap();
                    same(&fold(&store.history(&target, 0, usize::MAX).unwrap()), &loaded).unwrap();
                    let begin = world.begin();
                    store.commit(&target, &world.take(&begin)).unwrap();
                }
            }
            assert!(world.state.head.landings > 0, "seed {seed}: nothing ever landed: the world is too hard");
            same(&fold(&store.history(&target, 0, usize::MAX).unwrap()), &world.state).unwrap();
        }
    });
}

#[test]
fn two_targets_with_the_same_tasks_do_not_mix() {
    on_every_store(|open| {
        let mut store = open();
        let (mut one, mut two) = (World::new(1), World::new(2));
        for _ in 0..60 {
            store.commit("main", &one.step()).unwrap();
            store.commit("feature/x", &two.step()).unwrap();
        }
        drop(store);
        let mut store = open();
        same(&store.load("main").unwrap(), &one.state).unwrap();
        same(&store.load("feature/x").unwrap(), &two.state).unwrap();
        same(&fold(&store.history("feature/x", 0, usize::MAX).unwrap()), &two.state).unwrap();
        same(&store.load("main2").unwrap(), &State::default()).unwrap();
    });
}

#[test]
fn a_removed_task_vanishes_and_may_come_back() {
    on_every_store(|open| {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut world = World::new(1);
        let mut store = open();
        let mut define = |world: &mut World, n| {
            let change = Change::Define { spec: spec(n, 1, &mut rng), rerun: false };
            world.take(&Input::Reconcile { policy: None, changes: vec![change] })
        };
        for n in [0, 1, 2] {
            store.commit("main", &define(&mut world, n)).unwrap();
        }
        for n in [2, 0] {
            let changes = vec![Change::Remove { task: task(n) }];
            store.commit("main", &world.take(&Input::Reconcile { policy: None, changes })).unwrap();
        }
        assert_eq!(open_again(&mut store, open).tasks.into_keys().collect::<Vec<_>>(), [task(1)]);
        store.commit("main", &define(&mut world, 0)).unwrap();
        let loaded = open_again(&mut store, open);
        assert_eq!(loaded.tasks.keys().cloned().collect::<Vec<_>>(), [task(0), task(1)]);
        same(&loaded, &world.state).unwrap();
    });
}

/// Closes the store, opens it again and loads `main`.
fn open_again(store: &mut Box<dyn Store>, open: Open) -> State {
    *store = Box::new(MemoryStore::new());
    *store = open();
    store.load("main").unwrap()
}

#[test]
fn specs_that_rows_skip_are_read_back_also_the_one_that_waits_for_an_attempt_to_end() {
    on_every_store(|open| {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut world = World::new(1);
        let mut store = open();
        let (first, second) = (spec(0, 1, &mut rng), spec(0, 2, &mut rng));
        let define = |spec: &Arc<Spec>| {
            let change = Change::Define { spec: spec.clone(), rerun: false };
            Input::Reconcile { policy: None, changes: vec![change] }
        };
        let began = Input::RunBegan { run: RunId::parse("run-1").unwrap(), selection: Selection::All };
        let synced = Input::LineSynced { was: None, tip: Oid::parse(&"a".repeat(40)).unwrap() };
        for input in [began, synced, define(&first)] {
            store.commit("main", &world.take(&input)).unwrap();
        }
        assert!(matches!(world.state.tasks[&task(0)].phase, Phase::Active(_)));
        store.commit("main", &world.take(&define(&second))).unwrap();

        let loaded = open_again(&mut store, open);
        assert_eq!(loaded.tasks[&task(0)].spec, first);
        assert_eq!(loaded.tasks[&task(0)].next, Some(second));
        same(&loaded, &world.state).unwrap();
    });
}

#[test]
fn the_history_is_read_in_pages() {
    on_every_store(|open| {
        let mut store = open();
        let world = played(3, 60, &mut *store, "main");
        played(4, 10, &mut *store, "other");
        let all = store.history("main", 0, usize::MAX).unwrap();
        assert_eq!(all.len() as u64, world.state.head.seq);
        let mut paged = Vec::new();
        loop {
            let page = store.history("main", paged.len() as u64, 7).unwrap();
            assert!(page.len() <= 7);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all);
        assert_eq!(store.history("main", u64::MAX, 7).unwrap(), []);
        assert_eq!(store.history("main", 0, 0).unwrap(), []);
    });
}

#[test]
fn a_batch_that_does_not_continue_the_journal_is_refused() {
    on_every_store(|open| {
        let mut store = open();
        let world = played(5, 20, &mut *store, "main");
        let mut next = world.state.clone();
        next.apply(Millis(9), &small_fact()).unwrap();
        let good = batch(&next, Millis(9), vec![small_fact()]);
        let seq = good.head.seq;
        let with_seq = |seq| Batch { head: Header { seq, ..good.head.clone() }, ..good.clone() };
        for bad in [0, seq - 1, seq + 1] {
            let error = open_fresh(&mut store, open).commit("main", &with_seq(bad)).unwrap_err();
            assert!(matches!(error, StoreError::OutOfOrder { .. }), "{error}");
        }
        same(&open_again(&mut store, open), &world.state).unwrap();
        store.commit("main", &good).unwrap();
        same(&store.load("main").unwrap(), &next).unwrap();
    });
}

fn open_fresh<'a>(store: &'a mut Box<dyn Store>, open: Open) -> &'a mut dyn Store {
    open_again(store, open);
    &mut **store
}

#[test]
fn bookmarks_are_kept_by_target_and_reader_and_the_journal_can_be_read_beside_them() {
    on_every_store(|open| {
        let mut store = open();
        let bookmark = |seq: u64| Bookmark { seq, note: serde_json::json!({ "run": "r" }) };
        let follower = store.follower();
        assert_eq!(follower.bookmark("main", "a").unwrap(), None);
        // Before the target itself is known, which it does not become by that.
        assert_eq!(follower.enlist("main", "a", 3).unwrap(), Bookmark { seq: 3, ..Bookmark::default() });
        assert_eq!(follower.enlist("main", "a", 4).unwrap().seq, 3);
        follower.keep("main", "a", &bookmark(0)).unwrap();
        assert!(store.targets().unwrap().is_empty());
        assert_eq!(store.load("main").unwrap().head.seq, 0);
        let mut world = World::new(5);
        let batch = (0..50).map(|_| world.step()).find(|b| !b.facts.is_empty()).unwrap();
        store.commit("main", &batch).unwrap();
        assert_eq!(follower.history("main", 0, 100).unwrap(), store.history("main", 0, 100).unwrap());
        for (target, reader, seq) in [("main", "a", 7), ("main", "b", 8), ("mainline", "a", 9)] {
            follower.enlist(target, reader, 1).unwrap();
            follower.keep(target, reader, &bookmark(seq)).unwrap();
        }
        drop((follower, store));
        let follower = open().follower();
        follower.keep_only("main", &["b".to_owned(), "c".to_owned()].into()).unwrap();
        let kept = |target: &str, reader: &str| follower.bookmark(target, reader).unwrap();
        assert_eq!((kept("main", "a"), kept("main", "b"), kept("mainline", "a")), (None, Some(bookmark(8)), Some(bookmark(9))));
        // Somebody who still goes on with one that was dropped does not bring it back.
        follower.keep("main", "a", &bookmark(7)).unwrap();
        assert_eq!(kept("main", "a"), None);
    });
}

//! A long backlog: read in pages, delivered in order; and what becomes of the threads that do it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use drover::base::{Millis, RunId};
use drover::core::{Fact, Header, State};
use drover::model::{Address, BodyFormat, Notices, Policy, Webhook};
use drover::notice::{Herald, Surroundings};
use drover::process::Logs;
use drover::report::Reporter as _;
use drover::store::memory::MemoryStore;
use drover::store::{Batch, Bookmark, Follower, Record, Store, StoreError};

use super::receiver::{Answer, Receiver};
use crate::fixture::until;

const MANY: u64 = 10_000;

/// Notes how much is asked for at once, and how often something is written.
struct Watched {
    inner: Box<dyn Follower>,
    most: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl Follower for Watched {
    fn history(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.most.fetch_max(limit, Ordering::SeqCst);
        self.inner.history(target, after, limit)
    }
    fn bookmark(&self, target: &str, reader: &str) -> Result<Option<Bookmark>, StoreError> {
        self.inner.bookmark(target, reader)
    }
    fn enlist(&self, target: &str, reader: &str, seq: u64) -> Result<Bookmark, StoreError> {
        self.inner.enlist(target, reader, seq)
    }
    fn keep(&self, target: &str, reader: &str, bookmark: &Bookmark) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.keep(target, reader, bookmark)
    }
    fn keep_only(&self, target: &str, readers: &BTreeSet<String>) -> Result<(), StoreError> {
        self.inner.keep_only(target, readers)
    }
}

/// A receiver of runs that end, which may be tried once.
fn hook(url: &str) -> Webhook {
    Webhook {
        to: Address::Url(url.to_owned()),
        events: vec!["run_ended".into()],
        secret_env: None,
        format: BodyFormat::Generic,
        timeout: Duration::from_secs(60),
        max_attempts: 1,
        allow_private: false,
    }
}

fn policy(webhooks: Vec<Webhook>) -> Policy {
    Policy { notices: Notices { webhooks, ..Notices::default() }, ..Policy::default() }
}

fn start(follower: Box<dyn Follower>, policy: &Policy, state: &State) -> Herald {
    let place = Surroundings {
        target: "main".into(),
        root: "/".into(),
        state_dir: "/nowhere".into(),
        environment: Vec::new(),
        now: || Millis(5),
        logs: |_, _: &BTreeMap<String, String>| Logs::default(),
    };
    Herald::start(follower, place, policy, state)
}

/// So many runs that have ended, to be told of.
fn ended(store: &mut MemoryStore, many: u64) -> State {
    let ended = |n: u64| Fact::RunEnded { run: RunId::parse(&format!("r{n}")).unwrap() };
    let head = Header { seq: many, ..Header::default() };
    store.commit("main", &Batch { at: Millis(5), facts: (1..=many).map(ended).collect(), head, rows: Vec::new() }).unwrap();
    store.load("main").unwrap()
}

#[test]
fn a_backlog_of_ten_thousand_is_delivered_in_order_and_read_a_page_at_a_time() {
    let receiver = Receiver::willing();
    let hook = hook(&receiver.url);
    let mut store = MemoryStore::new();
    store.follower().enlist("main", &hook.identity(), 0).unwrap();
    let state = ended(&mut store, MANY);
    let (most, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let follower = Watched { inner: store.follower(), most: most.clone(), writes: writes.clone() };
    let mut herald = start(Box::new(follower), &policy(vec![hook.clone()]), &state);
    until("all is delivered", || receiver.got().len() as u64 == MANY);
    herald.end(None);
    assert_eq!(herald.warning(), None);
    let seqs: Vec<u64> = receiver.got().iter().map(|g| g.json()["fact"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=MANY).collect::<Vec<_>>());
    assert!(most.load(Ordering::SeqCst) <= 500 && writes.load(Ordering::SeqCst) <= 250, "{most:?} {writes:?}");
    assert_eq!(store.follower().bookmark("main", &hook.identity()).unwrap().unwrap().seq, MANY);
}

#[test]
fn a_receiver_that_is_let_go_in_the_middle_of_a_delivery_leaves_no_bookmark() {
    let gate = Arc::new(AtomicBool::new(false));
    let open = gate.clone();
    let receiver = Receiver::new(move |_, _| {
        until("it may answer", || open.load(Ordering::SeqCst));
        Answer::Status(200)
    });
    let hook = hook(&receiver.url);
    let mut store = MemoryStore::new();
    store.follower().enlist("main", &hook.identity(), 0).unwrap();
    let state = ended(&mut store, 1);
    let mut herald = start(store.follower(), &policy(vec![hook.clone()]), &state);
    until("it is being told", || !receiver.got().is_empty());
    herald.fact(&state, 2, Millis(5), &Fact::PolicySet { policy: policy(Vec::new()).into() });
    gate.store(true, Ordering::SeqCst);
    herald.end(None);
    assert_eq!(store.follower().bookmark("main", &hook.identity()).unwrap(), None);
}

/// Has whoever reads the journal panic.
struct Panics(Box<dyn Follower>);

impl Follower for Panics {
    fn history(&self, _: &str, _: u64, _: usize) -> Result<Vec<Record>, StoreError> {
        panic!("as the test wants it");
    }
    fn bookmark(&self, target: &str, reader: &str) -> Result<Option<Bookmark>, StoreError> {
        self.0.bookmark(target, reader)
    }
    fn enlist(&self, target: &str, reader: &str, seq: u64) -> Result<Bookmark, StoreError> {
        self.0.enlist(target, reader, seq)
    }
    fn keep(&self, target: &str, reader: &str, bookmark: &Bookmark) -> Result<(), StoreError> {
        self.0.keep(target, reader, bookmark)
    }
    fn keep_only(&self, target: &str, readers: &BTreeSet<String>) -> Result<(), StoreError> {
        self.0.keep_only(target, readers)
    }
}

#[test]
fn a_reader_that_panics_is_said_and_not_waited_for() {
    let hook = hook("http://127.0.0.1:9/");
    let mut store = MemoryStore::new();
    store.follower().enlist("main", &hook.identity(), 0).unwrap();
    let state = ended(&mut store, 1);
    let mut herald = start(Box::new(Panics(store.follower())), &policy(vec![hook]), &state);
    let said = "webhook to 127.0.0.1: nothing more is delivered: its thread has failed";
    until("it is said, and that alone", || herald.warning().as_deref() == Some(said));
    herald.end(None);
}

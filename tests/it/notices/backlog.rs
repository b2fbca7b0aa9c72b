//! A long backlog: read in pages, delivered in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drover::base::{Millis, RunId};
use drover::core::{Fact, Header};
use drover::model::{Address, BodyFormat, Notices, Policy, Webhook};
use drover::notice::{Herald, Surroundings};
use drover::process::Logs;
use drover::report::Reporter as _;
use drover::store::memory::MemoryStore;
use drover::store::{Batch, Bookmark, Follower, Record, Store, StoreError};

use super::receiver::Receiver;
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
    fn keep(&self, target: &str, reader: &str, bookmark: &Bookmark) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.keep(target, reader, bookmark)
    }
    fn keep_only(&self, target: &str, readers: &BTreeSet<String>) -> Result<(), StoreError> {
        self.inner.keep_only(target, readers)
    }
}

#[test]
fn a_backlog_of_ten_thousand_is_delivered_in_order_and_read_a_page_at_a_time() {
    let receiver = Receiver::willing();
    let hook = Webhook {
        to: Address::Url(receiver.url.clone()),
        events: vec!["run_ended".into()],
        secret_env: None,
        format: BodyFormat::Generic,
        timeout: Duration::from_secs(30),
        max_attempts: 1,
        allow_private: false,
    };
    let policy = Policy { notices: Notices { webhooks: vec![hook.clone()], ..Notices::default() }, ..Policy::default() };
    let mut store = MemoryStore::new();
    store.follower().keep("main", &hook.identity(), &Bookmark::default()).unwrap();
    let ended = |n: u64| Fact::RunEnded { run: RunId::parse(&format!("r{n}")).unwrap() };
    let head = Header { seq: MANY, ..Header::default() };
    store.commit("main", &Batch { at: Millis(5), facts: (1..=MANY).map(ended).collect(), head, rows: Vec::new() }).unwrap();
    let (most, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let follower = Watched { inner: store.follower(), most: most.clone(), writes: writes.clone() };
    let place = Surroundings {
        target: "main".into(),
        root: "/".into(),
        state_dir: "/nowhere".into(),
        environment: Vec::new(),
        now: || Millis(5),
        logs: |_, _: &BTreeMap<String, String>| Logs::default(),
    };
    let state = store.load("main").unwrap();
    let mut herald = Herald::start(Box::new(follower), place, &policy, &state);
    until("all is delivered", || receiver.got().len() as u64 == MANY);
    herald.end(None);
    assert_eq!(herald.warning(), None);
    let seqs: Vec<u64> = receiver.got().iter().map(|g| g.json()["fact"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=MANY).collect::<Vec<_>>());
    assert!(most.load(Ordering::SeqCst) <= 500 && writes.load(Ordering::SeqCst) <= 250, "{most:?} {writes:?}");
    assert_eq!(store.follower().bookmark("main", &hook.identity()).unwrap().unwrap().seq, MANY);
}

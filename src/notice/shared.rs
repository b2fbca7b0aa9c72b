//! What the receivers' threads and the run have in common: how far the journal is, whether it is to
//! end, and the one handle that bookmarks are kept through.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::letter::Scene;
use crate::report::events;
use crate::store::{Bookmark, Follower, Record, StoreError};

pub struct Shared {
    follower: Mutex<Option<Box<dyn Follower>>>,
    pub scene: Mutex<Scene>,
    news: Mutex<News>,
    changed: Condvar,
}

#[derive(Default)]
pub struct News {
    /// The last fact that somebody may want, or the last one there is.
    pub last: u64,
    /// How many runs have begun: whoever was given up is tried again with the next.
    pub runs: u64,
    /// No more is to come, and so long whoever is in trouble is tried again.
    pub ending: Option<Instant>,
    /// Somebody waits for Drover to be gone.
    pub haste: bool,
    /// Nobody waits any more for what is not delivered.
    pub over: bool,
    /// How many were still at work then.
    pub late: usize,
    /// Threads that are at work.
    pub working: usize,
    /// What could not be delivered, in words.
    pub trouble: Vec<String>,
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl News {
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether no further try is to be made.
    pub fn is_over(&self) -> bool {
        self.over || (self.haste && self.is_ending())
    }

    /// How long is left for further tries; nothing as long as no end is in sight.
    pub fn left(&self) -> Option<Duration> {
        let until = self.ending?;
        Some(if self.is_over() { Duration::ZERO } else { until.saturating_duration_since(instant()) })
    }
}

/// What time-outs are counted from.
#[expect(clippy::disallowed_methods, reason = "how long somebody outside is waited for; nothing is decided by it")]
pub fn instant() -> Instant {
    Instant::now()
}

impl Shared {
    pub fn new(follower: Box<dyn Follower>, scene: Scene, last: u64) -> Self {
        let news = News { last, ..News::default() };
        Self { follower: Mutex::new(Some(follower)), scene: Mutex::new(scene), news: Mutex::new(news), changed: Condvar::new() }
    }

    pub fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut locked(&self.news));
        self.changed.notify_all();
    }

    /// Waits until it holds. What it is given last is what holds then.
    pub fn wait<T>(&self, mut until: impl FnMut(&News) -> Option<T>) -> T {
        let mut news = locked(&self.news);
        loop {
            if let Some(found) = until(&news) {
                return found;
            }
            news = self.changed.wait(news).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it holds, but not longer than this. Whether it holds.
    pub fn wait_for(&self, at_most: Duration, mut until: impl FnMut(&News) -> bool) -> bool {
        let news = locked(&self.news);
        let waited = self.changed.wait_timeout_while(news, at_most, |news| !until(news));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub fn look<T>(&self, at: impl FnOnce(&News) -> T) -> T {
        at(&locked(&self.news))
    }

    /// Lets go of the store.
    pub fn close(&self) {
        drop(locked(&self.follower).take());
    }

    fn with<T>(&self, read: impl FnOnce(&dyn Follower) -> Result<T, StoreError>) -> Result<T, Option<StoreError>> {
        match locked(&self.follower).as_deref() {
            Some(follower) => read(follower).map_err(Some),
            None => Err(None),
        }
    }

    /// An error without an error: the session is over.
    pub fn page(&self, target: &str, after: u64, limit: usize) -> Result<Vec<Record>, Option<StoreError>> {
        self.with(|follower| follower.history(target, after, limit))
    }

    /// Looks which journal it is, the first time that somebody is told of it.
    pub fn identify(&self, target: &str) -> Result<(), Option<StoreError>> {
        if locked(&self.scene).journal.is_none() {
            let first = self.page(target, 0, 1)?;
            locked(&self.scene).journal = first.first().map(|record| events::journal(target, record.at));
        }
        Ok(())
    }

    pub fn bookmark(&self, target: &str, reader: &str) -> Result<Option<Bookmark>, Option<StoreError>> {
        self.with(|follower| follower.bookmark(target, reader))
    }

    pub fn keep(&self, target: &str, reader: &str, bookmark: &Bookmark) -> Result<(), Option<StoreError>> {
        self.with(|follower| follower.keep(target, reader, bookmark))
    }

    /// The bookmark of a reader; one that is new begins after `seq`.
    pub fn enlist(&self, target: &str, reader: &str, seq: u64) -> Result<Bookmark, Option<StoreError>> {
        self.with(|follower| follower.enlist(target, reader, seq))
    }

    pub fn keep_only(&self, target: &str, readers: &BTreeSet<String>) -> Result<(), Option<StoreError>> {
        self.with(|follower| follower.keep_only(target, readers))
    }
}

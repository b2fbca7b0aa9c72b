//! Changes of files, gathered until it is quiet.
//!
//! Owns `notify`, and the looking again and again that stands in for it where the system grants no
//! watches or does not announce what others write. Any change means only that it is worth
//! reading again: what changed, and what that means, is not known here. Directories are watched
//! one by one and never whole trees, so that what a build writes beside them wakes nobody.

#![expect(clippy::disallowed_methods, reason = "how long it has been quiet is told by the clock")]

mod interest;
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

pub use interest::Interest;
use interest::Print;

/// So long nothing has to change before it counts as quiet.
pub const QUIET: Duration = Duration::from_millis(10);
/// The same where changes come in a series with pauses in it, as when git moves from one branch to
/// another: files, then the index, then HEAD.
pub const QUIET_LONG: Duration = Duration::from_millis(250);
/// Somebody who never stops writing is not waited for any longer than this.
const AT_MOST: Duration = Duration::from_secs(5);
/// Nor for a file to be closed that is being written.
const CLOSING: Duration = Duration::from_secs(1);
/// How often is looked where nobody says that something changed.
pub const POLL: Duration = Duration::from_secs(2);

/// That something changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// In a place where changes come in a series.
    pub slow: bool,
}

/// What ends waiting.
enum Heard {
    Event(notify::Result<Event>),
    Woken,
}

/// Has a watcher, wherever it waits, say that something may have changed.
pub struct Waker(Sender<Heard>);

impl Waker {
    pub fn wake(&self) {
        // One that is gone does not wait.
        let _ = self.0.send(Heard::Woken);
    }
}

pub struct Watcher {
    interest: Interest,
    notify: Option<RecommendedWatcher>,
    sender: Sender<Heard>,
    events: Receiver<Heard>,
    watched: BTreeSet<PathBuf>,
    /// Directories that are looked at instead, as they were last.
    polled: BTreeMap<PathBuf, Print>,
    every: Duration,
    /// Everything is looked at, because a person says so.
    forced: bool,
    /// Files that are being written.
    open: BTreeSet<PathBuf>,
    /// A watched directory went or came: the watches may be on something else than their names say.
    spoilt: bool,
    /// File systems that were met on which not everything is announced.
    kinds: BTreeSet<&'static str>,
    /// What there is to be told, and what was.
    trouble: Vec<String>,
    told: BTreeSet<String>,
}

impl Watcher {
    /// With `poll`, nothing but looking so often.
    pub fn new(poll: Option<Duration>) -> Self {
        let (sender, events) = channel();
        Self {
            interest: Interest::default(),
            notify: None,
            sender,
            events,
            watched: BTreeSet::new(),
            polled: BTreeMap::new(),
            every: poll.unwrap_or(POLL).max(QUIET),
            forced: poll.is_some(),
            open: BTreeSet::new(),
            spoilt: true,
            kinds: BTreeSet::new(),
            trouble: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// From now on these places. True: some were not followed before, and may have changed unseen.
    pub fn follow(&mut self, interest: Interest) -> bool {
        if std::mem::take(&mut self.spoilt) {
            self.restart();
        }
        self.interest = interest;
        let gone: Vec<PathBuf> = self.watched.iter().filter(|dir| !self.interest.holds(dir)).cloned().collect();
        for dir in gone {
            self.watched.remove(&dir);
            if let Some(notify) = &mut self.notify {
                // One that is gone is not watched any more.
                let _ = notify.unwatch(&dir);
            }
        }
        self.polled.retain(|dir, _| self.interest.holds(dir));
        let new: Vec<PathBuf> = self.interest.dirs().filter(|dir| !self.watched.contains(*dir)).cloned().collect();
        let mut more = false;
        for dir in new {
            more |= self.add(dir);
        }
        more
    }

    pub fn waker(&self) -> Waker {
        Waker(self.sender.clone())
    }

    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// What keeps changes from being noticed at once, with a way out; each once.
    pub fn trouble(&mut self) -> Vec<String> {
        let new = std::mem::take(&mut self.trouble);
        new.into_iter().filter(|why| self.told.insert(why.clone())).collect()
    }

    /// Waits for a change, and after it until it is quiet. `None`: the time was over first.
    pub fn wait(&mut self, at_most: Option<Duration>) -> Option<Seen> {
        let mut seen = self.next(at_most)?;
        let begun = Instant::now();
        loop {
            match self.next(Some(if seen.slow { QUIET_LONG } else { QUIET })) {
                Some(more) => seen.slow |= more.slow,
                None if self.open.is_empty() || begun.elapsed() > CLOSING => break,
                None => {}
            }
            if begun.elapsed() > AT_MOST {
                break;
            }
        }
        self.open.clear();
        Some(seen)
    }

    /// Whether nothing changes for so long.
    pub fn is_quiet(&mut self, during: Duration) -> bool {
        self.next(Some(during)).is_none()
    }

    fn restart(&mut self) {
        self.watched.clear();
        self.polled.clear();
        self.notify = None;
        if self.forced {
            return;
        }
        let sender = self.sender.clone();
        let heard = move |event| drop(sender.send(Heard::Event(event)));
        match RecommendedWatcher::new(heard, notify::Config::default()) {
            Ok(notify) => self.notify = Some(notify),
            Err(error) => self.cannot(&format!(
                "files cannot be watched here ({error}): the limit of inotify instances may be reached, `sysctl fs.inotify.max_user_instances` says how many there may be"
            )),
        }
    }

    fn cannot(&mut self, why: &str) {
        self.trouble.push(format!("{why}. Looking every {} instead.", crate::base::format_duration(self.every)));
    }

    /// True if it was not followed.
    fn add(&mut self, dir: PathBuf) -> bool {
        if let Some(kind) = network::kind(&dir).filter(|_| !self.forced) {
            if self.kinds.insert(kind) {
                let shown = crate::base::text::one_line(&dir.display().to_string(), 200);
                self.cannot(&format!("{shown} is on {kind}, where what other machines write is not announced"));
            }
            return self.poll(dir);
        }
        let Some(notify) = &mut self.notify else { return self.poll(dir) };
        match notify.watch(&dir, RecursiveMode::NonRecursive) {
            Ok(()) => self.watched.insert(dir),
            // Its coming is a change in the directory above it.
            Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => false,
            Err(error) => {
                let why = match error.kind {
                    ErrorKind::MaxFilesWatch => "the system grants no more watches on files; `sudo sysctl fs.inotify.max_user_watches=1048576` raises the limit, then start again".to_owned(),
                    _ => format!("some directories cannot be watched ({error})"),
                };
                self.cannot(&why);
                self.poll(dir)
            }
        }
    }

    fn poll(&mut self, dir: PathBuf) -> bool {
        if self.polled.contains_key(&dir) {
            return false;
        }
        let print = self.interest.print(&dir);
        self.polled.insert(dir, print);
        true
    }

    /// The next change that matters.
    fn next(&mut self, at_most: Option<Duration>) -> Option<Seen> {
        let until = at_most.map(|wait| Instant::now() + wait);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let step = if self.polled.is_empty() { left } else { Some(left.map_or(self.every, |left| left.min(self.every))) };
            let event = match step {
                // The sender is held: it cannot be gone.
                None => self.events.recv().ok(),
                Some(step) => self.events.recv_timeout(step).ok(),
            };
            let seen = match event {
                Some(Heard::Event(event)) => self.heard(event),
                Some(Heard::Woken) => Some(Seen::default()),
                None => self.look(),
            };
            if seen.is_some() {
                return seen;
            }
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
        }
    }

    /// Whether what is only looked at has changed.
    fn look(&mut self) -> Option<Seen> {
        let mut seen = None;
        for (dir, print) in &mut self.polled {
            let now = self.interest.print(dir);
            if now != *print {
                *print = now;
                let slow = self.interest.is_slow(dir);
                seen = Some(Seen { slow: slow || seen.is_some_and(|s: Seen| s.slow) });
            }
        }
        seen
    }

    fn heard(&mut self, event: notify::Result<Event>) -> Option<Seen> {
        let Ok(event) = event else {
            self.spoilt = true;
            return Some(Seen { slow: true });
        };
        if event.need_rescan() {
            self.spoilt = true;
            return Some(Seen { slow: true });
        }
        if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
            return None;
        }
        let mut seen = None;
        for path in &event.paths {
            if let Some(slow) = self.matters(path, &event.kind) {
                seen = Some(Seen { slow: slow || seen.is_some_and(|s: Seen| s.slow) });
            }
        }
        seen
    }

    /// Whether a change of that path is one, and if so whether it is one of a series.
    fn matters(&mut self, path: &Path, kind: &EventKind) -> Option<bool> {
        let moved = matches!(kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        if self.interest.holds(path) && moved {
            self.spoilt = true;
            return Some(true);
        }
        let slow = self.interest.wants(path)?;
        match kind {
            EventKind::Modify(ModifyKind::Data(_)) | EventKind::Create(CreateKind::File) => drop(self.open.insert(path.to_owned())),
            EventKind::Access(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                self.open.remove(path);
            }
            _ => {}
        }
        Some(slow)
    }
}

//! Room for worktrees: an attempt gets one only while all of them together take less than
//! `worktree.max_disk`.
//!
//! What they take is looked at, never kept count of: agents fill them as they like. What an idle
//! one holds goes first, the largest first; then attempts wait for each other to end. The last
//! that is at work is never held up: nobody is left who could make room for it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::effects::World;
use super::slots::{Slot, throw_away};
use crate::base::{Aid, format_size};

/// How often room is looked for while nobody says that there is more.
const LOOK: Duration = Duration::from_secs(5);

/// Who is at work, and who of them waits for room.
#[derive(Default)]
pub struct Room {
    attempts: Mutex<Attempts>,
    changed: Condvar,
}

#[derive(Default)]
struct Attempts {
    at_work: BTreeSet<Aid>,
    waiting: BTreeSet<Aid>,
}

impl Room {
    /// An effect for this attempt is under way.
    pub fn enter(&self, aid: &Aid) {
        self.locked().at_work.insert(aid.clone());
    }
    /// It is through; the next may follow at once.
    pub fn leave(&self, aid: &Aid) {
        let mut attempts = self.locked();
        attempts.at_work.remove(aid);
        // One whose wait ended in an error must not stand before the others for ever.
        attempts.waiting.remove(aid);
        drop(attempts);
        self.changed.notify_all();
    }
    /// One that waits may not need it any more.
    pub fn look_again(&self) {
        self.changed.notify_all();
    }
    fn locked(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait(&self, aid: &Aid) {
        let mut attempts = self.locked();
        attempts.waiting.insert(aid.clone());
        // Woken by whoever ends; what an agent deletes of its own is seen at the next look.
        drop(self.changed.wait_timeout(attempts, LOOK));
    }
    fn go(&self, aid: &Aid) {
        self.locked().waiting.remove(aid);
    }
    /// Whether nobody could make room but this one; of several that wait, the first.
    fn is_last(&self, aid: &Aid) -> bool {
        let attempts = self.locked();
        let others = attempts.at_work.difference(&attempts.waiting).any(|other| other != aid);
        !others && attempts.waiting.first().is_none_or(|first| first >= aid)
    }
}

/// Waits until an attempt may have a worktree. False if it is being ended meanwhile.
pub fn make_room(world: &World, limit: u64, aid: &Aid) -> io::Result<bool> {
    let mut last = false;
    let mut told = false;
    let found = loop {
        let used = tidy_up(world, limit)?;
        // Twice in a row: between two of its steps another attempt looks as if it were gone.
        let is_last = world.room.is_last(aid);
        if used < limit || (last && is_last) {
            break Ok(true);
        }
        if world.running.is_stopping() || world.running.has_ended(aid) {
            break Ok(false);
        }
        if !told && !is_last {
            let (used, limit) = (format_size(used), format_size(limit));
            tracing::warn!("the worktrees take {used}, `max_disk` is {limit}: attempt {aid} waits until another one ends");
            told = true;
        }
        last = is_last;
        world.room.wait(aid);
    };
    world.room.go(aid);
    found
}

/// Removes idle worktrees, the largest first, until all together take less than the limit. Says
/// what is left, in bytes.
pub fn tidy_up(world: &World, limit: u64) -> io::Result<u64> {
    let mut slots: Vec<(u64, Slot)> = world.slots.all()?.into_iter().map(|s| (size(&s.root.join(s.name())), s)).collect();
    slots.sort_by_key(|(bytes, slot)| (*bytes, slot.number));
    let mut used: u64 = slots.iter().map(|(bytes, _)| bytes).sum();
    while let Some((bytes, slot)) = slots.pop() {
        if used < limit {
            break;
        }
        match world.slots.while_idle(&slot, || throw_away(&world.repo, &world.slots, &slot))? {
            None => {}
            Some(Ok(_)) => used -= bytes,
            Some(Err(error)) => tracing::warn!("the idle worktree {} could not be removed to make room: {error}", slot.name()),
        }
    }
    Ok(used)
}

/// What a directory takes on disk, in bytes. No link is followed; what cannot be read is nothing.
pub fn size(dir: &Path) -> u64 {
    // A list and no recursion: an agent may nest directories deeper than a stack is.
    let (mut left, mut bytes) = (vec![dir.to_owned()], 0);
    while let Some(path) = left.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        bytes += meta.blocks() * 512;
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aid(text: &str) -> Aid {
        Aid::parse(text).unwrap()
    }

    #[test]
    fn one_whose_wait_broke_off_stands_before_nobody() {
        let room = Room::default();
        let (first, second) = (aid("run-1"), aid("run-2"));
        for one in [&first, &second] {
            room.enter(one);
            room.locked().waiting.insert(one.clone());
        }
        assert!(room.is_last(&first) && !room.is_last(&second), "one of them goes, and it is known which");
        room.leave(&first);
        assert!(room.is_last(&second));
    }

    #[test]
    fn what_is_nested_deeper_than_a_stack_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let deep = std::iter::repeat_n("d", 1500).fold(dir.path().to_owned(), |path, name| path.join(name));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), [1; 8192]).unwrap();
        let top = dir.path().to_owned();
        let small = std::thread::Builder::new().stack_size(128 * 1024);
        assert!(small.spawn(move || size(&top)).unwrap().join().unwrap() >= 8192);
    }
}

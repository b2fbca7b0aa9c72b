//! Slots: the places that attempts' worktrees stand in, one attempt at a time.
//!
//! Which attempt has which slot lies on disk alone, in Drover's state, out of an agent's way. A
//! slot that nobody has and that is furnished is idle: its worktree may be used again. Each file
//! of a slot is written in one stroke:
//!
//! | File | Says |
//! |---|---|
//! | `root` | the directory that the worktree stands in |
//! | `owner` | the attempt that has the slot; none: nobody has |
//! | `port` | the first of the ports that are the slot's while somebody has it |
//! | `furnished` | what was set up in the worktree, as a digest; none: not known, or not to the end |

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::base::{Aid, sha256_hex};
use crate::git::{GitError, Repo, Worktree};

const PREFIX: &str = "slot-";
/// How many ports, one after the other, an attempt has to itself.
pub const PORTS: u16 = 10;
/// Where they are: below those that systems give to outgoing connections.
const FIRST_PORT: u16 = 20_000;
const RANGES: u16 = 1_200;
/// The longest that an attempt waits for a slot to be given back before it gets a new one.
const PATIENCE: Duration = Duration::from_secs(10);

/// All slots of a repository.
pub struct Slots {
    dir: PathBuf,
    /// The attempts that are about to give their slots back. Locked while a slot is given away.
    ending: Mutex<BTreeSet<Aid>>,
    given_back: Condvar,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Counts from 1.
    pub number: u32,
    pub root: PathBuf,
    pub owner: Option<Aid>,
    pub furnished: Option<String>,
    /// The first of [`PORTS`].
    pub port: Option<u16>,
}

impl Slots {
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("slots"), ending: Mutex::default(), given_back: Condvar::new() }
    }

    /// An attempt has ended and its slot is going to be given back: worth waiting for.
    pub fn ends(&self, aid: &Aid) {
        self.ending().insert(aid.clone());
    }
    /// It was given back, or will not be.
    pub fn has_ended(&self, aid: &Aid) {
        self.ending().remove(aid);
        self.given_back.notify_all();
    }
    fn ending(&self) -> MutexGuard<'_, BTreeSet<Aid>> {
        self.ending.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Every slot, in the order of their numbers.
    pub fn all(&self) -> io::Result<Vec<Slot>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut slots = Vec::new();
        for entry in entries {
            let number = entry?.file_name().to_str().and_then(number_of);
            slots.extend(number.map(|n| self.read(n)).transpose()?.flatten());
        }
        slots.sort_by_key(|s: &Slot| s.number);
        Ok(slots)
    }

    /// The slot that an attempt has.
    pub fn of(&self, aid: &Aid) -> io::Result<Option<Slot>> {
        Ok(self.all()?.into_iter().find(|s| s.owner.as_ref() == Some(aid)))
    }

    /// Gives an attempt that has no worktree a slot all the same: for its ports.
    pub fn take_bare(&self, aid: &Aid, root: &Path, vacant: impl Fn(&Worktree) -> bool) -> io::Result<()> {
        let _ending = self.ending();
        let all = self.all()?;
        if all.iter().any(|s| s.owner.as_ref() == Some(aid)) {
            return Ok(());
        }
        let slot = new_slot(&all, root, vacant);
        self.give(&Slot { port: Some(self.free_ports(&slot)?), ..slot }, aid)
    }

    /// Gives an attempt a slot below `root`: the one it has, else an idle one or one that is about
    /// to be, else a new one. What the answer says to be furnished is as the attempt before left it. `vacant` says
    /// whether nothing stands where a new one would.
    pub fn take(&self, aid: &Aid, root: &Path, vacant: impl Fn(&Worktree) -> bool) -> Result<Slot, GitError> {
        let failed = |e: io::Error| GitError::trouble(format!("giving attempt {aid} a place in {}: {e}", self.dir.display()));
        let mut ending = self.ending();
        let slot = loop {
            let all = self.all().map_err(failed)?;
            if let Some(own) = all.iter().find(|s| s.owner.as_ref() == Some(aid)) {
                // An earlier try was cut short: what it left is not known.
                return Ok(Slot { furnished: None, ..own.clone() });
            }
            if let Some(idle) = all.iter().find(|s| s.owner.is_none() && s.root == root) {
                break idle.clone();
            }
            if ending.is_empty() {
                break new_slot(&all, root, vacant);
            }
            let (guard, waited) = self.given_back.wait_timeout(ending, PATIENCE).unwrap_or_else(|poisoned| poisoned.into_inner());
            ending = guard;
            if waited.timed_out() {
                ending.clear();
            }
        };
        let slot = Slot { port: Some(self.free_ports(&slot).map_err(failed)?), ..slot };
        self.give(&slot, aid).map_err(failed)?;
        Ok(Slot { owner: Some(aid.clone()), ..slot })
    }

    /// The slot that `take` would give away now, if nobody else asked. Nothing is given.
    pub fn upcoming(&self, root: &Path, vacant: impl Fn(&Worktree) -> bool) -> io::Result<Slot> {
        let all = self.all()?;
        let idle = all.iter().find(|s| s.owner.is_none() && s.root == root).cloned();
        let slot = idle.unwrap_or_else(|| new_slot(&all, root, vacant));
        Ok(Slot { port: Some(self.free_ports(&slot)?), ..slot })
    }

    /// The first of a range of ports that no other slot has and that nobody listens on: the one
    /// that the slot had before, if it can be had.
    fn free_ports(&self, slot: &Slot) -> io::Result<u16> {
        let taken: Vec<u16> = self.all()?.iter().filter(|s| s.number != slot.number && s.owner.is_some()).filter_map(|s| s.port).collect();
        // Each repository begins elsewhere, so that two of them seldom meet.
        let seed = u16::from_str_radix(&sha256_hex(self.dir.as_os_str().as_bytes())[..4], 16).unwrap_or(0);
        let first = (u32::from(seed) + slot.number) % u32::from(RANGES);
        let range = |n: u32| FIRST_PORT + PORTS * u16::try_from((first + n) % u32::from(RANGES)).unwrap_or(0);
        let mut ranges = slot.port.into_iter().chain((0..u32::from(RANGES)).map(range)).filter(|p| !taken.contains(p));
        let is_free = |port: &u16| (*port..*port + PORTS).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        ranges.find(is_free).ok_or_else(|| io::Error::other("all ports are taken"))
    }

    /// Durable before the worktree is touched: else a power cut could bring a slot back as idle
    /// that holds an agent's work.
    fn give(&self, slot: &Slot, aid: &Aid) -> io::Result<()> {
        let dir = self.record(slot.number);
        fs::create_dir_all(&dir)?;
        remove(&dir.join("furnished"))?;
        write(&dir, "root", slot.root.as_os_str().as_bytes())?;
        if let Some(port) = slot.port {
            write(&dir, "port", port.to_string().as_bytes())?;
        }
        write(&dir, "owner", aid.as_str().as_bytes())?;
        File::open(&dir)?.sync_all()?;
        File::open(&self.dir)?.sync_all()
    }

    /// Says what the worktree of a slot was set up with, now that it is.
    pub fn furnished(&self, slot: &Slot, digest: &str) -> io::Result<()> {
        write(&self.record(slot.number), "furnished", digest.as_bytes())
    }

    /// Does something to the worktree of a slot that nobody has, and keeps everybody from taking
    /// it meanwhile. `None` if somebody has it by now.
    pub fn while_idle<T>(&self, slot: &Slot, act: impl FnOnce() -> T) -> io::Result<Option<T>> {
        let _ending = self.ending();
        let idle = self.read(slot.number)?.is_some_and(|now| now.owner.is_none() && now.root == slot.root);
        Ok(idle.then(act))
    }

    /// The attempt no longer has the slot; its worktree is idle.
    pub fn release(&self, slot: &Slot) -> io::Result<()> {
        remove(&self.record(slot.number).join("owner"))
    }

    /// Forgets a slot, when its worktree is gone.
    pub fn forget(&self, slot: &Slot) -> io::Result<()> {
        match fs::remove_dir_all(self.record(slot.number)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Forgets all slots: they are those of the repository that this one is a copy of.
    pub fn disown(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn record(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{PREFIX}{number}"))
    }

    /// None where nothing was noted yet.
    fn read(&self, number: u32) -> io::Result<Option<Slot>> {
        let dir = self.record(number);
        let text = |name: &str| match fs::read(dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        };
        let Some(root) = text("root")?.map(|bytes| PathBuf::from(OsString::from_vec(bytes))) else { return Ok(None) };
        let plain = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        // One that cannot be read is somebody all the same: the slot is not to be given away.
        let owner = text("owner")?.map(|bytes| Aid::parse(&plain(bytes)).unwrap_or_else(|_| Aid::parse("unknown").expect("a plain id")));
        let port = text("port")?.and_then(|bytes| plain(bytes).parse().ok());
        Ok(Some(Slot { number, root, owner, furnished: text("furnished")?.map(plain), port }))
    }
}

impl Slot {
    pub fn worktree(&self) -> Result<Worktree, GitError> {
        Worktree::new(&self.root, &self.name())
    }
    pub fn name(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }
}

/// Takes away an idle worktree. Says where what was found in it that no attempt left is kept.
pub fn throw_away(repo: &Repo, slots: &Slots, slot: &Slot) -> Result<Option<String>, GitError> {
    let kept = repo.discard_idle(&slot.worktree()?)?;
    slots.forget(slot).map_err(|e| GitError::trouble(format!("forgetting {}: {e}", slot.name())))?;
    Ok(kept)
}

/// The first of those that are not there yet, and where nothing stands.
fn new_slot(all: &[Slot], root: &Path, vacant: impl Fn(&Worktree) -> bool) -> Slot {
    let new = |number| Slot { number, root: root.into(), owner: None, furnished: None, port: None };
    let mut free = (1..).filter(|n| all.iter().all(|s| s.number != *n)).map(new);
    free.find(|s| s.worktree().is_ok_and(|wt| vacant(&wt))).expect("numbers do not end")
}

/// The number of a slot by the name of its worktree.
pub fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(PREFIX)?;
    let number: u32 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some(number)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, dir.join(name))
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aid(text: &str) -> Aid {
        Aid::parse(text).unwrap()
    }

    #[test]
    fn a_slot_that_is_about_to_be_given_back_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(dir.path());
        let first = slots.take(&aid("a-1"), Path::new("/trees"), |_| true).unwrap();
        slots.ends(&aid("a-1"));
        slots.ends(&aid("a-2"));
        std::thread::scope(|scope| {
            let next = scope.spawn(|| slots.take(&aid("b-1"), Path::new("/trees"), |_| true).unwrap());
            slots.has_ended(&aid("a-2"));
            slots.release(&first).unwrap();
            slots.has_ended(&aid("a-1"));
            assert_eq!(next.join().unwrap().number, 1);
        });
        assert_eq!(slots.take(&aid("b-2"), Path::new("/trees"), |_| true).unwrap().number, 2, "nothing is to be waited for");
    }

    #[test]
    fn slots_have_ports_of_their_own_that_nobody_listens_on() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(dir.path());
        let take = |who: &str| slots.take(&aid(who), Path::new("/trees"), |_| true).unwrap();
        let (one, two) = (take("a-1"), take("a-2"));
        let port = |slot: &Slot| slot.port.unwrap();
        assert!(port(&one).abs_diff(port(&two)) >= PORTS);
        assert_eq!(port(&take("a-1")), port(&one), "the same as long as the attempt lasts");
        slots.release(&one).unwrap();
        let in_the_way = TcpListener::bind((Ipv4Addr::LOCALHOST, port(&one) + PORTS - 1));
        let again = take("a-3");
        assert_eq!(again.number, one.number);
        assert!(in_the_way.is_err() || port(&again) != port(&one), "somebody listens on one of them");
        assert_ne!(port(&again), port(&two));
    }

    #[test]
    fn a_slot_is_given_to_one_attempt_at_a_time_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(dir.path());
        let take = |who: &str| slots.take(&aid(who), Path::new("/trees"), |_| true).unwrap();
        assert_eq!((take("a-1").number, take("a-2").number, take("a-1").number), (1, 2, 1));
        assert_eq!(slots.of(&aid("a-2")).unwrap().unwrap().worktree().unwrap().path(), Path::new("/trees/slot-2"));
        assert_eq!(slots.of(&aid("a-3")).unwrap(), None);
        slots.furnished(&take("a-1"), "digest").unwrap();
        slots.release(&take("a-1")).unwrap();
        let again = take("a-3");
        assert_eq!((again.number, again.furnished.as_deref()), (1, Some("digest")));
        assert_eq!(take("a-3").furnished, None, "nothing is known of what a try that was cut short left");
        slots.forget(&again).unwrap();
        assert_eq!(take("a-4").number, 1);
    }

    #[test]
    fn a_new_slot_is_not_where_something_stands_already_and_an_idle_one_elsewhere_is_not_given() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(dir.path());
        let first = slots.take(&aid("a-1"), Path::new("/old"), |_| true).unwrap();
        slots.release(&first).unwrap();
        let taken = slots.take(&aid("a-2"), Path::new("/new"), |wt| wt.name() != "slot-2").unwrap();
        assert_eq!((taken.number, taken.root.as_path()), (3, Path::new("/new")));
    }

    #[test]
    fn only_the_names_of_slots_are_numbers() {
        for (name, number) in
            [("slot-1", Some(1)), ("slot-10", Some(10)), ("slot-0", None), ("slot-01", None), ("slot-+1", None), ("slot", None)]
        {
            assert_eq!(number_of(name), number, "{name}");
        }
    }
}

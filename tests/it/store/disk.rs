//! A disk that loses power: what was written and not synced may be lost, in part or torn, in
//! whatever order.

use std::io::{Error, ErrorKind};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{BackendError, StorageBackend};

/// What a drive writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What is there after a power cut.
    durable: Vec<u8>,
    /// What a reader sees while the power is on.
    cached: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Change>,
    /// Changes and syncs until the power goes; `None` for never.
    fuse: Option<u64>,
    dead: bool,
    /// Changes until there is no room for more; `None` for ever.
    room: Option<u64>,
    /// It says it has synced, and has not.
    lies: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Sector(usize, Vec<u8>),
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Length(len) => bytes.resize(*len, 0),
            Change::Sector(at, data) => {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl Platter {
    fn change(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        self.burn()?;
        match &mut self.room {
            Some(0) => return Err(ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        changes.iter().for_each(|c| c.make(&mut self.cached));
        self.unsynced.extend(changes);
        Ok(())
    }

    fn burn(&mut self) -> Result<(), Error> {
        self.powered()?;
        match &mut self.fuse {
            Some(0) => self.dead = true,
            Some(left) => *left -= 1,
            None => {}
        }
        self.powered()
    }

    fn powered(&self) -> Result<(), Error> {
        if self.dead { Err(Error::other("the power is out")) } else { Ok(()) }
    }
}

impl Disk {
    pub fn that_lies_about_syncing() -> Self {
        let disk = Disk::default();
        disk.platter().lies = true;
        disk
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    /// The power goes after so many more changes and syncs.
    pub fn light(&self, fuse: u64) {
        self.platter().fuse = Some(fuse);
    }

    /// It is full after so many more changes, and until there is room again: `None`.
    pub fn fill_up(&self, room: Option<u64>) {
        self.platter().room = room;
    }

    pub fn is_dead(&self) -> bool {
        self.platter().dead
    }

    /// The power comes back, and nothing was lost: as after a write error that passed.
    pub fn revive(&self) {
        let mut platter = self.platter();
        platter.dead = false;
        platter.fuse = None;
    }

    /// The power goes, unless it has, and comes back: of what was not synced, some is there.
    pub fn cut_power(&self, rng: &mut fastrand::Rng) {
        let mut platter = self.platter();
        let unsynced = std::mem::take(&mut platter.unsynced);
        let kept = survivors(&unsynced, rng);
        let mut durable = std::mem::take(&mut platter.durable);
        kept.for_each(|c| c.make(&mut durable));
        *platter = Platter { cached: durable.clone(), durable, lies: platter.lies, ..Platter::default() };
    }

    /// Everything is gone: an unfinished file that nobody had named yet.
    pub fn wipe(&self) {
        let mut platter = self.platter();
        *platter = Platter { lies: platter.lies, ..Platter::default() };
    }
}

/// Sectors survive each for itself; a later one may while an earlier one is lost. The length
/// of a file is changed in order.
fn survivors<'a>(unsynced: &'a [Change], rng: &mut fastrand::Rng) -> impl Iterator<Item = &'a Change> {
    let chance = *rng.choice(&[0.0, 0.1, 0.5, 0.9, 1.0]).unwrap();
    let reached = rng.usize(0..=unsynced.len());
    let mut rng = rng.fork();
    unsynced.iter().enumerate().filter_map(move |(n, change)| {
        let survives = match change {
            Change::Length(_) => chance == 1.0 || n < reached,
            Change::Sector(..) => rng.f64() < chance,
        };
        survives.then_some(change)
    })
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        let platter = self.platter();
        platter.powered()?;
        Ok(platter.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let platter = self.platter();
        platter.powered()?;
        let at = offset as usize;
        let found = platter.cached.get(at..at + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.platter().change(vec![Change::Length(len as usize)])
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut platter = self.platter();
        platter.burn()?;
        if !platter.lies {
            platter.durable = platter.cached.clone();
            platter.unsynced.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let sectors = data.chunks(SECTOR).enumerate();
        let changes = sectors.map(|(n, part)| Change::Sector(offset as usize + n * SECTOR, part.to_vec()));
        self.platter().change(changes.collect())
    }

    // One handle at a time is all that a disk here ever has: every lock is free.
    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }
    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }
    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}

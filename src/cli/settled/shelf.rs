//! The directory that proofs are kept in, and the file of one checkout there. It is in a place that others
//! may write to: no link is followed, and what is no file, or is longer than any proof, is not read.
//!
//! Must not know what a proof says.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};

/// In the state directory.
const DIR: &str = "settled";
/// The longest text that is kept, in bytes: that of as many task files as there may be is shorter.
const MOST: u64 = 64 << 20;

pub struct Shelf {
    dir: OwnedFd,
    name: String,
    /// What the file is called until it is whole.
    new: String,
}

impl Shelf {
    /// If there is one.
    pub fn open(state_dir: &Path, name: &str) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(CWD, state_dir.join(DIR), flags, Mode::empty()).ok()?;
        Some(Self { dir, name: name.to_owned(), new: format!("{name}.new") })
    }

    pub fn make(state_dir: &Path, name: &str) -> Option<Self> {
        // If it cannot be made because it is there, that is as good; if not, it cannot be opened either.
        let _ = mkdirat(CWD, state_dir.join(DIR), Mode::RWXU);
        Self::open(state_dir, name)
    }

    pub fn read(&self) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.dir, &self.name, flags, Mode::empty()).ok()?);
        let meta = file.metadata().ok()?;
        (meta.is_file() && meta.len() <= MOST).then_some(())?;
        let mut text = String::with_capacity(usize::try_from(meta.len()).ok()?);
        file.take(MOST).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// A new file beside the one that is read, written just now.
    pub fn begin(&self) -> Option<File> {
        self.give_up();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.dir, &self.new, flags, Mode::RUSR | Mode::WUSR).ok()?);
        file.write_all(b"\n").ok()?;
        Some(file)
    }

    /// Has it hold this, and be the one that is read.
    pub fn put(&self, mut file: File, text: &str) -> Option<()> {
        file.rewind().ok()?;
        file.write_all(text.as_bytes()).ok()?;
        renameat(&self.dir, &self.new, &self.dir, &self.name).ok()
    }

    /// Takes away what did not come to be whole. What is not there need not go.
    pub fn give_up(&self) {
        let _ = unlinkat(&self.dir, &self.new, AtFlags::empty());
    }
}

//! Which changes matter: directories, and names in them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Directories that are followed. Of some, everything directly in them matters, of others only
/// some names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    dirs: BTreeMap<PathBuf, Names>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    all: bool,
    some: BTreeSet<OsString>,
    slow: bool,
}

impl Names {
    fn hold(&self, name: &OsStr) -> bool {
        self.all || self.some.contains(name)
    }
}

/// What a directory looked like: the files in it that matter, each with what a change of it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Print(BTreeMap<OsString, [i64; 6]>);

impl Interest {
    /// Adds a name in a directory, or all of it. `slow`: changes there come in a series.
    pub fn add(&mut self, (dir, name): (PathBuf, Option<OsString>), slow: bool) {
        let names = self.dirs.entry(dir).or_default();
        names.slow |= slow;
        names.all |= name.is_none();
        names.some.extend(name);
    }

    pub(super) fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        self.dirs.keys()
    }

    pub(super) fn holds(&self, dir: &Path) -> bool {
        self.dirs.contains_key(dir)
    }

    pub(super) fn is_slow(&self, dir: &Path) -> bool {
        self.dirs.get(dir).is_some_and(|names| names.slow)
    }

    /// Whether a change of that path matters, and if so whether it is one of a series.
    pub(super) fn wants(&self, path: &Path) -> Option<bool> {
        let names = self.dirs.get(path.parent()?)?;
        names.hold(path.file_name()?).then_some(names.slow)
    }

    pub(super) fn print(&self, dir: &Path) -> Print {
        let Some(names) = self.dirs.get(dir) else { return Print::default() };
        let entries = fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| names.hold(&entry.file_name()));
        let stamp = |entry: fs::DirEntry| {
            // What a link leads to is read; what does not lead anywhere is still there.
            let meta = fs::metadata(entry.path()).or_else(|_| entry.metadata()).ok()?;
            // What is written in a directory below is that directory's change.
            let stamp = match meta.is_dir() {
                true => [meta.ino().cast_signed(), 0, 0, 0, 0, 0],
                false => {
                    [meta.ino().cast_signed(), meta.size().cast_signed(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]
                }
            };
            Some((entry.file_name(), stamp))
        };
        Print(entries.filter_map(stamp).collect())
    }
}

//! Whether reading the project again would give the same: told from names, sizes and times,
//! without reading what has not changed.
//!
//! Knows nothing of what follows from it, nor of where it is kept.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Loaded;
use super::disk::MAX_FILE;
use crate::base::sha256_hex;

/// A directory that holds one of these is a repository, in which the rules of those above it do not count.
const REPOSITORIES: [&str; 2] = [".git", ".jj"];

/// All that a reading of the project looked at, and how it stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    at: Places<Vec<PathBuf>>,
    since: Instant,
    stood: String,
}

/// Each sorted, and once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Places<Paths> {
    /// Files that no link leads to.
    plain: Paths,
    /// Files that a link leads to, or that are not there.
    led_to: Paths,
    /// Directories, for the names in them.
    listed: Paths,
    /// What is on the way, for what kind of thing it is.
    passed: Paths,
}

/// A moment by the clock of a file system: the device, seconds, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Instant(u64, i64, i64);

impl Seen {
    /// How all stands that `loaded` looked at, and `also`: other files that a reading hangs on.
    /// `just_now` is of a file that was made before anything was looked at. None: it cannot be
    /// told later whether all is as it is.
    pub fn of(loaded: &Loaded, also: &[PathBuf], just_now: &Metadata) -> Option<Self> {
        let mut at = Places::<BTreeSet<PathBuf>>::default();
        for (dir, name) in &loaded.walked {
            match name {
                Some(name) => drop(at.passed.insert(dir.join(name))),
                None => drop(at.listed.insert(dir.clone())),
            }
            let is_top = *dir == loaded.root;
            for marker in REPOSITORIES.map(|marker| dir.join(marker)) {
                if !is_top && is_there(&marker) {
                    // Another repository, with rules of its own.
                    return None;
                }
                // Where all names are seen, so is that it comes.
                if name.is_some() {
                    at.passed.insert(marker);
                }
            }
            let ignored = dir.join(".gitignore");
            if is_there(&ignored) {
                at.add(&ignored);
            }
        }
        let above = loaded.root.ancestors().skip(1).map(|dir| dir.join(".gitignore"));
        loaded.asked.iter().cloned().chain(above).chain(also.iter().cloned()).for_each(|file| at.add(&file));
        let since = Instant(just_now.dev(), just_now.mtime(), just_now.mtime_nsec());
        let mut seen = Self { at: at.into(), since, stood: String::new() };
        seen.stood = seen.look()?;
        Some(seen)
    }

    /// Whether all is as it was. Reads only what was changed so shortly before it was looked at
    /// that its times could not tell another change.
    pub fn holds(&self) -> bool {
        self.look().is_some_and(|stands| stands == self.stood)
    }

    /// A digest of how everything stands.
    fn look(&self) -> Option<String> {
        let mut sum = Sum::default();
        self.at.listed.iter().try_for_each(|dir| sum.names(dir))?;
        self.at.passed.iter().try_for_each(|path| sum.kind(path))?;
        self.at.plain.iter().try_for_each(|file| self.file(file, &mut sum))?;
        for file in &self.at.led_to {
            match fs::canonicalize(file) {
                Ok(real) => {
                    sum.bytes(real.as_os_str().as_bytes());
                    self.file(&real, &mut sum)?;
                }
                Err(e) if e.kind() == ErrorKind::NotFound => sum.bytes(b"not there"),
                Err(_) => return None,
            }
        }
        Some(sha256_hex(&sum.0))
    }

    fn file(&self, file: &Path, sum: &mut Sum) -> Option<()> {
        let meta = fs::symlink_metadata(file).ok()?;
        sum.stamp(&meta);
        // As git does: what changed in the same tick as it was looked at, or later, may have
        // changed again in that tick.
        let changed = Instant(meta.dev(), meta.ctime(), meta.ctime_nsec()).max(Instant(meta.dev(), meta.mtime(), meta.mtime_nsec()));
        if meta.is_file() && (changed.0 != self.since.0 || changed >= self.since) {
            let mut bytes = Vec::new();
            fs::File::open(file).ok()?.take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
            sum.bytes(&bytes);
        }
        Some(())
    }
}

impl Places<BTreeSet<PathBuf>> {
    fn add(&mut self, file: &Path) {
        if !fs::canonicalize(file).is_ok_and(|real| real == file) {
            self.led_to.insert(file.to_owned());
        } else if self.plain.insert(file.to_owned()) {
            self.passed.extend(file.ancestors().skip(1).map(Path::to_owned));
        }
    }
}

impl From<Places<BTreeSet<PathBuf>>> for Places<Vec<PathBuf>> {
    fn from(Places { plain, led_to, listed, passed }: Places<BTreeSet<PathBuf>>) -> Self {
        let [plain, led_to, listed, passed] = [plain, led_to, listed, passed].map(|paths| paths.into_iter().collect());
        Self { plain, led_to, listed, passed }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// What goes into a digest, so that no two states give the same bytes.
#[derive(Default)]
struct Sum(Vec<u8>);

impl Sum {
    fn number(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn stamp(&mut self, meta: &Metadata) {
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()].map(i64::cast_unsigned);
        [meta.dev(), meta.ino(), meta.mode().into(), meta.uid().into(), meta.gid().into(), meta.len()]
            .into_iter()
            .chain(times)
            .for_each(|n| self.number(n));
    }

    /// The names in a directory, each with what it is.
    fn names(&mut self, dir: &Path) -> Option<()> {
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.ok()?;
            Some((entry.file_name(), kind(entry.file_type().ok()?)))
        };
        let mut names: Vec<_> = fs::read_dir(dir).ok()?.map(entry).collect::<Option<_>>()?;
        names.sort();
        self.number(names.len() as u64);
        for (name, kind) in names {
            self.bytes(name.as_bytes());
            self.number(kind);
        }
        Some(())
    }

    fn kind(&mut self, path: &Path) -> Option<()> {
        match fs::symlink_metadata(path) {
            Ok(meta) => self.number(kind(meta.file_type())),
            Err(e) if e.kind() == ErrorKind::NotFound => self.number(0),
            Err(_) => return None,
        }
        Some(())
    }
}

fn kind(of: fs::FileType) -> u64 {
    match (of.is_file(), of.is_dir(), of.is_symlink()) {
        (true, _, _) => 1,
        (_, true, _) => 2,
        (_, _, true) => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Options, load};
    use super::*;

    /// A project with one task, and a file that was made right before or after its files.
    fn project() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap().join("p");
        fs::create_dir_all(root.join("drover")).unwrap();
        fs::write(root.join("drover.toml"), "[project]\nname = \"p\"\n").unwrap();
        fs::write(root.join("drover/t.toml"), "[[task]]\nid = \"a\"\ntitle = \"A\"\nprompt = \"x\"\n").unwrap();
        (dir, root)
    }

    fn seen(root: &Path, clock: &Path) -> Seen {
        Seen::of(&load(root, &Options::default()), &[], &fs::metadata(clock).unwrap()).unwrap()
    }

    /// A file whose time is so much before or after now.
    fn clock(dir: &Path, ahead: bool) -> PathBuf {
        let path = dir.join("clock");
        let file = fs::File::create(&path).unwrap();
        let (now, hour) = (file.metadata().unwrap().modified().unwrap(), Duration::from_secs(3600));
        file.set_modified(if ahead { now + hour } else { now - hour }).unwrap();
        path
    }

    #[test]
    fn what_is_older_than_the_look_goes_by_its_times_and_the_rest_by_what_it_says() {
        let (dir, root) = project();
        let old = seen(&root, &clock(dir.path(), true));
        let young = seen(&root, &clock(dir.path(), false));
        assert!(old.holds() && young.holds());
        assert_ne!(old.stood, young.stood, "what it says went in");
        let mut sum = [Sum::default(), Sum::default()];
        let file = root.join("drover/t.toml");
        old.file(&file, &mut sum[0]).unwrap();
        young.file(&file, &mut sum[1]).unwrap();
        let [old, young] = sum.map(|s| s.0);
        assert!(young.starts_with(&old) && young.ends_with(&fs::read(&file).unwrap()));
    }

    #[test]
    fn other_repositories_inside_prove_nothing() {
        let (dir, root) = project();
        let clock = clock(dir.path(), true);
        for marker in REPOSITORIES {
            let marker = root.join("drover/inner").join(marker);
            fs::create_dir_all(&marker).unwrap();
            assert!(Seen::of(&load(&root, &Options::default()), &[], &fs::metadata(&clock).unwrap()).is_none());
            fs::remove_dir(marker).unwrap();
        }
    }
}

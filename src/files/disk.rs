//! The project's directory: finding task files in it and reading texts from it.
//!
//! Reads regular files only, within bounds, as UTF-8; follows no link out of the project.
//! Knows no TOML.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use globset::{GlobSet, GlobSetBuilder};
use ignore::{DirEntry, WalkBuilder};

use super::diagnostic::{Code, quote};
use super::format;

/// The longest file that is read, in bytes.
pub const MAX_FILE: u64 = 4 << 20;
/// The most that is read in all, in bytes.
const MAX_TOTAL: u64 = 256 << 20;
/// The most task files.
pub const MAX_FILES: usize = 20_000;

/// Why a file gives no text.
#[derive(Debug)]
pub struct NoText {
    pub code: Code,
    pub why: String,
}

fn no_text(code: Code, why: impl Into<String>) -> NoText {
    NoText { code, why: why.into() }
}

impl From<io::Error> for NoText {
    fn from(error: io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::MissingFile } else { Code::Unreadable };
        no_text(code, error.to_string())
    }
}

pub struct Disk {
    root: PathBuf,
    /// What is read in place of files.
    instead: BTreeMap<PathBuf, String>,
    left: u64,
    /// Files that were asked for, whether they were there or not.
    pub asked: BTreeSet<PathBuf>,
}

impl Disk {
    /// `root` without links in it.
    pub fn new(root: PathBuf, instead: &BTreeMap<String, String>) -> Self {
        let instead = instead.iter().map(|(name, text)| (root.join(name), text.clone())).collect();
        Self { root, instead, left: MAX_TOTAL, asked: BTreeSet::new() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The text of a file of at most `max` bytes.
    pub fn read(&mut self, path: &Path, max: u64) -> Result<String, NoText> {
        self.asked.insert(path.to_owned());
        let bytes = match self.instead.get(path) {
            Some(text) => text.clone().into_bytes(),
            None => regular(path, max)?,
        };
        let read = bytes.len() as u64;
        if read > max {
            return Err(no_text(Code::Unreadable, format!("it is larger than {} KiB", max >> 10)));
        }
        if read > self.left {
            return Err(no_text(Code::Unreadable, format!("the files of the project are together larger than {} MiB", MAX_TOTAL >> 20)));
        }
        self.left -= read;
        String::from_utf8(bytes)
            .map_err(|e| no_text(Code::Unreadable, format!("it is not UTF-8 from byte {}", e.utf8_error().valid_up_to())))
    }

    /// As `read`, for a path written in a file of the project: it must not lead out of it.
    pub fn read_inside(&mut self, path: &Path, max: u64) -> Result<String, NoText> {
        self.asked.insert(path.to_owned());
        let real = fs::canonicalize(path)?;
        if !real.starts_with(&self.root) {
            return Err(no_text(Code::MissingFile, "it leads out of the project"));
        }
        self.read(&real, max)
    }

    /// A path as people know it: relative to the root where it stands inside.
    pub fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned()
    }
}

/// The bytes of a file, up to one more than `max`.
fn regular(path: &Path, max: u64) -> Result<Vec<u8>, NoText> {
    if !fs::metadata(path)?.is_file() {
        return Err(no_text(Code::Unreadable, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Globs that say which files hold tasks.
pub struct Places {
    set: GlobSet,
    /// The directories before the first wildcard of each, so that nothing else is walked.
    prefixes: Vec<PathBuf>,
}

/// What a walk found, each sorted: files by their names relative to the root.
#[derive(Default)]
pub struct Found {
    pub files: Vec<String>,
    pub problems: Vec<String>,
    /// The directories that were looked into, and what for: anything, or one name in it.
    pub places: Vec<Place>,
}

/// A directory, and a name in it, or any.
pub type Place = (PathBuf, Option<OsString>);

impl Places {
    /// From globs of the form that `format::glob` accepts; others are left out.
    pub fn new<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        let mut prefixes = Vec::new();
        for text in globs {
            if let Ok(glob) = format::glob(text) {
                set.add(glob);
                let fixed = text.split('/').take_while(|part| !part.contains(['*', '?', '[', ']', '{', '}', '\\']));
                prefixes.push(fixed.collect());
            }
        }
        let set = set.build().map_err(|e| e.kind().to_string())?;
        Ok(Self { set, prefixes })
    }

    /// The files under `root` that match, but for `config` itself. With `ignored`, also those that git ignores.
    pub fn find(&self, root: &Path, config: &Path, ignored: bool) -> Found {
        let mut found = Found::default();
        let base = root.to_owned();
        let prefixes = self.prefixes.clone();
        let enter = move |entry: &DirEntry| {
            let path = entry.path().strip_prefix(&base).unwrap_or(entry.path());
            entry.file_name() != ".git" && prefixes.iter().any(|p| p.starts_with(path) || path.starts_with(p))
        };
        let mut walk = WalkBuilder::new(root);
        // What is ignored everywhere counts from the top of each repository, wherever this is started.
        walk.current_dir(root);
        walk.standard_filters(false).parents(true).follow_links(false).filter_entry(enter);
        if !ignored {
            walk.git_ignore(true).git_exclude(true).git_global(true);
        }
        for entry in walk.build() {
            match entry {
                Ok(entry) => self.take(root, config, &entry, &mut found),
                Err(error) => found.problems.push(error.to_string()),
            }
            if found.files.len() > MAX_FILES {
                found.problems.push(format!("there are more than {MAX_FILES} task files"));
                break;
            }
        }
        found.files.sort();
        found.problems.sort();
        found
    }

    /// Adds those of the names that match and are no files yet.
    pub fn with_new(&self, root: &Path, config: &Path, names: &[String], found: &mut Found) {
        let fits = |name: &&String| {
            let inside = Path::new(name).components().all(|c| matches!(c, Component::Normal(part) if part != ".git"));
            inside && self.set.is_match(name) && root.join(name) != config && name.as_str() != "drover.toml"
        };
        let is_new = |name: &&String| fs::symlink_metadata(root.join(name)).is_err();
        found.files.extend(names.iter().filter(fits).filter(is_new).cloned());
        found.files.sort();
    }

    /// What was looked for in a directory: all, or what leads on to where task files may be.
    fn looked_for(&self, root: &Path, dir: &Path) -> Vec<Place> {
        let at = root.join(dir);
        if self.prefixes.iter().any(|p| dir.starts_with(p)) {
            return vec![(at, None)];
        }
        let next = |p: &PathBuf| p.strip_prefix(dir).ok()?.components().next().map(|c| c.as_os_str().to_owned());
        let names = self.prefixes.iter().filter_map(next).chain([".gitignore".into()]);
        names.map(|name| (at.clone(), Some(name))).collect()
    }

    fn take(&self, root: &Path, config: &Path, entry: &DirEntry, found: &mut Found) {
        let Ok(path) = entry.path().strip_prefix(root) else { return };
        if entry.file_type().is_some_and(|t| t.is_dir()) {
            found.places.extend(self.looked_for(root, path));
        }
        let is_file = entry.file_type().is_some_and(|t| t.is_file());
        if !is_file || !self.set.is_match(path) || entry.path() == config || path == Path::new("drover.toml") {
            return;
        }
        match path.to_str() {
            Some(name) => found.files.push(name.to_owned()),
            None => found.problems.push(format!("the name of {} is not UTF-8", quote(&path.to_string_lossy()))),
        }
    }
}

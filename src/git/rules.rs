//! The files beside the configuration that are watched while agents work: hooks, and what decides
//! which files git takes and how it converts them. Of these no call of Drover's can be kept, so
//! that work is told apart that was kept while they were others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::repo::Repo;
use crate::base::sha256_hex;

/// What changes what git makes of files and history.
const FILES: &[&str] = &["info/grafts", "shallow", "objects/info/alternates"];
/// The same, of lines with patterns: what they say counts, not how they are commented.
const PATTERNS: &[&str] = &["info/attributes", "info/exclude"];

/// By which a file that was written since is told from one that was not.
pub(super) type Stamp = (u64, u64, i64, i64, i64, i64);

/// What git goes by when it takes files, at one time. Read before and after, two are equal only
/// if nobody changed anything in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    files: BTreeMap<String, String>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

impl Rules {
    pub(super) fn new(repo: &Repo, files: BTreeMap<String, String>) -> Self {
        let files = without_hooks(files);
        let named = files.keys().map(|name| repo.common_dir().join(name));
        let always = FILES.iter().chain(PATTERNS).map(|name| repo.common_dir().join(name));
        Self { stamps: stamps(named.chain(always).collect()), files }
    }
    pub(super) fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }
    /// Of what they say.
    pub fn digest(&self) -> String {
        let lines: Vec<String> = self.files.iter().map(|(name, digest)| format!("{name} {digest}")).collect();
        sha256_hex(lines.join("\n").as_bytes())
    }
}

/// Hooks decide nothing about what files hold.
pub(super) fn without_hooks(mut files: BTreeMap<String, String>) -> BTreeMap<String, String> {
    files.retain(|name, _| !name.contains("hooks/"));
    files
}

/// Where patterns are read from that the configuration names, unless the file is part of the
/// checkout and comes and goes with commits.
pub(super) fn outside(repo: &Repo, value: &str) -> Option<PathBuf> {
    let path = match value.strip_prefix("~/") {
        Some(rest) => PathBuf::from(repo.inner.program.variable("HOME")?).join(rest),
        None => PathBuf::from(value),
    };
    let is_tracked = path.starts_with(repo.root()) && !path.starts_with(repo.common_dir());
    (path.is_absolute() && !is_tracked).then_some(path)
}

/// Hooks, and files that change what git makes of others, `named` ones among them.
pub(super) fn files(repo: &Repo, named: Vec<PathBuf>) -> BTreeMap<String, String> {
    let common = repo.common_dir();
    let mut found: Vec<PathBuf> = FILES.iter().map(|file| common.join(file)).collect();
    let mut patterns = named;
    for store in std::iter::once(common.to_owned()).chain(repo.module_stores()) {
        patterns.extend(PATTERNS.iter().map(|file| store.join(file)));
        let hooks = fs::read_dir(store.join("hooks")).into_iter().flatten().flatten().map(|e| e.path());
        found.extend(hooks.filter(|hook| hook.extension().is_none_or(|end| end != "sample")));
    }
    let digest = |file: &Path| {
        let mode = fs::metadata(file).ok().filter(|m| m.is_file())?.permissions().mode();
        Some(format!("{:o} {}", mode & 0o111, sha256_hex(&fs::read(file).ok()?)))
    };
    let name = |file: &Path| file.strip_prefix(common).unwrap_or(file).to_string_lossy().into_owned();
    let patterns = patterns.iter().filter_map(|file| Some((name(file), sha256_hex(&patterns_of(file)?))));
    found.iter().filter_map(|file| Some((name(file), digest(file)?))).chain(patterns).collect()
}

/// The lines that say something; none where nothing does.
fn patterns_of(file: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(file).ok()?;
    let said: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#")).collect();
    (!said.is_empty()).then(|| said.join(&b'\n'))
}

pub(super) fn stamps(files: BTreeSet<PathBuf>) -> Vec<(PathBuf, Option<Stamp>)> {
    files.into_iter().map(|file| (file.clone(), stamp(&file))).collect()
}

pub(super) fn stamp(file: &Path) -> Option<Stamp> {
    let meta = fs::metadata(file).ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()))
}

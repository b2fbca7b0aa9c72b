//! What git would run or obey, watched while agents work.
//!
//! The configuration, the hooks and the patterns of a repository are shared by all of its
//! worktrees, so an agent can write there what git will run later, for whoever calls it, or what
//! makes the work of another task hold less than was checked. What was there when a
//! run began is accepted, and written down; what differs from that is told by name, and
//! Drover's own calls of git are made as if it were not there (`overrides`). The accepted state
//! lies in a file only while attempts may be under way: between two runs the configuration is
//! the user's own business.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::error::{GitError, Result};
use super::repo::Repo;
use super::rules::{Rules, Stamp, files, outside, stamp, stamps, without_hooks};
use super::run::{Call, Program};
use super::watch::{ATTRIBUTES, EXCLUDES, effective, is_content, is_watched, neutral};
use crate::base::text::one_line;

/// Where the accepted state is kept, in the state directory.
const ACCEPTED: &str = "accepted-git.json";
/// The most of a value that is shown, in characters.
const SHOWN: usize = 80;
/// Keys and values laid over the configuration of a call.
pub(super) type Overrides = Arc<Vec<(String, String)>>;

/// What git would run or obey.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Watched {
    /// By place (empty for what holds in every checkout) and key, every value in its order.
    keys: Vec<(Key, Vec<String>)>,
    /// By name, a digest of content and mode.
    files: BTreeMap<String, String>,
    /// Why it could not be read, if it could not.
    #[serde(default)]
    unreadable: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    place: String,
    name: String,
}

/// Compares what is there with what was accepted.
#[derive(Debug)]
pub(super) struct Guard {
    accepted: Watched,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The files that the configuration was read from, as they were.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    overrides: Overrides,
}

impl Repo {
    /// Begins to watch: what is there is accepted, or if an earlier run did not come to an
    /// orderly end, what that one had accepted. Returns what differs from it, in words; then
    /// nothing is watched yet. With `accept` whatever is there is accepted.
    pub fn watch_git(&self, accept: bool) -> Result<Vec<String>> {
        let file = self.state_dir().join(ACCEPTED);
        let (now, sources) = scan(self);
        if let Some(why) = &now.unreadable {
            return Err(GitError::refused(why));
        }
        if accept {
            self.accept_taken()?;
        }
        let earlier = fs::read(&file).ok().filter(|_| !accept).and_then(|bytes| serde_json::from_slice::<Watched>(&bytes).ok());
        let mut found = earlier.as_ref().map(|earlier| differences(earlier, &now)).unwrap_or_default();
        found.extend(self.taken_in_words());
        if !found.is_empty() {
            return Ok(found);
        }
        let accepted = match earlier {
            Some(earlier) => earlier,
            None => {
                let bytes = serde_json::to_vec(&now).map_err(|e| GitError::bug(e.to_string()))?;
                write_durably(&file, &bytes).map_err(|e| GitError::io("writing", &file, &e))?;
                now.clone()
            }
        };
        let seen = Seen { stamps: stamps(sources), overrides: overrides(&accepted, &now) };
        self.set_guard(Some(Guard { accepted, seen: Mutex::new(seen) }));
        Ok(Vec::new())
    }

    /// Whether the last run did not come to an orderly end, or found something.
    pub fn is_watched(&self) -> bool {
        self.state_dir().join(ACCEPTED).is_file()
    }

    /// No attempt is under way any more, and nothing was found: the configuration is the
    /// user's own again.
    pub fn unwatch_git(&self) -> Result<()> {
        let file = self.state_dir().join(ACCEPTED);
        match fs::remove_file(&file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("removing", &file, &e)),
            _ => {
                self.set_guard(None);
                Ok(())
            }
        }
    }

    fn guard(&self) -> Option<Arc<Guard>> {
        self.inner.guard.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set_guard(&self, guard: Option<Guard>) {
        *self.inner.guard.write().unwrap_or_else(std::sync::PoisonError::into_inner) = guard.map(Arc::new);
    }

    /// What git would run or obey and nobody accepted, in words; empty where nothing is watched.
    pub fn unaccepted(&self) -> Vec<String> {
        let Some(guard) = self.guard() else { return Vec::new() };
        let (now, sources) = scan(self);
        guard.saw(&now, sources);
        let mut found = differences(&guard.accepted, &now);
        found.extend(self.taken_in_words());
        found
    }

    /// The files beside the configuration that decide what git takes and how.
    pub fn rules(&self) -> Rules {
        let (now, _) = scan(self);
        Rules::new(self, now.files)
    }

    /// Whether the same are accepted; where nothing is watched, whatever they are.
    pub fn accepts(&self, rules: &Rules) -> bool {
        self.guard().is_none_or(|guard| *rules.files() == without_hooks(guard.accepted.files.clone()))
    }

    /// Whether what makes a repository of the directory is still there.
    pub fn is_there(&self) -> bool {
        self.common_dir().join("objects").is_dir() && self.common_dir().join("HEAD").is_file()
    }

    /// What Drover's own calls are to have laid over the configuration.
    pub(super) fn overrides(&self) -> Overrides {
        let Some(guard) = self.guard() else { return Overrides::default() };
        if guard.is_stale() {
            let (now, sources) = scan(self);
            guard.saw(&now, sources);
        }
        guard.locked().overrides.clone()
    }
}

impl Guard {
    fn locked(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    fn is_stale(&self) -> bool {
        self.locked().stamps.iter().any(|(file, stamp)| self::stamp(file) != *stamp)
    }
    fn saw(&self, now: &Watched, sources: BTreeSet<PathBuf>) {
        let seen = Seen { stamps: stamps(sources), overrides: overrides(&self.accepted, now) };
        *self.locked() = seen;
    }
}

impl Watched {
    fn values(&self) -> BTreeMap<&Key, &[String]> {
        self.keys.iter().map(|(key, values)| (key, values.as_slice())).collect()
    }
}

/// What is new or changed in `now`. What went away runs nothing; where it decides what files
/// hold, it does matter.
fn differences(accepted: &Watched, now: &Watched) -> Vec<String> {
    let had = accepted.values();
    let changed = now.keys.iter().filter(|(key, values)| had.get(key) != Some(&values.as_slice()));
    let keys = changed.map(|(key, values)| {
        let value = one_line(values.last().map_or("", String::as_str), SHOWN);
        let how = if had.contains_key(key) { "changed" } else { "new" };
        let place = if key.place.is_empty() { String::new() } else { format!(", in {}", one_line(&key.place, SHOWN)) };
        format!("{} = {value} ({how}{place})", one_line(&key.name, SHOWN))
    });
    let has = now.values();
    let gone = had.keys().filter(|key| is_content(&key.name) && !has.contains_key(*key));
    let gone = gone.map(|key| format!("{} (removed)", one_line(&key.name, SHOWN)));
    let names: BTreeSet<&String> = accepted.files.keys().chain(now.files.keys()).collect();
    let files = names.into_iter().filter_map(|name| match (accepted.files.get(name), now.files.get(name)) {
        (None, Some(_)) => Some(format!("{} (new)", one_line(name, SHOWN))),
        (Some(was), Some(is)) if was != is => Some(format!("{} (changed)", one_line(name, SHOWN))),
        (Some(_), None) if !name.contains("hooks/") => Some(format!("{} (removed)", one_line(name, SHOWN))),
        _ => None,
    });
    now.unreadable.iter().cloned().chain(keys).chain(gone).chain(files).collect()
}

/// The accepted values of everything that differs, or what makes git do nothing.
fn overrides(accepted: &Watched, now: &Watched) -> Overrides {
    let (had, has) = (accepted.values(), now.values());
    let keys: BTreeSet<&Key> = had.keys().chain(has.keys()).copied().collect();
    let mut out = Vec::new();
    // What an included file holds is read as keys of their own, and an inclusion cannot be undone.
    let is_inclusion = |key: &Key| key.name.starts_with("include");
    for key in keys.into_iter().filter(|k| had.get(*k) != has.get(*k) && !is_inclusion(k)) {
        let values = had.get(key).copied().unwrap_or_default();
        let name = key.name.as_str();
        if is_content(name) {
            out.push((name.to_owned(), values.last().map_or(neutral(name), String::as_str).to_owned()));
        } else if values.is_empty() {
            out.push((name.to_owned(), neutral(name).to_owned()));
            if let Some(filter) = name.strip_prefix("filter.").and_then(|rest| rest.rsplit_once('.')) {
                // A filter that is left out must not be missed.
                out.push((format!("filter.{}.required", filter.0), "false".into()));
            }
        } else {
            // An empty entry begins a list anew where git takes all; where it takes the last, it is not seen.
            out.push((name.to_owned(), String::new()));
            out.extend(values.iter().map(|v| (name.to_owned(), v.clone())));
        }
    }
    out.into()
}

/// Reads everything that is watched, and says from which files.
fn scan(repo: &Repo) -> (Watched, BTreeSet<PathBuf>) {
    let common = repo.common_dir();
    let program = &repo.inner.program;
    let mut sources: BTreeSet<PathBuf> = BTreeSet::from([common.join("config"), common.join("config.worktree")]);
    sources.extend(program.home_configs());
    let mut keys: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    let mut unreadable = None;
    let mut read = |call: Call<'_>, place: &str, sources: &mut BTreeSet<PathBuf>| match listed(call, common) {
        Ok(entries) => entries.into_iter().for_each(|entry| {
            sources.extend(entry.origin);
            if is_watched(&entry.key, &entry.value) && !(place.starts_with("modules/") && entry.key == "core.worktree") {
                keys.entry(Key { place: place.into(), name: entry.key }).or_default().push(entry.value);
            }
        }),
        Err(error) => unreadable = Some(format!("the git configuration cannot be read: {error}")),
    };
    let list = ["config", "--list", "-z", "--show-scope", "--show-origin", "--includes"];
    read(Call::new(program, common, list).env("GIT_DIR", common), "", &mut sources);
    for file in other_configs(repo) {
        let place = file.strip_prefix(common).unwrap_or(&file).to_string_lossy().into_owned();
        read(Call::new(program, common, list).arg("--file").arg(&file).env("GIT_DIR", common), &place, &mut sources);
        sources.insert(file);
    }
    for (name, file) in [(EXCLUDES, "ignore"), (ATTRIBUTES, "attributes")] {
        // Git reads it where the key is missing.
        let xdg = program.variable("XDG_CONFIG_HOME").map(|dir| format!("{}/git/{file}", dir.to_string_lossy()));
        let entry = keys.entry(Key { place: String::new(), name: name.into() });
        entry.or_insert_with(|| vec![xdg.unwrap_or_else(|| format!("~/.config/git/{file}"))]);
    }
    let keys = keys.into_iter().filter_map(|(key, values)| match is_content(&key.name) {
        true => effective(&key.name, &values).map(|value| (key, vec![value])),
        false => Some((key, values)),
    });
    let keys: Vec<(Key, Vec<String>)> = keys.collect();
    let named = keys.iter().filter(|(key, _)| matches!(key.name.as_str(), EXCLUDES | ATTRIBUTES)).flat_map(|(_, values)| values);
    let named = named.filter_map(|value| outside(repo, value)).collect();
    (Watched { files: files(repo, named), keys, unreadable }, sources)
}

/// Configuration that holds in one checkout or one submodule only.
fn other_configs(repo: &Repo) -> Vec<PathBuf> {
    let linked = fs::read_dir(repo.common_dir().join("worktrees")).into_iter().flatten().flatten().map(|e| e.path());
    // Those of attempts are never read by Drover's calls.
    let linked = linked.filter(|admin| !repo.is_attempts(admin)).map(|admin| admin.join("config.worktree"));
    let modules = repo.module_stores().into_iter().map(|store| store.join("config"));
    linked.chain(modules).filter(|file| file.is_file()).collect()
}

struct Entry {
    origin: Option<PathBuf>,
    key: String,
    value: String,
}

/// Reads `scope NUL origin NUL key LF value NUL`.
fn listed(call: Call<'_>, common: &Path) -> Result<Vec<Entry>> {
    let answer = call.ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields: Vec<&[u8]> = answer.split(|b| *b == 0).collect();
    let entries = fields.chunks_exact(3).filter(|fields| fields[0] != b"command");
    let entry = |fields: &[&[u8]]| {
        let origin = text(fields[1]).strip_prefix("file:").map(|path| common.join(path));
        let (key, value) = match fields[2].iter().position(|b| *b == b'\n') {
            Some(end) => (text(&fields[2][..end]), text(&fields[2][end + 1..])),
            None => (text(fields[2]), "true".into()),
        };
        Entry { origin, key, value }
    };
    Ok(entries.map(entry).collect())
}

pub(super) fn write_durably(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, bytes)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, file)?;
    fs::File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}

impl Program {
    /// The user's own configuration, whether it is there or not.
    fn home_configs(&self) -> Vec<PathBuf> {
        if let Some(named) = self.variable("GIT_CONFIG_GLOBAL") {
            return vec![named.into()];
        }
        let home = self.variable("HOME").map(PathBuf::from);
        let xdg = self.variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| home.as_ref().map(|h| h.join(".config")));
        home.map(|h| h.join(".gitconfig")).into_iter().chain(xdg.map(|x| x.join("git/config"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(keys: &[(&str, &[&str])]) -> Watched {
        let key = |name: &str| Key { place: String::new(), name: name.into() };
        let keys = keys.iter().map(|(name, values)| (key(name), values.iter().map(|v| (*v).to_owned()).collect()));
        Watched { keys: keys.collect(), ..Watched::default() }
    }

    #[test]
    fn what_was_accepted_is_laid_over_what_differs() {
        let accepted = watched(&[("credential.helper", &["a", "b"]), ("filter.lfs.clean", &["git-lfs clean"]), ("core.editor", &["vi"])]);
        let now = watched(&[("filter.lfs.clean", &["evil"]), ("filter.x.smudge", &["evil"]), ("core.editor", &["vi"])]);
        let overrides = overrides(&accepted, &now);
        let shown: Vec<String> = overrides.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            shown,
            [
                "credential.helper=",
                "credential.helper=a",
                "credential.helper=b",
                "filter.lfs.clean=",
                "filter.lfs.clean=git-lfs clean",
                "filter.x.smudge=",
                "filter.x.required=false"
            ]
        );
        assert_eq!(differences(&accepted, &now), ["filter.lfs.clean = evil (changed)", "filter.x.smudge = evil (new)"]);
    }

    #[test]
    fn a_value_is_shown_short_and_harmless() {
        let now = watched(&[("core.pager", &[&format!("\u{1b}[2J{}", "x".repeat(500))])]);
        let found = differences(&Watched::default(), &now);
        assert!(found[0].chars().count() < 120 && !found[0].contains('\u{1b}'), "{found:?}");
    }
}

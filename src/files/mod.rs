//! The files a user commits: found, read with spans, checked, all errors in one pass.
//!
//! Owns TOML, diagnostics, schemas and scaffolding. Knows nothing of runs, git or the store.
//!
//! `keys` says what the format is; `check` holds a file against it; `row` reads what passed;
//! `config` and `tasks` make it the model's; `link` proves that it hangs together.

mod append;
mod change;
mod check;
mod config;
mod diagnostic;
mod disk;
mod explain;
mod format;
mod inherited;
mod keys;
mod layer;
mod link;
mod matrix;
mod moved;
mod notice_keys;
mod prompts;
mod rename;
mod report;
mod row;
pub mod scaffold;
pub mod schema;
mod seen;
mod shape;
mod source;
mod syntax;
mod task_keys;
mod tasks;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub use append::{NewTask, Work, append, default_file, epic_block};
pub use change::Change;
pub use diagnostic::{Code, Level as Severity};
pub use explain::Setting;
pub use ignore::gitignore::gitconfig_excludes_path as ignored_everywhere;
pub use rename::{file_of_epic, place_of_task, rename};
pub use report::{Found, Report};
pub use seen::Seen;
pub use write::{NotWritten, Turn, put, put_all, refuse_odd, take_turn};

use crate::base::text::count;
use crate::base::{TaskId, sha256_hex};
use crate::model::{AgentSpec, Graph, Policy};
use check::Checker;
use config::{Config, version_unmet};
use diagnostic::{Diagnostic, Findings, quote};
pub use disk::Place;
use disk::{Disk, MAX_FILE, Places};
use keys::DROVER;
use link::{Known, link};
use row::Row;
use source::{SourceMap, Span};
use task_keys::TASK_FILE;
use tasks::{Drafts, File, Session};
use toml::de::DeTable;

/// The file that makes a directory a project.
pub const CONFIG: &str = "drover.toml";

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Read instead of the project's own `drover.toml`.
    pub config: Option<PathBuf>,
    /// Also find out where the settings of this task, or of the task of this sub-task, come from.
    pub explain: Option<TaskId>,
    /// The profile that is laid over it.
    pub profile: Option<String>,
    /// Texts for task files by their names, in place of what they hold: as the files would be.
    pub instead: BTreeMap<String, String>,
}

/// What the files say, if nothing is wrong with them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// None exactly if the report holds errors.
    pub project: Option<Project>,
    pub report: Report,
    /// The profiles that there are.
    pub profiles: BTreeSet<String>,
    /// The task files, by their names relative to the root.
    pub files: Vec<String>,
    /// Where they are looked for.
    pub globs: Vec<String>,
    root: PathBuf,
    /// The directories that were looked into.
    walked: Vec<Place>,
    /// The files that were asked for, whether they were there or not.
    asked: BTreeSet<PathBuf>,
}

impl Loaded {
    /// Where something has to change for another reading to give something else.
    pub fn places(&self) -> Vec<Place> {
        self.walked.iter().cloned().chain(self.asked.iter().flat_map(|file| leads_to(file))).collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Without links in it.
    pub root: PathBuf,
    pub name: String,
    /// The branch that work lands on, where the files name one.
    pub target: Option<String>,
    pub graph: Graph,
    pub policy: Policy,
    /// By their names; also the one that needs no declaration.
    pub agents: BTreeMap<String, AgentSpec>,
    /// How many task files there are.
    pub files: usize,
    /// Of the task that was asked for.
    pub settings: Vec<Setting>,
}

impl Project {
    /// The same for two readings by one program exactly if they give the same.
    pub fn fingerprint(&self) -> String {
        sha256_hex(format!("{self:?}").as_bytes())
    }
}

/// The nearest directory that holds a `drover.toml`, from `start` upwards. One that is no file
/// counts too, so that it is named and not passed over.
pub fn find_root(start: &Path) -> Option<PathBuf> {
    let start = fs::canonicalize(start).ok()?;
    start.ancestors().find(|dir| fs::symlink_metadata(dir.join(CONFIG)).is_ok()).map(Path::to_owned)
}

/// Reads the project at `root`: every error of every file in one pass.
pub fn load(root: &Path, options: &Options) -> Loaded {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let path = options.config.clone().unwrap_or_else(|| root.join(CONFIG));
    let mut loader = Loader {
        walked: Vec::new(),
        profile: options.profile.clone(),
        profiles: BTreeSet::new(),
        files: Vec::new(),
        globs: Vec::new(),
        instead: options.instead.keys().cloned().collect(),
        disk: Disk::new(root.clone(), &options.instead),
        config_path: fs::canonicalize(&path).unwrap_or_else(|_| path.clone()),
        map: SourceMap::default(),
        findings: Findings::default(),
        explain: options.explain.clone(),
        settings: (0, Vec::new()),
    };
    // As it is written: it may be a link, and lead elsewhere another time.
    loader.disk.asked.insert(path);
    let project = loader.project();
    let report = Report::new(loader.findings, loader.map);
    let project = project.filter(|_| !report.has_errors());
    let (walked, asked) = (loader.walked, loader.disk.asked);
    Loaded { project, report, profiles: loader.profiles, files: loader.files, globs: loader.globs, root, walked, asked }
}

/// What has to appear or change for a file to be there, or to say something else: a name in the
/// nearest directory above it, and the same for what it is a link to.
fn leads_to(file: &Path) -> Vec<Place> {
    let place = |file: &Path| {
        let dir = file.ancestors().skip(1).find(|dir| dir.is_dir())?;
        let name = file.strip_prefix(dir).ok()?.components().next()?.as_os_str().to_owned();
        Some((dir.to_owned(), Some(name)))
    };
    let real = fs::canonicalize(file).ok().filter(|real| real != file);
    place(file).into_iter().chain(real.and_then(|real| place(&real))).collect()
}

struct Loader {
    walked: Vec<Place>,
    files: Vec<String>,
    globs: Vec<String>,
    instead: Vec<String>,
    profile: Option<String>,
    profiles: BTreeSet<String>,
    disk: Disk,
    config_path: PathBuf,
    map: SourceMap,
    findings: Findings,
    explain: Option<TaskId>,
    /// With the length of the id that they are of.
    settings: (usize, Vec<Setting>),
}

impl Loader {
    /// None where there is no going on; what is wrong is in the findings.
    fn project(&mut self) -> Option<Project> {
        let config = self.config()?;
        let files = self.task_files(&config);
        self.files.clone_from(&files);
        self.globs.clone_from(&config.tasks);
        let mut drafts = Drafts::default();
        let mut known = Known::default();
        for name in &files {
            self.task_file(name, &config, &mut drafts, &mut known);
        }
        let blocks = std::mem::take(&mut drafts.moved);
        let epic_budgets = std::mem::take(&mut drafts.budgets);
        let graph = link(drafts, &known, &mut self.findings)?;
        let moves = moved::resolve(&blocks, &graph, &known, &mut self.findings);
        let graph = graph.with_moves(moves);
        Some(Project {
            root: self.disk.root().to_owned(),
            name: config.policy.project.clone(),
            target: config.target,
            graph,
            policy: Policy { epic_budgets, ..config.policy },
            agents: config.agents,
            files: files.len(),
            settings: std::mem::take(&mut self.settings.1),
        })
    }

    fn config(&mut self) -> Option<Config> {
        let path = self.config_path.clone();
        let name = self.disk.name(&path);
        let text = match self.disk.read(&path, MAX_FILE) {
            Ok(text) => text,
            Err(no) => {
                let at = self.nowhere(&name);
                let found = Diagnostic::error(no.code, at, format!("{} cannot be read: {}", quote(&name), no.why));
                let help = (no.code == Code::MissingFile)
                    .then(|| "`drover init` writes one; `--config` and DROVER_CONFIG name another".to_owned());
                self.findings.push(found.maybe_help(help));
                return None;
            }
        };
        let base = self.map.add(&name, &text);
        let parsed = syntax::parse(&text, base);
        if let Some(unmet) = version_unmet(parsed.table(), |range| check::span_at(base, range)) {
            self.findings.push(unmet);
            return None;
        }
        let whole = parsed.errors.is_empty();
        let at = Span { start: base, len: 0 };
        self.check(&parsed, &DROVER, &text, base);
        let merged = self.with_profile(parsed.table());
        if let Some(merged) = merged.as_ref().filter(|_| whole && self.findings.kept.is_empty()) {
            // What is whole by itself may be too much or too little together.
            let mut checker = Checker { base, text: &text, partial: false, findings: &mut self.findings };
            checker.table(&DROVER, merged, at);
        }
        let root = self.disk.root().file_name().map(|n| n.to_string_lossy().into_owned());
        let fallback = format::project_name_for(&root.unwrap_or_default());
        let row = Row::new(&DROVER, merged.as_ref().unwrap_or(parsed.table()), base, at);
        let mut own = Findings::default();
        let mut config = Config::read(&row, &fallback, whole, &mut own);
        config.policy.prompts = prompts::read(&row, &mut self.disk, &mut self.map, &mut own);
        if self.explain.is_some() {
            config.written = explain::of_config(&row, &self.map);
        }
        if whole {
            own.kept.into_iter().for_each(|d| self.findings.push(d));
        }
        Some(config)
    }

    /// The configuration with the chosen profile laid over it.
    fn with_profile<'t>(&mut self, table: &DeTable<'t>) -> Option<DeTable<'t>> {
        let profiles = table.get("profiles").and_then(|p| p.get_ref().as_table())?;
        self.profiles = profiles.keys().map(|name| name.get_ref().to_string()).collect();
        let chosen = profiles.get(self.profile.as_deref()?)?.get_ref().as_table()?;
        Some(syntax::overlay(table, chosen))
    }

    /// Reports what is wrong with a file: its syntax, or else what it says.
    fn check(&mut self, parsed: &syntax::Parsed<'_>, shape: &'static shape::Shape, text: &str, base: usize) {
        if parsed.errors.is_empty() {
            let mut checker = Checker { base, text, partial: false, findings: &mut self.findings };
            checker.table(shape, parsed.table(), Span { start: base, len: 0 });
        } else {
            parsed.errors.iter().for_each(|e| self.findings.push(e.clone()));
        }
    }

    /// The names of the task files, in order.
    fn task_files(&mut self, config: &Config) -> Vec<String> {
        let start = config.tasks_at;
        let places = match Places::new(config.tasks.iter().map(String::as_str)) {
            Ok(places) => places,
            Err(why) => {
                self.findings.push(Diagnostic::error(Code::BadGlob, start, format!("`project.tasks` cannot be used: {why}")));
                return Vec::new();
            }
        };
        let mut found = places.find(self.disk.root(), &self.config_path, false);
        places.with_new(self.disk.root(), &self.config_path, &self.instead, &mut found);
        self.walked.extend(found.places);
        for problem in found.problems {
            self.findings.push(Diagnostic::error(Code::Unreadable, start, format!("looking for task files: {problem}")));
        }
        if found.files.is_empty() {
            let ignored = places.find(self.disk.root(), &self.config_path, true).files.len();
            let globs: Vec<String> = config.tasks.iter().map(|g| quote(g)).collect();
            let message = format!("no task files: nothing under {} matches {}", self.disk.root().display(), globs.join(" or "));
            let help = match ignored {
                0 => "write a task file there, or say in `project.tasks` where they are".to_owned(),
                n => format!("{} ignored by git: task files must be committed", count(n, "matching file")),
            };
            self.findings.push(Diagnostic::warning(Code::NoTasks, start, message).label("looked for here").help(help));
        }
        found.files
    }

    fn task_file(&mut self, name: &str, config: &Config, drafts: &mut Drafts, known: &mut Known) {
        let path = self.disk.root().join(name);
        let text = match self.disk.read(&path, MAX_FILE) {
            Ok(text) => text,
            Err(no) => {
                let at = self.nowhere(name);
                return self.findings.push(Diagnostic::error(no.code, at, format!("{} cannot be read: {}", quote(name), no.why)));
            }
        };
        let base = self.map.add(name, &text);
        let parsed = syntax::parse(&text, base);
        self.check(&parsed, &TASK_FILE, &text, base);
        if !parsed.errors.is_empty() {
            syntax::ids(&text, known);
            return;
        }
        let row = Row::new(&TASK_FILE, parsed.table(), base, Span { start: base, len: 0 });
        let mut session = Session { config, disk: &mut self.disk, map: &mut self.map, findings: &mut self.findings };
        session.read(&File { name, row }, drafts);
        let found = self.explain.as_ref().and_then(|id| explain::of_task(&row, id, &config.written, &self.map));
        // Of two ids of which one begins with the other the longer is meant.
        if let Some(found) = found.filter(|(length, _)| *length > self.settings.0) {
            self.settings = found;
        }
    }

    /// The place of a file that has no text.
    fn nowhere(&mut self, name: &str) -> Span {
        Span { start: self.map.add(name, ""), len: 0 }
    }
}

/// The target as drover.toml names it, read leniently: a mistake elsewhere in the files does not
/// hide which record is meant.
pub fn configured_target(root: &Path, options: &Options) -> Option<String> {
    let path = options.config.clone().unwrap_or_else(|| root.join(CONFIG));
    // A pipe would be waited for, and a device never ends.
    if !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let table: toml::Table = fs::read_to_string(path).ok()?.parse().ok()?;
    let target = |table: &toml::Table| Some(table.get("project")?.get("target")?.as_str()?.to_owned());
    let chosen = options.profile.as_ref().and_then(|name| table.get("profiles")?.get(name)?.as_table());
    chosen.and_then(target).or_else(|| target(&table))
}

//! The files a user commits: found, read with spans, checked, all errors in one pass.
//!
//! Owns TOML, diagnostics, schemas and scaffolding. Knows nothing of runs, git or the store.
//!
//! `keys` says what the format is; `check` holds a file against it; `row` reads what passed;
//! `config` and `tasks` make it the model's; `link` proves that it hangs together.

mod check;
mod config;
mod diagnostic;
mod disk;
mod format;
mod keys;
mod layer;
mod link;
mod report;
mod row;
pub mod scaffold;
pub mod schema;
mod shape;
mod source;
mod syntax;
mod tasks;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub use diagnostic::Code;
pub use report::Report;

use crate::base::text::count;
use crate::model::{AgentSpec, Graph, Policy};
use check::Checker;
use config::{Config, version_unmet};
use diagnostic::{Diagnostic, Findings, quote};
use disk::{Disk, MAX_FILE, Places};
use keys::{DROVER, TASK_FILE};
use link::{Known, link};
use row::Row;
use source::{SourceMap, Span};
use tasks::{Drafts, File, Session};

/// The file that makes a directory a project.
pub const CONFIG: &str = "drover.toml";

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Read instead of the project's own `drover.toml`.
    pub config: Option<PathBuf>,
}

/// What the files say, if nothing is wrong with them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// None exactly if the report holds errors.
    pub project: Option<Project>,
    pub report: Report,
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
        disk: Disk::new(root),
        config_path: fs::canonicalize(&path).unwrap_or(path),
        map: SourceMap::default(),
        findings: Findings::default(),
    };
    let project = loader.project();
    let report = Report::new(loader.findings, loader.map);
    Loaded { project: project.filter(|_| !report.has_errors()), report }
}

struct Loader {
    disk: Disk,
    config_path: PathBuf,
    map: SourceMap,
    findings: Findings,
}

impl Loader {
    /// None where there is no going on; what is wrong is in the findings.
    fn project(&mut self) -> Option<Project> {
        let config = self.config()?;
        let files = self.task_files(&config);
        let mut drafts = Drafts::default();
        let mut known = Known::default();
        for name in &files {
            self.task_file(name, &config, &mut drafts, &mut known);
        }
        let graph = link(drafts, &known, &mut self.findings)?;
        Some(Project {
            root: self.disk.root().to_owned(),
            name: config.policy.project.clone(),
            target: config.target,
            graph,
            policy: config.policy,
            agents: config.agents,
            files: files.len(),
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
        let root = self.disk.root().file_name().map(|n| n.to_string_lossy().into_owned());
        let fallback = format::project_name_for(&root.unwrap_or_default());
        let row = Row::new(&DROVER, parsed.table(), base, at);
        let mut own = Findings::default();
        let config = Config::read(&row, &fallback, whole, &mut own);
        if whole {
            own.kept.into_iter().for_each(|d| self.findings.push(d));
        }
        Some(config)
    }

    /// Reports what is wrong with a file: its syntax, or else what it says.
    fn check(&mut self, parsed: &syntax::Parsed<'_>, shape: &'static shape::Shape, text: &str, base: usize) {
        if parsed.errors.is_empty() {
            let mut checker = Checker { base, text, findings: &mut self.findings };
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
        let found = places.find(self.disk.root(), &self.config_path, false);
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
    table.get("project")?.get("target")?.as_str().map(str::to_owned)
}

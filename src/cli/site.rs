//! The project that a verb writes into: read as it is, and as it would be.

use std::fs;
use std::io::{ErrorKind, IsTerminal};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::args::Global;
use super::context;
use super::exit::{Exit, Failure};
use super::terminal::Terminal;
use crate::base::EpicId;
use crate::base::text::{did_you_mean, one_line, visible};
use crate::fault;
use crate::files::{self, Change, Loaded, NotWritten, Options, Project, Turn};
use crate::git::Repo;

/// How long others who write into the same files are waited for.
const TURN: Duration = Duration::from_secs(30);

/// The project before anything is written.
pub struct Site<'a> {
    pub global: &'a Global,
    pub terminal: &'a Terminal,
    pub repo: Repo,
    pub project: Project,
    pub loaded: Loaded,
    /// Nothing where nothing is to be written.
    _turn: Option<Turn>,
}

impl<'a> Site<'a> {
    /// For whoever only looks with `dry_run`; else others wait with what they write until this is dropped.
    pub fn open(global: &'a Global, terminal: &'a Terminal, dry_run: bool) -> Result<Self, Failure> {
        let repo = context::repository(global)?;
        let turn = || files::take_turn(repo.root(), fault::patience(TURN)).map_err(refused);
        let turn = if dry_run { None } else { Some(turn()?) };
        // What is only a warning is told once, of the files as they will be.
        let quiet = terminal.hushed();
        let before = |failure: Failure| Failure { message: format!("{}; nothing was written", failure.message), ..failure };
        let (project, loaded) = context::loaded(global, &quiet, &repo, context::options(global)).map_err(before)?;
        Ok(Self { global, terminal, repo, project, loaded, _turn: turn })
    }

    pub fn file_of_epic(&self, epic: &str) -> Result<String, Failure> {
        let found = EpicId::parse(epic).ok().and_then(|id| files::file_of_epic(&self.project.root, &self.loaded.files, &id).cloned());
        found.ok_or_else(|| {
            let near = did_you_mean(epic, self.project.graph.epics().keys().map(EpicId::as_str));
            let near =
                near.map_or_else(|| format!("`drover epic add {}` makes one", one_line(epic, 80)), |n| format!("did you mean `{n}`?"));
            Failure::new(Exit::NoMatch, format!("no file has an epic `{}`\n  {near}", one_line(epic, 80)))
        })
    }

    /// Refuses a second epic of one id or in one file: TOML would say of it that `[epic]` is there twice.
    pub fn has_room_for(&self, epic: &str, name: &str) -> Result<(), Failure> {
        let file = |id: &EpicId| files::file_of_epic(&self.project.root, &self.loaded.files, id);
        let ids = self.project.graph.epics().keys();
        let Some((id, file)) = ids.filter_map(|id| Some((id, file(id)?))).find(|(id, file)| id.as_str() == epic || *file == name) else {
            return Ok(());
        };
        let help = match id.as_str() == epic {
            true => format!("`drover add ID --epic {id}` puts a task into it"),
            false => "a file holds one epic: name another with `--file`".to_owned(),
        };
        Err(Failure::unfit(format!("{} holds the epic `{id}` already; nothing was written\n  {help}", one_line(file, 300))))
    }

    /// The name of the file to write into, relative to the root.
    pub fn file(&self, given: Option<&Path>, stem: &str) -> Result<String, Failure> {
        let Some(given) = given else {
            let why =
                || Failure::new(Exit::Usage, "`project.tasks` does not say what a new task file is called\n  Name one with `--file`.");
            return files::default_file(&self.loaded.globs, stem).ok_or_else(why);
        };
        let path = absolute(&context::directory(self.global)?, given);
        let shown = one_line(&given.to_string_lossy(), 300);
        let name = path.strip_prefix(&self.project.root).ok().and_then(Path::to_str);
        let outside = || Failure::new(Exit::Usage, format!("{shown} is outside of the repository {}", self.project.root.display()));
        name.map(str::to_owned).ok_or_else(outside)
    }

    /// What the file holds.
    pub fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        files::refuse_odd(&self.project.root, name).map_err(refused)?;
        let path = self.project.root.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|m| !m.is_file()) {
            return Err(Failure::new(Exit::Usage, format!("{} is not a regular file", one_line(name, 300))));
        }
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::unfit(format!("{} cannot be read: {e}", one_line(name, 300)))),
        }
    }

    /// Reads the project as it would be.
    pub fn read_with(&self, changes: &[Change]) -> Result<Project, Failure> {
        let instead = changes.iter().map(|c| (c.name.clone(), c.text())).collect();
        let options = Options { instead, ..context::options(self.global) };
        let nothing = |failure: Failure| Failure { message: format!("with this {}; nothing was written", failure.message), ..failure };
        let (project, loaded) = context::loaded(self.global, self.terminal, &self.repo, options).map_err(nothing)?;
        changes.iter().try_for_each(|change| self.would_be_read(change, &loaded)).map(|()| project)
    }

    /// Refuses to write what would never be found.
    fn would_be_read(&self, change: &Change, loaded: &Loaded) -> Result<(), Failure> {
        let ignored = change.old.is_none() && self.repo.ignores(Path::new(&change.name)).map_err(|e| Failure::unfit(e.to_string()))?;
        let why = match loaded.files.contains(&change.name) {
            _ if ignored => "is ignored by git",
            true => return Ok(()),
            false => "is none of the task files",
        };
        let (name, globs) = (one_line(&change.name, 300), one_line(&loaded.globs.join(", "), 300));
        Err(Failure::new(
            Exit::Usage,
            format!(
                "{name} {why}, so that nothing in it would be found; nothing was written\n  \
                 Name another file with `--file`: those that match {globs}, and that git does not ignore, are read."
            ),
        ))
    }
}

/// Prints changes as a patch: byte for byte on a pipe.
pub fn show(terminal: &Terminal, changes: &[Change]) {
    let patch: String = changes.iter().map(Change::diff).collect();
    match std::io::stdout().is_terminal() {
        true => terminal.out(&visible(&patch)),
        false => terminal.out(&patch),
    }
}

pub fn refused(why: NotWritten) -> Failure {
    match why {
        NotWritten::Changed(_) => Failure::new(Exit::Refused, format!("{why}\n  Say it again: it is read anew.")),
        NotWritten::Busy => Failure::new(Exit::InUse, format!("{why}\n  Look what it does, and say this again.")),
        NotWritten::Link(_) | NotWritten::Outside(_) => Failure::new(Exit::Usage, why.to_string()),
        NotWritten::ReadOnly(_) | NotWritten::Io(..) => Failure::unfit(why.to_string()),
    }
}

/// A path as written from `dir`, without `.` and `..`.
pub fn absolute(dir: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in dir.join(path).components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

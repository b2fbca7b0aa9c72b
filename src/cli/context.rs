//! What most verbs begin with: the repository, the files, the target.

use std::path::PathBuf;

use super::args::{Global, Select};
use super::exit::{Exit, Failure};
use super::terminal::Terminal;
use crate::base::text::count;
use crate::core::Selection;
use crate::files::{self, Options, Project};
use crate::git::{Head, Repo};
use crate::plan::select::{self, Expr, SelectError, Universe};

/// The directory the program works in.
pub fn directory(global: &Global) -> Result<PathBuf, Failure> {
    let dir = global.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    let unusable = |why: String| Failure::new(Exit::Usage, format!("the directory {} cannot be used: {why}", dir.display()));
    let real = dir.canonicalize().map_err(|e| unusable(e.to_string()))?;
    match real.is_dir() {
        true => Ok(real),
        false => Err(unusable("it is not a directory".into())),
    }
}

pub fn repository(global: &Global) -> Result<Repo, Failure> {
    Repo::discover(&directory(global)?).map_err(|e| Failure::unfit(e.to_string()))
}

/// Reads and checks the files; what is wrong with them is shown, all at once.
pub fn project(global: &Global, terminal: &Terminal, repo: &Repo) -> Result<Project, Failure> {
    let dir = directory(global)?;
    let root = match &global.config {
        Some(_) => repo.root().to_owned(),
        None => files::find_root(&dir)
            .ok_or_else(|| Failure::unfit(format!("no drover.toml in {} or above it\n  Run `drover init` to write one.", dir.display())))?,
    };
    if root != repo.root() {
        return Err(Failure::unfit(format!(
            "drover.toml stands in {}, but the repository's root is {}\n  Move it to the root: worktrees are of the whole repository.",
            root.display(),
            repo.root().display()
        )));
    }
    let loaded = files::load(&root, &Options { config: global.config.clone() });
    // As JSON the mistakes are part of the answer instead.
    let in_answer = terminal.json && loaded.project.is_none();
    if !loaded.report.is_empty() && !in_answer {
        let shown = loaded.report.graphical(terminal.color_err, terminal.width);
        // Mistakes are failures: they are shown however quiet it is to be.
        match loaded.project.is_none() {
            true => terminal.diagnostics(&shown),
            false => terminal.note(&shown),
        }
    }
    loaded.project.ok_or_else(|| Failure {
        details: loaded.report.json(),
        ..Failure::unfit(format!("the files have {}", count(loaded.report.errors(), "mistake")))
    })
}

/// The branch that finished work lands on: as configured, or the one checked out.
pub fn target(repo: &Repo, project: Option<&Project>) -> Result<String, Failure> {
    let name = named_or_checked_out(project.and_then(|p| p.target.clone()), repo)?;
    match repo.branch_tip(&name) {
        Ok(Some(_)) => Ok(name),
        Ok(None) => Err(Failure::unfit(format!(
            "the target branch `{name}` has no commits yet\n  Commit the task files first: `git add drover.toml drover && git commit -m \"Add tasks\"`."
        ))),
        Err(error) => Err(Failure::unfit(error.to_string())),
    }
}

/// The tasks that the arguments name.
pub fn selection(args: &Select, universe: &Universe) -> Result<Selection, Failure> {
    let epics: Vec<String> = args.epic.iter().map(|e| format!("epic:{e}")).collect();
    if args.tasks.is_empty() && args.select.is_empty() && epics.is_empty() && args.exclude.is_empty() {
        return Ok(Selection::All);
    }
    let mut exprs: Vec<Expr> = parsed(&args.tasks)?.into_iter().map(Expr::with_needs).collect();
    exprs.extend(parsed(&args.select)?);
    exprs.extend(parsed(&epics)?);
    Ok(Selection::Only(select::resolve(&exprs, &parsed(&args.exclude)?, universe).map_err(refused)?))
}

fn parsed(texts: &[String]) -> Result<Vec<Expr>, Failure> {
    texts.iter().map(|t| select::parse(t).map_err(refused)).collect()
}

fn refused(error: SelectError) -> Failure {
    match error {
        SelectError::NoMatch { .. } => Failure::new(Exit::NoMatch, error.to_string()),
        SelectError::Syntax { .. } => Failure::new(Exit::Usage, error.to_string()),
    }
}

/// The target that the record is looked up under, also where the files are broken.
pub fn recorded_target(global: &Global, repo: &Repo) -> Result<String, Failure> {
    let options = Options { config: global.config.clone() };
    named_or_checked_out(files::configured_target(repo.root(), &options), repo)
}

fn named_or_checked_out(configured: Option<String>, repo: &Repo) -> Result<String, Failure> {
    if let Some(name) = configured {
        return Ok(name);
    }
    match repo.head().map_err(|e| Failure::unfit(e.to_string()))? {
        Head::Branch { name, .. } => Ok(name),
        Head::Detached => Err(Failure::unfit(
            "HEAD is detached, so there is no branch to land on\n  Check out a branch, or set `[project] target` in drover.toml.",
        )),
    }
}

/// Drover's own environment, as it was at the start. What is not text cannot be passed on.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

//! What most verbs begin with: the repository, the files, the target.

use std::ffi::OsString;
use std::path::PathBuf;

use super::args::{Global, Select};
use super::ci;
use super::exit::{Exit, Failure};
use super::terminal::Terminal;
use crate::base::TaskId;
use crate::base::text::{count, one_line};
use crate::core::Selection;
use crate::files::{self, Loaded, Options, Project};
use crate::git::{Head, Repo};
use crate::plan::select::{self, Expr, SelectError, Universe};
use crate::report;
use crate::store::lock;

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
    project_of(global, terminal, repo, None)
}

/// The same, with the settings of one task.
pub fn project_of(global: &Global, terminal: &Terminal, repo: &Repo, task: Option<&TaskId>) -> Result<Project, Failure> {
    let (project, _) = loaded(global, terminal, repo, Options { explain: task.cloned(), ..options(global) })?;
    Ok(project)
}

/// The same with all that was found beside it, read as `options` say.
pub fn loaded(global: &Global, terminal: &Terminal, repo: &Repo, options: Options) -> Result<(Project, Loaded), Failure> {
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
    let mut loaded = files::load(&root, &options);
    if let Some(why) = no_profile(global.profile.as_deref(), &loaded) {
        return Err(Failure::new(Exit::Usage, why));
    }
    let is_in_document = terminal.json && loaded.project.is_none();
    if terminal.is_github() {
        let found = report::ci::of_files(&loaded.report, &ci::prefix(&root));
        terminal.commands(&report::ci::annotations(&found, "The log of this step has all of them."));
    }
    if !loaded.report.is_empty() && !is_in_document {
        let shown = loaded.report.graphical(terminal.color_err, terminal.width);
        // Mistakes are failures: they are shown however quiet it is to be.
        match loaded.project.is_none() {
            true => terminal.diagnostics(&shown),
            false => terminal.note(&shown),
        }
    }
    match loaded.project.take() {
        Some(project) => Ok((project, loaded)),
        None => Err(Failure {
            details: loaded.report.json(),
            ..Failure::unfit(format!("the files have {}", count(loaded.report.errors(), "mistake")))
        }),
    }
}

/// How the files are to be read.
pub fn options(global: &Global) -> Options {
    Options { config: global.config.clone(), profile: global.profile.clone().filter(|name| !name.is_empty()), ..Options::default() }
}

/// Why the chosen profile cannot be laid over anything.
pub fn no_profile(chosen: Option<&str>, loaded: &Loaded) -> Option<String> {
    let name = chosen.filter(|name| !name.is_empty() && !loaded.profiles.contains(*name) && loaded.project.is_some())?;
    let there: Vec<&str> = loaded.profiles.iter().map(String::as_str).collect();
    let there = if there.is_empty() { "it has none".to_owned() } else { format!("there are: {}", there.join(", ")) };
    Some(format!("drover.toml has no profile `{}`; {}", one_line(name, 100), one_line(&there, 500)))
}

/// The branch that finished work lands on: as configured, or the one checked out.
pub fn target(global: &Global, repo: &Repo, project: Option<&Project>) -> Result<String, Failure> {
    let name = named_or_checked_out(project.and_then(|p| p.target.clone()), repo)?;
    if repo.is_shallow() && !global.trust_shallow {
        return Err(Failure::unfit(
            "this is a shallow clone: what landed cannot be merged or found again without its history\n  Fetch it with `git fetch --unshallow`; in CI, check out with `fetch-depth: 0` (GitHub) or `GIT_DEPTH: 0` (GitLab).\n  To go on without, and do again what finished before it begins, say `--trust-shallow`.",
        ));
    }
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
    if args.is_all() {
        return Ok(Selection::All);
    }
    let epics: Vec<String> = args.epic.iter().map(|e| format!("epic:{e}")).collect();
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
    let named = files::configured_target(repo.root(), &options(global));
    // Who is at work here stays with its target, whatever is checked out meanwhile.
    named_or_checked_out(named.or_else(|| lock::served(&repo.state_dir(), repo.root())), repo)
}

/// The target that the files name, or the branch that is checked out.
pub fn named_or_checked_out(configured: Option<String>, repo: &Repo) -> Result<String, Failure> {
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
    variables().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// All of it, also what is no text.
pub fn variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

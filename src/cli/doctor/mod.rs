//! `drover doctor`: everything that a run would need here, looked at by name, each with what to do.
//! Changes nothing and spends nothing.

mod agents;
mod notices;
mod place;

use super::args::Global;
use super::context;
use super::exit::{CliResult, Exit};
use super::running::worktrees_root;
use super::terminal::Terminal;
use crate::base::text::count;
use crate::files::Project;
use crate::git::{Repo, Unfit};
use crate::report::json::FORMAT_VERSION;
use crate::store::{lock, redb};

/// One thing that was looked at.
pub struct Check {
    name: String,
    status: Status,
    /// What was found.
    says: String,
    /// What to do about it; empty where there is nothing to do.
    fix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    /// A run can begin, but may not go well.
    Warning,
    /// No run can begin.
    Error,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Error => "error",
        }
    }
}

impl Check {
    pub fn ok(name: impl Into<String>, says: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, says: says.into(), fix: String::new() }
    }
    pub fn warning(name: impl Into<String>, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Warning, says: says.into(), fix: fix.into() }
    }
    pub fn error(name: impl Into<String>, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Error, says: says.into(), fix: fix.into() }
    }
    /// From a message whose first line says what is wrong, and the others what to do.
    fn told(name: &str, message: &str) -> Self {
        let (says, fix) = message.split_once('\n').unwrap_or((message, ""));
        let fix: Vec<&str> = fix.lines().map(str::trim).collect();
        Self::error(name, says, fix.join(" "))
    }
}

pub fn run(global: &Global, terminal: &Terminal) -> CliResult {
    let checks = look(global, terminal)?;
    let of = |status| checks.iter().filter(|c| c.status == status).count();
    let ready = of(Status::Error) == 0;
    if terminal.json {
        let json = |c: &Check| serde_json::json!({ "name": c.name, "status": c.status.word(), "message": c.says, "fix": c.fix });
        let checks: Vec<_> = checks.iter().map(json).collect();
        terminal.json(&serde_json::json!({ "format_version": FORMAT_VERSION, "ready": ready, "checks": checks }));
    } else {
        checks.iter().for_each(|check| terminal.out(&line(check, terminal.color_out)));
        let head = if ready { "Ready" } else { "Not ready" };
        let (errors, warnings) = (count(of(Status::Error), "error"), count(of(Status::Warning), "warning"));
        terminal.out(&format!("{head}: {}, {errors}, {warnings}.", count(checks.len(), "check")));
    }
    Ok(if ready { Exit::Done } else { Exit::Unfit })
}

fn line(check: &Check, color: bool) -> String {
    let word = format!("{:<7}", check.status.word());
    let code = match check.status {
        Status::Ok => "32",
        Status::Warning => "33",
        Status::Error => "31",
    };
    let word = if color { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word };
    let mut out = format!("{word}  {}: {}", check.name, check.says);
    if !check.fix.is_empty() {
        out.push_str(&format!("\n         {}", check.fix));
    }
    out
}

fn look(global: &Global, terminal: &Terminal) -> Result<Vec<Check>, super::exit::Failure> {
    let repo = match Repo::discover(&context::directory(global)?) {
        Ok(repo) => repo,
        Err(unfit) => return Ok(vec![no_repository(&unfit)]),
    };
    let mut checks = vec![git(&repo), repository(&repo)];
    let project = context::project(global, terminal, &repo);
    checks.push(match &project {
        Ok(project) => Check::ok("files", format!("{} in {}", tasks(project), count(project.files, "file"))),
        Err(failure) => Check::told("files", &failure.message),
    });
    if checks.last().is_some_and(|c| c.status == Status::Error && c.fix.is_empty()) {
        checks.last_mut().expect("it was pushed").fix = "`drover validate` says which.".into();
    }
    let project = project.ok();
    let target = context::target(global, &repo, project.as_ref());
    checks.push(match &target {
        Ok(target) => Check::ok("target", format!("work lands on `{target}`")),
        Err(failure) => Check::told("target", &failure.message),
    });
    checks.extend(signing(&repo));
    let environment = context::environment();
    let state_dir = repo.state_dir();
    checks.extend(place::directory("state", &state_dir, "Change its permissions."));
    if let Some(project) = &project {
        let worktrees = worktrees_root(&repo, &project.policy, &environment);
        let movable = "Set `[worktree] dir` to a directory that can, or change its permissions.";
        checks.extend(place::directory("worktrees", &worktrees, movable));
    }
    checks.push(place::inotify());
    checks.extend(place::leftovers(&repo));
    checks.push(record(&repo, target.as_deref().ok()));
    if let Some(project) = &project {
        checks.extend(agents::look(&repo, project, &environment));
        checks.extend(notices::look(&project.policy, repo.root(), &environment));
    }
    Ok(checks)
}

fn no_repository(unfit: &Unfit) -> Check {
    let name = match unfit {
        Unfit::NoGit | Unfit::GitTooOld(_) => "git",
        _ => "repository",
    };
    let message = unfit.to_string();
    let (says, fix) = message.split_once(": ").unwrap_or((&message, ""));
    Check::error(name, says, fix)
}

fn git(repo: &Repo) -> Check {
    match repo.git_version() {
        Ok(version) => Check::ok("git", version),
        Err(error) => Check::error("git", error.to_string(), ""),
    }
}

fn repository(repo: &Repo) -> Check {
    let root = repo.root().display();
    match repo.root().join(".git").is_dir() {
        true => Check::ok("repository", root.to_string()),
        false => Check::ok("repository", format!("{root}, a linked worktree or submodule of {}", repo.common_dir().display())),
    }
}

fn tasks(project: &Project) -> String {
    count(project.graph.tasks().len(), "task")
}

/// Nothing is said where commits are not to be signed.
fn signing(repo: &Repo) -> Option<Check> {
    if !repo.signs().unwrap_or(false) {
        return None;
    }
    Some(match repo.check_signing() {
        Ok(_) => Check::ok("signing", "commits can be signed"),
        Err(error) => Check::error(
            "signing",
            format!("commits are to be signed here (commit.gpgSign), and cannot be: {error}"),
            "Make the key usable without a question, or run `git config commit.gpgSign false`.",
        ),
    })
}

fn record(repo: &Repo, target: Option<&str>) -> Check {
    let state_dir = repo.state_dir();
    if lock::is_held(&state_dir) {
        let fix = "`drover status` shows where it is. A second one cannot begin before it has ended.";
        return Check::warning("record", "another Drover is at work in this repository", fix);
    }
    let Some(target) = target else { return Check::ok("record", "not looked at without a target") };
    match redb::snapshot(&state_dir, target) {
        Ok(None) => Check::ok("record", format!("nothing is recorded for `{target}` yet")),
        Ok(Some(state)) => match state.active().count() {
            0 => Check::ok("record", format!("{} for `{target}`", count(state.tasks.len(), "task"))),
            n => Check::warning(
                "record",
                format!("{} under way when Drover ended", if n == 1 { "1 attempt was".into() } else { format!("{n} attempts were") }),
                "`drover resume` goes on with them.",
            ),
        },
        Err(error) => Check::error("record", error.to_string(), "`drover state rebuild` makes it anew from the commits of the target."),
    }
}

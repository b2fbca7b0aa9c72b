//! `drover.toml`: from a checked table to the project's policy, agents and defaults.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::diagnostic::{Code, Diagnostic, Findings, quote};
use super::keys::{AGENT, TASKS};
use super::layer::{Layer, Names};
use super::row::Row;
use super::source::Span;
use crate::model::{AgentKind, AgentSpec, CommandLine, MergePolicy, Policy, WorktreePolicy};

#[derive(Debug)]
pub struct Config {
    pub target: Option<String>,
    /// Globs of the task files.
    pub tasks: Vec<String>,
    /// Where these are written; the beginning of the file if they are not.
    pub tasks_at: Span,
    pub policy: Policy,
    /// Also the one that needs no declaration.
    pub agents: BTreeMap<String, AgentSpec>,
    /// What is built in below `[defaults]`.
    pub defaults: Layer,
    pub names: Names,
}

impl Config {
    /// `fallback` names a project that does not name itself; `whole` says whether the file could be read whole.
    pub fn read(row: &Row<'_>, fallback: &str, whole: bool, findings: &mut Findings) -> Self {
        let project = row.table("project");
        let mut agents = BTreeMap::new();
        let mut names = Names { whole, ..Names::default() };
        for (name, row) in row.named("agents") {
            names.agents.insert(name.to_owned());
            agents.insert(name.to_owned(), agent(name, &row, findings));
        }
        names.groups = row.named("groups").into_iter().map(|(name, _)| name.to_owned()).collect();
        if names.agents.insert(AGENT.to_owned()) {
            agents.insert(AGENT.to_owned(), claude(AGENT));
        }
        let defaults = row.table("defaults");
        if let Some(defaults) = &defaults {
            names.check_agent(defaults, findings);
            names.check_groups(defaults, findings);
        }
        let name = project.and_then(|p| p.string("name")).unwrap_or_else(|| fallback.to_owned());
        let defaults = defaults.map(|d| Layer::read(&d)).unwrap_or_default().over(&Layer::built_in());
        let policy = policy(row, name, &defaults);
        Self {
            target: project.and_then(|p| p.string("target")),
            tasks: project.and_then(|p| p.strings("tasks")).unwrap_or_else(|| TASKS.iter().map(|t| (*t).to_owned()).collect()),
            tasks_at: project.and_then(|p| p.place("tasks")).unwrap_or(row.at),
            policy,
            agents,
            defaults,
            names,
        }
    }

    /// The agent of that name; where there is none, which was reported, the one that always is.
    pub fn agent(&self, name: &str) -> AgentSpec {
        self.agents.get(name).cloned().unwrap_or_else(|| claude(name))
    }
}

fn policy(row: &Row<'_>, name: String, defaults: &Layer) -> Policy {
    let built_in = Policy { project: name, ..Policy::default() };
    let run = row.table("run");
    Policy {
        guidelines: row.table("project").and_then(|p| p.string("guidelines")).unwrap_or(built_in.guidelines),
        workers: run.and_then(|r| r.number("workers")).unwrap_or(built_in.workers),
        fail_fast: run.and_then(|r| r.bool("fail_fast")).unwrap_or(built_in.fail_fast),
        max_time: run.and_then(|r| r.duration("max_time")).and_then(|d| u64::try_from(d.as_millis()).ok()),
        shutdown_grace: run.and_then(|r| r.duration("shutdown_grace")).unwrap_or(built_in.shutdown_grace),
        groups: row.named("groups").into_iter().map(|(name, g)| (name.to_owned(), g.number("max_parallel").unwrap_or(1))).collect(),
        agents: row.named("agents").into_iter().filter_map(|(name, a)| Some((name.to_owned(), a.number("max_parallel")?))).collect(),
        merge: merge(row.table("merge"), built_in.merge),
        worktree: worktree(row.table("worktree"), built_in.worktree),
        env: defaults.env.clone(),
        env_pass: defaults.env_pass.clone().unwrap_or_default(),
        project: built_in.project,
    }
}

fn merge(row: Option<Row<'_>>, built_in: MergePolicy) -> MergePolicy {
    MergePolicy {
        verify: row.and_then(|r| r.commands("verify")).unwrap_or(built_in.verify),
        on_conflict: row.and_then(|r| r.choice("on_conflict")).unwrap_or(built_in.on_conflict),
    }
}

fn worktree(row: Option<Row<'_>>, built_in: WorktreePolicy) -> WorktreePolicy {
    WorktreePolicy {
        dir: row.and_then(|r| r.string("dir")).unwrap_or(built_in.dir),
        setup: row.and_then(|r| r.commands("setup")).unwrap_or(built_in.setup),
        include: row.and_then(|r| r.string("include")).unwrap_or(built_in.include),
    }
}

fn claude(name: &str) -> AgentSpec {
    AgentSpec { name: name.to_owned(), kind: AgentKind::ClaudeCode, model: None, args: Vec::new(), command: None }
}

fn agent(name: &str, row: &Row<'_>, findings: &mut Findings) -> AgentSpec {
    let kind = row.choice("kind");
    let argv = row.strings("command").map(CommandLine::Argv);
    let command = argv.or_else(|| row.string("shell").map(CommandLine::Shell));
    match (kind, &command) {
        (Some(AgentKind::Command), None) if row.text("shell").is_none() => {
            let message = format!("agent {} has kind \"command\" but nothing to run", quote(name));
            let help = "add `command`, a program and its arguments, or `shell`, a line for `sh -c`";
            findings.push(Diagnostic::error(Code::MissingKey, row.at, message).label("needs `command` or `shell`").help(help));
        }
        (Some(AgentKind::ClaudeCode), Some(_)) => {
            let message = format!("agent {} has a command of its own, which only kind \"command\" can", quote(name));
            let help = "write kind = \"command\", or put further arguments into `args`";
            findings.push(Diagnostic::error(Code::KeyConflict, row.at, message).label("this agent").help(help));
        }
        _ => {}
    }
    AgentSpec {
        name: name.to_owned(),
        kind: kind.unwrap_or(AgentKind::ClaudeCode),
        model: row.string("model"),
        args: row.strings("args").unwrap_or_default(),
        command,
    }
}

/// Says so if this version of Drover may not read the project. Looked at before anything else,
/// so that what a later version introduced is not called unknown.
pub fn version_unmet(table: &DeTable<'_>, at: impl Fn(std::ops::Range<usize>) -> Span) -> Option<Diagnostic> {
    let value = table.get("required_version")?;
    let wanted = semver::VersionReq::parse(value.get_ref().as_str()?).ok()?;
    let mut current = semver::Version::parse(env!("CARGO_PKG_VERSION")).expect("the package has a version");
    current.pre = semver::Prerelease::EMPTY; // a pre-release reads what its release will
    let message = format!("this project needs Drover {wanted}, and this is {current}");
    let found = Diagnostic::error(Code::VersionUnmet, at(value.span()), message);
    (!wanted.matches(&current)).then(|| found.label("required here").help("install a version that fits; nothing else was looked at"))
}

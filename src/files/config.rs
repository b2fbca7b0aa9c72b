//! `drover.toml`: from a checked table to the project's policy, agents and defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeTable;

use super::diagnostic::{Code, Diagnostic, Findings, quote};
use super::explain::OfConfig;
use super::keys::{AGENT, TASKS};
use super::layer::{Layer, Names};
use super::notice_keys::{COMMAND_TIMEOUT, WEBHOOK_ATTEMPTS, WEBHOOK_TIMEOUT};
use super::row::Row;
use super::source::Span;
use crate::base::parse_duration;
use crate::core::events::NEWS;
use crate::model::{
    Address, AgentKind, AgentSpec, CommandLine, LogPolicy, MergePolicy, Notices, OnEvent, Policy, Telemetry, Webhook, WorktreePolicy, subst,
};

/// Longer ones are shortened: whoever waits for a receiver waits no longer.
const MAX_WEBHOOK_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_COMMAND_TIMEOUT: Duration = Duration::from_secs(600);

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
    /// For `drover explain` alone.
    pub written: OfConfig,
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
        link_fallbacks(row, &mut agents, &names, findings);
        let defaults = row.table("defaults");
        if let Some(defaults) = &defaults {
            names.check_agent(defaults, findings);
            names.check_groups(defaults, findings);
        }
        for (name, template) in row.named("templates") {
            names.check_agent(&template, findings);
            names.check_groups(&template, findings);
            names.templates.insert(name.to_owned(), Layer::read(&template));
        }
        no_matrix(row, findings);
        refuse_the_same(&row.tables("webhooks"), |hook| Some(webhook(hook)?.identity()), findings);
        refuse_the_same(&row.tables("on_event"), |command| Some(on_event(command)?.identity()), findings);
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
            written: OfConfig::default(),
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
        prompts: built_in.prompts,
        workers: run.and_then(|r| r.number("workers")).unwrap_or(built_in.workers),
        fail_fast: run.and_then(|r| r.bool("fail_fast")).unwrap_or(built_in.fail_fast),
        max_time: millis(run.and_then(|r| r.duration("max_time"))),
        max_pause: millis(run.and_then(|r| r.duration("max_pause"))).unwrap_or(built_in.max_pause),
        budget: run.and_then(|r| r.table("budget")).map(|b| b.budget()).unwrap_or_default(),
        epic_budgets: BTreeMap::new(),
        shutdown_grace: run.and_then(|r| r.duration("shutdown_grace")).unwrap_or(built_in.shutdown_grace),
        groups: row.named("groups").into_iter().map(|(name, g)| (name.to_owned(), g.number("max_parallel").unwrap_or(1))).collect(),
        agents: row.named("agents").into_iter().filter_map(|(name, a)| Some((name.to_owned(), a.number("max_parallel")?))).collect(),
        merge: merge(row.table("merge"), built_in.merge),
        worktree: worktree(row.table("worktree"), built_in.worktree),
        logs: logs(row.table("logs"), built_in.logs),
        notices: notices(row),
        telemetry: telemetry(row.table("telemetry"), built_in.telemetry),
        env: defaults.env.clone(),
        env_pass: defaults.env_pass.clone().unwrap_or_default(),
        project: built_in.project,
    }
}

fn millis(duration: Option<std::time::Duration>) -> Option<u64> {
    duration.and_then(|d| u64::try_from(d.as_millis()).ok())
}

fn merge(row: Option<Row<'_>>, built_in: MergePolicy) -> MergePolicy {
    MergePolicy {
        verify: row.and_then(|r| r.commands("verify")).unwrap_or(built_in.verify),
        on_conflict: row.and_then(|r| r.choice("on_conflict")).unwrap_or(built_in.on_conflict),
        baseline: row.and_then(|r| r.bool("baseline")).unwrap_or(built_in.baseline),
        hooks: row.and_then(|r| r.bool("hooks")).unwrap_or(built_in.hooks),
        strategy: row.and_then(|r| r.choice("strategy")).unwrap_or(built_in.strategy),
        push: row.and_then(|r| r.string("push")).unwrap_or(built_in.push),
        push_timeout: row.and_then(|r| r.duration("push_timeout")).unwrap_or(built_in.push_timeout),
    }
}

fn worktree(row: Option<Row<'_>>, built_in: WorktreePolicy) -> WorktreePolicy {
    WorktreePolicy {
        dir: row.and_then(|r| r.string("dir")).unwrap_or(built_in.dir),
        setup: row.and_then(|r| r.commands("setup")).unwrap_or(built_in.setup),
        setup_inputs: row.and_then(|r| r.strings("setup_inputs")).unwrap_or(built_in.setup_inputs),
        include: row.and_then(|r| r.string("include")).unwrap_or(built_in.include),
        reuse: row.and_then(|r| r.bool("reuse")).unwrap_or(built_in.reuse),
        max_disk: row.and_then(|r| r.size("max_disk")),
    }
}

fn logs(row: Option<Row<'_>>, built_in: LogPolicy) -> LogPolicy {
    LogPolicy {
        max_size: row.and_then(|r| r.size("max_size")).unwrap_or(built_in.max_size),
        redact: row.and_then(|r| r.strings("redact")).unwrap_or(built_in.redact),
    }
}

fn telemetry(row: Option<Row<'_>>, built_in: Telemetry) -> Telemetry {
    Telemetry {
        enabled: row.and_then(|r| r.bool("enabled")).unwrap_or(built_in.enabled),
        endpoint: row.and_then(|r| r.string("endpoint")).unwrap_or(built_in.endpoint),
        protocol: row.and_then(|r| r.choice("protocol")).unwrap_or(built_in.protocol),
        sampling: row.and_then(|r| r.share("sampling")).unwrap_or(built_in.sampling),
        prometheus: row.and_then(|r| r.string("prometheus")).unwrap_or(built_in.prometheus),
        prometheus_hosts: row.and_then(|r| r.strings("prometheus_hosts")).unwrap_or(built_in.prometheus_hosts),
    }
}

fn notices(row: &Row<'_>) -> Notices {
    Notices {
        webhooks: row.tables("webhooks").iter().filter_map(webhook).collect(),
        commands: row.tables("on_event").iter().filter_map(on_event).collect(),
        desktop: row.table("run").and_then(|r| r.bool("notify")).unwrap_or_default(),
    }
}

/// Nothing where it does not say where to, which was reported.
fn webhook(row: &Row<'_>) -> Option<Webhook> {
    Some(Webhook {
        to: row.string("url").map(Address::Url).or_else(|| row.string("url_env").map(Address::Variable))?,
        events: events(row),
        secret_env: row.string("secret_env"),
        format: row.choice("format").unwrap_or_default(),
        timeout: time(row, WEBHOOK_TIMEOUT).min(MAX_WEBHOOK_TIMEOUT),
        max_attempts: row.number("max_attempts").or_else(|| u32::try_from(WEBHOOK_ATTEMPTS).ok())?,
        allow_private: row.bool("allow_private").unwrap_or_default(),
    })
}

fn on_event(row: &Row<'_>) -> Option<OnEvent> {
    let command = row.string("run").map(CommandLine::Shell).or_else(|| row.strings("command").map(CommandLine::Argv))?;
    Some(OnEvent { command, events: events(row), timeout: time(row, COMMAND_TIMEOUT).min(MAX_COMMAND_TIMEOUT) })
}

/// Of two that are the same nobody could say which has heard of what.
fn refuse_the_same(rows: &[Row<'_>], identity: impl Fn(&Row<'_>) -> Option<String>, findings: &mut Findings) {
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    for row in rows {
        let Some(identity) = identity(row) else { continue };
        let Some(at) = first.get(&identity) else {
            first.insert(identity, row.at);
            continue;
        };
        let message = format!("two of {} tell the same receiver", row.shape.what);
        let help = "keep one of them, and name all that it is to be told in its `events`";
        findings
            .push(Diagnostic::error(Code::DuplicateReceiver, row.at, message).label("and again here").also(*at, "first here").help(help));
    }
}

fn events(row: &Row<'_>) -> Vec<String> {
    row.words("events").unwrap_or_else(|| NEWS.iter().map(|name| (*name).to_owned()).collect())
}

fn time(row: &Row<'_>, usual: &str) -> Duration {
    row.duration("timeout").unwrap_or_else(|| parse_duration(usual).expect("the default is a duration"))
}

/// What is run for no task, or before one begins, has no matrix.
fn no_matrix(row: &Row<'_>, findings: &mut Findings) {
    for (table, key) in [("merge", "verify"), ("worktree", "setup")] {
        let Some(table) = row.table(table) else { continue };
        let used = table.commands(key).unwrap_or_default().iter().any(|c| subst::axes(&c.run).next().is_some());
        if let Some(place) = table.place(key).filter(|_| used) {
            let message = format!("`{key}` in {} belongs to no task, so there is no matrix", table.shape.what);
            let help = "name the commands, or put them into the `verify` of the task";
            findings.push(Diagnostic::error(Code::BadSubstitution, place, message).label("asks for `matrix`").help(help));
        }
    }
}

fn claude(name: &str) -> AgentSpec {
    AgentSpec::new(name, AgentKind::ClaudeCode)
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
        (Some(kind), Some(_)) if kind != AgentKind::Command => {
            let message = format!("agent {} has a command of its own, which only kind \"command\" can", quote(name));
            let help = "write kind = \"command\", or put further arguments into `args`";
            findings.push(Diagnostic::error(Code::KeyConflict, row.at, message).label("this agent").help(help));
        }
        _ => {}
    }
    if let Some(at) = row.place("fallback_model").filter(|_| kind.is_some_and(|k| k != AgentKind::ClaudeCode)) {
        let message = format!("agent {} cannot have a `fallback_model`, which only kind \"claude-code\" knows", quote(name));
        let help = "name another agent as its `fallback`, with a `model` of its own";
        findings.push(Diagnostic::error(Code::KeyConflict, at, message).label("not with this kind").help(help));
    }
    AgentSpec {
        name: name.to_owned(),
        kind: kind.unwrap_or(AgentKind::ClaudeCode),
        model: row.string("model"),
        args: row.strings("args").unwrap_or_default(),
        command,
        fallback_model: row.string("fallback_model"),
        fallback: None,
    }
}

/// Gives each agent the one that does its work where it is stopped. A name that nobody declared,
/// and a circle, are reported.
fn link_fallbacks(row: &Row<'_>, agents: &mut BTreeMap<String, AgentSpec>, names: &Names, findings: &mut Findings) {
    let tables: BTreeMap<&str, Row<'_>> = row.named("agents").into_iter().collect();
    let next = |name: &str| tables.get(name).and_then(|row| row.text("fallback")).map(|named| named.value);
    let plain = agents.clone();
    for (name, row) in &tables {
        let Some(named) = row.text("fallback") else { continue };
        if !names.agents.contains(named.value) {
            names.unknown_agent(named, findings);
            continue;
        }
        // Their own fallbacks too, innermost last; at most each once.
        let chain: Vec<&str> = std::iter::successors(Some(named.value), |n| next(n)).take(tables.len() + 1).collect();
        if chain.contains(name) {
            let message = format!("agent {} is its own fallback", quote(name));
            let help = "name another one, or none: an agent that is stopped cannot stand in for itself";
            findings.push(Diagnostic::error(Code::KeyConflict, named.at, message).label("leads back to it").help(help));
            continue;
        }
        let known = chain.iter().take(tables.len()).filter_map(|n| plain.get(*n));
        let linked = known.rev().fold(None, |inner, agent| Some(Box::new(AgentSpec { fallback: inner, ..agent.clone() })));
        if let Some(agent) = agents.get_mut(*name) {
            agent.fallback = linked;
        }
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

//! The agents: installed, in which version, logged in as far as that can be told for nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::Check;
use crate::agent::{self, Login};
use crate::base::text::one_line;
use crate::files::Project;
use crate::git::Repo;
use crate::model::{AgentKind, AgentSpec, Spec};

/// Those that tasks use, and those that are declared.
pub fn look(repo: &Repo, project: &Project, own: &[(String, String)]) -> Vec<Check> {
    let mut users: BTreeMap<&str, (&AgentSpec, &Spec)> = BTreeMap::new();
    for spec in project.graph.tasks().values().filter(|s| s.enabled) {
        for agent in spec.agents().flat_map(AgentSpec::in_turn) {
            users.entry(&agent.name).or_insert((agent, spec));
        }
    }
    let mut checks: Vec<Check> = users.values().map(|(agent, spec)| used(repo, agent, spec, own)).collect();
    let idle = project.agents.values().filter(|a| !users.contains_key(a.name.as_str()) && !is_built_in(a));
    checks.extend(idle.filter_map(|agent| unused(repo, agent, own)));
    checks
}

/// The one that is there without being declared.
fn is_built_in(agent: &AgentSpec) -> bool {
    agent.kind == AgentKind::ClaudeCode && *agent == AgentSpec::new(&agent.name, AgentKind::ClaudeCode)
}

fn used(repo: &Repo, agent: &AgentSpec, spec: &Spec, own: &[(String, String)]) -> Check {
    let name = format!("agent {}", agent.name);
    let seen = agent::environment(spec, &BTreeMap::new(), own.iter().cloned());
    let path = seen.get("PATH").map(OsString::from);
    if let Some(missing) = agent::missing(agent, path.as_deref(), repo.root()) {
        let (says, fix) = missing.split_once("; ").unwrap_or((&missing, ""));
        return Check::error(name, says, fix);
    }
    let Some(program) = agent::program(agent, path.as_deref(), repo.root()) else {
        return Check::ok(name, "a command of the project's own");
    };
    let version = agent::version(&program).map(|v| format!(" {v}")).unwrap_or_default();
    let found = format!("{}{version} at {}", agent.kind.name(), one_line(&program.display().to_string(), 200));
    match agent::login(agent.kind, &program, &seen, own) {
        Login::Found(how) => Check::ok(name, format!("{found}; logged in: {how}")),
        Login::Unknown => Check::ok(name, found),
        Login::Withheld { variable } => Check::warning(
            name,
            format!("{found}; {variable} is set, and not passed on"),
            format!("Add it to `env_pass` of [defaults]: \"{variable}\"."),
        ),
        Login::NotFound { hint } => Check::warning(name, format!("{found}; no login was found"), format!("If it has none: {hint}.")),
    }
}

fn unused(repo: &Repo, agent: &AgentSpec, own: &[(String, String)]) -> Option<Check> {
    let path = own.iter().find(|(name, _)| name == "PATH").map(|(_, value)| OsString::from(value));
    let missing = agent::missing(agent, path.as_deref(), repo.root())?;
    let (says, fix) = missing.split_once("; ").unwrap_or((&missing, ""));
    Some(Check::warning(format!("agent {}", agent.name), format!("no task uses it; {says}"), fix))
}

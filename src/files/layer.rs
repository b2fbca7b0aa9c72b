//! What a task inherits: settings laid over one another.
//!
//! Task over epic over `[defaults]` over what is built in. Tables merge by key; everything
//! else replaces.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::diagnostic::{Code, Diagnostic, Findings, nearest_or_list, quote};
use super::inherited::ENV_PASS;
use super::keys::{AGENT, PROTECT, STALL_TIMEOUT, TIMEOUT};
use super::row::{At, Row};
use crate::base::parse_duration;
use crate::model::{Approval, Backoff, Budget, Check, OnChange, OnDependency, Retry, Workspace};

/// The settings of one table; what it does not give is `None`.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub agent: Option<String>,
    pub timeout: Option<Duration>,
    pub stall_timeout: Option<Duration>,
    pub retry: RetryLayer,
    pub budget: Budget,
    pub attempt_budget: Budget,
    pub on_change: Option<OnChange>,
    pub on_dependency: Option<OnDependency>,
    pub allow_empty: Option<bool>,
    pub approval: Option<Approval>,
    pub protect: Option<Vec<String>>,
    pub paths: Option<Vec<String>>,
    pub inputs: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    pub env_pass: Option<Vec<String>>,
    pub verify: Option<Vec<Check>>,
    pub groups: Option<Vec<String>>,
    pub labels: Option<Vec<String>>,
    pub priority: Option<i64>,
    pub workspace: Option<Workspace>,
}

#[derive(Clone, Debug, Default)]
pub struct RetryLayer {
    max_attempts: Option<u32>,
    backoff: Option<Backoff>,
    delay: Option<Duration>,
    max_delay: Option<Duration>,
    jitter: Option<bool>,
}

impl Layer {
    /// From a table that holds the inherited keys.
    pub fn read(row: &Row<'_>) -> Self {
        Self {
            agent: row.string("agent"),
            timeout: row.duration("timeout"),
            stall_timeout: row.duration("stall_timeout"),
            retry: row.table("retry").map(|r| RetryLayer::read(&r)).unwrap_or_default(),
            budget: row.table("budget").map(|b| b.budget()).unwrap_or_default(),
            attempt_budget: row.table("attempt_budget").map(|b| b.budget()).unwrap_or_default(),
            on_change: row.choice("on_change"),
            on_dependency: row.choice("on_dependency"),
            allow_empty: row.bool("allow_empty"),
            approval: row.choice("approval"),
            protect: row.strings("protect"),
            paths: row.strings("paths"),
            inputs: row.strings("inputs"),
            env: row.env("env"),
            env_pass: row.strings("env_pass"),
            verify: row.commands("verify"),
            groups: row.set("groups"),
            labels: row.set("labels"),
            priority: row.integer("priority"),
            workspace: row.choice("workspace"),
        }
    }

    /// What holds where nothing is said.
    pub fn built_in() -> Self {
        let duration = |text| Some(parse_duration(text).expect("the default is a duration"));
        let list = |texts: &[&str]| Some(texts.iter().map(|t| (*t).to_owned()).collect());
        Self {
            agent: Some(AGENT.to_owned()),
            timeout: duration(TIMEOUT),
            stall_timeout: duration(STALL_TIMEOUT),
            protect: list(PROTECT),
            env_pass: list(ENV_PASS),
            ..Self::default()
        }
    }

    pub fn over(self, below: &Layer) -> Layer {
        let mut env = below.env.clone();
        env.extend(self.env);
        Layer {
            agent: self.agent.or_else(|| below.agent.clone()),
            timeout: self.timeout.or(below.timeout),
            stall_timeout: self.stall_timeout.or(below.stall_timeout),
            retry: self.retry.over(&below.retry),
            budget: self.budget.over(&below.budget),
            attempt_budget: self.attempt_budget.over(&below.attempt_budget),
            on_change: self.on_change.or(below.on_change),
            on_dependency: self.on_dependency.or(below.on_dependency),
            allow_empty: self.allow_empty.or(below.allow_empty),
            approval: self.approval.or(below.approval),
            protect: self.protect.or_else(|| below.protect.clone()),
            paths: self.paths.or_else(|| below.paths.clone()),
            inputs: self.inputs.or_else(|| below.inputs.clone()),
            env,
            env_pass: self.env_pass.or_else(|| below.env_pass.clone()),
            verify: self.verify.or_else(|| below.verify.clone()),
            groups: self.groups.or_else(|| below.groups.clone()),
            labels: self.labels.or_else(|| below.labels.clone()),
            priority: self.priority.or(below.priority),
            workspace: self.workspace.or(below.workspace),
        }
    }

    pub fn full_retry(&self) -> Retry {
        let built_in = Retry::default();
        Retry {
            max_attempts: self.retry.max_attempts.unwrap_or(built_in.max_attempts),
            backoff: self.retry.backoff.unwrap_or(built_in.backoff),
            delay: self.retry.delay.unwrap_or(built_in.delay),
            max_delay: self.retry.max_delay.unwrap_or(built_in.max_delay),
            jitter: self.retry.jitter.unwrap_or(built_in.jitter),
        }
    }
}

impl RetryLayer {
    fn read(row: &Row<'_>) -> Self {
        Self {
            max_attempts: row.number("max_attempts"),
            backoff: row.choice("backoff"),
            delay: row.duration("delay"),
            max_delay: row.duration("max_delay"),
            jitter: row.bool("jitter"),
        }
    }

    fn over(self, below: &RetryLayer) -> RetryLayer {
        RetryLayer {
            max_attempts: self.max_attempts.or(below.max_attempts),
            backoff: self.backoff.or(below.backoff),
            delay: self.delay.or(below.delay),
            max_delay: self.max_delay.or(below.max_delay),
            jitter: self.jitter.or(below.jitter),
        }
    }
}

/// The names that `drover.toml` declares.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub agents: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    pub templates: BTreeMap<String, Layer>,
    /// False if `drover.toml` could not be read whole: then no name is called unknown.
    pub whole: bool,
}

impl Names {
    /// Reports the agent that a table names and nobody declared.
    pub fn check_agent(&self, row: &Row<'_>, findings: &mut Findings) {
        if let Some(named) = row.text("agent").filter(|a| !self.agents.contains(a.value)) {
            self.unknown_agent(named, findings);
        }
    }

    /// Reports an agent that nobody declared.
    pub fn unknown_agent(&self, named: At<&str>, findings: &mut Findings) {
        let At { value, at } = named;
        if !self.whole {
            return;
        }
        let help = nearest_or_list(value, "agents in drover.toml", self.agents.iter().map(String::as_str));
        let found = Diagnostic::error(Code::UnknownAgent, at, format!("agent {} is not declared", quote(value)));
        findings.push(found.label("no such agent").help(help));
    }

    /// The settings of the template that a task takes over; one that nobody declared is reported.
    pub fn template(&self, row: &Row<'_>, findings: &mut Findings) -> Layer {
        let Some(At { value, at }) = row.text("extends") else { return Layer::default() };
        if let Some(layer) = self.templates.get(value) {
            return layer.clone();
        }
        if self.whole {
            let help = nearest_or_list(value, "templates in drover.toml", self.templates.keys().map(String::as_str));
            let found = Diagnostic::error(Code::UnknownTemplate, at, format!("template {} is not declared", quote(value)));
            findings.push(found.label("no such template").help(help));
        }
        Layer::default()
    }

    /// Reports the groups that a table names and nobody declared.
    pub fn check_groups(&self, row: &Row<'_>, findings: &mut Findings) {
        for At { value, at } in row.texts("groups").unwrap_or_default() {
            if self.whole && !self.groups.contains(value) {
                let help = match self.groups.is_empty() {
                    true => format!("declare it in drover.toml: [groups.{}]", quote(value).trim_matches('`')),
                    false => nearest_or_list(value, "groups in drover.toml", self.groups.iter().map(String::as_str)),
                };
                let found = Diagnostic::error(Code::UnknownGroup, at, format!("group {} is not declared", quote(value)));
                findings.push(found.label("no such group").help(help));
            }
        }
    }
}
